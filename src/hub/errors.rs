//! Why the hub says no. One error for each kind of request.

use std::fmt;

/// Why a publication was not accepted. Nobody gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// Too much is on the way already: try again after [`PublishError::RETRY_AFTER_MS`], or wait for
    /// [`Hub::room`](super::Hub::room).
    Overloaded,
    /// The hub is draining.
    Draining,
    /// The channel keeps a history and is not there yet, and the hub has as many channels as it may
    /// have.
    TooManyChannels,
}

impl PublishError {
    /// A sensible pause after [`PublishError::Overloaded`], in milliseconds.
    pub const RETRY_AFTER_MS: u64 = 1_000;
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overloaded => "the hub is overloaded; try again in a second",
            Self::Draining => "the hub is shutting down; publish to another node",
            Self::TooManyChannels => "the hub has as many channels as it may have",
        })
    }
}

impl std::error::Error for PublishError {}

/// Why a session was not subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// There is no such session (any more).
    NoSession,
    /// It is subscribed already.
    AlreadySubscribed,
    /// It has as many subscriptions as it may have.
    TooManySubscriptions(usize),
    /// The hub has as many channels as it may have.
    TooManyChannels,
    /// The channel has as many subscribers as it may have.
    ChannelFull(usize),
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession => f.write_str("there is no such session"),
            Self::AlreadySubscribed => {
                f.write_str("the session is subscribed to this channel already")
            }
            Self::TooManySubscriptions(max) => {
                write!(f, "the session has {max} subscriptions, which is the limit")
            }
            Self::TooManyChannels => f.write_str("the hub has as many channels as it may have"),
            Self::ChannelFull(max) => {
                write!(f, "the channel has {max} subscribers, which is the limit; try again later")
            }
        }
    }
}

impl std::error::Error for SubscribeError {}

/// Why a session was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The hub has as many sessions as it may have.
    TooManySessions,
    /// The user has as many sessions as it may have.
    TooManySessionsOfUser(usize),
    /// The hub is draining.
    Draining,
    /// The node is short of memory.
    Memory,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::TooManySessionsOfUser(max) => {
                return write!(
                    f,
                    "the user has {max} sessions, which is the limit; close one, or try again later"
                );
            }
            Self::TooManySessions => "there are as many sessions as there may be; try again later",
            Self::Draining => "the hub is shutting down; connect to another node",
            Self::Memory => "the node is short of memory; try again later",
        };
        f.write_str(text)
    }
}

impl std::error::Error for OpenError {}
