//! The reader: one small task per connection that has said something ([`silent`](super::silent)). Bytes
//! in, events to the dispatcher.
//!
//! Bytes are read into a scratch buffer of the worker thread, so an idle connection has no buffer;
//! bytes of an incomplete frame are kept aside by the decoder, only while it is incomplete.
//!
//! A peer whose publication the hub has no room for, or whose replies pile up, is not read until
//! that has changed; what was read already waits in `held`, at most one scratch buffer.
//!
//! # Cancel safety
//! The scratch buffer is never held across an await: what a poll reads it also decodes and dispatches.
//! The task itself is never cancelled; dropped with its runtime it ends the session.

mod waits;

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;

use super::discard::{Left, discard};
use super::dispatch::{Dialect, Flow, Wait};
use super::rate::ControlRate;
use super::upgrade::Permit;
use crate::base::disconnect::{Disconnect, Reason};
use crate::base::ids::ChannelName;
use crate::base::limits::MessageLimits;
use crate::base::memory::{Held, Pressure};
use crate::base::panics::Culprit;
use crate::frame::{
    self, DataKind, Decoded, Decoder, Event, InflateError, Opcode, Payload, Violation,
};
use crate::hub::Hub;
use crate::hub::cork::Cork;
use crate::hub::session::Session;
use crate::outbox::Socket;
use crate::outbox::state::State;

/// Bytes of a worker's scratch buffer: the most that one read takes.
const SCRATCH_BYTES: usize = 64 << 10;

/// Messages of one read that go out together at most: 64 take some 50 µs, as long as a lane is kept waiting that
/// somebody else has something for as well. One that has to be inflated may take much longer, and does not wait.
const CORKED_MAX: usize = 64;

/// Replies that may be on their way to one peer before it is not read any more.
pub(super) const REPLIES_MAX: u16 = 64;

thread_local! {
    pub(super) static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// A connection: its session, and what its peer is in the middle of saying. Ends the session when
/// dropped.
#[derive(Debug)]
pub(super) struct Connection {
    hub: Hub,
    session: Arc<Session>,
    decoder: Decoder,
    dialect: Dialect,
    controls: ControlRate,
    /// Bytes that were read but not decoded, because the peer has to wait.
    held: Vec<u8>,
    /// What it counts against the node's memory.
    memory: Held,
    _permit: Option<Permit>,
}

/// The task of a connection.
///
/// It is moved several times before it runs, and stays for as long as the connection does. So it is two pointers:
/// what it reads with was boxed when it was made, and what happens rarely is there only while it does. That
/// is 40 bytes less for each than an `async` block with the connection in it, which the runtime
/// rounds up to 384, and ten copies of 200 bytes less.
#[must_use = "nobody reads"]
pub(super) struct Run {
    /// While it reads.
    connection: Option<Box<Connection>>,
    /// While something comes before the next read.
    other: Option<Other>,
}

/// Comes back with the connection if it may read on.
type Other = Pin<Box<dyn Future<Output = Option<Box<Connection>>> + Send>>;

impl Future for Run {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(other) = &mut self.other {
                self.connection = ready!(other.as_mut().poll(cx));
                self.other = None;
            }
            let Some(connection) = &mut self.connection else { return Poll::Ready(()) };
            match ready!(connection.poll_step(cx)) {
                Step::Read => {}
                step => {
                    let connection = self.connection.take();
                    self.other =
                        connection.map(|connection| Box::pin(connection.until_read(step)) as _);
                }
            }
        }
    }
}

/// What a reader does next.
pub(super) enum Step {
    Read,
    /// Wait for that, then go on with what was said.
    Wait(Box<Wait>),
    /// Wait until the replies are gone.
    Replies,
    /// Nothing the peer says matters any more; wait for its end.
    Discard,
    End,
}

impl Connection {
    pub(super) fn new(
        hub: Hub,
        session: Arc<Session>,
        dialect: Dialect,
        limits: MessageLimits,
        deflate: bool,
    ) -> Self {
        let decoder = match deflate {
            true => Decoder::new(limits.into()).with_compression(),
            false => Decoder::new(limits.into()),
        };
        let max = limits.control_frames_per_10s_max;
        let controls = ControlRate::new(max);
        let memory = Held::new(hub.memory(), 0);
        let held = Vec::new();
        Self { hub, session, decoder, dialect, controls, held, memory, _permit: None }
    }

    /// Keeps it until the end.
    pub(super) fn hold(&mut self, permit: Option<Permit>) {
        self._permit = permit;
    }

    /// Whether the runtime's driver wakes whoever waits to read, when it ends at the latest.
    pub(super) fn is_watched(&self) -> bool {
        self.session.socket().is_some_and(Socket::is_bare)
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Says hello, where the dialect has a word for it.
    pub(super) fn welcome(&self, channels: &[ChannelName]) {
        if let Some(text) = self.dialect.welcome(&self.session, channels) {
            self.hub.control(&self.session, frame::encode(Opcode::Text, &text));
        }
    }

    /// Takes the socket and what came in with the handshake. Returns what to do first.
    pub(super) fn begin(&mut self, socket: Socket, early: Bytes) -> Step {
        self.hub.attach(&self.session, socket);
        match early.is_empty() {
            true => Step::Read,
            false => self.take(&mut Vec::from(early)),
        }
    }

    /// Reads until the connection is over, after this step.
    pub(super) fn run(self: Box<Self>, first: Step) -> Run {
        match first {
            Step::Read => Run { connection: Some(self), other: None },
            first => Run { connection: None, other: Some(Box::pin(self.until_read(first))) },
        }
    }

    /// Does what is to be done before it may read on; `None` if it never may.
    async fn until_read(mut self: Box<Self>, mut step: Step) -> Option<Box<Self>> {
        loop {
            step = match step {
                Step::Read => return Some(self),
                Step::Wait(wait) => self.waited(wait).await,
                Step::Replies => {
                    self.replies_gone().await;
                    let held = std::mem::take(&mut self.held);
                    self.take_held(held)
                }
                Step::Discard => {
                    self.held = Vec::new();
                    discard(&self.session).await;
                    return None;
                }
                Step::End => return None,
            }
        }
    }

    fn take_held(&mut self, mut held: Vec<u8>) -> Step {
        match held.is_empty() {
            true => Step::Read,
            false => self.take(&mut held),
        }
    }

    /// Reads and acts once, or waits for the end of the session or something to read.
    pub(super) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        self.session.reader.register(cx.waker());
        if self.session.outbox.state() == State::Closed {
            return Poll::Ready(Step::End);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let Some(socket) = self.session.socket() else { return Poll::Ready(Step::End) };
            match socket.poll_read(cx, scratch) {
                Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Step::End),
                Poll::Ready(Ok(count)) => Poll::Ready(self.take(&mut scratch[..count])),
                Poll::Pending => Poll::Pending,
            }
        })
    }

    /// Decodes and dispatches what came in.
    fn take(&mut self, mut input: &mut [u8]) -> Step {
        let mut cork = Cork::new();
        let mut messages = 0;
        let now_ms = self.hub.now_ms();
        self.session.times.heard(now_ms);
        self.hub.counters().bytes_received.add(input.len() as u64);
        let mut had_message = false;
        loop {
            let (event, rest) = match self.decoder.decode(input) {
                Ok(Decoded { event, rest }) => (event, rest),
                Err(violation) => return self.violated(&violation),
            };
            let Some(event) = event else { break };
            had_message |= matches!(event, Event::Message { .. });
            let step = match event {
                Event::Message { kind, payload, compressed } => {
                    messages += 1;
                    if compressed || messages > CORKED_MAX {
                        cork.uncork();
                    }
                    self.message(kind, payload, compressed)
                }
                Event::Ping(payload) => {
                    let pong = frame::encode(Opcode::Pong, &payload);
                    self.controls.note(now_ms).map_or_else(
                        || {
                            self.closing(
                                Disconnect::new(Reason::PolicyViolation)
                                    .with_text("too many control frames"),
                            )
                        },
                        |()| {
                            self.hub.control(&self.session, pong);
                            self.step_of(Flow::Next)
                        },
                    )
                }
                Event::Pong(_) => self.controls.note(now_ms).map_or_else(
                    || {
                        self.closing(
                            Disconnect::new(Reason::PolicyViolation)
                                .with_text("too many control frames"),
                        )
                    },
                    |()| Step::Read,
                ),
                Event::Close(close) => {
                    let code = close.map_or(1000, |(code, _)| code);
                    self.heard_close(code)
                }
            };
            if !matches!(step, Step::Read) {
                self.held = rest.to_vec();
                self.note_memory();
                return step;
            }
            input = rest;
        }
        self.note_started_frame(now_ms, had_message);
        let is_incomplete = self.note_memory() > 0;
        if is_incomplete && self.hub.memory().pressure() >= Pressure::RefuseSessions {
            return self.closing(Disconnect::new(Reason::Shed));
        }
        Step::Read
    }

    /// Counts what is kept of a message that is not whole, and what waits to be decoded. Returns the
    /// former.
    fn note_memory(&mut self) -> usize {
        let incomplete = self.decoder.bytes_held();
        self.memory.set(incomplete + self.held.capacity());
        incomplete
    }

    fn message(&mut self, kind: DataKind, payload: Payload<'_>, compressed: bool) -> Step {
        self.hub.counters().messages_received.add(1);
        if self.session.outbox.state() == State::Closing {
            return Step::Read;
        }
        let payload = match compressed.then(|| self.inflate(kind, &payload)) {
            None => payload,
            Some(Ok(message)) => Payload::Owned(message),
            Some(Err(error)) => {
                tracing::debug!(session = %self.session.id, %error, "closing a session");
                return self.closing(error.disconnect());
            }
        };
        let flow = self.dialect.message(&self.hub, &self.session, kind, payload);
        self.step_of(flow)
    }

    fn inflate(&self, kind: DataKind, payload: &[u8]) -> Result<Vec<u8>, InflateError> {
        let began = Instant::now();
        let message = frame::inflate(kind, payload, self.decoder.message_bytes_max());
        let output_bytes = message.as_ref().map_or(0, Vec::len);
        self.hub.counters().inflate.note(payload.len(), output_bytes, began.elapsed());
        message
    }

    /// For the sweep: since when a frame or a message has been coming in without an end. A ping between
    /// two fragments does not start the time over.
    fn note_started_frame(&mut self, now_ms: u64, had_message: bool) {
        match self.decoder.is_idle() {
            true => self.session.times.frame_done(),
            false => self.session.times.frame_open(now_ms, had_message),
        }
    }

    fn step_of(&self, flow: Flow) -> Step {
        match flow {
            Flow::Next if self.session.replies() >= REPLIES_MAX => Step::Replies,
            Flow::Next => Step::Read,
            Flow::Wait(wait) => Step::Wait(wait),
            Flow::Close(disconnect) => self.closing(disconnect),
        }
    }

    fn closing(&self, disconnect: Disconnect) -> Step {
        self.session.close_unheard();
        self.hub.close(self.session.clone(), disconnect);
        Step::Discard
    }

    fn violated(&self, violation: &Violation) -> Step {
        tracing::debug!(session = %self.session.id, %violation, "closing a session");
        self.closing(Disconnect::new(violation.reason()).with_text(violation.to_string()))
    }

    /// The peer closes: we answer with its code (RFC 6455 section 5.5.1). Data that is queued for it
    /// is dropped, it has said that it wants no more.
    fn heard_close(&self, code: u16) -> Step {
        self.session.close_heard();
        let disconnect = Disconnect::new(Reason::ClientClosed).with_code(code);
        self.hub.close(self.session.clone(), disconnect);
        Step::Discard
    }

    /// After what was read last, what was read with it.
    fn go_on(&mut self, flow: Flow) -> Step {
        match self.step_of(flow) {
            Step::Read => {
                let held = std::mem::take(&mut self.held);
                self.take_held(held)
            }
            step => step,
        }
    }
}

impl Drop for Connection {
    /// A panic in the middle of it ends this session alone, with 1011; somebody still has to read
    /// until the peer has taken that.
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        match runtime {
            Ok(runtime) if std::thread::panicking() => {
                let (hub, session) = (self.hub.clone(), self.session.clone());
                hub.counters().panics.note_if_panicking(Culprit::Connection);
                tracing::error!(session = %session.id, "a panic ends this session");
                session.close_unheard();
                hub.close(session.clone(), Disconnect::new(Reason::InternalError));
                let left = Left { hub, session };
                runtime.spawn(async move { discard(&left.session).await });
            }
            _ => self.hub.end(&self.session),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_costs_little() {
        // The allocator has 208 after 192. Up to 32 bytes of a task are a runtime's own in any case.
        assert!(size_of::<Connection>() <= 208, "{}", size_of::<Connection>());
        assert!(size_of::<Run>() <= 24, "{}", size_of::<Run>());
    }
}
