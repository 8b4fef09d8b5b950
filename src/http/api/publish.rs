//! `publish`, `broadcast`, `publish_to_users`.
//!
//! A message is `data`, any JSON value, which subscribers get as it was written; or `b64data`, bytes
//! in base64, which they get as a binary message.
//!
//! | member | here |
//! |---|---|
//! | `idempotency_key`, `version`, `version_epoch` | error 108: a repeated publication would not be recognised |
//! | `skip_history`, `tags`, `delta` | passed over: there is no history to skip, no filter that would read tags, and subscribers get every message whole |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::{Call, Outcome};
use crate::base::ids::{ChannelName, UserId};
use crate::base::message::Message;
use crate::hub::PublishError;

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
    version: Option<u64>,
    version_epoch: Option<String>,
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

    fn message_of_any_length(&self) -> Result<Message, ApiError> {
        let has = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if has(&self.idempotency_key) {
            return Err(ApiError::not_available("idempotency_key is not supported yet"));
        }
        if self.version.is_some_and(|version| version > 0) || has(&self.version_epoch) {
            return Err(ApiError::not_available("version is not supported yet"));
        }
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

pub(super) fn publish(call: &mut Call<'_>, params: &Publish<'_>) -> Outcome {
    let message = params.message(call.state.message_bytes_max())?;
    let channel = ChannelName::new(params.channel.as_deref().unwrap_or_default())?;
    publish_one(call, &channel, message)?;
    Ok(json!({}))
}

/// An answer for each channel: what is wrong with one does not keep the message from the others.
pub(super) fn broadcast(call: &mut Call<'_>, params: &Publish<'_>) -> Outcome {
    let message = params.message(call.state.message_bytes_max())?;
    let channels = listed(params.channels.as_deref(), "channels")?;
    call.take_items(channels.len())?;
    let one = |name: &String| {
        let name = ChannelName::new(name)?;
        publish_one(call, &name, message.clone())
    };
    let responses: Vec<Value> = channels.iter().map(one).map(response).collect();
    Ok(json!({ "responses": responses }))
}

fn response(published: Result<(), ApiError>) -> Value {
    match published {
        Ok(()) => json!({ "result": {} }),
        Err(error) => json!({ "error": error }),
    }
}

fn publish_one(
    call: &mut Call<'_>,
    channel: &ChannelName,
    message: Message,
) -> Result<(), ApiError> {
    let published = call.state.hub.publish(channel, message);
    note(call, &published);
    published?;
    Ok(())
}

/// To every session of each user. All names are checked first; if the hub then refuses a user, the
/// ones before it have the message, and `users` says which.
pub(super) fn publish_to_users(call: &mut Call<'_>, params: &Publish<'_>) -> Outcome {
    let message = params.message(call.state.message_bytes_max())?;
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
