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

use super::admission::{
    Admitted, Ask, Asked, Halt, Said, Wish, add_channel, ask_around, authorise, check_origin, note,
    of_peer, or_lobby, reason,
};
use super::answer::{Answer, Refusal};
use super::peer::Peer;
use super::state::{State, StateOptions};
use super::tally::UpgradeRefused;
use crate::auth::token::{self, Place};
use crate::base::access::{Grant, Rules};
use crate::base::disconnect::Disconnect;
use crate::base::fields::Fields;
use crate::base::ids::ChannelName;
use crate::base::query::{self, Once};
use crate::connection::{self, Accept, Accepted, Head, UpgradeError};
use crate::frame::{self, HandshakeError};
use crate::protocol::WireFormat;

/// What the query asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    channels: Vec<ChannelName>,
    /// It named none.
    is_default: bool,
    format: WireFormat,
    is_format_given: bool,
    echo: bool,
}

const RAW_IS_FOR_ONE: &str = "format=raw is for one channel: a plain message does not say which channel it is from; use \
     format=json or a connection for each channel";

/// Makes a session of a request of hyper's, or says why not.
pub(super) async fn upgrade(state: &State, request: Request<Incoming>, peer: Peer) -> Answer {
    let (parts, body) = request.into_parts();
    if let Err(answer) = check_handshake(state, || frame::check(&parts).map(drop), peer) {
        return *answer;
    }
    let request = Request::from_parts(parts, body);
    let upgraded = decide(state, &(&request).into(), peer, None).await.and_then(|accept| {
        connection::upgrade(&state.hub, request, accept).map_err(|why| refused(state, &why, peer))
    });
    upgraded.map_or_else(|answer| *answer, |answer| answer.map(|_| Default::default()))
}

/// A session, or the answer that says why not.
pub type Decided = Result<Accepted, Box<Answer>>;

/// Somebody has to be asked before it is decided.
#[derive(Debug)]
pub struct Undecided(Box<Ask>);

/// Makes a session of a head that came first and in one piece.
///
/// # Errors
/// Who has to be asked whether it may be one.
pub(super) fn accept_at_once(
    state: &State,
    options: &StateOptions,
    head: &Head,
    peer: Peer,
) -> Result<Decided, Undecided> {
    let asked = Asked { query: head.query(), fields: head };
    match check(state, options, &asked, peer, &mut Said::default()) {
        Ok(accept) => Ok(open(state, head, accept, peer)),
        Err(Halt::Refused(no)) => Ok(refuse(state, options, head, peer, no)
            .and_then(|accept| open(state, head, accept, peer))),
        Err(Halt::Ask(whom)) => Err(Undecided(whom)),
    }
}

/// The same, after asking.
pub(super) async fn accept(
    state: &State,
    head: &Head,
    peer: Peer,
    Undecided(whom): Undecided,
) -> Decided {
    check_handshake(state, || frame::check_fields(head).map(drop), peer)?;
    let asked = Asked { query: head.query(), fields: head };
    open(state, head, decide(state, &asked, peer, Some(whom)).await?, peer)
}

fn open(state: &State, head: &Head, accept: Accept, peer: Peer) -> Decided {
    connection::accept(&state.hub, head, accept).map_err(|why| refused(state, &why, peer))
}

/// Nobody is asked about what is no handshake.
fn check_handshake(
    state: &State,
    check: impl FnOnce() -> Result<(), HandshakeError>,
    peer: Peer,
) -> Result<(), Box<Answer>> {
    let is_asked =
        state.hub.application().is_some_and(|application| application.decides_connects());
    match is_asked.then(check) {
        Some(Err(error)) => Err(refused(state, &UpgradeError::Handshake(error), peer)),
        _ => Ok(()),
    }
}

#[cold]
fn refused(state: &State, error: &UpgradeError, peer: Peer) -> Box<Answer> {
    note(state, reason(error), &error.to_string(), peer);
    Box::new(error.response())
}

/// The answer that says why not; or, where that is a close, what opens a WebSocket for it.
#[cold]
fn refuse(
    state: &State,
    options: &StateOptions,
    headers: &impl Fields,
    peer: Peer,
    (why, refusal): (UpgradeRefused, Refusal),
) -> Result<Accept, Box<Answer>> {
    note(state, why, &refusal.text, peer);
    match refusal.disconnect.clone() {
        Some(disconnect) => Ok(of_peer(only_to_close(options, headers, disconnect), peer)),
        None => Err(Box::new(refusal.closing().answer())),
    }
}

/// For a peer that is refused by a close. A subprotocol it offered is selected, or a browser would
/// see a failed handshake instead.
fn only_to_close(options: &StateOptions, headers: &impl Fields, disconnect: Disconnect) -> Accept {
    let nobody = Grant { subscribe: Rules::none(), publish: Rules::none(), ..Grant::anyone() };
    let accept = Accept::new(nobody).limits(options.message_limits).closing(disconnect);
    let place = token::find(headers, None, &options.cookie_name);
    match place.ok().flatten().map(|found| found.place()) {
        Some(Place::Subprotocol) => accept.protocol(HeaderValue::from_static(token::SUBPROTOCOL)),
        _ => accept,
    }
}

/// A request for a WebSocket that is not a GET: a handshake that is not one.
pub(super) fn wrong_method(state: &State, allow: &'static str, peer: Peer) -> Answer {
    let text = HandshakeError::Method.to_string();
    note(state, UpgradeRefused::Handshake, &text, peer);
    let mut answer = Refusal::bad_request(text).closing().answer();
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

/// Whether the request may, before it is known to be a proper handshake; `first` is who has to be asked, if
/// that is known.
async fn decide<F: Fields>(
    state: &State,
    asked: &Asked<'_, F>,
    peer: Peer,
    first: Option<Box<Ask>>,
) -> Result<Accept, Box<Answer>> {
    let options = state.options();
    let check = |said: &mut Said| check(state, &options, asked, peer, said);
    let checked = ask_around(state, &options, peer, first, check).await;
    checked.or_else(|no| refuse(state, &options, asked.fields, peer, no))
}

/// The cheap checks first.
fn check<F: Fields>(
    state: &State,
    options: &StateOptions,
    asked: &Asked<'_, F>,
    peer: Peer,
    said: &mut Said,
) -> Result<Accept, Halt> {
    check_origin(options, asked.fields)?;
    let channels_max = state.hub.limits_now().subscriptions_per_session_max;
    let wanted = wanted(asked.query, channels_max)
        .map_err(|text| (UpgradeRefused::Query, Refusal::bad_request(text)))?;
    let Wanted { channels, is_default, format, is_format_given, echo } = wanted;
    let wish = Wish { transport: "websocket", channels, is_default, channels_max };
    let Admitted { grant, place, channels, is_by_application } =
        authorise(state, options, asked, wish, peer, said)?;
    let format = match (format, channels.len()) {
        (WireFormat::Raw, 2..) if !is_format_given => WireFormat::Json,
        (WireFormat::Raw, 2..) => {
            return Err((UpgradeRefused::Query, Refusal::bad_request(RAW_IS_FOR_ONE)).into());
        }
        (format, _) => format,
    };
    let mut accept = of_peer(Accept::new(grant), peer)
        .channels(channels)
        .format(format)
        .echo(echo)
        .limits(options.message_limits);
    if !is_by_application {
        accept = accept.authoriser(options.authoriser.clone());
    }
    if place == Some(Place::Subprotocol) {
        accept = accept.protocol(HeaderValue::from_static(token::SUBPROTOCOL));
    }
    Ok(accept)
}

/// Reads the query. Keys that are not known are left to whoever put them there.
fn wanted(query: Option<&str>, channels_max: usize) -> Result<Wanted, String> {
    let mut channels = Vec::new();
    let (mut format, mut echo) = (Once::new("format"), Once::new("echo"));
    for (name, value) in query::pairs(query) {
        match &*name {
            "channel" => add_channel(&mut channels, &value, channels_max)?,
            "format" => format.note(value),
            "echo" => echo.note(value),
            _ => {}
        }
    }
    let given = format.value()?;
    let format = match given.as_deref() {
        None if channels.len() <= 1 => WireFormat::Raw,
        None | Some("json") => WireFormat::Json,
        Some("raw") if channels.len() <= 1 => WireFormat::Raw,
        Some("raw") => return Err(RAW_IS_FOR_ONE.to_owned()),
        Some(_) => return Err("format= is json or raw".to_owned()),
    };
    let is_default = channels.is_empty() && format == WireFormat::Raw;
    let channels = if format == WireFormat::Raw { or_lobby(channels)? } else { channels };
    let echo = match echo.value()?.as_deref() {
        None | Some("true" | "1") => true,
        Some("false" | "0") => false,
        Some(_) => return Err("echo= is true or false".to_owned()),
    };
    Ok(Wanted { channels, is_default, format, is_format_given: given.is_some(), echo })
}

#[cfg(test)]
mod tests;
