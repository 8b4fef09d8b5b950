//! Who may listen, and to what: the same for WebSockets and event streams. The cheap checks first.

use std::time::SystemTime;

use http::header::HeaderMap;
use http::{Request, StatusCode};

use super::answer::{Challenge, Refusal};
use super::peer::Peer;
use super::state::State;
use super::tally::UpgradeRefused;
use super::{guard, query};
use crate::auth::token::{self, Place};
use crate::base::access::{Grant, Refusal as TokenRefusal};
use crate::base::ids::ChannelName;
use crate::connection::{Accept, UpgradeError};
use crate::hub::{OpenError, SubscribeError};

/// The channel of a peer that names none and cannot subscribe later.
const LOBBY: &str = "lobby";

/// Counts and logs a refusal.
pub(super) fn note(state: &State, why: UpgradeRefused, text: &str, peer: Peer) {
    state.tally().upgrades_refused(why).add(1);
    tracing::debug!(reason = why.name(), %peer, "listener refused: {text}");
}

/// Why there is no session, of what the hub said.
pub(super) fn reason(error: &UpgradeError) -> UpgradeRefused {
    match error {
        UpgradeError::Open(OpenError::TooManySessionsOfUser(_))
        | UpgradeError::Subscribe(_, SubscribeError::ChannelFull(_)) => UpgradeRefused::Share,
        _ if error.status() == StatusCode::SERVICE_UNAVAILABLE => UpgradeRefused::Overloaded,
        _ => UpgradeRefused::Handshake,
    }
}

/// Names the peer where it has an address.
pub(super) fn of_peer(accept: Accept, peer: Peer) -> Accept {
    match peer.address() {
        Some(address) => accept.peer(address),
        None => accept,
    }
}

/// Where the page is from that asks.
pub(super) fn check_origin(
    state: &State,
    headers: &HeaderMap,
) -> Result<(), (UpgradeRefused, Refusal)> {
    guard::check_origin(state, headers).map_err(|no| match no.status {
        StatusCode::FORBIDDEN => (UpgradeRefused::Origin, no),
        _ => (UpgradeRefused::Handshake, no),
    })
}

/// The channels that a query names.
///
/// # Errors
/// A text for the peer.
pub(super) fn channels<B>(
    request: &Request<B>,
    channels_max: usize,
) -> Result<Vec<ChannelName>, String> {
    let mut channels: Vec<ChannelName> = Vec::new();
    for name in query::values(request, "channel") {
        let name = ChannelName::new(&name).map_err(|error| error.to_string())?;
        if !channels.contains(&name) {
            if channels.len() == channels_max {
                return Err(format!("at most {channels_max} channels are allowed"));
            }
            channels.push(name);
        }
    }
    Ok(channels)
}

/// These channels, or the one of whoever names none.
pub(super) fn or_lobby(mut channels: Vec<ChannelName>) -> Result<Vec<ChannelName>, String> {
    if channels.is_empty() {
        channels.push(ChannelName::new(LOBBY).map_err(|error| error.to_string())?);
    }
    Ok(channels)
}

/// What the token allows, and where it was; the channels are among that.
pub(super) async fn authorise<B>(
    state: &State,
    request: &Request<B>,
    channels: &[ChannelName],
) -> Result<(Grant, Option<Place>), (UpgradeRefused, Refusal)> {
    let (grant, place) =
        token_grant(state, request).await.map_err(|no| (UpgradeRefused::Token, no))?;
    match channels.iter().find(|name| !grant.subscribe.allow(name.as_str())) {
        None => Ok((grant, place)),
        Some(channel) => {
            let text = format!("the token does not allow to subscribe to the channel {channel}");
            let refusal = Refusal::new(StatusCode::FORBIDDEN, text);
            Err((UpgradeRefused::Permission, refusal))
        }
    }
}

async fn token_grant<B>(
    state: &State,
    request: &Request<B>,
) -> Result<(Grant, Option<Place>), Refusal> {
    let options = state.options();
    let cookie_name = &options.cookie_name;
    let found = token::find(request.headers(), request.uri().query(), cookie_name)
        .map_err(|error| Refusal::challenge(Challenge::BadToken, error.to_string()))?
        .filter(|found| {
            !found.place().rides_along() || guard::trusts_cookies(state, request.headers())
        });
    let token = found.as_ref().map(|found| found.token());
    let mut grant = options.authoriser.authorise(token, SystemTime::now());
    if grant == Err(TokenRefusal::UnknownKey) && options.authoriser.refetched().await {
        grant = options.authoriser.authorise(token, SystemTime::now());
    }
    let grant = grant.map_err(|error| {
        let text = error.to_string();
        match error {
            TokenRefusal::Missing => Refusal::challenge(Challenge::Token, text),
            TokenRefusal::Unavailable => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text),
            _ => Refusal::challenge(Challenge::BadToken, text),
        }
    })?;
    Ok((grant, found.map(|found| found.place())))
}
