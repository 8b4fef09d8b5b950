//! The bounded queue, and the outbox around it, against plain models: nothing lost, doubled or out of
//! order, every refusal explained by the bounds, the bounds never passed.

mod queue;

use std::collections::VecDeque;

use arbitrary::{Arbitrary, Unstructured};
use bytes::{Buf as _, Bytes};
use fanfare::base::limits::SlowConsumerPolicy;
use fanfare::fuzzing::{
    Answer, Bounds, CONTROL_BYTES_MAX, CloseBegun, Outbox, OutboxState, Verdict, WriterNext,
};

const BYTES_MAX: usize = 300;
const FRAMES_MAX: usize = 6;

#[derive(Arbitrary, Debug)]
struct Input {
    drops_newest: bool,
    queue: Vec<queue::Operation>,
    outbox: Vec<Operation>,
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let policy = match input.drops_newest {
        true => SlowConsumerPolicy::DropNewest,
        false => SlowConsumerPolicy::Disconnect,
    };
    let bounds = Bounds::new(BYTES_MAX, FRAMES_MAX, policy);
    let refused = if input.drops_newest { Verdict::Dropped } else { Verdict::Overflow };
    queue::check(&input.queue, &bounds, refused);
    let mut model = Model::new(bounds);
    for operation in input.outbox.iter().take(200) {
        model.step(operation);
    }
    model.finish();
}

/// What happens to a session.
#[derive(Arbitrary, Debug)]
enum Operation {
    /// The lane has data. The socket would take `room` bytes. With `late` the lane had read `Parked`
    /// before the writer ended.
    Data { frames: [u8; 3], count: u8, room: u16, late: bool },
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

/// The kinds of frame, and what is promised of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// In order.
    Data = 1,
    /// In order among themselves.
    Control = 2,
    /// In order with data.
    Behind = 3,
    /// The last.
    Close = 4,
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
    /// Data and what follows it, and control frames, that were taken: to arrive in this order.
    taken: Vec<u32>,
    taken_control: Vec<u32>,
    /// Frames that were taken and then dropped for a close.
    discarded: usize,
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
            taken_control: Vec::new(),
            discarded: 0,
            close: None,
            next: 0,
        }
    }

    fn frame(&mut self, kind: Kind, len: u8) -> (u32, Bytes) {
        self.next += 1;
        let mut bytes = vec![kind as u8];
        bytes.extend(self.next.to_be_bytes());
        bytes.push(len);
        bytes.extend(std::iter::repeat_n(self.next as u8, len.into()));
        (self.next, Bytes::from(bytes))
    }

    fn step(&mut self, operation: &Operation) {
        self.now_ms += 1;
        match *operation {
            Operation::Data { frames, count, room, late } => {
                let mut batch = Vec::new();
                for len in &frames[..usize::from(count % 4).min(3)] {
                    batch.push(self.frame(Kind::Data, *len));
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
                assert!(lag.is_some(), "parked without a queue");
                assert_eq!(self.writer.is_some(), self.is_open, "parked, so somebody writes");
            }
            (_, Some(_)) => assert_eq!(self.writer.is_some(), self.is_open, "somebody writes"),
            (_, None) => assert!(self.writer.is_none()),
        }
        if let Some((bytes, frames, _)) = self.outbox.lag() {
            // Beyond the bounds: one begun frame, and replies that no policy drops.
            assert!(bytes <= BYTES_MAX + CONTROL_BYTES_MAX + 261, "{bytes} bytes");
            assert!(frames <= FRAMES_MAX + 1 + self.taken.len());
        }
    }

    fn start_writer(&mut self) {
        assert!(self.writer.is_none(), "two writers");
        self.writer = Some(VecDeque::new());
    }

    /// As `hub::deliver` does it.
    fn data(&mut self, batch: Vec<(u32, Bytes)>, room: usize, late: bool) {
        if batch.is_empty() {
            return;
        }
        let frames = || batch.iter().map(|(_, bytes)| bytes.clone());
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
            Answer::Taken { dropped, overflow } => return self.settle(&ids, dropped, overflow),
            Answer::Closed => unreachable!("it is neither closing nor closed"),
        }
        // A direct write.
        let whole: Vec<u8> = frames().flatten().collect();
        let written = room.min(whole.len());
        self.socket.extend(&whole[..written]);
        let (mut skip, mut at) = (written, 0);
        while at < batch.len() && skip >= batch[at].1.len() {
            skip -= batch[at].1.len();
            at += 1;
        }
        self.taken.extend(&ids[..at]);
        if at == batch.len() {
            return;
        }
        let remainder = (skip > 0).then(|| batch[at].1.slice(skip..));
        if remainder.is_some() {
            self.taken.push(ids[at]);
            at += 1;
        }
        let rest = batch[at..].iter().map(|(_, bytes)| bytes.clone());
        match self.outbox.park(remainder, rest, &self.bounds, self.now_ms) {
            Answer::Taken { dropped, overflow } => {
                self.start_writer();
                self.settle(&ids[at..], dropped, overflow);
            }
            answer => panic!("idle, and park says {answer:?}"),
        }
    }

    /// `dropped` is how many the policy dropped; which, the bounds decide. An overflow ends it.
    fn settle(&mut self, ids: &[u32], dropped: usize, overflow: bool) {
        if overflow {
            // Those before the one that did not fit were taken, and are discarded with the rest.
            self.taken.extend(ids);
            return self.close(true, 0);
        }
        if dropped == 0 {
            self.taken.extend(ids);
        } else {
            // Found again by what arrives: `finish` allows gaps here.
            self.discarded += dropped;
            self.taken.extend(ids);
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
            Answer::Taken { overflow: false, .. } => self.taken_control.push(id),
            Answer::Taken { overflow: true, .. } => self.close(true, 0),
            Answer::Closed => unreachable!("it is neither closing nor closed"),
        }
    }

    fn behind(&mut self, len: u8, room: usize) {
        let (id, frame) = self.frame(Kind::Behind, len);
        match self.outbox.offer_behind(frame.clone(), &self.bounds, self.now_ms) {
            Answer::Idle => self.write_directly(id, &frame, room, Kind::Behind),
            Answer::Taken { overflow: false, .. } => self.taken.push(id),
            Answer::Taken { overflow: true, .. } => self.close(true, 0),
            Answer::Closed => assert!(self.is_killed || self.close.is_some()),
        }
    }

    fn write_directly(&mut self, id: u32, frame: &Bytes, room: usize, kind: Kind) {
        match kind {
            Kind::Control => self.taken_control.push(id),
            _ => self.taken.push(id),
        }
        let written = room.min(frame.len());
        self.socket.extend(&frame[..written]);
        if written < frame.len() {
            let rest = Some(frame.slice(written..));
            let answer = self.outbox.park(rest, std::iter::empty(), &self.bounds, self.now_ms);
            assert_eq!(answer, Answer::Taken { dropped: 0, overflow: false });
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
            CloseBegun::Queued(dropped) => self.discarded += dropped,
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
        match self.outbox.take(&mut batch) {
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
        let seen = parse(&self.socket, self.is_killed);
        let of = |wanted: &[Kind]| -> Vec<u32> {
            seen.iter().filter(|(kind, _)| wanted.contains(kind)).map(|(_, id)| *id).collect()
        };
        let data = of(&[Kind::Data, Kind::Behind]);
        let control = of(&[Kind::Control]);
        assert!(data.is_sorted_by(|a, b| a < b), "doubled or out of order: {data:?}");
        assert!(control.is_sorted_by(|a, b| a < b), "doubled or out of order: {control:?}");
        assert!(data.iter().all(|id| self.taken.contains(id)), "not taken, and arrived");
        assert!(control.iter().all(|id| self.taken_control.contains(id)));
        if let Some(at) = seen.iter().position(|(kind, _)| *kind == Kind::Close) {
            assert_eq!(at + 1, seen.len(), "something after the close");
        }
        if self.is_killed {
            return;
        }
        assert_eq!(of(&[Kind::Close]), Vec::from_iter(self.close), "the close");
        assert_eq!(control, self.taken_control, "a reply is lost");
        let lost = self.taken.len() - data.len();
        // An overflow counts the frame that did not fit and those behind it as neither.
        let slack = if self.close.is_some() { 3 } else { 0 };
        let expected = self.discarded..=self.discarded + slack;
        assert!(expected.contains(&lost), "{lost} lost, {expected:?} discarded");
    }
}

/// The frames that the socket took; only a killed session's may be cut off.
fn parse(mut bytes: &[u8], may_be_cut: bool) -> Vec<(Kind, u32)> {
    let mut seen = Vec::new();
    while !bytes.is_empty() {
        let whole = bytes.len() >= 6 && bytes.len() >= 6 + usize::from(bytes[5]);
        if !whole {
            assert!(may_be_cut, "a frame was begun and not finished");
            break;
        }
        let (frame, rest) = bytes.split_at(6 + usize::from(bytes[5]));
        let kind = match frame[0] {
            1 => Kind::Data,
            2 => Kind::Control,
            3 => Kind::Behind,
            4 => Kind::Close,
            other => panic!("no frame begins with {other}: frames are mixed up"),
        };
        let id = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]);
        assert!(frame[6..].iter().all(|byte| *byte == id as u8), "frames are mixed up");
        seen.push((kind, id));
        bytes = rest;
    }
    seen
}
