//! `GET /sse`: server-sent events for whoever only listens (`EventSource` in a browser, `curl -N`).
//!
//! `?channel=NAME`, as often as there are channels, `lobby` without. The token: see
//! [`crate::auth::token`]; an `EventSource` can send it in the query or in the cookie. What comes is
//! the JSON protocol ([`crate::protocol::sse`]).
//!
//! `&join_leave=true` asks for `join` and `leave` events, where the rules of all of them allow that.
//!
//! `Last-Event-ID`, which a browser sends when it comes back, or `&recover=EPOCH:OFFSET`, as often as
//! there are channels, says what was seen before. A browser sends the position of its last event only:
//! with several channels on one stream the others are told that something may be missing.
//!
//! The answer has no length and no chunks: it ends with the connection. So hyper is only needed until
//! the request is understood; then the session has the bare socket, as one of a WebSocket has, and
//! costs as little.
//!
//! There is no gzip: a window for each connection is just what an idle one must not cost.

use bytes::Bytes;
use http::Request;
use http::header::{HeaderMap, ORIGIN};
use hyper::body::Incoming;
use rand::RngExt as _;

use super::admission::{
    Admitted, Said, Wish, add_channel, ask_around, authorise, check_origin, note, of_peer,
    or_lobby, reason,
};
use super::answer::{self, Answer, Refusal};
use super::peer::Peer;
use super::state::State;
use super::take_over::{TakeOver, TakenOver};
use super::tally::UpgradeRefused;
use crate::base::ids::ChannelName;
use crate::base::position::{Recover, StreamPosition};
use crate::base::query;
use crate::connection::{Accept, EventStream, Permit, UpgradeError};
use crate::protocol::sse;

/// When browsers come back after a stream broke, in milliseconds: spread, so that those whom one
/// restart threw off do not come back as one.
const RETRY_MS: std::ops::Range<u64> = 1_000..5_000;

/// Opens a stream, or says why not.
pub(super) async fn open(state: &State, request: &Request<Incoming>, peer: Peer) -> Answer {
    let stream = match decide(state, request, peer).await {
        Ok(stream) => stream,
        Err((why, refusal)) => {
            note(state, why, &refusal.text, peer);
            return answer::come_back_later(refusal.answer());
        }
    };
    TakeOver::answer(TakenOver::Events(stream))
}

async fn decide<B>(
    state: &State,
    request: &Request<B>,
    peer: Peer,
) -> Result<EventStream, (UpgradeRefused, Refusal)> {
    let options = state.options();
    check_origin(&options, request.headers())?;
    let channels_max = state.hub.limits_now().subscriptions_per_session_max;
    let wrong = |text| (UpgradeRefused::Query, Refusal::bad_request(text));
    let mut named = Vec::new();
    for name in query::values(request.uri().query(), "channel") {
        add_channel(&mut named, &name, channels_max).map_err(wrong)?;
    }
    let is_default = named.is_empty();
    let wanted = or_lobby(named).map_err(wrong)?;
    let recover = recover(request, wanted.len()).map_err(wrong)?;
    let join_leave = join_leave(state, request, &wanted).map_err(wrong)?;
    let asked = request.into();
    let check = |said: &mut Said| {
        let channels = wanted.clone();
        let wish = Wish { transport: "sse", channels, is_default, channels_max };
        authorise(state, &options, &asked, wish, peer, said)
    };
    let Admitted { grant, channels, .. } = ask_around(state, &options, peer, None, check).await?;
    let accept = of_peer(Accept::new(grant).channels(channels), peer);
    let head = head(request.headers(), rand::rng().random_range(RETRY_MS));
    let mut stream =
        EventStream::open(&state.hub, accept, &recover, join_leave, head).map_err(refused)?;
    stream.hold(request.extensions().get::<Permit>().cloned());
    Ok(stream)
}

fn refused(error: UpgradeError) -> (UpgradeRefused, Refusal) {
    (reason(&error), Refusal::new(error.status(), error.to_string()))
}

/// Whether it wants to be told who comes and goes, in each of its channels.
fn join_leave<B>(
    state: &State,
    request: &Request<B>,
    channels: &[ChannelName],
) -> Result<bool, String> {
    match query::single(request.uri().query(), "join_leave")?.as_deref() {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => {
            let has = |name: &&ChannelName| state.hub.channel_options(name).join_leave;
            match channels.iter().find(|name| !has(name)) {
                None => Ok(true),
                Some(name) => Err(format!("join_leave is not turned on for the channel {name}")),
            }
        }
        Some(_) => Err("join_leave= is true or false".to_owned()),
    }
}

/// What the peer has seen before. A position that is none of ours is one that cannot be recovered: a
/// browser that comes from another server sends what that one said.
fn recover<B>(request: &Request<B>, most: usize) -> Result<Vec<Recover>, String> {
    let header = request.headers().get("last-event-id").and_then(|value| value.to_str().ok());
    let header = header.filter(|id| !id.is_empty()).map(Into::into);
    let named = query::values(request.uri().query(), "recover");
    let positions: Vec<_> = header.into_iter().chain(named).collect();
    if positions.len() > most + 1 {
        return Err(format!("there are {} positions for {most} channels", positions.len()));
    }
    let of = |text: &std::borrow::Cow<'_, str>| {
        text.parse::<StreamPosition>().map_or(Recover { epoch: None, offset: 0 }, Recover::from)
    };
    Ok(positions.iter().map(of).collect())
}

/// The head of the answer. `X-Accel-Buffering` keeps nginx from collecting events until its buffer is
/// full.
fn head(headers: &HeaderMap, retry_ms: u64) -> Bytes {
    // The origin is among those that may; a header of one line, or hyper had not taken it.
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    let allow = origin.map_or_else(String::new, |origin| {
        format!(
            "Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\n\
             Vary: Origin\r\n"
        )
    });
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nX-Accel-Buffering: no\r\nConnection: close\r\n{allow}\r\n"
    );
    [Bytes::from(head), sse::retry(retry_ms)].concat().into()
}
