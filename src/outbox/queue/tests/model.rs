//! The queue against plain lists: any operations, all policies in one queue. What it hands out, what
//! it drops and what it tells is what the rules say, word for word, and every message has one fate.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One stream for each policy, with and without keys and times to live.
const STREAMS: [SlowConsumerPolicy; 5] = SlowConsumerPolicy::ALL;

#[derive(Clone, Debug)]
enum Operation {
    Data { stream: usize, len: usize, key: Option<u8>, lives_ms: Option<u64> },
    Control(usize),
    Behind(usize),
    Take(usize),
    Wait(u64),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let key = proptest::option::of(0u8..3);
    let lives_ms = proptest::option::weighted(0.2, 0u64..60);
    let data = (0..STREAMS.len(), 1usize..40, key, lives_ms);
    let operation = prop_oneof![
        6 => data.prop_map(|(stream, len, key, lives_ms)| {
            Operation::Data { stream, len, key, lives_ms }
        }),
        1 => (1usize..10).prop_map(Operation::Control),
        1 => (1usize..10).prop_map(Operation::Behind),
        2 => (1usize..60).prop_map(Operation::Take),
        2 => (0u64..40).prop_map(Operation::Wait),
    ];
    proptest::collection::vec(operation, 0..200)
}

/// A data frame, or a reply among them (`label` is `None`).
#[derive(Clone, Debug)]
struct Item {
    bytes: Bytes,
    label: Option<Arc<Label>>,
    queued_ms: u64,
}

impl Item {
    fn policy(&self) -> Option<SlowConsumerPolicy> {
        self.label.as_ref().map(|label| label.policy)
    }

    fn is_of(&self, new: &Label) -> bool {
        self.label.as_ref().is_some_and(|label| label.stream == new.stream)
    }

    /// Whether the age bound drops it.
    fn ages(&self) -> bool {
        match self.policy() {
            None | Some(SlowConsumerPolicy::Disconnect | SlowConsumerPolicy::Latest) => false,
            Some(SlowConsumerPolicy::Conflate) => self.label.as_ref().unwrap().key.is_none(),
            Some(_) => true,
        }
    }
}

#[derive(Default)]
struct Model {
    now_ms: u64,
    data: Vec<Item>,
    control: VecDeque<Bytes>,
    in_hand: Vec<usize>,
    /// Stream, count, first, last, cause: in the order of their first loss.
    losses: Vec<(u64, u64, u64, u64, DropCause)>,
    /// By stream: offered, handed out, lost.
    fates: BTreeMap<u64, [u64; 3]>,
    dropped: Dropped,
    reply_bytes: usize,
}

impl Model {
    fn fits(&self, data: &[Item], new: usize) -> bool {
        let bytes: usize = data.iter().map(|item| item.bytes.len()).sum();
        let held: usize = self.in_hand.iter().sum();
        bytes + held + new <= BOUNDS.bytes_max
            && data.len() + self.in_hand.len() < BOUNDS.frames_max
    }

    fn lose(&mut self, label: &Label, cause: DropCause) {
        self.dropped.note(cause);
        self.fates.get_mut(&label.stream).unwrap()[2] += 1;
        match self.losses.iter_mut().find(|loss| loss.0 == label.stream) {
            Some((_, count, from, to, by)) => {
                *count += 1;
                *from = label.offset.min(*from);
                *to = label.offset.max(*to);
                *by = cause;
            }
            None => self.losses.push((label.stream, 1, label.offset, label.offset, cause)),
        }
    }

    /// The rules, in the plainest way: on a copy, which counts only if the new one gets in.
    fn push(&mut self, item: Item) -> Pushed {
        let label = item.label.clone().unwrap();
        self.fates.entry(label.stream).or_default()[0] += 1;
        if label.expires_ms.is_some_and(|at| at <= self.now_ms) {
            self.lose(&label, DropCause::Expired);
            return Pushed::Dropped;
        }
        let mut data = self.data.clone();
        let mut lost: Vec<(Arc<Label>, DropCause)> = Vec::new();
        let mut place = data.len();
        let replaced = match label.policy {
            SlowConsumerPolicy::Latest => data.iter().position(|item| item.is_of(&label)),
            SlowConsumerPolicy::Conflate if label.key.is_some() => data.iter().position(|item| {
                item.is_of(&label) && item.label.as_ref().unwrap().key == label.key
            }),
            _ => None,
        };
        if let Some(at) = replaced {
            let is_last =
                data[at + 1..].iter().all(|item| item.label.is_some() && !item.is_of(&label));
            let is_latest = label.policy == SlowConsumerPolicy::Latest;
            let cause = if is_latest { DropCause::Latest } else { DropCause::Conflated };
            lost.push((data.remove(at).label.unwrap(), cause));
            place = if is_last { at } else { data.len() };
        }
        while !self.fits(&data, item.bytes.len()) {
            let at = data.iter().position(|item| item.is_of(&label));
            let at = match (label.policy, at) {
                (SlowConsumerPolicy::Disconnect, _) => return Pushed::Overflow,
                (SlowConsumerPolicy::DropNewest, _) | (_, None) => {
                    self.lose(&label, DropCause::Newest);
                    return Pushed::Dropped;
                }
                (_, Some(at)) => at,
            };
            lost.push((data.remove(at).label.unwrap(), DropCause::Oldest));
            place = data.len();
        }
        data.insert(place, item);
        self.data = data;
        for (label, cause) in lost {
            self.lose(&label, cause);
        }
        Pushed::Queued
    }

    fn take(&mut self, bytes_max: usize) -> Vec<Bytes> {
        let (mut batch, mut taken) = (Vec::new(), 0);
        self.in_hand.clear();
        while taken < bytes_max {
            let next = self.control.pop_front().or_else(|| self.take_data());
            let Some(bytes) = next else { break };
            taken += bytes.len();
            batch.push(bytes);
        }
        batch
    }

    fn take_data(&mut self) -> Option<Bytes> {
        while let Some(first) = self.data.first() {
            let is_over_age = first.ages() && self.now_ms - first.queued_ms > AGE_MAX_MS;
            let label = first.label.clone();
            let expires_ms = label.as_ref().and_then(|label| label.expires_ms);
            if !is_over_age && expires_ms.is_none_or(|at| at > self.now_ms) {
                break;
            }
            self.data.remove(0);
            self.lose(&label.unwrap(), DropCause::Expired);
        }
        if !self.losses.is_empty() {
            let (stream, count, from_offset, to_offset, cause) = self.losses.remove(0);
            let label = Label { stream, ..label(0, SlowConsumerPolicy::Latest, None) };
            return tell(&Loss { label: Arc::new(label), count, from_offset, to_offset, cause });
        }
        let item = (!self.data.is_empty()).then(|| self.data.remove(0))?;
        self.in_hand.push(item.bytes.len());
        match item.label {
            Some(label) => self.fates.get_mut(&label.stream).unwrap()[1] += 1,
            None => self.reply_bytes -= item.bytes.len(),
        }
        Some(item.bytes)
    }

    /// Every message that was let in or dropped has one fate, and the bounds hold.
    fn check(&self, queue: &Queue) {
        for (stream, [offered, handed_out, lost]) in &self.fates {
            let waits = |item: &&Item| item.label.as_ref().is_some_and(|l| l.stream == *stream);
            let waiting = self.data.iter().filter(waits).count() as u64;
            assert_eq!(*offered, handed_out + lost + waiting, "stream {stream}");
        }
        for policy in [SlowConsumerPolicy::Latest, SlowConsumerPolicy::Conflate] {
            let of = |item: &&Item| item.policy() == Some(policy);
            let keys: Vec<_> =
                self.data.iter().filter(of).map(|item| &item.label.as_ref().unwrap().key).collect();
            let is_single = |key: &&Option<Box<str>>| {
                policy == SlowConsumerPolicy::Conflate && key.is_none()
                    || keys.iter().filter(|other| *other == key).count() == 1
            };
            assert!(keys.iter().all(is_single), "two values of one key: {keys:?}");
        }
        let bytes: usize = self.data.iter().map(|item| item.bytes.len()).sum();
        let held: usize = self.in_hand.iter().sum();
        assert_eq!(
            (queue.bytes(), queue.frames()),
            (bytes + held, self.data.len() + self.in_hand.len())
        );
        let replies = self.data.iter().filter(|item| item.label.is_none()).count();
        assert!(bytes - self.reply_bytes <= BOUNDS.bytes_max);
        assert!(self.data.len() - replies <= BOUNDS.frames_max);
        let is_empty = self.data.is_empty() && self.control.is_empty() && self.losses.is_empty();
        assert_eq!(queue.is_empty(), is_empty);
    }
}

fn run(operations: Vec<Operation>) {
    let (mut queue, mut model) = (Queue::default(), Model::default());
    let mut dropped = Dropped::default();
    let mut last_offsets: BTreeMap<u64, u64> = BTreeMap::new();
    for (number, operation) in operations.into_iter().enumerate() {
        let (number, now_ms) = (number as u8, model.now_ms);
        match operation {
            Operation::Data { stream, len, key, lives_ms } => {
                let label = Arc::new(Label {
                    channel: None,
                    stream: stream as u64,
                    offset: number.into(),
                    key: key.map(|key| key.to_string().into()),
                    expires_ms: lives_ms.map(|ms| now_ms + ms),
                    policy: STREAMS[stream],
                    _held: Default::default(),
                    drops: None,
                });
                let bytes = frame(number, len);
                let frame = (bytes.clone(), Some(label.clone()));
                let pushed = queue.push_data(frame, &BOUNDS, now_ms, &mut dropped);
                let expected = model.push(Item { bytes, label: Some(label), queued_ms: now_ms });
                assert_eq!(pushed, expected);
                if pushed == Pushed::Overflow {
                    // The session would end here; it was not let in.
                    model.fates.get_mut(&(stream as u64)).unwrap()[0] -= 1;
                }
            }
            Operation::Control(len) => {
                assert_eq!(queue.push_control(frame(number, len)), Pushed::Queued);
                model.control.push_back(frame(number, len));
            }
            Operation::Behind(len) => {
                let bytes = frame(number, len);
                assert_eq!(queue.push_behind(bytes.clone(), &BOUNDS, now_ms), Pushed::Queued);
                model.reply_bytes += len;
                model.data.push(Item { bytes, label: None, queued_ms: now_ms });
            }
            Operation::Take(bytes_max) => {
                let before = model.data.clone();
                let (batch, found) = take_at(&mut queue, bytes_max, now_ms);
                assert_eq!(batch, model.take(bytes_max));
                DropCause::ALL.iter().for_each(|cause| {
                    (0..found.of(*cause)).for_each(|_| dropped.note(*cause));
                });
                for item in before.iter().filter(|item| batch.contains(&item.bytes)) {
                    let Some(label) = &item.label else { continue };
                    let last = last_offsets.insert(label.stream, label.offset);
                    assert!(last.is_none_or(|last| last < label.offset), "out of order");
                }
            }
            Operation::Wait(ms) => model.now_ms += ms,
        }
        assert_eq!(dropped, model.dropped);
        model.check(&queue);
    }
}

proptest! {
    #[test]
    fn agrees_with_plain_lists(operations in operations()) {
        run(operations);
    }
}
