//! The bounded queue, and the outbox around it, with all policies at once: nothing doubled or out of
//! order, every loss told, every refusal explained by the bounds, the bounds never passed.

mod frames;
mod queue;

use std::collections::VecDeque;

use arbitrary::{Arbitrary, Unstructured};
use bytes::{Buf as _, Bytes};
use fanfare::fuzzing::{
    Answer, Bounds, CONTROL_BYTES_MAX, CloseBegun, Frame, Outbox, OutboxState, Writer, WriterNext,
};
use frames::{Kind, STREAMS};

const BYTES_MAX: usize = 300;
const FRAMES_MAX: usize = 6;
const AGE_MAX_MS: u64 = 30;

#[derive(Arbitrary, Debug)]
struct Input {
    queue: Vec<queue::Operation>,
    outbox: Vec<Operation>,
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let bounds = Bounds::new(BYTES_MAX, FRAMES_MAX);
    queue::check(&input.queue, &bounds);
    let mut model = Model::new(bounds);
    for operation in input.outbox.iter().take(200) {
        model.step(operation);
    }
    model.finish();
}

/// What happens to a session.
#[derive(Arbitrary, Debug)]
enum Operation {
    /// The lane has data of a stream. The socket would take `room` bytes. With `late` the lane had
    /// read `Parked` before the writer ended.
    Data { frames: [u8; 3], count: u8, stream: u8, room: u16, late: bool },
    /// The lane has a reply.
    Control { len: u8, room: u16, late: bool },
    /// The lane has a reply that must not overtake.
    Behind { len: u8, room: u16 },
    /// The writer's write is done, and it takes the next batch.
    Writer,
    /// The socket is there.
    Open,
    /// The lane closes.
    Close { discard: bool, room: u16 },
    /// Somebody ends it.
    Kill,
}

/// A lane, a writer and a socket around an outbox.
struct Model {
    outbox: Outbox,
    bounds: Bounds,
    now_ms: u64,
    /// Everything that the socket took.
    socket: Vec<u8>,
    is_open: bool,
    writer: Option<VecDeque<Bytes>>,
    is_killed: bool,
    /// Publications, replies among them, and control frames that were taken.
    taken: Vec<u32>,
    taken_behind: Vec<u32>,
    taken_control: Vec<u32>,
    /// Publications dropped by policies.
    dropped: u64,
    /// Publications that were taken and then dropped for a close.
    discarded: usize,
    /// Whether what there was to tell was dropped too.
    is_discarded: bool,
    close: Option<u32>,
    next: u32,
}

impl Model {
    fn new(bounds: Bounds) -> Self {
        Self {
            outbox: Outbox::default(),
            bounds,
            now_ms: 0,
            socket: Vec::new(),
            is_open: false,
            writer: None,
            is_killed: false,
            taken: Vec::new(),
            taken_behind: Vec::new(),
            taken_control: Vec::new(),
            dropped: 0,
            discarded: 0,
            is_discarded: false,
            close: None,
            next: 0,
        }
    }

    fn frame(&mut self, kind: Kind, len: u8) -> (u32, Bytes) {
        self.next += 1;
        (self.next, frames::encode(kind, 0, self.next, len))
    }

    fn step(&mut self, operation: &Operation) {
        self.now_ms += 1;
        match *operation {
            Operation::Data { frames: lens, count, stream, room, late } => {
                let mut batch = Vec::new();
                for len in &lens[..usize::from(count % 4)] {
                    self.next += 1;
                    let stream = stream % STREAMS as u8;
                    batch.push((self.next, frames::data(stream, self.next, *len, self.now_ms)));
                }
                self.data(batch, room.into(), late);
            }
            Operation::Control { len, room, late } => self.control(len, room.into(), late),
            Operation::Behind { len, room } => self.behind(len, room.into()),
            Operation::Writer => self.write(),
            Operation::Open if !self.is_open => {
                self.is_open = true;
                if self.outbox.open() {
                    self.start_writer();
                }
            }
            Operation::Open => {}
            Operation::Close { discard, room } => self.close(discard, room.into()),
            Operation::Kill => {
                assert_eq!(self.outbox.close(), !self.is_killed, "the first call says so");
                self.is_killed = true;
            }
        }
        self.check();
    }

    /// What holds at any time.
    fn check(&self) {
        let state = self.outbox.state();
        if self.is_killed {
            assert_eq!((state, self.outbox.lag()), (OutboxState::Closed, None));
            return;
        }
        assert_ne!(state, OutboxState::Closed);
        match (state, self.outbox.lag()) {
            (OutboxState::Idle, lag) => assert!(lag.is_none() && self.writer.is_none()),
            (OutboxState::Parked, lag) => {
                // Before the socket is there, nothing may have been offered yet.
                assert!(lag.is_some() || !self.is_open, "parked without a queue");
                assert_eq!(self.writer.is_some(), self.is_open, "parked, so somebody writes");
            }
            (_, Some(_)) => assert_eq!(self.writer.is_some(), self.is_open, "somebody writes"),
            (_, None) => assert!(self.writer.is_none()),
        }
        if let Some((bytes, frames, _)) = self.outbox.lag() {
            // Beyond the bounds: one begun frame, and replies that no policy drops.
            assert!(bytes <= BYTES_MAX + CONTROL_BYTES_MAX + 262, "{bytes} bytes");
            assert!(frames <= FRAMES_MAX + 1 + self.taken_behind.len());
        }
    }

    fn start_writer(&mut self) {
        assert!(self.writer.is_none(), "two writers");
        self.writer = Some(VecDeque::new());
    }

    /// As `hub::deliver` does it.
    fn data(&mut self, batch: Vec<(u32, Frame)>, room: usize, late: bool) {
        if batch.is_empty() {
            return;
        }
        let frames = || batch.iter().map(|(_, frame)| frame.clone());
        let answer = match self.outbox.state() {
            OutboxState::Idle if !late => Answer::Idle,
            OutboxState::Idle | OutboxState::Parked => {
                self.outbox.offer(frames(), &self.bounds, self.now_ms)
            }
            OutboxState::Closing | OutboxState::Closed => return,
        };
        let ids: Vec<u32> = batch.iter().map(|(id, _)| *id).collect();
        match answer {
            Answer::Idle => {}
            Answer::Taken { dropped, refused } => return self.settle(&ids, dropped, refused),
            Answer::Closed => unreachable!("it is neither closing nor closed"),
        }
        // A direct write.
        let whole: Vec<u8> = frames().flat_map(|frame| frame.bytes).collect();
        let written = room.min(whole.len());
        self.socket.extend(&whole[..written]);
        let (mut skip, mut at) = (written, 0);
        while at < batch.len() && skip >= batch[at].1.bytes.len() {
            skip -= batch[at].1.bytes.len();
            at += 1;
        }
        self.taken.extend(&ids[..at]);
        if at == batch.len() {
            return;
        }
        let remainder = (skip > 0).then(|| batch[at].1.bytes.slice(skip..));
        if remainder.is_some() {
            self.taken.push(ids[at]);
            at += 1;
        }
        let rest = batch[at..].iter().map(|(_, frame)| frame.clone());
        match self.outbox.park(remainder, rest, &self.bounds, self.now_ms) {
            Answer::Taken { dropped, refused } => {
                self.start_writer();
                self.settle(&ids[at..], dropped, refused);
            }
            answer => panic!("idle, and park says {answer:?}"),
        }
    }

    /// What was not taken ends the session; what was taken arrives, or is dropped, or discarded.
    fn settle(&mut self, ids: &[u32], dropped: u64, refused: usize) {
        self.taken.extend(&ids[..ids.len() - refused]);
        self.dropped += dropped;
        if refused > 0 {
            self.close(true, 0);
        }
    }

    fn control(&mut self, len: u8, room: usize, late: bool) {
        let (id, frame) = self.frame(Kind::Control, len);
        let answer = match self.outbox.state() {
            OutboxState::Idle if !late => Answer::Idle,
            OutboxState::Idle | OutboxState::Parked => self.outbox.offer_control(frame.clone()),
            OutboxState::Closing | OutboxState::Closed => return,
        };
        match answer {
            Answer::Idle => self.write_directly(id, &frame, room, Kind::Control),
            Answer::Taken { refused: 0, .. } => self.taken_control.push(id),
            Answer::Taken { .. } => self.close(true, 0),
            Answer::Closed => unreachable!("it is neither closing nor closed"),
        }
    }

    fn behind(&mut self, len: u8, room: usize) {
        let (id, frame) = self.frame(Kind::Behind, len);
        match self.outbox.offer_behind(frame.clone(), &self.bounds, self.now_ms) {
            Answer::Idle => self.write_directly(id, &frame, room, Kind::Behind),
            Answer::Taken { refused: 0, .. } => self.taken_behind.push(id),
            Answer::Taken { .. } => self.close(true, 0),
            Answer::Closed => assert!(self.is_killed || self.close.is_some()),
        }
    }

    fn write_directly(&mut self, id: u32, frame: &Bytes, room: usize, kind: Kind) {
        match kind {
            Kind::Control => self.taken_control.push(id),
            _ => self.taken_behind.push(id),
        }
        let written = room.min(frame.len());
        self.socket.extend(&frame[..written]);
        if written < frame.len() {
            let rest = Some(frame.slice(written..));
            let answer = self.outbox.park(rest, std::iter::empty(), &self.bounds, self.now_ms);
            assert_eq!(answer, Answer::Taken { dropped: 0, refused: 0 });
            self.start_writer();
        }
    }

    fn close(&mut self, discard: bool, room: usize) {
        let (id, frame) = self.frame(Kind::Close, 2);
        match self.outbox.begin_close(frame, discard) {
            CloseBegun::Already => {
                assert!(self.is_killed || self.close.is_some());
                return;
            }
            CloseBegun::Queued(dropped) => {
                self.discarded += dropped;
                self.is_discarded |= discard;
            }
            CloseBegun::Write(frame) => {
                let written = room.min(frame.len());
                self.socket.extend(&frame[..written]);
                if written < frame.len() {
                    assert!(self.outbox.park_close(frame.slice(written..)));
                    self.start_writer();
                }
            }
        }
        assert_eq!(self.close.replace(id), None, "closed twice");
    }

    fn write(&mut self) {
        let Some(mut batch) = self.writer.take() else { return };
        while let Some(mut bytes) = batch.pop_front() {
            if !self.is_killed {
                self.socket.extend(bytes.copy_to_bytes(bytes.len()));
            }
        }
        let (now_ms, age_max_ms) = (self.now_ms, AGE_MAX_MS);
        let writer = Writer { now_ms, age_max_ms, tell: &frames::gap };
        match self.outbox.take(&mut batch, &writer, &mut self.dropped) {
            WriterNext::Write => self.writer = Some(batch),
            WriterNext::Idle => assert_eq!(self.outbox.state(), OutboxState::Idle),
            WriterNext::CloseWritten => assert!(self.close.is_some()),
            WriterNext::Closed => assert!(self.is_killed),
        }
    }

    /// Lets the writer write everything, then reads what the socket took.
    fn finish(mut self) {
        if !self.is_open {
            self.step(&Operation::Open);
        }
        while self.writer.is_some() {
            self.write();
        }
        let seen = frames::parse(&self.socket, self.is_killed);
        let of = |kind| frames::ids(&seen, kind);
        let (data, behind, control) = (of(Kind::Data), of(Kind::Behind), of(Kind::Control));
        frames::check_order(&seen);
        assert!(control.is_sorted_by(|a, b| a < b), "doubled or out of order: {control:?}");
        assert!(data.iter().all(|id| self.taken.contains(id)), "not taken, and arrived");
        assert!(behind.iter().all(|id| self.taken_behind.contains(id)));
        assert!(control.iter().all(|id| self.taken_control.contains(id)));
        if let Some(at) = seen.iter().position(|seen| seen.kind == Kind::Close) {
            assert_eq!(at + 1, seen.len(), "something after the close");
        }
        let told = frames::told(&seen);
        assert!(told <= self.dropped, "told of what was not lost");
        if self.is_killed {
            return;
        }
        assert_eq!(of(Kind::Close), Vec::from_iter(self.close), "the close");
        assert_eq!(control, self.taken_control, "a reply is lost");
        let lost = self.taken.len() - data.len();
        assert_eq!(lost as u64, self.dropped + self.discarded as u64, "a message without a fate");
        if !self.is_discarded {
            assert_eq!(behind, self.taken_behind, "a reply is lost");
            assert_eq!(told, self.dropped, "lost and not told");
        }
    }
}
