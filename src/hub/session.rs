//! A session: what the hub knows of a peer.
//!
//! # State
//! Its outbox and socket, its subscriptions, the [`Times`] that the lane's sweep looks at, and a few
//! flags.
//!
//! # Who may touch what
//! 1. The outbox: its lane, its writer (see [`crate::outbox::state`]).
//! 2. `subscriptions`: whoever changes a membership of this session, under its lock. The letter to
//!    the channel is posted under the lock, so that the order of the list is the order of the
//!    letters, and the end closes the list for good. The lock is never held across a drain or an
//!    await.
//! 3. `slot`: its lane only.
//! 4. The flags: see below.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `slot` | lane | lane | Relaxed | same thread of control |
//! | `expires_unix_s` | reader (a fresh token) | lane | Relaxed | nothing: a sweep later is soon enough |
//! | `ended_by` | first who decides | anybody | AcqRel exchange | itself: first one wins |
//! | `close_flags` | lane or writer (written), reader (heard) | both | AcqRel or | each other: the second of the two sees the first and finishes |
//! | `replies` | reader +, lane − | reader | AcqRel | the reader sees that a reply is gone |
//!
//! # Races considered
//! - *The peer's close and ours cross*: both sides set their flag; the one that finds the other's
//!   does what follows, and it does it once.
//! - *Two reasons to end at once*: the first one counts, in metrics and on the wire.
//! - *The last reply is taken while the reader goes to sleep*: it registers its waker and then looks
//!   at `replies` again; the lane lowers and then wakes.
//! - *Subscribed by the application while it ends*: the list is closed under the lock that posts, so a
//!   join comes before the leave or not at all.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use atomic_waker::AtomicWaker;
use parking_lot::Mutex;

use super::channel::Channel;
use super::times::Times;
use crate::base::access::Info;
use crate::base::disconnect::Reason;
use crate::base::ids::{ChannelName, SessionId, UserId};
use crate::outbox::Socket;
use crate::outbox::state::Outbox;
use crate::protocol::{Form, WireFormat};

/// What a session is made of.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// The user it belongs to, if any.
    pub user: Option<UserId>,
    /// What others may see of it where presence is on.
    pub info: Option<Arc<Info>>,
    /// How it wants its messages.
    pub form: Form,
    /// When it ends by itself, in seconds since the Unix epoch.
    pub expires_unix_s: Option<u64>,
    /// Where its peer is, for logs and inspection.
    pub peer: Option<SocketAddr>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            user: None,
            info: None,
            form: Form::plain(WireFormat::Raw),
            expires_unix_s: None,
            peer: None,
        }
    }
}

/// Our close frame is written.
const CLOSE_WRITTEN: u8 = 1;
/// The peer's close frame was read.
const CLOSE_HEARD: u8 = 2;
/// The peer is not listened to any more.
const DEAF: u8 = 4;
/// No reason yet in `ended_by`.
const NOT_ENDED: u8 = u8::MAX;
/// Never, in `expires_unix_s`.
const NEVER: u32 = u32::MAX;

/// See the module. In the order of its fields: what a delivery looks at (the outbox's state, the
/// socket, the form) is the second line of the cache of an allocation, and nothing else is
/// looked at. A walk over thousands of sessions finds none of them in the cache, because the kernel
/// touches more than that for each send; with four lines a session it took 0.4 µs of 6 to wait for them.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Session {
    pub(crate) times: Times,
    pub(crate) outbox: Outbox,
    socket: OnceLock<Socket>,
    pub(crate) form: Form,
    pub(crate) lane: u16,
    ended_by: AtomicU8,
    close_flags: AtomicU8,
    replies: AtomicU16,
    pub(crate) id: SessionId,
    slot: AtomicU32,
    /// In whole seconds of the hub's clock, to be small.
    pub(crate) opened_s: u32,
    pub(crate) reader: AtomicWaker,
    pub(crate) subscriptions: Mutex<Subscriptions>,
    pub(crate) user: Option<UserId>,
    pub(crate) info: Option<Arc<Info>>,
    peer: Option<Peer>,
    /// 32 bits last until 2106: what is later ends then.
    expires_unix_s: AtomicU32,
}

/// The channels of a session; `None` once it has ended, for good.
#[derive(Debug)]
pub(crate) struct Subscriptions(Option<Vec<Arc<Channel>>>);

impl Subscriptions {
    /// The list, to change it; `None` if the session has ended.
    pub(crate) fn open(&mut self) -> Option<&mut Vec<Arc<Channel>>> {
        self.0.as_mut()
    }

    /// The channels now.
    pub(crate) fn channels(&self) -> &[Arc<Channel>] {
        self.0.as_deref().unwrap_or_default()
    }

    /// The names of those that somebody asked for by name.
    pub(crate) fn names(&self) -> Vec<ChannelName> {
        let named = self.channels().iter().filter(|channel| channel.name.about().is_none());
        named.map(|channel| channel.name.clone()).collect()
    }

    /// Closes the list and hands it out.
    pub(crate) fn end(&mut self) -> Vec<Arc<Channel>> {
        self.0.take().unwrap_or_default()
    }
}

/// An address without what only link-local IPv6 has: 20 bytes instead of 32.
#[derive(Clone, Copy, Debug)]
struct Peer {
    ip: IpAddr,
    port: u16,
}

impl Session {
    pub(crate) fn new(id: SessionId, lane: usize, options: SessionOptions, now_ms: u64) -> Self {
        Self {
            times: Times::new(now_ms),
            outbox: Outbox::new(),
            socket: OnceLock::new(),
            form: options.form,
            lane: lane as u16,
            ended_by: AtomicU8::new(NOT_ENDED),
            close_flags: AtomicU8::new(0),
            replies: AtomicU16::new(0),
            id,
            slot: AtomicU32::new(u32::MAX),
            opened_s: (now_ms / 1_000) as u32,
            reader: AtomicWaker::new(),
            subscriptions: Mutex::new(Subscriptions(Some(Vec::new()))),
            user: options.user,
            info: options.info,
            peer: options.peer.map(|peer| Peer { ip: peer.ip(), port: peer.port() }),
            expires_unix_s: AtomicU32::new(short(options.expires_unix_s)),
        }
    }

    /// The socket; there is one in every state of the outbox but the first `Parked`.
    #[inline]
    pub(crate) fn socket(&self) -> Option<&Socket> {
        self.socket.get()
    }

    /// Where its peer is.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer.map(|peer| SocketAddr::new(peer.ip, peer.port))
    }

    /// Brings the socket, once.
    pub(crate) fn set_socket(&self, socket: Socket) {
        let second = self.socket.set(socket).is_err();
        debug_assert!(!second, "a session has one socket");
    }

    /// Its place in the list of its lane.
    pub(crate) fn slot(&self) -> usize {
        self.slot.load(Ordering::Relaxed) as usize
    }

    /// For its lane: its new place.
    pub(crate) fn set_slot(&self, slot: usize) {
        self.slot.store(slot as u32, Ordering::Relaxed);
    }

    /// Notes why the session ends. Returns whether nobody had said so before.
    pub(crate) fn note_end(&self, reason: Reason) -> bool {
        self.ended_by
            .compare_exchange(NOT_ENDED, reason as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Why the session ends, if anybody has said so.
    pub(crate) fn ended_by(&self) -> Option<Reason> {
        Reason::ALL.get(self.ended_by.load(Ordering::Acquire) as usize).copied()
    }

    /// Ends it at once: nothing more is written, the reader sees the end.
    pub(crate) fn kill(&self) {
        self.outbox.close();
        if let Some(socket) = self.socket() {
            socket.kill();
        }
        self.reader.wake();
    }

    /// Our close frame went out.
    pub(crate) fn close_written(&self) {
        self.close_step(CLOSE_WRITTEN);
    }

    /// The peer's close frame came in.
    pub(crate) fn close_heard(&self) {
        self.close_step(CLOSE_HEARD);
    }

    /// The peer broke the protocol: whatever it says from now on, its close included, is noise.
    pub(crate) fn close_unheard(&self) {
        self.close_step(DEAF);
    }

    /// Our close and the peer's: that is the end, and the server is the first to close the
    /// connection (RFC 6455 section 7.1.1). Our close and a deaf ear: we say that nothing more comes
    /// and wait for the peer's end. Closing at once while it still sends would reset the connection,
    /// and the reset could overtake our close frame.
    fn close_step(&self, flag: u8) {
        let before = self.close_flags.fetch_or(flag, Ordering::AcqRel);
        let now = before | flag;
        if now == before || now & CLOSE_WRITTEN == 0 {
            return;
        }
        if now & CLOSE_HEARD != 0 {
            self.kill();
        } else if now & DEAF != 0
            && let Some(socket) = self.socket()
        {
            socket.finish();
        }
    }

    /// One more reply is on its way through the lane.
    pub(crate) fn reply_posted(&self) {
        self.replies.fetch_add(1, Ordering::AcqRel);
    }

    /// The lane has taken a reply; wakes a reader that waits for that.
    pub(crate) fn reply_taken(&self) {
        if self.replies.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.reader.wake();
        }
    }

    /// Replies on their way through the lane.
    pub(crate) fn replies(&self) -> u16 {
        self.replies.load(Ordering::Acquire)
    }

    /// When it ends by itself.
    pub(crate) fn expires_unix_s(&self) -> u64 {
        match self.expires_unix_s.load(Ordering::Relaxed) {
            NEVER => u64::MAX,
            unix_s => unix_s.into(),
        }
    }

    /// Sets when it ends by itself; `None` for never.
    pub(crate) fn set_expires(&self, unix_s: Option<u64>) {
        self.expires_unix_s.store(short(unix_s), Ordering::Relaxed);
    }
}

/// A time to expire, as it is kept.
fn short(unix_s: Option<u64>) -> u32 {
    unix_s.map_or(NEVER, |unix_s| unix_s.min(u64::from(NEVER) - 1) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    /// The counts of references that an `Arc` keeps before what it holds.
    const COUNTS: usize = 16;

    #[test]
    fn a_session_expires_when_its_token_does_or_never() {
        assert_eq!(short(None), NEVER);
        assert_eq!(short(Some(1_800_000_000)), 1_800_000_000);
        assert_eq!(short(Some(u64::MAX)), NEVER - 1, "late, and not never");
    }

    #[test]
    fn an_idle_session_fits_into_256_bytes_with_its_counts() {
        // The allocator's next class is 320 bytes.
        assert!(size_of::<Session>() + COUNTS <= 256, "{}", size_of::<Session>());
    }

    #[test]
    fn a_delivery_looks_at_one_line_of_the_cache() {
        let begins = offset_of!(Session, outbox) + Outbox::STATE_AT + COUNTS;
        // In a build for debugging a socket of mio's is longer: it knows its selector.
        let longer = if cfg!(debug_assertions) { size_of::<usize>() } else { 0 };
        let ends = offset_of!(Session, form) + size_of::<Form>() + COUNTS - longer;
        assert_eq!((begins / 64, (ends - 1) / 64), (1, 1), "bytes {begins} to {ends}");
        assert!((begins..ends).contains(&(offset_of!(Session, socket) + COUNTS)));
    }
}
