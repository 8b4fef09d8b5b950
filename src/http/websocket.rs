//! `GET /ws`: from a request to a session.
//!
//! `?channel=NAME`, as often as there are channels, `lobby` without; `&format=json` or `raw`;
//! `&echo=false` to not get one's own messages. The token: see [`crate::auth::token`].
//!
//! A refusal ends the connection: what comes behind a refused handshake is never read as a request.

use std::net::SocketAddr;
use std::time::SystemTime;

use http::header::ALLOW;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;

use super::answer::{Answer, Challenge, Refusal};
use super::state::State;
use super::tally::UpgradeRefused;
use super::{guard, query};
use crate::auth::token::{self, Place};
use crate::base::access::{Grant, Refusal as TokenRefusal};
use crate::base::ids::ChannelName;
use crate::connection::{self, Accept};
use crate::frame::HandshakeError;
use crate::protocol::WireFormat;

/// The channel of a peer that names none.
const LOBBY: &str = "lobby";

/// What the query asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    channels: Vec<ChannelName>,
    format: WireFormat,
    echo: bool,
}

/// Makes a session of a request, or says why not.
pub(super) fn upgrade(state: &State, request: Request<Incoming>, peer: SocketAddr) -> Answer {
    let accept = match decide(state, &request) {
        Ok(accept) => accept.peer(peer),
        Err((why, refusal)) => {
            note(state, why, &refusal.text, peer);
            return refusal.closing().answer();
        }
    };
    match connection::upgrade(&state.hub, request, accept) {
        Ok(answer) => answer.map(|_| Default::default()),
        Err(error) => {
            let why = match error.status() {
                StatusCode::SERVICE_UNAVAILABLE => UpgradeRefused::Overloaded,
                _ => UpgradeRefused::Handshake,
            };
            note(state, why, &error.to_string(), peer);
            error.response()
        }
    }
}

/// A request for a WebSocket that is not a GET: a handshake that is not one.
pub(super) fn wrong_method(state: &State, allow: &'static str, peer: SocketAddr) -> Answer {
    let text = HandshakeError::Method.to_string();
    note(state, UpgradeRefused::Handshake, &text, peer);
    let mut answer = Refusal::bad_request(text).closing().answer();
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

fn note(state: &State, why: UpgradeRefused, text: &str, peer: SocketAddr) {
    state.tally().upgrades_refused(why).add(1);
    tracing::debug!(reason = why.name(), %peer, "WebSocket refused: {text}");
}

/// Whether the request may, before it is known to be a proper handshake. The cheap checks first.
fn decide<B>(state: &State, request: &Request<B>) -> Result<Accept, (UpgradeRefused, Refusal)> {
    guard::check_origin(state, request.headers()).map_err(|no| match no.status {
        StatusCode::FORBIDDEN => (UpgradeRefused::Origin, no),
        _ => (UpgradeRefused::Handshake, no),
    })?;
    let channels_max = state.hub.limits().subscriptions_per_session_max;
    let wanted = wanted(request, channels_max)
        .map_err(|text| (UpgradeRefused::Query, Refusal::bad_request(text)))?;
    let (grant, place) = authorise(state, request).map_err(|no| (UpgradeRefused::Token, no))?;
    if let Some(channel) = wanted.channels.iter().find(|name| !grant.subscribe.allow(name.as_str()))
    {
        let text = format!("the token does not allow to subscribe to the channel {channel}");
        let refusal = Refusal::new(StatusCode::FORBIDDEN, text);
        return Err((UpgradeRefused::Permission, refusal));
    }
    let mut accept = Accept::new(grant)
        .channels(wanted.channels)
        .format(wanted.format)
        .echo(wanted.echo)
        .limits(state.options.message_limits)
        .send_buffer_bytes(state.limits().send_buffer_bytes)
        .authoriser(state.options.authoriser.clone());
    if place == Some(Place::Subprotocol) {
        accept = accept.protocol(HeaderValue::from_static(token::SUBPROTOCOL));
    }
    Ok(accept)
}

fn authorise<B>(state: &State, request: &Request<B>) -> Result<(Grant, Option<Place>), Refusal> {
    let cookie_name = &state.options.cookie_name;
    let found = token::find(request.headers(), request.uri().query(), cookie_name)
        .map_err(|error| Refusal::challenge(Challenge::BadToken, error.to_string()))?
        .filter(|found| {
            !found.place().rides_along() || guard::trusts_cookies(state, request.headers())
        });
    let token = found.as_ref().map(|found| found.token());
    let grant = state.options.authoriser.authorise(token, SystemTime::now()).map_err(|error| {
        let challenge = match error {
            TokenRefusal::Missing => Challenge::Token,
            _ => Challenge::BadToken,
        };
        Refusal::challenge(challenge, error.to_string())
    })?;
    Ok((grant, found.map(|found| found.place())))
}

/// Reads the query. Keys that are not known are left to whoever put them there.
fn wanted<B>(request: &Request<B>, channels_max: usize) -> Result<Wanted, String> {
    let mut channels: Vec<ChannelName> = Vec::new();
    for (_, name) in query::pairs(request).filter(|(key, _)| key == "channel") {
        let name = ChannelName::new(&name).map_err(|error| error.to_string())?;
        if !channels.contains(&name) {
            if channels.len() == channels_max {
                return Err(format!("at most {channels_max} channels are allowed"));
            }
            channels.push(name);
        }
    }
    if channels.is_empty() {
        channels.push(ChannelName::new(LOBBY).map_err(|error| error.to_string())?);
    }
    let format = match query::single(request, "format")?.as_deref() {
        None if channels.len() == 1 => WireFormat::Raw,
        None | Some("json") => WireFormat::Json,
        Some("raw") if channels.len() == 1 => WireFormat::Raw,
        Some("raw") => {
            let text = "format=raw is for one channel: a plain message does not say which channel \
                        it is from; use format=json or a connection for each channel";
            return Err(text.to_owned());
        }
        Some(_) => return Err("format= is json or raw".to_owned()),
    };
    let echo = match query::single(request, "echo")?.as_deref() {
        None | Some("true" | "1") => true,
        Some("false" | "0") => false,
        Some(_) => return Err("echo= is true or false".to_owned()),
    };
    Ok(Wanted { channels, format, echo })
}

#[cfg(test)]
mod tests;
