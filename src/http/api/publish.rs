//! `publish`, `broadcast`, `publish_to_users`.
//!
//! A message is `data`, any JSON value, which subscribers get as it was written; or `b64data`, bytes
//! in base64, which they get as a binary message.
//!
//! | member | here |
//! |---|---|
//! | `idempotency_key` | a second publication of that key within five minutes does not go out and is answered as the first |
//! | `version`, `version_epoch` | a publication that is not newer than the channel's last does not go out; needs a history |
//! | `skip_history` | goes out and is not kept |
//! | `key` | what it is the newest value of, for channels that conflate |
//! | `ttl_ms` | after how many milliseconds it is of no use to anybody who is behind |
//! | `tags`, `delta` | passed over: there is no filter that would read tags, and subscribers get every message whole |
//!
//! `ttl_ms`, `idempotency_key` and `version` are for channels: `publish_to_users` refuses them.
//!
//! A channel that keeps a history answers with the `offset` and `epoch` of the publication.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, json};

use super::error::ApiError;
use super::number::whole;
use super::{Call, Outcome};
use crate::base::ids::{ChannelName, UserId};
use crate::base::limits::{PUBLISH_KEY_BYTES_MAX, TTL_MS_MAX};
use crate::base::message::Message;
use crate::base::position::StreamPosition;
use crate::base::trace::Ingress;
use crate::hub::{PublishError, PublishOptions, Version};

/// The parameters of all three.
#[derive(Deserialize)]
pub(super) struct Publish<'a> {
    channel: Option<String>,
    channels: Option<Vec<String>>,
    users: Option<Vec<String>>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    idempotency_key: Option<String>,
    #[serde(default, deserialize_with = "whole")]
    version: Option<u64>,
    version_epoch: Option<String>,
    skip_history: Option<bool>,
    key: Option<String>,
    #[serde(default, deserialize_with = "whole")]
    ttl_ms: Option<u64>,
}

/// Tells `null`, which is a message, from nothing, which is none.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

impl Publish<'_> {
    fn message(&self, bytes_max: usize) -> Result<Message, ApiError> {
        let message = self.message_of_any_length()?;
        match message.data().len() {
            len if len > bytes_max => {
                let text = format!("the message has {len} bytes; at most {bytes_max} are allowed");
                Err(ApiError::bad_request(text))
            }
            _ => Ok(message),
        }
    }

    fn options(&self) -> Result<PublishOptions, ApiError> {
        if self.ttl_ms.is_some_and(|ms| !(1..=TTL_MS_MAX).contains(&ms)) {
            let text = format!("ttl_ms is not from 1 to {TTL_MS_MAX}");
            return Err(ApiError::bad_request(text));
        }
        let epoch = short(self.version_epoch.as_deref(), "version_epoch")?;
        let version = self.version.filter(|version| *version > 0);
        Ok(PublishOptions {
            except: None,
            key: short(self.key.as_deref(), "key")?,
            ttl_ms: self.ttl_ms,
            skip_history: self.skip_history.unwrap_or(false),
            idempotency_key: short(self.idempotency_key.as_deref(), "idempotency_key")?,
            version: version
                .map(|number| Version { number, epoch: epoch.clone().unwrap_or_default() }),
        })
    }

    fn message_of_any_length(&self) -> Result<Message, ApiError> {
        match (self.data, &self.b64data) {
            (Some(data), None) => Message::json_from_text(data.get())
                .map_err(|_| ApiError::bad_request("data is not JSON")),
            (None, Some(text)) => match STANDARD.decode(text) {
                Ok(bytes) => Ok(Message::binary(bytes)),
                Err(_) => Err(ApiError::bad_request("b64data is not base64 with its padding")),
            },
            (None, None) => Err(ApiError::bad_request("data is missing; it is the message")),
            (Some(_), Some(_)) => Err(ApiError::bad_request("give data or b64data, not both")),
        }
    }
}

/// A text that is kept; an empty one is none, as clients of the API have it.
fn short(text: Option<&str>, member: &str) -> Result<Option<Box<str>>, ApiError> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) if text.len() > PUBLISH_KEY_BYTES_MAX => {
            let text = format!("{member} has more than {PUBLISH_KEY_BYTES_MAX} bytes");
            Err(ApiError::bad_request(text))
        }
        text => Ok(text.map(Into::into)),
    }
}

pub(super) async fn publish(call: &mut Call<'_>, params: &Publish<'_>) -> Outcome {
    let message = params.message(call.state.message_bytes_max())?;
    let channel = ChannelName::new(params.channel.as_deref().unwrap_or_default())?;
    publish_one(call, &channel, message, params.options()?).await
}

/// An answer for each channel: what is wrong with one does not keep the message from the others.
pub(super) async fn broadcast(call: &mut Call<'_>, params: &Publish<'_>) -> Outcome {
    let message = params.message(call.state.message_bytes_max())?;
    let channels = listed(params.channels.as_deref(), "channels")?;
    call.take_items(channels.len())?;
    let options = params.options()?;
    let mut responses = Vec::with_capacity(channels.len());
    for name in channels {
        let published = match ChannelName::new(name) {
            Ok(name) => publish_one(call, &name, message.clone(), options.clone()).await,
            Err(error) => Err(error.into()),
        };
        responses.push(match published {
            Ok(result) => json!({ "result": result }),
            Err(error) => json!({ "error": error }),
        });
    }
    Ok(json!({ "responses": responses }))
}

async fn publish_one(
    call: &mut Call<'_>,
    channel: &ChannelName,
    message: Message,
    options: PublishOptions,
) -> Outcome {
    let hub = &call.state.hub;
    let keeps = hub.keeps_history(channel);
    if options.version.is_some() && !keeps {
        return Err(ApiError::not_available("version needs a channel that keeps a history"));
    }
    let trace = hub.begin(call.drawn, Ingress::Http);
    let published = match keeps {
        true => hub.post_positioned(channel, message, options, trace).await,
        false => hub.post(channel, message, options, None, trace),
    };
    note(call, &published);
    Ok(match published?.position {
        Some(StreamPosition { epoch, offset }) => {
            json!({ "offset": offset, "epoch": epoch.to_string() })
        }
        None => json!({}),
    })
}

/// To every session of each user. All names are checked first; if the hub then refuses a user, the
/// ones before it have the message, and `users` says which.
pub(super) fn publish_to_users(call: &mut Call<'_>, params: &Publish<'_>) -> Outcome {
    let message = params.message(call.state.message_bytes_max())?;
    let options = params.options()?;
    if options.ttl_ms.is_some() || options.idempotency_key.is_some() || options.version.is_some() {
        let text = "ttl_ms, idempotency_key and version are for channels, not for users";
        return Err(ApiError::not_available(text));
    }
    let users = listed(params.users.as_deref(), "users")?;
    call.take_items(users.len())?;
    let users = users.iter().map(|id| UserId::new(id)).collect::<Result<Vec<_>, _>>()?;
    let mut reached = Map::new();
    let mut sessions = 0;
    for user in &users {
        if reached.contains_key(user.as_str()) {
            continue;
        }
        let published = call.state.hub.publish_to_user(user, message.clone());
        note(call, &published);
        match published {
            Ok(count) => {
                sessions += count;
                reached.insert(user.to_string(), count.into());
            }
            Err(error) if reached.is_empty() => return Err(error.into()),
            Err(error) => {
                reached.insert(user.to_string(), json!({ "error": ApiError::from(error) }));
            }
        }
    }
    Ok(json!({ "sessions": sessions, "users": reached }))
}

fn listed<'a>(names: Option<&'a [String]>, member: &str) -> Result<&'a [String], ApiError> {
    match names {
        Some(names) if !names.is_empty() => Ok(names),
        _ => Err(ApiError::bad_request(format!("{member} is missing or empty"))),
    }
}

/// Counts what the hub took and what it refused, for the status of the answer.
fn note<T>(call: &mut Call<'_>, published: &Result<T, PublishError>) {
    match published {
        Ok(_) => call.accepted += 1,
        Err(_) => call.refused += 1,
    }
}
