//! What publishers and sessions may say in a letter to a channel, and how they hear the answer.
//!
//! An answer is given by the holder of the channel's duty, which may be any thread: it must be quick
//! and must not wait.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::history::Version;
use super::session::Session;
use super::shared::Shared;
use super::stream::Stream;
use crate::base::position::{Recover, StreamPosition};

/// A session that comes.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) session: Arc<Session>,
    pub(crate) reply: Option<JoinReply>,
    /// What it has seen of the channel before.
    pub(crate) recover: Option<Recover>,
}

/// A session that goes, and what it is told when that has happened.
#[derive(Debug)]
pub(crate) struct Leave {
    pub(crate) session: Arc<Session>,
    pub(crate) reply: Option<Bytes>,
}

/// What a session is told when it has joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    /// Where the channel is, if it keeps a history.
    pub(crate) position: Option<StreamPosition>,
    /// Whether it gets everything that it missed, if it asked for that.
    pub(crate) recovered: Option<bool>,
}

/// Makes the frame that a session gets when it has joined, before everything else of the channel.
pub(crate) struct JoinReply(pub(crate) Box<dyn FnOnce(Joined) -> Option<Bytes> + Send>);

impl fmt::Debug for JoinReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinReply(..)")
    }
}

/// A question to what a channel keeps. It must be quick: it is asked by the holder of the duty.
pub(crate) struct Question(pub(crate) Box<Ask>);

type Ask = dyn FnOnce(&mut Stream, &Shared) + Send;

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question(..)")
    }
}

/// What a publisher says besides the message, where it says anything.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    pub(crate) conditions: Conditions,
    pub(crate) receipt: Option<Receipt>,
}

/// When a publication is taken, and where to.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) idempotency_key: Option<Box<str>>,
    pub(crate) version: Option<Version>,
    pub(crate) skip_history: bool,
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Where it is in the channel, if that keeps a history and it is in it.
    pub(crate) position: Option<StreamPosition>,
    /// Whether it did not go out, because it or a newer one had gone out before.
    pub(crate) is_repeat: bool,
}

/// Where the publisher hears what became of its publication.
pub(crate) struct Receipt(Box<dyn FnOnce(Taken) + Send>);

impl Receipt {
    pub(crate) fn new(give: impl FnOnce(Taken) + Send + 'static) -> Self {
        Self(Box::new(give))
    }

    pub(crate) fn give(self, taken: Taken) {
        (self.0)(taken);
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt(..)")
    }
}
