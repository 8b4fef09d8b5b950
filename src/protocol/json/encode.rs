//! From values to JSON text. What is written here is one line: no raw line break.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{CommandError, Id};
use crate::base::ids::{ChannelName, SessionId, UserId};
use crate::base::message::{Kind, Message};

/// The first message of a session.
#[derive(Clone, Debug)]
pub struct Welcome<'a> {
    /// Its id.
    pub session: SessionId,
    /// Its user, if the token named one.
    pub user: Option<&'a UserId>,
    /// What it is subscribed to from the start.
    pub channels: &'a [ChannelName],
    /// When its token expires, in seconds since the Unix epoch.
    pub expires_unix_s: Option<u64>,
}

impl Welcome<'_> {
    /// As JSON text.
    pub fn encode(&self) -> Bytes {
        let mut object = Object::new("welcome", 64 + 32 * self.channels.len());
        object.string("session", &self.session.to_string());
        if let Some(user) = self.user {
            object.string("user", user.as_str());
        }
        object.key("channels");
        object.json.push(b'[');
        for (at, channel) in self.channels.iter().enumerate() {
            if at > 0 {
                object.json.push(b',');
            }
            push_string(&mut object.json, channel.as_str());
        }
        object.json.push(b']');
        object.optional_number("expires_at", self.expires_unix_s);
        object.end()
    }
}

/// The answer to a command that was carried out.
#[derive(Clone, Copy, Debug)]
pub enum Reply<'a> {
    /// To `subscribe`.
    Subscribed(&'a ChannelName),
    /// To `unsubscribe`.
    Unsubscribed(&'a ChannelName),
    /// To `publish`.
    Published,
    /// To `refresh`.
    Refreshed {
        /// When the new token expires, in seconds since the Unix epoch.
        expires_unix_s: Option<u64>,
    },
    /// To `ping`.
    Pong,
}

/// A reply as JSON text. A command without an id gets none, hence the id is not optional.
pub fn encode_reply(id: &Id, reply: Reply<'_>) -> Bytes {
    let name = match reply {
        Reply::Subscribed(_) => "subscribed",
        Reply::Unsubscribed(_) => "unsubscribed",
        Reply::Published => "published",
        Reply::Refreshed { .. } => "refreshed",
        Reply::Pong => "pong",
    };
    let mut object = Object::new(name, 64);
    object.raw("id", &id.to_string());
    match reply {
        Reply::Subscribed(channel) | Reply::Unsubscribed(channel) => {
            object.string("channel", channel.as_str());
        }
        Reply::Refreshed { expires_unix_s } => object.optional_number("expires_at", expires_unix_s),
        Reply::Published | Reply::Pong => {}
    }
    object.end()
}

/// What a message was published to.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// A channel.
    Channel(&'a ChannelName),
    /// One user, whatever their sessions are subscribed to.
    User(&'a UserId),
}

/// A message as JSON text: `data` holds a JSON value as the publisher wrote it, `text` a string,
/// `base64` bytes.
pub fn encode_message(target: Target<'_>, message: &Message) -> Bytes {
    // A third more covers base64 exactly and the escapes of ordinary text.
    let mut object = Object::new("message", 300 + message.data().len() / 3 * 4);
    match target {
        Target::Channel(channel) => object.string("channel", channel.as_str()),
        Target::User(user) => object.string("user", user.as_str()),
    }
    match (message.kind(), message.as_text()) {
        (Kind::Json, Some(value)) => object.raw("data", value),
        (Kind::Text, Some(text)) => object.string("text", text),
        _ => object.string("base64", &STANDARD.encode(message.data())),
    }
    object.end()
}

/// Messages of a channel that the session did not get, as JSON text: how many, the first and the last
/// offset of them, and why the last was dropped.
pub fn encode_gap(channel: &ChannelName, lost: u64, from: u64, to: u64, reason: &str) -> Bytes {
    let mut object = Object::new("gap", 96 + channel.as_str().len());
    object.string("channel", channel.as_str());
    for (name, number) in [("lost", lost), ("from", from), ("to", to)] {
        object.raw(name, &number.to_string());
    }
    object.string("reason", reason);
    object.end()
}

/// An error as JSON text.
pub fn encode_error(error: &CommandError) -> Bytes {
    let mut object = Object::new("error", 96 + error.message.len());
    if let Some(id) = &error.id {
        object.raw("id", &id.to_string());
    }
    object.string("code", error.code.name());
    object.string("message", &error.message);
    object.optional_number("retry_after_ms", error.retry_after_ms);
    object.end()
}

/// An object that is being written. Field names are ours and need no escapes.
struct Object {
    json: Vec<u8>,
}

impl Object {
    fn new(name: &str, capacity: usize) -> Self {
        let mut json = Vec::with_capacity(capacity);
        json.extend_from_slice(b"{\"type\":\"");
        json.extend_from_slice(name.as_bytes());
        json.push(b'"');
        Self { json }
    }

    fn key(&mut self, name: &str) {
        self.json.extend_from_slice(b",\"");
        self.json.extend_from_slice(name.as_bytes());
        self.json.extend_from_slice(b"\":");
    }

    fn raw(&mut self, name: &str, value: &str) {
        self.key(name);
        self.json.extend_from_slice(value.as_bytes());
    }

    fn string(&mut self, name: &str, value: &str) {
        self.key(name);
        push_string(&mut self.json, value);
    }

    fn optional_number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.raw(name, &value.to_string());
        }
    }

    fn end(mut self) -> Bytes {
        self.json.push(b'}');
        Bytes::from(self.json)
    }
}

fn push_string(json: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(json, text).expect("a string into memory cannot fail");
}
