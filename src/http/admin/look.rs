//! `GET /admin/channel?name=` and `GET /admin/session?id=`: a close look at one of them.

use http::{Request, StatusCode};
use serde_json::{Map, Value, json};

use super::super::answer::Refusal;
use super::super::state::State;
use crate::base::channels::ChannelOptions;
use crate::base::ids::{ChannelName, SessionId};
use crate::base::query;
use crate::hub::SlowSession;
use crate::protocol::{Form, WireFormat};

/// Sessions of a channel that are listed.
const SESSIONS_MAX: usize = 20;

fn required<B>(request: &Request<B>, name: &'static str) -> Result<String, Refusal> {
    let value = query::single(request.uri().query(), name).map_err(Refusal::bad_request)?;
    let value = value.ok_or_else(|| Refusal::bad_request(format!("say which: ?{name}=")))?;
    Ok(value.into_owned())
}

pub(super) async fn channel<B>(state: &State, request: &Request<B>) -> Result<Value, Refusal> {
    let name = required(request, "name")?;
    let name = ChannelName::new(&name).map_err(|no| Refusal::bad_request(no.to_string()))?;
    let Some(look) = state.hub.look_at_channel(&name, SESSIONS_MAX).await else {
        let text = "there is no such channel now: nobody is subscribed and nothing is kept";
        return Err(Refusal::new(StatusCode::NOT_FOUND, text));
    };
    let sessions = look.presence.sessions.iter().map(|present| {
        let info = state.hub.session(present.session);
        json!({
            "session": present.session.to_string(),
            "user": present.user.as_ref().map(|user| user.as_str()),
            "address": info.as_ref().and_then(|info| info.peer).map(|peer| peer.to_string()),
            "age_s": info.as_ref().map(|info| info.age_s),
            "bytes": info.as_ref().map(|info| info.outbox_bytes),
        })
    });
    let dropped: Map<String, Value> = (look.dropped.iter())
        .map(|(cause, count)| (cause.name().to_owned(), json!(count)))
        .collect();
    let position =
        look.position.map(|at| json!({ "epoch": at.epoch.to_string(), "offset": at.offset }));
    Ok(json!({
        "channel": name.as_str(),
        "sessions_count": look.presence.sessions_count,
        "sessions": sessions.collect::<Vec<_>>(),
        "publications": look.publications,
        "dropped": dropped,
        "position": position,
        "rule": rule(&look.options, state),
    }))
}

/// What its rule says.
fn rule(options: &ChannelOptions, state: &State) -> Value {
    let policy = options.policy.unwrap_or(state.hub.limits().slow_consumer_policy);
    let history = options.history.is_on().then(|| {
        json!({
            "publications_max": options.history.publications_max,
            "bytes_max": options.history.bytes_max,
            "age_max_ms": options.history.age_max_ms,
        })
    });
    json!({
        "policy": policy.name(),
        "key_pointer": options.key_pointer,
        "history": history,
        "cache": options.cache,
        "presence": options.presence,
        "join_leave": options.join_leave,
    })
}

pub(super) fn session<B>(state: &State, request: &Request<B>) -> Result<Value, Refusal> {
    let id = required(request, "id")?;
    let id = id.parse::<SessionId>().map_err(|no| Refusal::bad_request(no.to_string()))?;
    let Some(look) = state.hub.look_at_session(id) else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such session any more"));
    };
    let channels: Vec<&str> = look.info.channels.iter().map(|name| name.as_str()).collect();
    Ok(json!({
        "session": id.to_string(),
        "user": look.info.user.as_ref().map(|user| user.as_str()),
        "address": look.info.peer.map(|peer| peer.to_string()),
        "format": format(look.form),
        "age_s": look.info.age_s,
        "silent_ms": look.silent_ms,
        "expires_unix_s": look.expires_unix_s,
        "channels": channels,
        "bytes": look.info.outbox_bytes,
        "messages": look.messages,
        "oldest_ms": look.oldest_ms,
        "lost": look.lost,
    }))
}

fn format(form: Form) -> &'static str {
    match (form.format, form.deflate.is_some()) {
        (WireFormat::Raw, false) => "WebSocket, plain messages",
        (WireFormat::Raw, true) => "WebSocket, plain messages, deflated",
        (WireFormat::Json, false) => "WebSocket, JSON",
        (WireFormat::Json, true) => "WebSocket, JSON, deflated",
        (WireFormat::Sse, _) => "server-sent events",
    }
}

/// A row of the slowest: without the channels, of which there may be many.
pub(super) fn slow(slow: &SlowSession) -> Value {
    json!({
        "session": slow.session.to_string(),
        "user": slow.user.as_ref().map(|user| user.as_str()),
        "address": slow.peer.map(|peer| peer.to_string()),
        "channels": slow.channels.len(),
        "channel": slow.channels.first().map(|name| name.as_str()),
        "bytes": slow.bytes,
        "messages": slow.messages,
        "oldest_ms": slow.oldest_ms,
        "behind_ms": slow.behind_ms,
        "lost": slow.lost,
    })
}
