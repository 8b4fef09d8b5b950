//! The one door to the internals, open under `--cfg fuzzing` only: for the targets in `fuzz/`, which
//! are a crate of their own. Nothing here is part of the library, and no build of it has it.
//!
//! Each item is a thin shell around the internal it is named after; see there for what it does.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::UnixStream;

use crate::base::ids::{ChannelName, SessionId};
use crate::base::label::Label;
use crate::base::limits::SlowConsumerPolicy;
use crate::base::loss::{DropCause, Dropped};
use crate::base::memory::Memory;
use crate::hub::letters::JoinReply;
use crate::hub::session::Session;
use crate::hub::{Hub, SessionOptions};
use crate::outbox::queue::{self, Labelled, Loss, Pushed, Taking};
use crate::outbox::state::{self, Closing, Next, Offered, State};

/// Most bytes of control frames that wait for one session.
pub const CONTROL_BYTES_MAX: usize = queue::CONTROL_BYTES_MAX;

/// What data may wait.
#[derive(Clone, Copy, Debug)]
pub struct Bounds(queue::Bounds);

impl Bounds {
    /// From its parts.
    pub fn new(bytes_max: usize, frames_max: usize) -> Self {
        Self(queue::Bounds { bytes_max, frames_max, squeeze: queue::Squeeze::None })
    }
}

/// A data frame and what stands on its label; without a `policy` it has none.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its bytes.
    pub bytes: Bytes,
    /// As the label's.
    pub stream: u64,
    /// As the label's.
    pub offset: u64,
    /// As the label's.
    pub key: Option<u8>,
    /// As the label's.
    pub expires_ms: Option<u64>,
    /// As the label's.
    pub policy: Option<SlowConsumerPolicy>,
}

impl From<Frame> for Labelled {
    fn from(frame: Frame) -> Self {
        let Frame { bytes, stream, offset, key, expires_ms, policy } = frame;
        let key = key.map(|key| key.to_string().into());
        let label = policy.map(|policy| Label {
            channel: None,
            stream,
            offset,
            key,
            expires_ms,
            policy,
            _held: Default::default(),
            drops: None,
        });
        (bytes, label.map(Arc::new))
    }
}

/// `outbox::queue::Loss`.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// As the loss's.
    pub stream: u64,
    /// As the loss's.
    pub count: u64,
    /// As the loss's.
    pub from_offset: u64,
    /// As the loss's.
    pub to_offset: u64,
}

/// What a writer brings.
pub struct Writer<'a> {
    /// The time now.
    pub now_ms: u64,
    /// As `outbox::queue::Taking`'s.
    pub age_max_ms: u64,
    /// The frame that tells of a loss.
    pub tell: &'a dyn Fn(Gap) -> Option<Bytes>,
}

impl Writer<'_> {
    fn taking<T>(&self, dropped: &mut Dropped, take: impl FnOnce(&mut Taking<'_>) -> T) -> T {
        let tell = |loss: &Loss| {
            let &Loss { ref label, count, from_offset, to_offset, .. } = loss;
            (self.tell)(Gap { stream: label.stream, count, from_offset, to_offset })
        };
        let &Writer { now_ms, age_max_ms, .. } = self;
        take(&mut Taking { now_ms, age_max_ms, tell: &tell, dropped })
    }
}

fn sum(dropped: &Dropped) -> u64 {
    DropCause::ALL.into_iter().map(|cause| dropped.of(cause)).sum()
}

/// What became of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It waits.
    Queued,
    /// It was dropped by policy.
    Dropped,
    /// The session has to end.
    Overflow,
}

impl From<Pushed> for Verdict {
    fn from(pushed: Pushed) -> Self {
        match pushed {
            Pushed::Queued => Self::Queued,
            Pushed::Dropped => Self::Dropped,
            Pushed::Overflow => Self::Overflow,
        }
    }
}

/// `outbox::queue::Queue`.
#[derive(Debug, Default)]
pub struct Queue(queue::Queue, Dropped);

impl Queue {
    /// As the queue's.
    pub fn set_remainder(&mut self, bytes: Bytes, now_ms: u64) {
        self.0.set_remainder(bytes, now_ms);
    }

    /// As the queue's.
    pub fn push_data(&mut self, frame: Frame, bounds: &Bounds, now_ms: u64) -> Verdict {
        self.0.push_data(frame.into(), &bounds.0, now_ms, &mut self.1).into()
    }

    /// Messages dropped so far.
    pub fn dropped(&self) -> u64 {
        sum(&self.1)
    }

    /// As the queue's.
    pub fn push_control(&mut self, bytes: Bytes) -> Verdict {
        self.0.push_control(bytes).into()
    }

    /// As the queue's.
    pub fn push_behind(&mut self, bytes: Bytes, bounds: &Bounds, now_ms: u64) -> Verdict {
        self.0.push_behind(bytes, &bounds.0, now_ms).into()
    }

    /// As the queue's.
    pub fn push_close(&mut self, close: Bytes, discard: bool) -> usize {
        self.0.push_close(close, discard)
    }

    /// As the queue's.
    pub fn take(&mut self, batch: &mut VecDeque<Bytes>, bytes_max: usize, writer: &Writer<'_>) {
        writer.taking(&mut self.1, |taking| self.0.take(batch, bytes_max, taking));
    }

    /// As the queue's.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As the queue's.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// As the queue's.
    pub fn frames(&self) -> usize {
        self.0.frames()
    }

    /// As the queue's.
    pub fn held_since_ms(&self) -> Option<u64> {
        self.0.held_since_ms()
    }
}

/// `outbox::state::State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxState {
    /// The lane writes.
    Idle,
    /// The writer writes.
    Parked,
    /// The close frame is last.
    Closing,
    /// It is over.
    Closed,
}

/// `outbox::state::Offered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Taken, except the last few.
    Taken {
        /// Messages dropped by policies for it, of the new and of those before.
        dropped: u64,
        /// How many were not taken: the session has to end.
        refused: usize,
    },
    /// Write directly.
    Idle,
    /// It is over.
    Closed,
}

impl From<Offered> for Answer {
    fn from(offered: Offered) -> Self {
        match offered {
            Offered::Taken { dropped, refused } => Self::Taken { dropped: sum(&dropped), refused },
            Offered::Idle => Self::Idle,
            Offered::Closed => Self::Closed,
        }
    }
}

/// `outbox::state::Next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterNext {
    /// Write the batch.
    Write,
    /// The writer ends, the lane writes.
    Idle,
    /// The close frame was the last.
    CloseWritten,
    /// It is over.
    Closed,
}

/// `outbox::state::Closing`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseBegun {
    /// Write the close directly.
    Write(Bytes),
    /// The writer will; so many data frames made way.
    Queued(usize),
    /// It had begun before.
    Already,
}

/// `outbox::state::Outbox`.
#[derive(Debug)]
pub struct Outbox {
    outbox: state::Outbox,
    memory: Arc<Memory>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { outbox: state::Outbox::new(), memory: Memory::new(usize::MAX) }
    }
}

impl Outbox {
    /// As the outbox's.
    pub fn state(&self) -> OutboxState {
        match self.outbox.state() {
            State::Idle => OutboxState::Idle,
            State::Parked => OutboxState::Parked,
            State::Closing => OutboxState::Closing,
            State::Closed => OutboxState::Closed,
        }
    }

    /// As the outbox's.
    pub fn open(&self) -> bool {
        self.outbox.open()
    }

    /// As the outbox's.
    pub fn park(
        &self,
        remainder: Option<Bytes>,
        frames: impl Iterator<Item = Frame>,
        bounds: &Bounds,
        now_ms: u64,
    ) -> Answer {
        self.outbox.park(remainder, frames.map(Into::into), &bounds.0, now_ms, &self.memory).into()
    }

    /// As the outbox's.
    pub fn offer(
        &self,
        frames: impl Iterator<Item = Frame>,
        bounds: &Bounds,
        now_ms: u64,
    ) -> Answer {
        self.outbox.offer(frames.map(Into::into), &bounds.0, now_ms, &self.memory).into()
    }

    /// As the outbox's.
    pub fn offer_control(&self, frame: Bytes) -> Answer {
        self.outbox.offer_control(frame, &self.memory).into()
    }

    /// As the outbox's.
    pub fn offer_behind(&self, frame: Bytes, bounds: &Bounds, now_ms: u64) -> Answer {
        self.outbox.offer_behind(frame, &bounds.0, now_ms, &self.memory).into()
    }

    /// As the outbox's.
    pub fn begin_close(&self, close: Bytes, discard: bool) -> CloseBegun {
        match self.outbox.begin_close(close, discard, &self.memory) {
            Closing::Write(close) => CloseBegun::Write(close),
            Closing::Queued { dropped } => CloseBegun::Queued(dropped),
            Closing::Already => CloseBegun::Already,
        }
    }

    /// As the outbox's.
    pub fn park_close(&self, rest: Bytes) -> bool {
        self.outbox.park_close(rest, &self.memory)
    }

    /// As the outbox's; adds what was too old to `dropped`.
    pub fn take(
        &self,
        batch: &mut VecDeque<Bytes>,
        writer: &Writer<'_>,
        dropped: &mut u64,
    ) -> WriterNext {
        let mut found = Dropped::default();
        let next = writer.taking(&mut found, |taking| self.outbox.take(batch, taking));
        *dropped += sum(&found);
        match next {
            Next::Write => WriterNext::Write,
            Next::Idle => WriterNext::Idle,
            Next::CloseWritten => WriterNext::CloseWritten,
            Next::Closed => WriterNext::Closed,
        }
    }

    /// As the outbox's.
    pub fn close(&self) -> bool {
        self.outbox.close()
    }

    /// As the outbox's: bytes, frames, and since when it holds up what nobody may drop.
    pub fn lag(&self) -> Option<(usize, usize, Option<u64>)> {
        self.outbox.lag().map(|lag| (lag.bytes, lag.frames, lag.held_since_ms))
    }
}

/// A session of a hub without a connection: nobody reads from its socket. Ends with the value.
#[derive(Debug)]
pub struct Peer {
    hub: Hub,
    session: Arc<Session>,
}

impl Peer {
    /// Opens a session without a socket; `None` if the hub takes no more.
    pub fn open(hub: &Hub, options: SessionOptions) -> Option<Self> {
        let session = hub.open(options).ok()?;
        Some(Self { hub: hub.clone(), session })
    }

    /// Gives it its socket, once.
    pub fn attach(&self, stream: UnixStream) {
        self.hub.attach(&self.session, stream.into());
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.session.id
    }

    /// Subscribes it; `reply` comes before the first publication. Returns whether it was taken.
    pub fn join(&self, channel: &ChannelName, reply: Bytes) -> bool {
        let reply = JoinReply(Box::new(|_| Some(reply)));
        self.hub.join(&self.session, channel, Some(reply), None).is_ok()
    }

    /// Unsubscribes it; `reply` comes after the last publication. Returns whether it was in.
    pub fn part(&self, channel: &ChannelName, reply: Bytes) -> bool {
        self.hub.part(&self.session, channel, Some(reply))
    }

    /// Whether its session is neither closing nor closed.
    pub fn is_open(&self) -> bool {
        matches!(self.session.outbox.state(), State::Idle | State::Parked)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.hub.end(&self.session);
    }
}
