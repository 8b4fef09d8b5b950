//! The queue as a plain value: whatever its policies drop, every message has one fate, what is lost
//! is told, control frames and replies arrive, and the bounds hold.

use std::collections::VecDeque;

use arbitrary::Arbitrary;
use bytes::Bytes;
use fanfare::fuzzing::{Bounds, CONTROL_BYTES_MAX, Queue, Verdict, Writer};

use super::frames::{self, Kind, STREAMS, Seen};
use super::{AGE_MAX_MS, BYTES_MAX, FRAMES_MAX};

#[derive(Arbitrary, Debug)]
pub enum Operation {
    Data { stream: u8, len: u8 },
    Control(u16),
    Behind(u8),
    Take(u8),
    Wait(u8),
}

/// Runs the operations, then takes all that is left.
pub fn check(operations: &[Operation], bounds: &Bounds) {
    let mut check = Check { bounds: *bounds, ..Check::default() };
    for operation in operations.iter().take(300) {
        check.step(operation);
        check.fates();
    }
    while !check.queue.is_empty() {
        check.take(1_000);
    }
    check.fates();
    assert_eq!(frames::told(&check.seen), check.queue.dropped(), "told is what was lost");
    frames::check_order(&check.seen);
    assert_eq!(frames::ids(&check.seen, Kind::Behind), check.behind, "a reply is lost");
    let kept = |seen: &Seen| seen.kind == Kind::Data && seen.stream == 0;
    assert_eq!(check.seen.iter().filter(|seen| kept(seen)).count(), check.kept, "by no policy");
}

struct Check {
    queue: Queue,
    bounds: Bounds,
    now_ms: u64,
    next: u32,
    seen: Vec<Seen>,
    /// Publications let in or dropped; those of the stream that may not lose one.
    offered: u64,
    kept: usize,
    /// Replies among the data that were let in, and those that wait or are in hand.
    behind: Vec<u32>,
    control: VecDeque<Bytes>,
    in_hand: Vec<Kind>,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            queue: Queue::default(),
            bounds: Bounds::new(BYTES_MAX, FRAMES_MAX),
            now_ms: 0,
            next: 0,
            seen: Vec::new(),
            offered: 0,
            kept: 0,
            behind: Vec::new(),
            control: VecDeque::new(),
            in_hand: Vec::new(),
        }
    }
}

impl Check {
    fn step(&mut self, operation: &Operation) {
        self.next += 1;
        let id = self.next;
        match *operation {
            Operation::Data { stream, len } => self.data(stream % STREAMS as u8, id, len),
            Operation::Control(len) => {
                // Never a pong: those replace each other.
                let frame = Bytes::from(vec![2; usize::from(len)]);
                let bytes = self.control.iter().map(Bytes::len).sum::<usize>();
                let fits = bytes + frame.len() <= CONTROL_BYTES_MAX;
                let verdict = self.queue.push_control(frame.clone());
                assert_eq!(verdict, if fits { Verdict::Queued } else { Verdict::Overflow });
                if fits {
                    self.control.push_back(frame);
                }
            }
            Operation::Behind(len) => {
                let frame = frames::encode(Kind::Behind, 0, id, len);
                let fits = self.queue.bytes() + frame.len() <= BYTES_MAX + CONTROL_BYTES_MAX;
                let verdict = self.queue.push_behind(frame, &self.bounds, self.now_ms);
                assert_eq!(verdict, if fits { Verdict::Queued } else { Verdict::Overflow });
                if fits {
                    self.behind.push(id);
                }
            }
            Operation::Take(max) => self.take(usize::from(max) + 1),
            Operation::Wait(ms) => self.now_ms += u64::from(ms),
        }
    }

    fn data(&mut self, stream: u8, id: u32, len: u8) {
        let frame = frames::data(stream, id, len, self.now_ms);
        let (before, bytes, waiting) =
            (self.queue.dropped(), self.queue.bytes(), self.queue.frames());
        let fits = bytes + frame.bytes.len() <= BYTES_MAX && waiting < FRAMES_MAX;
        let verdict = self.queue.push_data(frame, &self.bounds, self.now_ms);
        let dropped = self.queue.dropped() - before;
        match verdict {
            Verdict::Queued => {
                assert!(self.queue.frames() > 0);
                assert!(self.queue.bytes() <= BYTES_MAX.max(bytes), "for a frame that is let in");
                assert!(self.queue.frames() <= FRAMES_MAX.max(waiting));
            }
            Verdict::Dropped => assert_eq!((dropped, self.queue.bytes()), (1, bytes), "in vain"),
            Verdict::Overflow => assert_eq!((stream, fits, dropped), (0, false, 0)),
        }
        self.offered += u64::from(verdict != Verdict::Overflow);
        self.kept += usize::from(stream == 0 && verdict == Verdict::Queued);
    }

    fn take(&mut self, bytes_max: usize) {
        let mut batch = VecDeque::new();
        let (now_ms, age_max_ms) = (self.now_ms, AGE_MAX_MS);
        self.queue.take(&mut batch, bytes_max, &Writer { now_ms, age_max_ms, tell: &frames::gap });
        self.in_hand.clear();
        let mut taken = 0;
        for bytes in batch {
            assert!(taken < bytes_max, "more than one frame over the bound");
            taken += bytes.len();
            if let Some(expected) = self.control.pop_front() {
                assert_eq!(bytes, expected, "control is not behind data");
                continue;
            }
            let seen = frames::parse(&bytes, false);
            self.in_hand.extend(seen.iter().map(|seen| seen.kind));
            self.seen.extend(seen);
        }
    }

    /// Every message that was let in or dropped was handed out, was dropped or waits.
    fn fates(&self) {
        let of = |kinds: &[Kind]| self.in_hand.iter().filter(|kind| kinds.contains(kind)).count();
        let handed_out = frames::ids(&self.seen, Kind::Data).len() as u64;
        let replies = self.behind.len() - frames::ids(&self.seen, Kind::Behind).len();
        let waiting = self.queue.frames() - of(&[Kind::Data, Kind::Behind]) - replies;
        assert_eq!(self.offered, handed_out + self.queue.dropped() + waiting as u64);
        let is_held = self.queue.held_since_ms().is_some();
        assert!(is_held || (of(&[Kind::Gap]) == 0 && of(&[Kind::Data]) == 0), "in hand unwatched");
    }
}
