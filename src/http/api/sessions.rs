//! `subscribe`, `unsubscribe`, `disconnect`: sessions by user, or one by `client`, its id.
//!
//! With both, the session must be the user's. `client` alone reaches a session that has no user.
//! A user without sessions is no error: there is nothing to do. Members that would change what
//! happens and are not supported answer error 108.

use std::num::NonZeroU16;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::error::ApiError;
use super::number::whole;
use super::{Call, Outcome, object};
use crate::base::disconnect::{Disconnect, Reason};
use crate::base::ids::{ChannelName, SessionId, UserId};
use crate::hub::{Hub, SubscribeError};

/// The longest text beside a close code, in bytes (RFC 6455 section 5.5).
const REASON_BYTES_MAX: usize = 123;

/// The parameters of all three.
#[derive(Deserialize)]
pub(super) struct Sessions {
    user: Option<String>,
    client: Option<String>,
    channel: Option<String>,
    whitelist: Option<Vec<String>>,
    #[serde(default, deserialize_with = "object")]
    disconnect: Option<Advice>,
    session: Option<String>,
    info: Option<IgnoredAny>,
    data: Option<IgnoredAny>,
    recover_since: Option<IgnoredAny>,
    #[serde(rename = "override")]
    overriding: Option<IgnoredAny>,
}

/// What the sessions are told.
#[derive(Deserialize)]
struct Advice {
    #[serde(default, deserialize_with = "whole")]
    code: Option<u16>,
    reason: Option<String>,
}

/// Whom it is about.
enum Whom {
    User(UserId),
    Session(SessionId),
    /// The session is not there, or is not the user's.
    Nobody,
}

impl Sessions {
    fn whom(&self, hub: &Hub) -> Result<Whom, ApiError> {
        let given = |text: &'_ Option<String>| text.clone().filter(|text| !text.is_empty());
        if given(&self.session).is_some() {
            return Err(ApiError::not_available("session is not supported; client is"));
        }
        let user = given(&self.user).map(|id| UserId::new(&id)).transpose()?;
        let client = given(&self.client).map(|id| id.parse::<SessionId>()).transpose()?;
        match (user, client) {
            (Some(user), None) => Ok(Whom::User(user)),
            (None, None) => Err(ApiError::bad_request("user is missing, and client as well")),
            (user, Some(client)) => match hub.session(client) {
                Some(found) if user.is_none() || found.user == user => Ok(Whom::Session(client)),
                _ => Ok(Whom::Nobody),
            },
        }
    }

    fn channel(&self) -> Result<ChannelName, ApiError> {
        Ok(ChannelName::new(self.channel.as_deref().unwrap_or_default())?)
    }
}

pub(super) fn subscribe(call: &mut Call<'_>, params: &Sessions) -> Outcome {
    let hub = &call.state.hub;
    for (is_there, text) in [
        (params.info.is_some(), "info is not supported: there is no presence that would show it"),
        (params.data.is_some(), "data is not supported: publish it to the user instead"),
        (params.recover_since.is_some(), "recover_since is not supported: there is no history"),
        (params.overriding.is_some(), "override is not supported"),
    ] {
        if is_there {
            return Err(ApiError::not_available(text));
        }
    }
    let channel = params.channel()?;
    match params.whom(hub)? {
        Whom::User(user) => {
            hub.subscribe_user(&user, &channel)?;
        }
        Whom::Session(client) => match hub.subscribe(client, &channel) {
            Ok(()) | Err(SubscribeError::AlreadySubscribed) => {}
            Err(error) => return Err(error.into()),
        },
        Whom::Nobody => return Err(SubscribeError::NoSession.into()),
    }
    Ok(json!({}))
}

pub(super) fn unsubscribe(call: &mut Call<'_>, params: &Sessions) -> Outcome {
    let hub = &call.state.hub;
    let channel = params.channel()?;
    match params.whom(hub)? {
        Whom::User(user) => {
            hub.unsubscribe_user(&user, &channel);
        }
        Whom::Session(client) => {
            hub.unsubscribe(client, &channel);
        }
        Whom::Nobody => {}
    }
    Ok(json!({}))
}

pub(super) fn disconnect(call: &mut Call<'_>, params: &Sessions) -> Outcome {
    let disconnect = params
        .disconnect
        .as_ref()
        .map_or_else(|| Ok(Disconnect::new(Reason::Kicked)), Advice::disconnect)?;
    let spared = params.whitelist.as_deref().unwrap_or_default();
    call.take_items(spared.len())?;
    let spared = spared.iter().map(|id| id.parse::<SessionId>()).collect::<Result<Vec<_>, _>>()?;
    let hub = &call.state.hub;
    match params.whom(hub)? {
        Whom::User(user) => {
            hub.disconnect_user(&user, &disconnect, &spared);
        }
        Whom::Session(client) if !spared.contains(&client) => {
            hub.disconnect(client, disconnect);
        }
        Whom::Session(_) | Whom::Nobody => {}
    }
    Ok(json!({}))
}

impl Advice {
    fn disconnect(&self) -> Result<Disconnect, ApiError> {
        let mut disconnect = Disconnect::new(Reason::Kicked);
        if let Some(code) = self.code.and_then(NonZeroU16::new) {
            disconnect = disconnect.with_code(code.get());
            if disconnect.code() != code.get() {
                let text = "disconnect.code may not be sent (RFC 6455 section 7.4); 3000 to 4999 \
                            are free to use";
                return Err(ApiError::bad_request(text));
            }
        }
        match self.reason.as_deref().filter(|reason| !reason.is_empty()) {
            None => Ok(disconnect),
            Some(reason) if reason.len() <= REASON_BYTES_MAX => {
                Ok(disconnect.with_text(reason.to_owned()))
            }
            Some(_) => {
                let text = format!("disconnect.reason has more than {REASON_BYTES_MAX} bytes");
                Err(ApiError::bad_request(text))
            }
        }
    }
}
