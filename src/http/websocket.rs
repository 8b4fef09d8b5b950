//! `GET /ws`: from a request to a session.
//!
//! `?channel=NAME`, as often as there are channels; `&format=json` or `raw`; `&echo=false` to not get
//! one's own messages. Without a channel a plain session is in `lobby`; one with `format=json` is in
//! none, as it subscribes by commands. The token: see [`crate::auth::token`].
//!
//! A refusal ends the connection: what comes behind a refused handshake is never read as a request.

use http::header::ALLOW;
use http::{HeaderValue, Request};
use hyper::body::Incoming;

use super::admission::{authorise, channels, check_origin, note, of_peer, or_lobby, reason};
use super::answer::{Answer, Refusal};
use super::peer::Peer;
use super::query;
use super::state::State;
use super::tally::UpgradeRefused;
use crate::auth::token::{self, Place};
use crate::base::ids::ChannelName;
use crate::connection::{self, Accept, Accepted, UpgradeError};
use crate::frame::HandshakeError;
use crate::protocol::WireFormat;

/// What the query asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    channels: Vec<ChannelName>,
    format: WireFormat,
    echo: bool,
}

/// Makes a session of a request of hyper's, or says why not.
pub(super) async fn upgrade(state: &State, request: Request<Incoming>, peer: Peer) -> Answer {
    let upgraded = decide(state, &request, peer).await.and_then(|accept| {
        connection::upgrade(&state.hub, request, accept).map_err(|why| refused(state, &why, peer))
    });
    upgraded.map_or_else(|answer| *answer, |answer| answer.map(|_| Default::default()))
}

/// Makes a session of a head that came first and in one piece.
///
/// # Errors
/// The answer that says why not.
pub(super) async fn accept(
    state: &State,
    request: Request<()>,
    peer: Peer,
) -> Result<Accepted, Box<Answer>> {
    let accept = decide(state, &request, peer).await?;
    let (parts, ()) = request.into_parts();
    connection::accept(&state.hub, &parts, accept).map_err(|why| refused(state, &why, peer))
}

fn refused(state: &State, error: &UpgradeError, peer: Peer) -> Box<Answer> {
    note(state, reason(error), &error.to_string(), peer);
    Box::new(error.response())
}

/// A request for a WebSocket that is not a GET: a handshake that is not one.
pub(super) fn wrong_method(state: &State, allow: &'static str, peer: Peer) -> Answer {
    let text = HandshakeError::Method.to_string();
    note(state, UpgradeRefused::Handshake, &text, peer);
    let mut answer = Refusal::bad_request(text).closing().answer();
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

/// Whether the request may, before it is known to be a proper handshake.
async fn decide<B>(state: &State, request: &Request<B>, peer: Peer) -> Result<Accept, Box<Answer>> {
    let checked = check(state, request).await;
    checked.map(|accept| of_peer(accept, peer)).map_err(|(why, refusal)| {
        note(state, why, &refusal.text, peer);
        Box::new(refusal.closing().answer())
    })
}

/// The cheap checks first.
async fn check<B>(
    state: &State,
    request: &Request<B>,
) -> Result<Accept, (UpgradeRefused, Refusal)> {
    check_origin(state, request.headers())?;
    let channels_max = state.hub.limits().subscriptions_per_session_max;
    let wanted = wanted(request, channels_max)
        .map_err(|text| (UpgradeRefused::Query, Refusal::bad_request(text)))?;
    let (grant, place) = authorise(state, request, &wanted.channels).await?;
    let mut accept = Accept::new(grant)
        .channels(wanted.channels)
        .format(wanted.format)
        .echo(wanted.echo)
        .limits(state.options().message_limits)
        .authoriser(state.options().authoriser.clone());
    if place == Some(Place::Subprotocol) {
        accept = accept.protocol(HeaderValue::from_static(token::SUBPROTOCOL));
    }
    Ok(accept)
}

/// Reads the query. Keys that are not known are left to whoever put them there.
fn wanted<B>(request: &Request<B>, channels_max: usize) -> Result<Wanted, String> {
    let channels = channels(request, channels_max)?;
    let format = match query::single(request, "format")?.as_deref() {
        None if channels.len() <= 1 => WireFormat::Raw,
        None | Some("json") => WireFormat::Json,
        Some("raw") if channels.len() <= 1 => WireFormat::Raw,
        Some("raw") => {
            let text = "format=raw is for one channel: a plain message does not say which channel \
                        it is from; use format=json or a connection for each channel";
            return Err(text.to_owned());
        }
        Some(_) => return Err("format= is json or raw".to_owned()),
    };
    let channels = if format == WireFormat::Raw { or_lobby(channels)? } else { channels };
    let echo = match query::single(request, "echo")?.as_deref() {
        None | Some("true" | "1") => true,
        Some("false" | "0") => false,
        Some(_) => return Err("echo= is true or false".to_owned()),
    };
    Ok(Wanted { channels, format, echo })
}

#[cfg(test)]
mod tests;
