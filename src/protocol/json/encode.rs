//! From values to JSON text. What is written here is one line: no raw line break.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{CommandError, Id};
use crate::base::access::Info;
use crate::base::ids::{ChannelName, SessionId, UserId};
use crate::base::message::{Kind, Message};
use crate::base::position::StreamPosition;
use crate::protocol::publication::PresenceEvent;

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
    Subscribed {
        /// Which channel.
        channel: &'a ChannelName,
        /// Where it is, if it keeps a history.
        position: Option<StreamPosition>,
        /// Whether everything that was missed follows, if that was asked for.
        recovered: Option<bool>,
    },
    /// To `unsubscribe`.
    Unsubscribed(&'a ChannelName),
    /// To `publish`: where the message is, if the channel keeps a history.
    Published(Option<StreamPosition>),
    /// To `refresh`.
    Refreshed {
        /// When the new token expires, in seconds since the Unix epoch.
        expires_unix_s: Option<u64>,
    },
    /// To `ping`.
    Pong,
}

/// A reply as JSON text. A command without an id gets none; without one this is for what a session
/// is subscribed to from the start.
pub fn encode_reply(id: Option<&Id>, reply: Reply<'_>) -> Bytes {
    let name = match reply {
        Reply::Subscribed { .. } => "subscribed",
        Reply::Unsubscribed(_) => "unsubscribed",
        Reply::Published(_) => "published",
        Reply::Refreshed { .. } => "refreshed",
        Reply::Pong => "pong",
    };
    let mut object = Object::new(name, 64);
    if let Some(id) = id {
        object.raw("id", &id.to_string());
    }
    match reply {
        Reply::Subscribed { channel, position, recovered } => {
            object.string("channel", channel.as_str());
            object.position(position);
            if let Some(recovered) = recovered {
                object.raw("recovered", if recovered { "true" } else { "false" });
            }
        }
        Reply::Unsubscribed(channel) => object.string("channel", channel.as_str()),
        Reply::Refreshed { expires_unix_s } => object.optional_number("expires_at", expires_unix_s),
        Reply::Published(position) => object.position(position),
        Reply::Pong => {}
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
/// `base64` bytes; `offset` is its number in the channel.
pub fn encode_message(target: Target<'_>, message: &Message, offset: Option<u64>) -> Bytes {
    // A third more covers base64 exactly and the escapes of ordinary text.
    let mut object = Object::new("message", 300 + message.data().len() / 3 * 4);
    match target {
        Target::Channel(channel) => object.string("channel", channel.as_str()),
        Target::User(user) => object.string("user", user.as_str()),
    }
    object.optional_number("offset", offset);
    match (message.kind(), message.as_text()) {
        (Kind::Json, Some(value)) => object.raw("data", value),
        (Kind::Text, Some(text)) => object.string("text", text),
        _ => object.string("base64", &STANDARD.encode(message.data())),
    }
    object.end()
}

/// Somebody came or went, as JSON text.
pub fn encode_presence_event(event: &PresenceEvent) -> Bytes {
    let mut object = Object::new(if event.is_join { "join" } else { "leave" }, 256);
    object.string("channel", event.channel.as_str());
    object.who(event.session, event.user.as_ref(), event.info.as_deref().map(Info::as_json));
    object.optional_number("missed", (event.missed > 0).then_some(event.missed));
    object.end()
}

/// Who is in a channel, for the answer to `presence`: as many as fit into `bytes_max`, and then how
/// many there are.
pub fn encode_presence<'a>(
    id: &Id,
    channel: &ChannelName,
    sessions: impl Iterator<Item = (SessionId, Option<&'a UserId>, Option<&'a str>)>,
    (sessions_count, users_count): (usize, usize),
    bytes_max: usize,
) -> Bytes {
    let mut object = Object::new("presence", 1_024);
    object.raw("id", &id.to_string());
    object.string("channel", channel.as_str());
    object.raw("sessions_count", &sessions_count.to_string());
    object.raw("users_count", &users_count.to_string());
    object.key("sessions");
    object.json.push(b'[');
    for (session, user, info) in sessions {
        let before = object.json.len();
        if !object.json.ends_with(b"[") {
            object.json.push(b',');
        }
        object.json.push(b'{');
        object.who(session, user, info);
        object.json.push(b'}');
        if object.json.len() > bytes_max {
            object.json.truncate(before);
            break;
        }
    }
    object.json.push(b']');
    object.end()
}

/// Messages of a channel that the session did not get, as JSON text: how many, the first and the last
/// offset of them, and why the last was dropped.
pub fn encode_gap(channel: &ChannelName, lost: u64, from: u64, to: u64, reason: &str) -> Bytes {
    let mut object = Object::new("gap", 96 + channel.as_str().len());
    match channel.about() {
        None => object.string("channel", channel.as_str()),
        Some(about) => {
            object.string("channel", about);
            object.string("of", "presence");
        }
    }
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

    /// A session and what others may see of it.
    fn who(&mut self, session: SessionId, user: Option<&UserId>, info: Option<&str>) {
        self.string("session", &session.to_string());
        if let Some(user) = user {
            self.string("user", user.as_str());
        }
        if let Some(info) = info {
            self.raw("info", info);
        }
    }

    fn key(&mut self, name: &str) {
        if !self.json.ends_with(b"{") {
            self.json.push(b',');
        }
        self.json.push(b'"');
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

    fn position(&mut self, position: Option<StreamPosition>) {
        if let Some(StreamPosition { epoch, offset }) = position {
            self.raw("position", &format!("{{\"epoch\":\"{epoch}\",\"offset\":{offset}}}"));
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
