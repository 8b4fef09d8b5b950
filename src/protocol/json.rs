//! The JSON session protocol: one WebSocket text message is one JSON object.
//!
//! # From the client
//! `type` says what is wanted. `id` is an integer from 0 to 2^53 - 1 or a string of up to 64
//! bytes; the reply repeats it as it was written. Without an `id` there is no reply, unless it is
//! an error.
//!
//! | command | reply |
//! |---|---|
//! | `{"type":"subscribe","id":1,"channel":"news"}` | `{"type":"subscribed","id":1,"channel":"news"}`, with `"position":{"epoch":"…","offset":7}` if the channel keeps a history |
//! | the same with `"recover":{"epoch":"…","offset":4}` | the same with `"recovered":true`, then the messages 5 to 7; or `"recovered":false` |
//! | `{"type":"unsubscribe","id":2,"channel":"news"}` | `{"type":"unsubscribed","id":2,"channel":"news"}` |
//! | `{"type":"publish","id":3,"channel":"news","data":{"a":1}}` | `{"type":"published","id":3}`, with its `position` if the channel keeps a history |
//! | `{"type":"presence","id":6,"channel":"news"}` | `{"type":"presence","id":6,"channel":"news","sessions_count":2,"users_count":1,"sessions":[{"session":"…","user":"zoe","info":{}},…]}` |
//! | `{"type":"refresh","id":4,"token":"..."}` | `{"type":"refreshed","id":4,"expires_at":1700000000}` |
//! | `{"type":"ping","id":5}` | `{"type":"pong","id":5}` |
//!
//! `subscribe` takes `"join_leave":true` where the channel's rule allows it: then `join` and `leave`
//! messages say who comes and goes. `sessions` of `presence` may be fewer than `sessions_count`: as many
//! as fit into 32 KiB.
//!
//! `publish` may have `key` (what the message is the newest value of, for a channel that conflates),
//! `ttl_ms` (after how long it is of no use) and `idempotency_key` (under which it goes out once in
//! five minutes). It takes exactly one of `data` (any JSON value), `text` (a string, published as a text
//! message) and `base64` (standard alphabet, published as a binary message). `expires_at` counts
//! seconds since the Unix epoch and is absent when nothing expires.
//!
//! # From the gateway
//! Besides the replies:
//!
//! ```json
//! {"type":"welcome","session":"00c0ffee00c0ffee","user":"zoe","channels":["news"],"expires_at":1700000000}
//! {"type":"message","channel":"news","data":{"a":1}}
//! {"type":"message","channel":"kept","offset":8,"data":{"a":1}}
//! {"type":"message","user":"zoe","text":"for one user, over no channel"}
//! {"type":"gap","channel":"news","lost":3,"from":17,"to":19,"reason":"drop_oldest"}
//! {"type":"subscribed","channel":"kept","position":{"epoch":"00112233aabbccdd","offset":7}}
//! {"type":"join","channel":"news","session":"00c0ffee00c0ffee","user":"zoe","info":{"name":"Zoë"}}
//! {"type":"error","id":1,"code":"forbidden","message":"..."}
//! ```
//!
//! A message has an `offset` if its channel keeps a history or may lose messages by policy. With the
//! epoch of the `subscribed` message it is the position to recover from. `subscribed` without an `id`
//! is about a channel that the session was in from the start. A `join` or `leave` with `missed` says
//! that so many before it could not be told: ask for `presence`.
//!
//! A `gap` says that the session was behind and lost messages of a channel: how many, with which first
//! and last offset (others between them may have been delivered), and why the last of them was
//! dropped: `drop_newest`, `drop_oldest`, `conflate`, `latest` or `expired`. It comes as soon as it
//! can be written, ahead of messages that were queued before the loss. A session whose channels have
//! the policy `disconnect` never gets one, unless a message outlived its `ttl_ms`. With
//! `"of":"presence"` it is `join` and `leave` messages that were lost.
//!
//! A client ignores fields it does not know: more may come. The gateway refuses those it does not
//! know, because a misspelt field that is skipped is a message that silently does something else.
//!
//! # What holds
//! The parser allocates in proportion to the text and never recurses; `data` keeps the publisher's
//! spelling and nests at most [`DEPTH_MAX`] deep. A name given twice is an error, because two
//! parsers may disagree on which one counts.

mod encode;
mod parse;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

pub use encode::{
    Reply, Target, Welcome, encode_error, encode_gap, encode_message, encode_presence,
    encode_presence_event, encode_reply,
};
pub use parse::parse;

use crate::base::ids::ChannelName;
use crate::base::message::Message;
use crate::base::position::Recover;

/// How deep arrays and objects may nest in a published value. `serde_json` stops its recursive
/// readers at 128, but passes over a raw value without counting, so this is counted here.
/// Subscribers read with parsers of their own: with the object around it this makes 64, where the
/// strictest of the common ones (System.Text.Json of .NET) stops by default.
pub const DEPTH_MAX: usize = 63;

/// The longest `id` that is a string, in bytes, after its escapes are resolved.
pub const ID_BYTES_MAX: usize = 64;

/// The largest `id` that is a number, 2^53 - 1: the last one JavaScript holds exactly.
pub const ID_NUMBER_MAX: u64 = (1 << 53) - 1;

/// The client's name for a command, repeated in its reply as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Id(Written);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Written {
    /// JSON spells such an integer in one way only.
    Number(u64),
    /// JSON text with its quotes and escapes.
    Text(Box<str>),
}

impl Id {
    /// From the JSON text of the field; `None` if it is not an id.
    fn from_json(raw: &str) -> Option<Self> {
        if raw.starts_with('"') {
            let text: Cow<'_, str> = serde_json::from_str(raw).ok()?;
            return (text.len() <= ID_BYTES_MAX).then(|| Self(Written::Text(raw.into())));
        }
        if raw.bytes().any(|b| !b.is_ascii_digit()) {
            return None;
        }
        let number = raw.parse().ok().filter(|number| *number <= ID_NUMBER_MAX)?;
        Some(Self(Written::Number(number)))
    }
}

impl From<u32> for Id {
    fn from(number: u32) -> Self {
        Self(Written::Number(number.into()))
    }
}

/// As JSON text.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Written::Number(number) => write!(f, "{number}"),
            Written::Text(raw) => f.write_str(raw),
        }
    }
}

/// A token on its way to whoever checks it. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Membership in a channel.
    Subscribe {
        /// Which one.
        channel: ChannelName,
        /// What the client has seen of it before.
        recover: Option<Recover>,
        /// Whether it wants to be told who comes and goes.
        join_leave: bool,
    },
    /// Who is in a channel.
    Presence {
        /// Which one.
        channel: ChannelName,
    },
    /// The end of a membership.
    Unsubscribe {
        /// In which channel.
        channel: ChannelName,
    },
    /// A message to everybody in a channel.
    Publish {
        /// Which one.
        channel: ChannelName,
        /// The message.
        message: Message,
        /// What else it says about it.
        extras: Extras,
    },
    /// A new token in place of the one that is about to expire.
    Refresh {
        /// The new one.
        token: Token,
    },
    /// A sign of life.
    Ping,
}

/// What a client may say about a publication besides the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// What it is the newest value of.
    pub key: Option<Box<str>>,
    /// After how many milliseconds it is of no use any more.
    pub ttl_ms: Option<u64>,
    /// A name under which it goes out once.
    pub idempotency_key: Option<Box<str>>,
}

/// A command and the name the client gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The name; without one no reply is sent, unless it is an error.
    pub id: Option<Id>,
    /// The command.
    pub command: Command,
}

/// What can be wrong with a command: the `code` of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// Not a command.
    BadRequest,
    /// A command of a type that does not exist.
    UnknownType,
    /// Not a channel name.
    BadChannel,
    /// The token does not allow it.
    Forbidden,
    /// The session is subscribed to the channel.
    AlreadySubscribed,
    /// The session is not subscribed to the channel.
    NotSubscribed,
    /// The session has as many subscriptions as it may have.
    TooManySubscriptions,
    /// The channel has as many subscribers as it may have.
    ChannelFull,
    /// The session publishes faster than it may.
    RateLimited,
    /// The new token has expired.
    TokenExpired,
    /// The new token is not valid.
    TokenInvalid,
    /// The gateway cannot take more at the moment.
    Overloaded,
    /// The message is over a limit.
    TooBig,
    /// The channel does not have what was asked for.
    NotAvailable,
    /// Something of ours failed.
    Internal,
    /// The application does not allow it.
    Denied,
    /// The application that is to decide could not be asked.
    Unavailable,
}

impl ErrorCode {
    /// Every row, in order.
    pub const ALL: [ErrorCode; 17] = [
        ErrorCode::BadRequest,
        ErrorCode::UnknownType,
        ErrorCode::BadChannel,
        ErrorCode::Forbidden,
        ErrorCode::AlreadySubscribed,
        ErrorCode::NotSubscribed,
        ErrorCode::TooManySubscriptions,
        ErrorCode::ChannelFull,
        ErrorCode::RateLimited,
        ErrorCode::TokenExpired,
        ErrorCode::TokenInvalid,
        ErrorCode::Overloaded,
        ErrorCode::TooBig,
        ErrorCode::NotAvailable,
        ErrorCode::Internal,
        ErrorCode::Denied,
        ErrorCode::Unavailable,
    ];

    /// The row: the code on the wire, and the message when nothing more exact is known.
    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::BadRequest => ("bad_request", "this is not a command"),
            Self::UnknownType => ("unknown_type", "there is no such command"),
            Self::BadChannel => ("bad_channel", "this is not the name of a channel"),
            Self::Forbidden => (
                "forbidden",
                "the token does not allow this on that channel; refresh with one that does",
            ),
            Self::AlreadySubscribed => {
                ("already_subscribed", "the session is subscribed to that channel already")
            }
            Self::NotSubscribed => {
                ("not_subscribed", "the session is not subscribed to that channel; subscribe first")
            }
            Self::TooManySubscriptions => (
                "too_many_subscriptions",
                "the session has as many subscriptions as it may have; unsubscribe from a channel",
            ),
            Self::ChannelFull => (
                "channel_full",
                "the channel has as many subscribers as it may have; try again later",
            ),
            Self::RateLimited => (
                "rate_limited",
                "not accepted: this session publishes too fast; send it again later",
            ),
            Self::TokenExpired => {
                ("token_expired", "the new token has expired; the old one stays, send a newer one")
            }
            Self::TokenInvalid => {
                ("token_invalid", "the new token is not valid; the old one stays in force")
            }
            Self::Overloaded => {
                ("overloaded", "not accepted: too much is waiting; send it again later")
            }
            Self::TooBig => ("too_big", "the message is over the limit; send less in one"),
            Self::NotAvailable => ("not_available", "that is not turned on for this channel"),
            Self::Internal => ("internal", "something failed in the gateway; its log says more"),
            Self::Denied => ("denied", "the application does not allow it"),
            Self::Unavailable => (
                "unavailable",
                "the application that decides this cannot be asked at the moment; try again later",
            ),
        }
    }

    /// The code on the wire.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The message of an error that has none of its own.
    pub const fn text(self) -> &'static str {
        self.row().1
    }
}

/// Why a command was not carried out; becomes an `error` message by [`encode_error`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError {
    /// The command's name, if it had one that could be read.
    pub id: Option<Id>,
    /// The row of the table.
    pub code: ErrorCode,
    /// What was wrong, where, and what to do. Never repeats a token or a published value.
    pub message: Cow<'static, str>,
    /// When trying again may succeed, in milliseconds from now; for [`ErrorCode::Overloaded`],
    /// [`ErrorCode::RateLimited`] and [`ErrorCode::Unavailable`].
    pub retry_after_ms: Option<u64>,
}

impl CommandError {
    /// With the table's message.
    pub fn new(id: Option<Id>, code: ErrorCode) -> Self {
        Self { id, code, message: Cow::Borrowed(code.text()), retry_after_ms: None }
    }

    /// With a message of its own.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }

    /// With the time after which trying again may succeed, in milliseconds.
    #[must_use]
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl std::error::Error for CommandError {}
