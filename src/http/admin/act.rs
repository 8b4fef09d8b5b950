//! What a viewer with a full key may change: end a session, publish a test message. Each is logged, with
//! the address it was asked from.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::answer::Refusal;
use super::super::json as texts;
use super::super::peer::Peer;
use super::super::state::State;
use crate::base::disconnect::{Disconnect, Reason};
use crate::base::ids::{ChannelName, SessionId};
use crate::base::message::Message;
use http::StatusCode;

#[derive(Deserialize)]
struct WhichSession {
    session: String,
}

/// A message to a channel. With `json` the text is one, and has to be valid.
#[derive(Deserialize)]
struct Test {
    channel: String,
    text: String,
    #[serde(default)]
    json: bool,
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let text = texts::text(body).map_err(Refusal::bad_request)?;
    serde_json::from_str(text).map_err(|error| Refusal::bad_request(texts::invalid(&error)))
}

/// `POST /admin/do/disconnect`.
pub(super) fn disconnect(state: &State, body: &[u8], peer: Peer) -> Result<Value, Refusal> {
    let WhichSession { session } = parse(body)?;
    let id = session.parse::<SessionId>().map_err(|no| Refusal::bad_request(no.to_string()))?;
    if !state.hub.disconnect(id, Disconnect::new(Reason::Kicked)) {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such session any more"));
    }
    tracing::info!(session = %id, by = %peer, "admin: disconnected a session");
    Ok(json!({ "disconnected": id.to_string() }))
}

/// `POST /admin/do/publish`.
pub(super) fn publish(state: &State, body: &[u8], peer: Peer) -> Result<Value, Refusal> {
    let Test { channel, text, json } = parse(body)?;
    let channel = ChannelName::new(&channel).map_err(|no| Refusal::bad_request(no.to_string()))?;
    let most = state.message_bytes_max();
    if text.is_empty() || text.len() > most {
        let text = format!("a message has 1 to {most} bytes");
        return Err(Refusal::bad_request(text));
    }
    let message = match json {
        true => texts::message(text.as_bytes()).map_err(Refusal::bad_request)?,
        false => Message::text(text),
    };
    let published = state.hub.publish(&channel, message);
    let published = published
        .map_err(|error| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    tracing::info!(%channel, by = %peer, "admin: published a test message");
    Ok(json!({ "channel": channel.as_str(), "subscribers": published.subscribers }))
}
