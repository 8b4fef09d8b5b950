//! Floor 5: the gateway's HTTP side: which request gets which answer.
//!
//! | path | what |
//! |---|---|
//! | `GET /` | the page: a client to try things out with ([`page`]) |
//! | `GET /fanfare.js` | the client, for that page and for everybody's ([`script`]) |
//! | `GET /ws` | a WebSocket ([`websocket`]) |
//! | `GET /sse` | server-sent events ([`sse`]) |
//! | `POST /publish`, `GET /channel` | for curl ([`plain`]) |
//! | `POST /api/{method}` | for backends ([`api`]) |
//! | `GET /api/slow` | who is behind ([`slow`]) |
//! | `GET /health`, `GET /ready` | for supervisors and load balancers ([`health`]) |
//! | `GET /metrics` | for Prometheus ([`metrics`]) |
//! | `GET /openapi.json` | all of this for programs ([`openapi`]) |
//! | `/admin` | for whoever looks after the node, if it is on ([`admin`]) |
//!
//! Who may: [`guard`]. The page, the client, `/health`, `/ready`, `/metrics` and `/openapi.json` are open
//! to everybody who reaches the port: they show numbers and no names.
//!
//! An answer never repeats a token, a key or a message, and neither does a log line. A query may
//! hold a token, so no log line has one.

mod admin;
mod admission;
mod answer;
mod api;
mod body;
mod forwarded;
mod guard;
mod health;
mod json;
mod metrics;
mod openapi;
mod page;
mod peer;
mod plain;
mod router;
mod script;
mod slow;
mod sse;
mod state;
mod take_over;
mod tally;
mod traced;
mod websocket;

use std::sync::Arc;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, StatusCode};
use hyper::body::Incoming;

use answer::Refusal;

use crate::base::fields::{Field, Fields};
use crate::connection::Head;

pub use admin::AdminSettings;
pub use answer::Answer;
pub use forwarded::TrustedProxies;
pub use peer::{Peer, Serves};
pub use state::{State, StateOptions};
pub use take_over::{TakeOver, TakenOver};
pub use tally::{ConnectionRefused, EntryRefused, HeadRefused, LISTENERS_MAX, Tally};
pub use websocket::{Decided, Undecided};

use router::{Find, Route};

/// Whether a head that came first on its connection asks for a WebSocket: for [`accept_at_once`], then.
/// That it asks for an upgrade makes it a [`Head`]; to what is looked at there.
pub fn asks_for_websocket(head: &Head, serves: Serves) -> bool {
    head.path() == Route::WebSocket.path() && serves.has(Route::WebSocket)
}

/// Makes a session of a head that came first on its connection and in one piece, or says why not; the
/// connection ends with that answer.
///
/// # Errors
/// Somebody has to be asked whether it may be one, by [`accept`].
pub fn accept_at_once(
    state: &State,
    options: &StateOptions,
    head: &Head,
    peer: Peer,
) -> Result<Decided, Undecided> {
    websocket::accept_at_once(state, options, head, peer)
        .map(|accepted| noted(state, accepted, peer))
}

/// The same, after asking.
pub async fn accept(state: &State, head: &Head, peer: Peer, undecided: Undecided) -> Decided {
    noted(state, websocket::accept(state, head, peer, undecided).await, peer)
}

fn noted(state: &State, accepted: Decided, peer: Peer) -> Decided {
    let status = accepted
        .as_ref()
        .map_or_else(|answer| answer.status(), |_| StatusCode::SWITCHING_PROTOCOLS);
    note_answer(state, &Find::Route(Route::WebSocket), status, peer);
    accepted.map_err(|mut answer| {
        make_last(&mut answer);
        answer
    })
}

/// Answers a request of `peer` on a listener that serves so much. Never fails: what cannot be done is
/// an answer too.
///
/// Cancel safe in that nothing is left half done: dropped while it reads a body it has changed
/// nothing, and afterwards it does not wait.
pub async fn handle(
    state: Arc<State>,
    request: Request<Incoming>,
    peer: Peer,
    serves: Serves,
) -> Answer {
    let route = match router::find(request.method(), request.uri().path()) {
        Find::Route(route) | Find::WrongMethod { route, .. } if !serves.has(route) => Find::Nothing,
        Find::Route(route) | Find::WrongMethod { route, .. }
            if route.is_admin() && !state.options().admin.is_on() =>
        {
            Find::Nothing
        }
        found => found,
    };
    let wants_upgrade = lists_websocket(request.headers());
    let mut answer = match &route {
        Find::Route(route) => serve(&state, *route, request, peer).await,
        Find::WrongMethod { route: Route::WebSocket, allow } if wants_upgrade => {
            websocket::wrong_method(&state, allow, peer)
        }
        Find::WrongMethod { allow, .. } => answer::wrong_method(allow),
        Find::Nothing => answer::nothing(),
    };
    // What comes behind an upgrade that was not accepted may be frames: never read it as a request.
    if wants_upgrade {
        make_last(&mut answer);
    }
    note_answer(&state, &route, answer.status(), peer);
    answer
}

fn note_answer(state: &State, route: &Find, status: StatusCode, peer: Peer) {
    state.tally().answered(route, status);
    tracing::debug!(route = route.name(), status = status.as_u16(), %peer, "answered");
}

/// The answer to a request that two parsers could read differently; the connection ends with it.
pub fn refuse_ambiguous(state: &State) -> Answer {
    state.tally().heads_refused(HeadRefused::Malformed).add(1);
    let text = "the request can be read in more than one way: every line must end with CR LF, and \
                there may be one Content-Length or a Transfer-Encoding, not both (RFC 9112 2.2, 6.3)";
    Refusal::bad_request(text).closing().answer()
}

/// Whether what a request asks for holds its connection for as long as it lives.
pub fn asks_for_session<B>(request: &Request<B>) -> bool {
    let route = router::find(request.method(), request.uri().path());
    matches!(route, Find::Route(Route::EventStream | Route::AdminEvents))
        || lists_websocket(request.headers())
}

/// The answer to a request whose client has too many connections, or opens them too fast.
#[cold]
pub fn refuse_client(state: &State, why: ConnectionRefused) -> Answer {
    state.tally().connections_refused(why).add(1);
    let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why.text()).closing();
    answer::come_back_later(refusal.answer())
}

/// Whether an answer ends its connection.
pub fn is_last(answer: &Answer) -> bool {
    answer.headers().get(CONNECTION).is_some_and(|value| value == "close")
}

/// Makes an answer the last of its connection, unless that becomes something else with it.
pub fn make_last(answer: &mut Answer) {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

fn lists_websocket(headers: &impl Fields) -> bool {
    headers.lists(Field::Upgrade, b"websocket")
}

async fn serve(state: &Arc<State>, route: Route, request: Request<Incoming>, peer: Peer) -> Answer {
    match route {
        Route::Page => page::show(state, request.headers()),
        Route::Script => script::show(request.headers()),
        Route::WebSocket => websocket::upgrade(state, request, peer).await,
        Route::EventStream => sse::open(state, &request, peer).await,
        Route::Publish => plain::publish(state, request).await,
        Route::Channel => plain::channel(state, &request),
        Route::Slow => slow::show(state, &request),
        Route::Api => api::call(state, request).await,
        Route::Health => health::show(state),
        Route::Ready => health::show_ready(state),
        Route::Metrics => metrics::show(state),
        Route::OpenApi => openapi::show(),
        Route::Admin => admin::file("/admin"),
        Route::AdminEvents => admin::events(state, &request, peer),
        Route::AdminAction => admin::post(state, request, peer).await,
        Route::AdminFile => admin::get(state, &request, peer).await,
    }
}
