//! The bounded queue of a session that is behind. A plain value: one owner at a time.
//!
//! Order on the way out: the rest of a frame that the socket took in part, then control frames,
//! then data, then the close frame. So a pong or a reply never waits behind data, and nothing
//! follows a close.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::base::limits::SlowConsumerPolicy;

/// Most bytes of control frames that wait for one session. A peer that lets more replies pile up
/// does not read, whatever it sends.
pub(crate) const CONTROL_BYTES_MAX: usize = 64 << 10;

/// The first byte of a pong in one frame (RFC 6455 section 5.2).
const PONG: u8 = 0x8A;

/// What data may wait, and what happens to data that does not fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) bytes_max: usize,
    pub(crate) frames_max: usize,
    pub(crate) policy: SlowConsumerPolicy,
}

/// What became of a frame that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Pushed {
    /// It waits in the queue.
    Queued,
    /// It was dropped by policy.
    Dropped,
    /// It does not fit, and the policy is to end the session.
    Overflow,
}

#[derive(Debug)]
struct Entry {
    bytes: Bytes,
    queued_ms: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    remainder: Option<Entry>,
    control: VecDeque<Bytes>,
    control_bytes: usize,
    data: VecDeque<Entry>,
    /// Bytes of `remainder` and `data`.
    data_bytes: usize,
    /// Data bytes and frames that the writer took and has not yet written, and the age of the oldest.
    in_hand: InHand,
    close: Option<Bytes>,
}

#[derive(Debug, Default)]
struct InHand {
    bytes: usize,
    frames: usize,
    oldest_ms: Option<u64>,
}

impl Queue {
    /// Puts the rest of a partly written frame in front. It is not subject to bounds: a frame that
    /// was begun must be finished.
    pub(crate) fn set_remainder(&mut self, bytes: Bytes, now_ms: u64) {
        debug_assert!(self.remainder.is_none());
        self.data_bytes += bytes.len();
        self.remainder = Some(Entry { bytes, queued_ms: now_ms });
    }

    /// Offers a data frame.
    pub(crate) fn push_data(&mut self, bytes: Bytes, bounds: &Bounds, now_ms: u64) -> Pushed {
        let fits =
            self.bytes() + bytes.len() <= bounds.bytes_max && self.frames() < bounds.frames_max;
        if fits {
            self.data_bytes += bytes.len();
            self.data.push_back(Entry { bytes, queued_ms: now_ms });
            return Pushed::Queued;
        }
        match bounds.policy {
            SlowConsumerPolicy::Disconnect => Pushed::Overflow,
            SlowConsumerPolicy::DropNewest => Pushed::Dropped,
        }
    }

    /// Adds a control frame: a pong, a ping or a reply. At most one pong waits: only the latest ping
    /// needs an answer (RFC 6455 section 5.5.3).
    pub(crate) fn push_control(&mut self, bytes: Bytes) -> Pushed {
        if is_pong(&bytes)
            && let Some(at) = self.control.iter().position(is_pong)
            && let Some(older) = self.control.remove(at)
        {
            self.control_bytes -= older.len();
        }
        if self.control_bytes + bytes.len() > CONTROL_BYTES_MAX {
            return Pushed::Overflow;
        }
        self.control_bytes += bytes.len();
        self.control.push_back(bytes);
        Pushed::Queued
    }

    /// Adds a reply that has to follow the data queued before it: the end of a membership comes after
    /// the channel's last publication. No policy drops it.
    pub(crate) fn push_behind(&mut self, bytes: Bytes, bounds: &Bounds, now_ms: u64) -> Pushed {
        if self.bytes() + bytes.len() > bounds.bytes_max + CONTROL_BYTES_MAX {
            return Pushed::Overflow;
        }
        self.data_bytes += bytes.len();
        self.data.push_back(Entry { bytes, queued_ms: now_ms });
        Pushed::Queued
    }

    /// Ends the queue with a close frame. `discard` drops the data that waits, except the rest of a
    /// frame that was begun. Returns how many data frames were dropped.
    pub(crate) fn push_close(&mut self, close: Bytes, discard: bool) -> usize {
        let mut dropped = 0;
        if discard {
            dropped = self.data.len();
            self.data.clear();
            self.data_bytes = self.remainder.as_ref().map_or(0, |entry| entry.bytes.len());
        }
        self.close = Some(close);
        dropped
    }

    /// Moves frames for one write into `batch`, at least one if there is any, then up to `bytes_max`.
    /// What was taken before counts as written from now on.
    pub(crate) fn take(&mut self, batch: &mut VecDeque<Bytes>, bytes_max: usize) {
        self.in_hand = InHand::default();
        let mut taken = 0;
        if let Some(entry) = self.remainder.take() {
            taken += entry.bytes.len();
            self.hand_out(entry, batch);
        }
        while taken < bytes_max
            && let Some(bytes) = self.control.pop_front()
        {
            self.control_bytes -= bytes.len();
            taken += bytes.len();
            batch.push_back(bytes);
        }
        while taken < bytes_max
            && let Some(entry) = self.data.pop_front()
        {
            taken += entry.bytes.len();
            self.hand_out(entry, batch);
        }
        if self.control.is_empty() && self.data.is_empty() {
            batch.extend(self.close.take());
        }
    }

    fn hand_out(&mut self, entry: Entry, batch: &mut VecDeque<Bytes>) {
        self.data_bytes -= entry.bytes.len();
        self.in_hand.bytes += entry.bytes.len();
        self.in_hand.frames += 1;
        self.in_hand.oldest_ms.get_or_insert(entry.queued_ms);
        batch.push_back(entry.bytes);
    }

    /// Whether nothing waits. What the writer holds in hand does not count.
    pub(crate) fn is_empty(&self) -> bool {
        self.remainder.is_none()
            && self.control.is_empty()
            && self.data.is_empty()
            && self.close.is_none()
    }

    /// Data bytes that wait or are being written.
    pub(crate) fn bytes(&self) -> usize {
        self.data_bytes + self.in_hand.bytes
    }

    /// Data frames that wait or are being written.
    pub(crate) fn frames(&self) -> usize {
        self.data.len() + usize::from(self.remainder.is_some()) + self.in_hand.frames
    }

    /// When the oldest data frame that is not yet written came in.
    pub(crate) fn oldest_ms(&self) -> Option<u64> {
        let waiting = self.remainder.as_ref().or(self.data.front()).map(|entry| entry.queued_ms);
        self.in_hand.oldest_ms.or(waiting)
    }
}

fn is_pong(frame: &Bytes) -> bool {
    frame.first() == Some(&PONG)
}

#[cfg(all(test, not(fanfare_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bounds(policy: SlowConsumerPolicy) -> Bounds {
        Bounds { bytes_max: 100, frames_max: 8, policy }
    }

    fn frame(number: u8, len: usize) -> Bytes {
        Bytes::from(vec![number; len])
    }

    #[test]
    fn one_pong_waits_and_it_is_the_latest() {
        let mut queue = Queue::default();
        for frame in ["\u{1}a reply", "\u{1}another"] {
            let _ = queue.push_control(Bytes::from(frame));
        }
        for number in 0..100 {
            let pong = Bytes::from(vec![PONG, 1, number]);
            assert_eq!(queue.push_control(pong), Pushed::Queued);
        }
        let mut batch = VecDeque::new();
        queue.take(&mut batch, usize::MAX);
        assert_eq!(batch.len(), 3);
        assert_eq!(batch[2][..], [PONG, 1, 99]);
        assert_eq!(queue.control_bytes, 0);
    }

    #[derive(Clone, Debug)]
    enum Operation {
        Data(usize),
        Control(usize),
        Take(usize),
    }

    fn operations() -> impl Strategy<Value = Vec<Operation>> {
        let operation = prop_oneof![
            (1usize..40).prop_map(Operation::Data),
            (1usize..10).prop_map(Operation::Control),
            (1usize..60).prop_map(Operation::Take),
        ];
        proptest::collection::vec(operation, 0..300)
    }

    proptest! {
        /// Against the plainest model: two lists. Nothing lost, doubled or out of order, every
        /// refusal explained by the bounds, the bounds never passed.
        #[test]
        fn agrees_with_two_plain_lists(operations in operations(), drop_newest: bool) {
            let policy = if drop_newest { SlowConsumerPolicy::DropNewest } else { SlowConsumerPolicy::Disconnect };
            let bounds = bounds(policy);
            let mut queue = Queue::default();
            let (mut data, mut control) = (VecDeque::new(), VecDeque::new());
            let mut in_hand: Vec<usize> = Vec::new();
            for (number, operation) in operations.into_iter().enumerate() {
                match operation {
                    Operation::Data(len) => {
                        let frame = frame(number as u8, len);
                        let bytes: usize = data.iter().map(Bytes::len).sum::<usize>() + in_hand.iter().sum::<usize>();
                        let fits = bytes + len <= 100 && data.len() + in_hand.len() < 8;
                        let pushed = queue.push_data(frame.clone(), &bounds, 0);
                        prop_assert_eq!(pushed == Pushed::Queued, fits);
                        if fits { data.push_back(frame) }
                        else { prop_assert_eq!(pushed == Pushed::Dropped, drop_newest) }
                    }
                    Operation::Control(len) => {
                        let frame = frame(number as u8, len);
                        prop_assert_eq!(queue.push_control(frame.clone()), Pushed::Queued);
                        control.push_back(frame);
                    }
                    Operation::Take(max) => {
                        let mut batch = VecDeque::new();
                        queue.take(&mut batch, max);
                        in_hand.clear();
                        let mut taken = 0;
                        for bytes in batch {
                            prop_assert!(taken < max);
                            taken += bytes.len();
                            if let Some(expected) = control.pop_front() { prop_assert_eq!(bytes, expected) }
                            else {
                                in_hand.push(bytes.len());
                                prop_assert_eq!(Some(bytes), data.pop_front());
                            }
                        }
                        prop_assert!(taken >= max || (data.is_empty() && control.is_empty()));
                    }
                }
                prop_assert!(queue.bytes() <= 100 && queue.frames() <= 8);
            }
        }
    }

    #[test]
    fn the_begun_frame_comes_first_and_the_close_last() {
        let bounds = bounds(SlowConsumerPolicy::Disconnect);
        let mut queue = Queue::default();
        queue.set_remainder(frame(1, 5), 10);
        assert_eq!(queue.push_data(frame(2, 5), &bounds, 20), Pushed::Queued);
        assert_eq!(queue.push_close(frame(9, 2), false), 0);
        assert_eq!(queue.push_control(frame(3, 5)), Pushed::Queued);
        assert_eq!(queue.oldest_ms(), Some(10));
        let mut batch = VecDeque::new();
        queue.take(&mut batch, 12);
        assert_eq!(batch, [frame(1, 5), frame(3, 5), frame(2, 5), frame(9, 2)]);
        assert_eq!(queue.oldest_ms(), Some(10), "still being written");
        queue.take(&mut batch, 12);
        assert_eq!((queue.oldest_ms(), queue.bytes(), batch.len()), (None, 0, 4));
    }

    #[test]
    fn a_close_that_discards_keeps_the_begun_frame() {
        let bounds = bounds(SlowConsumerPolicy::Disconnect);
        let mut queue = Queue::default();
        queue.set_remainder(frame(1, 5), 0);
        assert_eq!(queue.push_data(frame(2, 5), &bounds, 0), Pushed::Queued);
        assert_eq!(queue.push_close(frame(9, 2), true), 1);
        let mut batch = VecDeque::new();
        queue.take(&mut batch, 1);
        assert_eq!(batch, [frame(1, 5), frame(9, 2)]);
    }

    #[test]
    fn replies_are_bounded_too() {
        let mut queue = Queue::default();
        while queue.push_control(frame(0, 1000)) == Pushed::Queued {
            assert!(queue.control_bytes <= CONTROL_BYTES_MAX);
        }
        assert_eq!(queue.control.len(), 65);
    }
}
