//! `/admin`: the node as its operator sees it, live, on one page; off unless it has keys of its own.
//!
//! | path | what | who may |
//! |---|---|---|
//! | `GET /admin` | the page, and a form for the key | anybody who reaches the listener |
//! | `GET /admin/{file}` | its style and its scripts ([`files`]) | anybody |
//! | `POST /admin/do/login`, `logout` | a key for a cookie ([`door`]) | whoever has a key |
//! | `GET /admin/node` | what does not change: names, bounds, what the visitor may | anybody, who is told that |
//! | `GET /admin/events` | a sample a second ([`feed`]) | viewers |
//! | `GET /admin/channel`, `session` | a close look ([`look`]) | viewers |
//! | `POST /admin/do/disconnect`, `publish` | what changes something ([`act`]) | not with a read-only key |
//!
//! A viewer has a cookie from the login, or sends a key as `Authorization: Bearer KEY`. What goes with a
//! cookie and changes something needs an `Origin`, and it must be our own: so no other page can do it
//! in the visitor's name, whatever `origins.allow` says.

mod act;
mod door;
mod feed;
mod files;
mod look;
mod sample;

use std::sync::Arc;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::answer::{self, Answer, Refusal};
use super::body;
use super::peer::Peer;
use super::state::State;
use crate::auth::api_key::ApiKeys;
use crate::base::memory::Pressure;
use door::Door;
use feed::Feed;

pub(super) use feed::{View, open as events};
pub(super) use files::show as file;

/// Bytes of the body of a request that changes something: a test message and its channel, or a key.
const BODY_BYTES_MAX: usize = 128 << 10;

/// What the page is opened with, and its bounds.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// Keys that may do everything. Without any of either kind there is no page.
    pub keys: ApiKeys,
    /// Keys that may look.
    pub read_only_keys: ApiKeys,
    /// Viewers at once.
    pub viewers_max: usize,
    /// Logins at once; the oldest makes way.
    pub logins_max: usize,
    /// How long a login lasts, in milliseconds.
    pub login_timeout_ms: u64,
    /// Wrong keys that one address may send in a minute.
    pub wrong_keys_per_min_max: u32,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self {
            keys: ApiKeys::default(),
            read_only_keys: ApiKeys::default(),
            viewers_max: 8,
            logins_max: 64,
            login_timeout_ms: 12 * 3_600_000,
            wrong_keys_per_min_max: 10,
        }
    }
}

impl AdminSettings {
    /// Whether there is a page.
    pub fn is_on(&self) -> bool {
        !self.keys.is_empty() || !self.read_only_keys.is_empty()
    }
}

/// What a viewer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    ReadOnly,
    Full,
}

impl Access {
    const fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::Full => "full",
        }
    }
}

/// What the page keeps between requests.
#[derive(Debug, Default)]
pub(super) struct Admin {
    door: Door,
    feed: Feed,
}

impl Admin {
    /// Viewers now.
    pub(super) fn viewers(&self) -> usize {
        self.feed.viewers()
    }

    /// Keys that were wrong, ever.
    pub(super) fn wrong_keys(&self) -> u64 {
        self.door.wrong_keys.get()
    }
}

/// `GET /admin/node`, `/admin/channel`, `/admin/session`; anything else is a file.
pub(super) async fn get(state: &Arc<State>, request: &Request<Incoming>, peer: Peer) -> Answer {
    let shown = match request.uri().path() {
        "/admin/node" => door::look_up(state, request, peer).map(|access| match access {
            Some(access) => node(state, access),
            // For the page, which then shows its form: no error.
            None => json!({ "access": null }),
        }),
        "/admin/channel" => match door::enter(state, request, peer) {
            Ok(_) => look::channel(state, request).await,
            Err(refusal) => Err(refusal),
        },
        "/admin/session" => {
            door::enter(state, request, peer).and_then(|_| look::session(state, request))
        }
        path => return file(path),
    };
    shown.map_or_else(|refusal| refusal.answer(), |value| answer::json(StatusCode::OK, &value))
}

/// `POST /admin/do/{action}`.
pub(super) async fn post(state: &Arc<State>, request: Request<Incoming>, peer: Peer) -> Answer {
    try_post(state, request, peer).await.unwrap_or_else(|refusal| refusal.answer())
}

async fn try_post(
    state: &Arc<State>,
    request: Request<Incoming>,
    peer: Peer,
) -> Result<Answer, Refusal> {
    let action = request.uri().path().strip_prefix("/admin/do/").unwrap_or_default().to_owned();
    // A refusal before the body is read ends the connection: the body may be long.
    if let "login" | "logout" = action.as_str() {
        let caller = door::Caller::of(state, &request, peer).map_err(Refusal::closing)?;
        let body = body::read(request, BODY_BYTES_MAX, state.hub.memory()).await?;
        return match action.as_str() {
            "login" => door::log_in(state, &caller, &body),
            _ => Ok(door::log_out(state, &caller)),
        };
    }
    let viewer = door::enter_to_change(state, &request, peer).map_err(Refusal::closing)?;
    if viewer.access < Access::Full {
        let text = "this key may look and change nothing; log in with one of admin.keys";
        return Err(Refusal::new(StatusCode::FORBIDDEN, text).closing());
    }
    let body = body::read(request, BODY_BYTES_MAX, state.hub.memory()).await?;
    let done = match action.as_str() {
        "disconnect" => act::disconnect(state, &body, peer)?,
        "publish" => act::publish(state, &body, peer)?,
        _ => return Ok(answer::nothing()),
    };
    Ok(answer::json(StatusCode::OK, &done))
}

/// What does not change while the node runs.
fn node(state: &State, access: Access) -> Value {
    let limits = state.hub.limits();
    let steps: Vec<Value> = Pressure::FROM
        .iter()
        .rev()
        .map(|(pressure, percent)| json!({ "percent": percent, "name": pressure.name() }))
        .collect();
    json!({
        "access": access.name(),
        "name": state.node_name,
        "id": state.node_id,
        "version": env!("CARGO_PKG_VERSION"),
        "lanes": limits.lanes,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "sessions_max": limits.sessions_max,
        "outbox_bytes_max": limits.outbox_bytes_max,
        "outbox_age_max_ms": limits.outbox_age_max_ms,
        "memory_steps": steps,
        "delivery_us_bounds": crate::base::counters::PASS_US_BOUNDS,
    })
}
