//! One session gets something: directly if its outbox is idle, into the outbox otherwise.
//!
//! This is where a delivery is paid for: one load, one write. Everything else here happens only for
//! a session that is behind or ends: its publications get labels, so that its outbox can apply the
//! policy of each one's channel.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::encoded::Encoded;
use super::endings::{self, Waiting};
use super::pass::Batch;
use super::prepared::Prepared;
use super::roster::LetterNumber;
use super::session::Session;
use super::shared::Shared;
use super::writing::start_writer;
use crate::base::disconnect::{Disconnect, Reason};
use crate::base::loss::{DropCause, Dropped};
use crate::base::trace::Ways;
use crate::outbox::queue::{Labelled, Loss, Losses, Squeeze};
use crate::outbox::state::{Closing, Offered, State};
use crate::protocol::{Form, WireFormat, json};

/// Publications of one batch that one session is to get.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) range: Range<usize>,
}

/// What a lane needs to deliver, and what it counts. The counts go to the shared counters once a turn.
#[derive(Debug)]
pub(crate) struct Delivery {
    index: usize,
    shared: Arc<Shared>,
    tally: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    deliveries: u64,
    bytes: u64,
    writes: u64,
    blocked: u64,
    discarded: u64,
}

impl Delivery {
    pub(crate) fn new(index: usize, shared: Arc<Shared>) -> Self {
        Self { index, shared, tally: Tally::default() }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Publications of a channel, most often one piece.
    #[inline]
    pub(crate) fn publications(&mut self, session: &Arc<Session>, pieces: &[Piece<'_>]) {
        match session.outbox.state() {
            State::Idle => self.write(session, pieces),
            State::Parked => self.offer(session, pieces),
            State::Closing | State::Closed => {}
        }
    }

    /// The same, and which way it went.
    pub(crate) fn publications_watched(
        &mut self,
        session: &Arc<Session>,
        pieces: &[Piece<'_>],
    ) -> Ways {
        let Tally { writes, blocked, .. } = self.tally;
        let was_behind = session.outbox.state() == State::Parked;
        self.publications(session, pieces);
        let (writes, blocked) = (self.tally.writes - writes, self.tally.blocked - blocked);
        let is_over = matches!(session.outbox.state(), State::Closing | State::Closed);
        let mut ways = Ways { writes, ..Ways::default() };
        match (writes, blocked) {
            (1, 0) if !is_over => ways.direct = 1,
            (1, 1) => ways.outbox = 1,
            (0, _) if was_behind && !is_over => ways.outbox = 1,
            _ => ways.gone = 1,
        }
        ways
    }

    #[inline]
    fn write(&mut self, session: &Arc<Session>, pieces: &[Piece<'_>]) {
        let Some(socket) = session.socket() else { return };
        let (len, written) = match pieces {
            [piece] => {
                let bytes = piece.batch.bytes(session.form, &piece.range);
                (bytes.len(), socket.try_write(bytes))
            }
            pieces => {
                let slices: Vec<IoSlice<'_>> = pieces
                    .iter()
                    .map(|piece| IoSlice::new(piece.batch.bytes(session.form, &piece.range)))
                    .collect();
                (slices.iter().map(|slice| slice.len()).sum(), socket.try_write_vectored(&slices))
            }
        };
        self.tally.writes += 1;
        match written {
            Ok(written) if written == len => {
                self.tally.deliveries += pieces.iter().map(|p| p.range.len() as u64).sum::<u64>();
                self.tally.bytes += len as u64;
            }
            Ok(written) => self.park(session, pieces, written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.park(session, pieces, 0);
            }
            Err(_) => broken(session, &self.shared),
        }
    }

    /// The socket took only `written` bytes: the rest waits in the outbox, and a writer begins.
    fn park(&mut self, session: &Arc<Session>, pieces: &[Piece<'_>], written: usize) {
        self.tally.blocked += 1;
        let mut publications = publications(pieces);
        let count: usize = pieces.iter().map(|piece| piece.range.len()).sum();
        let mut left = count;
        let mut skip = written;
        let mut remainder = None;
        // `written` was less than all, so there is a frame that is not through. One that was not
        // begun is subject to the bounds like those behind it.
        while skip > 0
            && let Some((prepared, _)) = publications.next()
        {
            left -= 1;
            let frame = prepared.frame(session.form, &self.shared);
            if skip < frame.len() {
                remainder = Some(frame.slice(skip..));
                break;
            }
            skip -= frame.len();
        }
        self.tally.bytes += written as u64;
        let (form, now_ms) = (session.form, self.shared.clock.now_ms());
        let frames = publications.map(|publication| labelled(publication, form, &self.shared));
        let bounds = self.shared.outbox_bounds();
        let offered = session.outbox.park(remainder, frames, &bounds, now_ms, &self.shared.memory);
        self.tally.deliveries += (count - left) as u64;
        if matches!(offered, Offered::Taken { .. }) {
            start_writer(session, &self.shared);
        }
        self.settle(session, offered, left);
    }

    fn offer(&mut self, session: &Arc<Session>, pieces: &[Piece<'_>]) {
        let now_ms = self.shared.clock.now_ms();
        let frames = publications(pieces)
            .map(|publication| labelled(publication, session.form, &self.shared));
        let bounds = self.shared.outbox_bounds();
        match session.outbox.offer(frames, &bounds, now_ms, &self.shared.memory) {
            Offered::Idle => self.write(session, pieces),
            offered => {
                let count = pieces.iter().map(|piece| piece.range.len()).sum();
                self.settle(session, offered, count);
            }
        }
    }

    /// Counts what became of `count` frames, and ends a session that is too far behind.
    fn settle(&mut self, session: &Arc<Session>, offered: Offered, count: usize) {
        if let Offered::Taken { dropped, refused } = offered {
            // Of those that were taken, the others dropped were deliveries before.
            self.tally.deliveries += count as u64 - dropped.of(DropCause::Newest);
            self.tally.discarded += refused as u64;
            if dropped != Dropped::default() {
                self.shared.counters.lanes()[self.index].note_dropped(&dropped);
            }
            if refused > 0 {
                self.overflow(session);
            }
        }
    }

    /// Ends a session that cannot be given what it has to get.
    fn overflow(&mut self, session: &Arc<Session>) {
        let reason = match self.shared.outbox_bounds().squeeze {
            Squeeze::All => Reason::Shed,
            _ => Reason::SlowConsumer,
        };
        self.close(session, &Disconnect::new(reason), true);
    }

    /// A message to this session alone.
    pub(crate) fn push(&mut self, session: &Arc<Session>, prepared: &Arc<Prepared>) {
        let batch = Batch::of_one(prepared.clone(), session.form, &self.shared);
        self.publications(session, &[Piece { batch: &batch, range: 0..1 }]);
    }

    /// A control frame or a reply: ahead of queued data.
    pub(crate) fn control(&mut self, session: &Arc<Session>, frame: Bytes) {
        let offered = match session.outbox.state() {
            State::Idle => Offered::Idle,
            State::Parked => session.outbox.offer_control(frame.clone(), &self.shared.memory),
            State::Closing | State::Closed => Offered::Closed,
        };
        self.settle_control(session, frame, offered);
    }

    /// A reply that begins or ends a membership: behind the data queued before it. One that begins
    /// could not go ahead either: whoever leaves and comes back while behind would get it before the
    /// end of the first membership.
    ///
    /// What the session missed rides on it, as one piece: it gets all of it or ends.
    pub(crate) fn membership_reply(
        &mut self,
        session: &Arc<Session>,
        frame: Bytes,
        replay: &[Arc<Encoded>],
    ) {
        let now_ms = self.shared.clock.now_ms();
        let frame = match replay {
            [] => frame,
            replay => self.with_replay(session.form, frame, replay, now_ms),
        };
        let bounds = self.shared.outbox_bounds();
        let offered =
            session.outbox.offer_behind(frame.clone(), &bounds, now_ms, &self.shared.memory);
        self.settle_control(session, frame, offered);
    }

    /// What has outlived its time is told as a loss, ahead of the rest.
    fn with_replay(
        &mut self,
        form: Form,
        frame: Bytes,
        replay: &[Arc<Encoded>],
        now_ms: u64,
    ) -> Bytes {
        let mut bytes = BytesMut::from(frame);
        let mut dropped = Dropped::default();
        let mut losses = Losses::default();
        // The expired ones too: what was dropped for its age is taken off them (see the counters).
        self.tally.deliveries += replay.len() as u64;
        for gone in replay.iter().filter(|missed| missed.is_expired(now_ms)) {
            dropped.note(DropCause::Expired);
            let label = gone.label(|| self.shared.policy());
            losses.note(label, DropCause::Expired);
        }
        let told = losses.pop().and_then(|loss| gap_frame(form.format, &loss));
        told.iter().for_each(|gap| bytes.extend_from_slice(gap));
        for missed in replay.iter().filter(|missed| !missed.is_expired(now_ms)) {
            bytes.extend_from_slice(missed.frame(form, &self.shared));
        }
        if dropped != Dropped::default() {
            self.shared.counters.lanes()[self.index].note_dropped(&dropped);
        }
        bytes.freeze()
    }

    fn settle_control(&mut self, session: &Arc<Session>, frame: Bytes, offered: Offered) {
        match offered {
            Offered::Idle => self.write_control(session, frame),
            Offered::Taken { refused: 0, .. } | Offered::Closed => {}
            Offered::Taken { .. } => self.overflow(session),
        }
    }

    fn write_control(&mut self, session: &Arc<Session>, frame: Bytes) {
        let Some(rest) = write_now(session, frame, &self.shared).filter(|rest| !rest.is_empty())
        else {
            return;
        };
        let now_ms = self.shared.clock.now_ms();
        let offered = session.outbox.park(
            Some(rest),
            std::iter::empty(),
            &self.shared.outbox_bounds(),
            now_ms,
            &self.shared.memory,
        );
        if matches!(offered, Offered::Taken { .. }) {
            start_writer(session, &self.shared);
        }
    }

    /// Begins to end a session: its last frame is the close.
    pub(crate) fn close(&mut self, session: &Arc<Session>, disconnect: &Disconnect, discard: bool) {
        let waiting = Waiting::of(session, disconnect.reason());
        let close = session.form.format.close(disconnect);
        let closing = session.outbox.begin_close(close, discard, &self.shared.memory);
        if closing != Closing::Already {
            endings::decided(session, disconnect, waiting, &self.shared);
            session.times.closing(self.shared.clock.now_ms());
        }
        match closing {
            Closing::Write(close) => self.write_close(session, close),
            Closing::Queued { dropped } => self.tally.discarded += dropped as u64,
            Closing::Already => {}
        }
    }

    fn write_close(&mut self, session: &Arc<Session>, close: Bytes) {
        let Some(rest) = write_now(session, close, &self.shared) else { return };
        if rest.is_empty() {
            return session.close_written();
        }
        if session.outbox.park_close(rest, &self.shared.memory) {
            start_writer(session, &self.shared);
        }
    }

    /// Adds the turn's counts to the shared ones.
    pub(crate) fn publish_tally(&mut self) {
        let tally = std::mem::take(&mut self.tally);
        let counters = &self.shared.counters.lanes()[self.index];
        for (counter, n) in [
            (&counters.deliveries, tally.deliveries),
            (&counters.delivery_bytes, tally.bytes),
            (&counters.writes, tally.writes),
            (&counters.writes_blocked, tally.blocked),
            (&counters.discarded, tally.discarded),
        ] {
            if n > 0 {
                counter.add(n);
            }
        }
    }
}

type Numbered = (Arc<Prepared>, LetterNumber);

fn publications<'a>(pieces: &'a [Piece<'a>]) -> impl Iterator<Item = &'a Numbered> {
    pieces.iter().flat_map(|piece| piece.batch.publications(&piece.range))
}

/// A publication for an outbox.
fn labelled((prepared, _): &Numbered, form: Form, shared: &Shared) -> Labelled {
    let label = prepared.encoded.label(|| shared.policy());
    (prepared.frame(form, shared).clone(), Some(label.clone()))
}

/// Writes what the socket takes of a frame; the rest comes back. `None` if the session is over.
fn write_now(session: &Arc<Session>, frame: Bytes, shared: &Shared) -> Option<Bytes> {
    match session.socket()?.try_write(&frame) {
        Ok(written) => Some(frame.slice(written..)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(frame),
        Err(_) => {
            broken(session, shared);
            None
        }
    }
}

/// The socket does not take anything any more: the reader will see it too and take the session down.
pub(super) fn broken(session: &Session, shared: &Shared) {
    endings::broke_off(session, shared);
    session.kill();
}

/// What tells a session of a loss; nothing where its protocol has no place for that, or where no
/// channel can be named.
pub(super) fn gap_frame(format: WireFormat, loss: &Loss) -> Option<Bytes> {
    let channel = loss.label.channel.as_ref()?;
    if format == WireFormat::Raw {
        return None;
    }
    let Loss { count, from_offset, to_offset, cause, .. } = *loss;
    Some(format.text(&json::encode_gap(channel, count, from_offset, to_offset, cause.name())))
}
