//! The history against the plainest model: a list of everything that was ever published.

use proptest::prelude::*;

use super::*;
use crate::base::ids::ChannelName;
use crate::base::memory::Memory;
use crate::base::message::Message;
use crate::base::position::Epochs;
use crate::protocol::{Publication, Target};

const OPTIONS: HistoryOptions =
    HistoryOptions { publications_max: 8, bytes_max: 60, age_max_ms: 100 };
const ALL: Most = Most { publications: usize::MAX, bytes: usize::MAX };

fn publication(len: usize) -> Arc<Encoded> {
    let target = Target::Channel(ChannelName::new("a").unwrap());
    let publication = Publication { target, message: Message::binary(vec![0; len]) };
    Arc::new(Encoded::new(publication, None, &Memory::new(usize::MAX)))
}

fn publish(history: &mut History, len: usize, total: &Gauge, total_max: usize, now_ms: u64) -> u64 {
    let encoded = publication(len);
    let offset = history.number();
    encoded.set_offset(offset);
    history.keep(&encoded, &OPTIONS, (total, total_max), now_ms);
    offset
}

fn offsets(found: &[Arc<Encoded>]) -> Vec<u64> {
    found.iter().map(|encoded| encoded.offset().unwrap()).collect()
}

#[derive(Clone, Debug)]
enum Operation {
    Publish(usize),
    Wait(u64),
    Clear,
    After(u64),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        6 => (0usize..70).prop_map(Operation::Publish),
        2 => (0u64..80).prop_map(Operation::Wait),
        1 => Just(Operation::Clear),
        4 => (0u64..20).prop_map(Operation::After),
    ];
    proptest::collection::vec(operation, 0..200)
}

proptest! {
    /// What is given out is everything after the position, in order and without a gap; nothing is
    /// given out that is too old; the bounds hold; what the hub counts is what is here.
    #[test]
    fn either_all_of_it_or_nothing(operations in operations(), total_max in 600usize..6_000) {
        let total = Gauge::default();
        let mut history = History::new(Epochs::new().next());
        let (mut times, mut now_ms) = (Vec::new(), 0);
        for operation in operations {
            match operation {
                Operation::Publish(len) => {
                    let offset = publish(&mut history, len, &total, total_max, now_ms);
                    times.push(now_ms);
                    prop_assert_eq!(offset, times.len() as u64);
                    prop_assert!(history.kept.len() <= OPTIONS.publications_max);
                    prop_assert!(history.message_bytes() <= OPTIONS.bytes_max);
                }
                Operation::Wait(ms) => {
                    now_ms += ms;
                    history.expire(&OPTIONS, &total, now_ms);
                    prop_assert!(history.kept.iter().all(|kept| now_ms - kept.at_ms <= 100));
                }
                Operation::Clear => history.clear(&total),
                Operation::After(back) => {
                    let top = times.len() as u64;
                    let offset = top.saturating_sub(back);
                    let position = StreamPosition { offset, ..history.position() };
                    if let Some(found) = history.after(position) {
                        prop_assert_eq!(offsets(&found), (offset + 1..=top).collect::<Vec<_>>());
                    } else {
                        prop_assert!(top - offset > history.kept.len() as u64);
                    }
                }
            }
            let bytes: usize = history.kept.iter().map(|kept| cost(&kept.encoded)).sum();
            prop_assert_eq!((history.bytes, total.get()), (bytes, bytes as i64));
            prop_assert!(bytes <= total_max);
        }
    }
}

#[test]
fn another_epoch_or_a_position_ahead_recovers_nothing() {
    let (total, epochs) = (Gauge::default(), Epochs::new());
    let mut history = History::new(epochs.next());
    publish(&mut history, 1, &total, 10_000, 0);
    let here = history.position();
    assert!(history.after(here).unwrap().is_empty(), "nothing was missed");
    assert!(history.after(StreamPosition { epoch: epochs.next(), offset: 0 }).is_none());
    assert!(history.after(StreamPosition { offset: 2, ..here }).is_none());
}

#[test]
fn pages_go_both_ways_and_stop_at_a_gap() {
    let total = Gauge::default();
    let mut history = History::new(Epochs::new().next());
    for _ in 0..10 {
        publish(&mut history, 1, &total, 100_000, 0);
    }
    let at = |offset| Some(StreamPosition { offset, ..history.position() });
    let page = |since, is_reverse, publications| {
        let most = Most { publications, ..ALL };
        history.page(since, is_reverse, most).map(|found| offsets(&found))
    };
    assert_eq!(page(None, false, 3), Some(vec![3, 4, 5]), "eight are kept");
    assert_eq!(page(None, true, 3), Some(vec![10, 9, 8]));
    assert_eq!(page(at(8), false, 9), Some(vec![9, 10]));
    assert_eq!(page(at(5), true, 9), Some(vec![4, 3]));
    assert_eq!(page(at(2), false, 1), Some(vec![3]));
    assert_eq!(page(at(1), false, 1), None, "2 is gone");
    assert_eq!(page(at(11), false, 1), None);
    assert_eq!(page(None, false, 0), Some(vec![]));
}

#[test]
fn a_version_must_be_newer_within_its_epoch() {
    let mut history = History::new(Epochs::new().next());
    for (number, epoch, expected) in
        [(2, "a", true), (2, "a", false), (1, "a", false), (3, "a", true), (1, "b", true)]
    {
        let version = Version { number, epoch: epoch.into() };
        assert_eq!(history.is_newer(&version), expected, "{version:?}");
    }
}
