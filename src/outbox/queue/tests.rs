//! The queue by example; against a plain model in [`model`].

mod model;

use super::*;
use crate::base::limits::SlowConsumerPolicy;

const BOUNDS: Bounds = Bounds { bytes_max: 100, frames_max: 8, squeeze: Squeeze::None };
const AGE_MAX_MS: u64 = 50;

fn frame(number: u8, len: usize) -> Bytes {
    Bytes::from(vec![number; len])
}

/// A loss as a frame: what a protocol would make of it.
fn tell(loss: &Loss) -> Option<Bytes> {
    let Loss { label, count, from_offset, to_offset, cause } = loss;
    let cause = cause.name();
    Some(format!("{} lost {count} of {from_offset}-{to_offset}: {cause}", label.stream).into())
}

fn take_at(queue: &mut Queue, bytes_max: usize, now_ms: u64) -> (Vec<Bytes>, Dropped) {
    let (mut batch, mut found) = (VecDeque::new(), Dropped::default());
    let dropped = &mut found;
    let mut taking = Taking { now_ms, age_max_ms: AGE_MAX_MS, tell: &tell, dropped };
    queue.take(&mut batch, bytes_max, &mut taking);
    (batch.into(), found)
}

fn take(queue: &mut Queue) -> Vec<Bytes> {
    take_at(queue, usize::MAX, 0).0
}

/// Of stream 1; the offset is the byte that its frame repeats.
fn label(offset: u8, policy: SlowConsumerPolicy, key: Option<&str>) -> Label {
    let (channel, key) = (None, key.map(Into::into));
    Label {
        channel,
        stream: 1,
        offset: offset.into(),
        key,
        expires_ms: None,
        policy,
        _held: Default::default(),
        drops: None,
    }
}

fn push_at(queue: &mut Queue, label: Label, len: usize, now_ms: u64) -> Pushed {
    let frame = frame(label.offset as u8, len);
    queue.push_data((frame, Some(Arc::new(label))), &BOUNDS, now_ms, &mut Dropped::default())
}

fn push(queue: &mut Queue, label: Label, len: usize) -> Pushed {
    push_at(queue, label, len, 0)
}

fn push_kept(queue: &mut Queue, bytes: Bytes, now_ms: u64) -> Pushed {
    queue.push_data((bytes, None), &BOUNDS, now_ms, &mut Dropped::default())
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
    let batch = take(&mut queue);
    assert_eq!(batch.len(), 3);
    assert_eq!(batch[2][..], [PONG, 1, 99]);
    assert_eq!(queue.control_bytes, 0);
}

#[test]
fn the_begun_frame_comes_first_and_the_close_last() {
    let mut queue = Queue::default();
    queue.set_remainder(frame(1, 5), 10);
    assert_eq!(push_kept(&mut queue, frame(2, 5), 20), Pushed::Queued);
    assert_eq!(queue.push_close(frame(9, 2), false), 0);
    assert_eq!(queue.push_control(frame(3, 5)), Pushed::Queued);
    assert_eq!(queue.held_since_ms(), Some(10));
    let (batch, _) = take_at(&mut queue, 12, 30);
    assert_eq!(batch, [frame(1, 5), frame(3, 5), frame(2, 5), frame(9, 2)]);
    assert_eq!(queue.held_since_ms(), Some(10), "still being written");
    assert!(take(&mut queue).is_empty());
    assert_eq!((queue.held_since_ms(), queue.bytes()), (None, 0));
}

#[test]
fn a_close_that_discards_keeps_the_begun_frame_and_tells_nothing() {
    let mut queue = Queue::default();
    queue.set_remainder(frame(1, 5), 0);
    assert_eq!(push_kept(&mut queue, frame(2, 5), 0), Pushed::Queued);
    assert_eq!(queue.push_behind(frame(7, 5), &BOUNDS, 0), Pushed::Queued);
    let newest = label(3, SlowConsumerPolicy::DropNewest, None);
    assert_eq!(push(&mut queue, newest, 200), Pushed::Dropped);
    assert_eq!(queue.push_close(frame(9, 2), true), 1, "a reply is no message");
    assert_eq!(take(&mut queue), [frame(1, 5), frame(9, 2)]);
}

#[test]
fn a_close_that_does_not_discard_comes_after_what_there_is_to_tell() {
    let mut queue = Queue::default();
    let newest = label(3, SlowConsumerPolicy::DropNewest, None);
    assert_eq!(push(&mut queue, newest, 200), Pushed::Dropped);
    assert!(!queue.is_empty(), "there is something to tell");
    assert_eq!(queue.push_close(frame(9, 2), false), 0);
    assert_eq!(take(&mut queue), ["1 lost 1 of 3-3: drop_newest".into(), frame(9, 2)]);
}

#[test]
fn replies_are_bounded_too() {
    let mut queue = Queue::default();
    while queue.push_control(frame(0, 1000)) == Pushed::Queued {
        assert!(queue.control_bytes <= CONTROL_BYTES_MAX);
    }
    assert_eq!(queue.control.len(), 65);
}

#[test]
fn the_oldest_make_way_but_not_in_vain_and_not_for_others() {
    let mut queue = Queue::default();
    let oldest = |offset| label(offset, SlowConsumerPolicy::DropOldest, None);
    assert_eq!(push_kept(&mut queue, frame(99, 30), 0), Pushed::Queued);
    for offset in 1..=3 {
        assert_eq!(push(&mut queue, oldest(offset), 20), Pushed::Queued);
    }
    assert_eq!(push(&mut queue, oldest(4), 71), Pushed::Dropped, "70 could be made free");
    assert_eq!(push(&mut queue, oldest(5), 45), Pushed::Queued);
    let told = "1 lost 3 of 1-4: drop_oldest";
    assert_eq!(take(&mut queue), [told.into(), frame(99, 30), frame(3, 20), frame(5, 45)]);
    // What the writer has in hand counts and does not make way.
    assert_eq!(push(&mut queue, oldest(6), 6), Pushed::Dropped);
}

#[test]
fn the_latest_keeps_its_turn() {
    let mut queue = Queue::default();
    let latest = |offset| label(offset, SlowConsumerPolicy::Latest, None);
    assert_eq!(push(&mut queue, latest(1), 20), Pushed::Queued);
    assert_eq!(push_kept(&mut queue, frame(99, 30), 0), Pushed::Queued);
    for offset in 2..=50 {
        assert_eq!(push(&mut queue, latest(offset), 20), Pushed::Queued);
    }
    assert_eq!(
        push(&mut queue, latest(51), 71),
        Pushed::Dropped,
        "an old value is better than none"
    );
    let told = "1 lost 50 of 1-51: drop_newest";
    assert_eq!(take(&mut queue), [told.into(), frame(50, 20), frame(99, 30)]);
}

#[test]
fn a_key_has_one_value_and_offsets_stay_in_order() {
    let mut queue = Queue::default();
    let keyed = |offset, key| label(offset, SlowConsumerPolicy::Conflate, Some(key));
    for (offset, key) in [(1, "a"), (2, "b"), (3, "b"), (4, "a"), (5, "c"), (6, "b")] {
        assert_eq!(push(&mut queue, keyed(offset, key), 10), Pushed::Queued);
    }
    let told = "1 lost 3 of 1-3: conflate";
    assert_eq!(take(&mut queue), [told.into(), frame(4, 10), frame(5, 10), frame(6, 10)]);
}

#[test]
fn a_value_does_not_pass_a_reply() {
    let mut queue = Queue::default();
    let latest = |offset| label(offset, SlowConsumerPolicy::Latest, None);
    assert_eq!(push(&mut queue, latest(1), 10), Pushed::Queued);
    assert_eq!(queue.push_behind(frame(77, 3), &BOUNDS, 0), Pushed::Queued);
    assert_eq!(push(&mut queue, latest(2), 10), Pushed::Queued);
    assert_eq!(take(&mut queue), ["1 lost 1 of 1-1: latest".into(), frame(77, 3), frame(2, 10)]);
}

#[test]
fn what_is_too_old_is_told_ahead_of_what_follows_it() {
    let mut queue = Queue::default();
    let mut short = label(1, SlowConsumerPolicy::Disconnect, None);
    short.expires_ms = Some(10);
    assert_eq!(push_at(&mut queue, short, 5, 10), Pushed::Dropped, "too late already");
    let mut short = label(2, SlowConsumerPolicy::Disconnect, None);
    short.expires_ms = Some(30);
    assert_eq!(push_at(&mut queue, short, 5, 20), Pushed::Queued);
    let oldest = |offset| label(offset, SlowConsumerPolicy::DropOldest, None);
    assert_eq!(push_at(&mut queue, oldest(3), 5, 20), Pushed::Queued);
    assert_eq!(push_at(&mut queue, oldest(4), 5, 21), Pushed::Queued);
    let (batch, dropped) = take_at(&mut queue, usize::MAX, 20 + AGE_MAX_MS + 1);
    assert_eq!(batch, ["1 lost 3 of 1-3: expired".into(), frame(4, 5)]);
    assert_eq!(dropped.of(DropCause::Expired), 2);
}

#[test]
fn a_newest_value_is_never_too_old() {
    let mut queue = Queue::default();
    assert_eq!(push(&mut queue, label(5, SlowConsumerPolicy::Latest, None), 5), Pushed::Queued);
    assert_eq!(queue.held_since_ms(), None, "nobody's fault but its own");
    let (batch, _) = take_at(&mut queue, usize::MAX, 1_000_000);
    assert_eq!(batch, [frame(5, 5)]);
    assert_eq!(queue.held_since_ms(), Some(1_000_000), "from now on the session's");
}

#[test]
fn the_end_of_the_data_is_not_the_end_of_what_there_is_to_tell() {
    let mut queue = Queue::default();
    let oldest = |offset| label(offset, SlowConsumerPolicy::DropOldest, None);
    assert_eq!(push(&mut queue, oldest(1), 5), Pushed::Queued);
    let (batch, _) = take_at(&mut queue, usize::MAX, AGE_MAX_MS + 1);
    assert_eq!(batch, ["1 lost 1 of 1-1: expired"]);
    assert!(queue.is_empty());
}

#[test]
fn who_has_too_much_to_be_told_has_to_end() {
    let mut queue = Queue::default();
    let newest = |stream| Label { stream, ..label(0, SlowConsumerPolicy::DropNewest, None) };
    for stream in 0..loss::LOSSES_MAX as u64 {
        assert_eq!(push(&mut queue, newest(stream), 101), Pushed::Dropped);
    }
    assert_eq!(push(&mut queue, newest(0), 1), Pushed::Overflow);
    assert_eq!(push_kept(&mut queue, frame(1, 1), 0), Pushed::Queued, "nobody may lose it");
    assert_eq!(take(&mut queue).len(), loss::LOSSES_MAX + 1);
    assert_eq!(push(&mut queue, newest(0), 1), Pushed::Queued);
}
