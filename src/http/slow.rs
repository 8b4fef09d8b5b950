//! `GET /api/slow?top=N`: who is behind, since when, on which channels, from where.

use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::answer::{self, Answer, Refusal};
use super::guard;
use super::state::State;
use crate::base::query;
use crate::hub::SlowSession;

/// Sessions in an answer that does not say how many.
const TOP: usize = 20;

/// Sessions in one answer.
const TOP_MAX: usize = 1_000;

/// Those that are furthest behind.
pub(super) fn show<B>(state: &State, request: &Request<B>) -> Answer {
    let listed = guard::check_key(state, request).and_then(|()| {
        let top = query::single(request.uri().query(), "top").map_err(Refusal::bad_request)?;
        let top = top.map_or(Ok(TOP), |top| top.parse::<usize>());
        let wrong = || Refusal::bad_request(format!("top= is a number from 1 to {TOP_MAX}"));
        let top = top.ok().filter(|top| (1..=TOP_MAX).contains(top)).ok_or_else(wrong)?;
        let sessions: Vec<Value> = state.hub.slow_sessions(top).iter().map(row).collect();
        Ok(json!({ "behind": state.hub.counters().writers.get(), "sessions": sessions }))
    });
    match listed {
        Ok(listed) => answer::json(StatusCode::OK, &listed),
        Err(refusal) => refusal.answer(),
    }
}

fn row(slow: &SlowSession) -> Value {
    let channels: Vec<&str> = slow.channels.iter().map(|channel| channel.as_str()).collect();
    json!({
        "session": slow.session.to_string(),
        "user": slow.user.as_ref().map(|user| user.as_str()),
        "address": slow.peer.map(|peer| peer.to_string()),
        "channels": channels,
        "bytes": slow.bytes,
        "messages": slow.messages,
        "oldest_ms": slow.oldest_ms,
        "behind_ms": slow.behind_ms,
        "lost": slow.lost,
    })
}
