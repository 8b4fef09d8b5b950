//! The port to the application behind a gateway: what it is asked, and what it is told.
//!
//! Whoever lets sessions in asks; the hub tells. Neither knows how the application is reached.

use std::fmt;
use std::net::SocketAddr;

use super::access::{Answering, Grant};
use super::disconnect::{CloseCode, Reason};
use super::ids::{ChannelName, SessionId, UserId};
use super::message::Message;
use super::outgoing::HookCounters;

/// The longest reason of a refusal that is passed on, in bytes: what a close frame holds (RFC 6455
/// section 5.5).
pub const REASON_BYTES_MAX: usize = 123;

/// Somebody wants to connect.
#[derive(Clone, Debug, Default)]
pub struct ConnectQuestion {
    /// `websocket` or `sse`.
    pub transport: &'static str,
    /// Where it is, if it has an address.
    pub peer: Option<SocketAddr>,
    /// All headers; which of them are passed on is for the port to say.
    pub headers: http::HeaderMap,
    /// The query, without a token.
    pub query: String,
    /// Channels that it names.
    pub channels: Vec<ChannelName>,
    /// The token, where nobody has checked it.
    pub token: Option<Unchecked>,
    /// What a token that was checked allows.
    pub grant: Option<Grant>,
}

/// A token that nobody has checked. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Unchecked(pub String);

impl fmt::Debug for Unchecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unchecked(..)")
    }
}

/// Whoever connects may, and this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Who it is and what it may do.
    pub grant: Grant,
    /// Channels that it is in from the start, whatever it asked for.
    pub channels: Vec<ChannelName>,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The application says no.
    Denied(Denial),
    /// The application could not be asked, or did not answer: that is no as well.
    Unavailable,
}

/// How the application says no.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denial {
    /// For whoever is refused; at most [`REASON_BYTES_MAX`] bytes.
    pub reason: String,
    /// On connect: for want of a credential, and not of a permission.
    pub is_unauthenticated: bool,
    /// On connect: the WebSocket is opened and closed with this, as a page cannot read a status.
    pub close_code: Option<CloseCode>,
}

/// Who wants something.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Its session; `None` if it is about to connect.
    pub session: Option<SessionId>,
    /// Its user, if there is one.
    pub user: Option<UserId>,
    /// Where it is.
    pub peer: Option<SocketAddr>,
}

/// Something that happened in the hub.
#[derive(Clone, Copy, Debug)]
pub enum HubEvent<'a> {
    /// A session began.
    Connected {
        /// The session.
        session: SessionId,
        /// Its user.
        user: Option<&'a UserId>,
        /// Where it is.
        peer: Option<SocketAddr>,
    },
    /// A session ended.
    Disconnected {
        /// The session.
        session: SessionId,
        /// Its user.
        user: Option<&'a UserId>,
        /// Why.
        reason: Reason,
    },
    /// A channel has its first subscriber.
    Occupied(&'a ChannelName),
    /// A channel has lost its last subscriber.
    Vacated(&'a ChannelName),
}

/// The application.
///
/// Futures that are dropped before they are ready leave nothing behind.
pub trait Application: Send + Sync + fmt::Debug {
    /// Whether it is asked when somebody connects.
    fn decides_connects(&self) -> bool;

    /// Whether somebody may connect.
    fn connect(&self, question: ConnectQuestion) -> Answering<Result<Admission, Refused>>;

    /// Whether somebody may subscribe to a channel whose rule has it asked.
    fn subscribe(&self, asker: Asker, channel: ChannelName) -> Answering<Result<(), Refused>>;

    /// Whether somebody may publish to a channel whose rule has it asked.
    fn publish(
        &self,
        asker: Asker,
        channel: ChannelName,
        message: Message,
    ) -> Answering<Result<(), Refused>>;

    /// Takes note of something. Called by the threads that deliver, some of them in the middle of it:
    /// it must not wait.
    fn note(&self, event: HubEvent<'_>);

    /// What it counts.
    fn counters(&self) -> &HookCounters;
}
