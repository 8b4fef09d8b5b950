//! Which publications are sampled, and where they wait for whoever exports them.
//!
//! # State
//! A queue of publications that are over; how many spans they are; how many were sampled in this second.
//!
//! # Who may touch what
//! Whoever lets go of a sampled publication puts it into the queue. One exporter takes. Whoever is about
//! to sample one counts it in the second's window. `CHANCE` is the thread's own.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `spans` | whoever puts or takes | the same, by the exchange itself | Relaxed | nothing: a bound; the queue orders what is in it |
//! | `window` | whoever samples | the same, by the exchange itself | Relaxed | itself: one word has second and count |
//!
//! # Races considered
//! - *Several put at once into a queue that is nearly full*: each takes its room before it puts, so there
//!   are never more than may be.
//! - *A publication is taken before its room is given back*: the room is given back a moment later, and
//!   what comes meanwhile may be dropped and is counted.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_queue::SegQueue;
use tokio::sync::Notify;

use super::{Ingress, Trace, TraceParent, TracedPublication};
use crate::base::counters::Count;

/// What is sampled, and how much of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceOptions {
    /// Of a million publications that are a part of nothing, so many.
    pub sample_per_million: u32,
    /// In one second so many, whoever asks for them.
    pub sampled_per_s_max: u32,
    /// Spans that wait to be exported.
    pub queue_spans_max: usize,
}

/// Why spans were not exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SpansLost {
    /// As many wait as may.
    QueueFull,
    /// The collector could not be reached, or did not take them, however often they were sent.
    Failed,
    /// The collector said that it does not take them.
    Rejected,
    /// The gateway ended.
    Shutdown,
}

impl SpansLost {
    /// All of them.
    pub const ALL: [SpansLost; 4] =
        [SpansLost::QueueFull, SpansLost::Failed, SpansLost::Rejected, SpansLost::Shutdown];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Shutdown => "shutdown",
        }
    }
}

/// What is counted of traces.
#[derive(Debug, Default)]
pub struct TraceCounters {
    /// Publications sampled by chance.
    pub by_chance: Count,
    /// Publications sampled because they are a part of something sampled.
    pub by_parent: Count,
    /// Publications that were not sampled, though they were to be: there were as many in that second as
    /// may be.
    pub over_rate: Count,
    /// Spans that a collector took.
    pub exported: Count,
    /// Requests that a collector took.
    pub requests_ok: Count,
    /// Requests that failed and were sent again.
    pub requests_retried: Count,
    /// Requests that were given up.
    pub requests_failed: Count,
    lost: [Count; SpansLost::ALL.len()],
}

impl TraceCounters {
    /// Spans that were not exported for this reason.
    pub fn lost(&self, why: SpansLost) -> &Count {
        &self.lost[why as usize]
    }
}

/// See the module.
#[derive(Debug)]
pub struct Tracer {
    options: TraceOptions,
    made: Instant,
    /// The second since `made` in the upper half, how many were sampled in it in the lower.
    window: AtomicU64,
    over: SegQueue<TracedPublication>,
    spans: AtomicUsize,
    half_full: Notify,
    counters: TraceCounters,
}

thread_local! {
    static CHANCE: Cell<u64> = Cell::new(rand::random::<u64>() | 1);
}

/// A number that nobody has to be unable to guess: a nanosecond each (xorshift64).
fn chance() -> u64 {
    let mut state = CHANCE.get();
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    CHANCE.set(state);
    state
}

impl Tracer {
    /// One that has nothing yet.
    pub fn new(options: TraceOptions) -> Arc<Self> {
        Arc::new(Self {
            options,
            made: Instant::now(),
            window: AtomicU64::new(0),
            over: SegQueue::new(),
            spans: AtomicUsize::new(0),
            half_full: Notify::new(),
            counters: TraceCounters::default(),
        })
    }

    /// What it counts.
    pub fn counters(&self) -> &TraceCounters {
        &self.counters
    }

    /// Whether a publication that is a part of `parent` or of nothing is to be sampled: then the time,
    /// for [`begin`](Self::begin). What is a part of something is sampled if that is.
    #[inline]
    pub fn draw(&self, parent: Option<TraceParent>) -> Option<Instant> {
        let is_drawn = match parent {
            Some(parent) => parent.is_sampled,
            None => chance() % 1_000_000 < u64::from(self.options.sample_per_million),
        };
        is_drawn.then(Instant::now)
    }

    /// Samples a publication that was [drawn](Self::draw), unless there are enough in this second.
    pub fn begin(
        self: &Arc<Self>,
        began: Instant,
        parent: Option<TraceParent>,
        ingress: Ingress,
    ) -> Option<Arc<Trace>> {
        let second = self.made.elapsed().as_secs() << 32;
        let most = u64::from(self.options.sampled_per_s_max);
        let taken = self.window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |window| {
            // A thread that was held up may come with an older second: it counts in the newer one.
            let window = window.max(second);
            ((window & u64::from(u32::MAX)) < most).then_some(window + 1)
        });
        if taken.is_err() {
            self.counters.over_rate.add(1);
            return None;
        }
        match parent {
            Some(_) => self.counters.by_parent.add(1),
            None => self.counters.by_chance.add(1),
        }
        Some(Arc::new(Trace::new(self.clone(), parent, ingress, began)))
    }

    /// A publication is over.
    pub(super) fn put(&self, publication: TracedPublication) {
        let (spans, most) = (publication.spans(), self.options.queue_spans_max);
        let room = |waiting: usize| Some(waiting + spans).filter(|after| *after <= most);
        match self.spans.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(before) => {
                self.over.push(publication);
                if before + spans >= most / 2 {
                    self.half_full.notify_one();
                }
            }
            Err(_) => self.counters.lost(SpansLost::QueueFull).add(spans as u64),
        }
    }

    /// Takes the publication that has been over for longest.
    pub fn take(&self) -> Option<TracedPublication> {
        let publication = self.over.pop()?;
        self.spans.fetch_sub(publication.spans(), Ordering::Relaxed);
        Some(publication)
    }

    /// Spans that wait to be exported.
    pub fn queued(&self) -> usize {
        self.spans.load(Ordering::Relaxed)
    }

    /// Waits until half as many spans wait as may. Cancel safe.
    pub async fn half_full(&self) {
        self.half_full.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(sample_per_million: u32) -> TraceOptions {
        TraceOptions { sample_per_million, sampled_per_s_max: 10, queue_spans_max: 25 }
    }

    fn parent(is_sampled: bool) -> TraceParent {
        let flag = if is_sampled { "01" } else { "00" };
        format!("00-{:032x}-{:016x}-{flag}", 7, 8).parse().unwrap()
    }

    #[test]
    fn as_many_are_drawn_as_asked_for() {
        let drawn = |per_million| {
            let tracer = Tracer::new(options(per_million));
            (0..100_000).filter(|_| tracer.draw(None).is_some()).count()
        };
        assert_eq!((drawn(0), drawn(1_000_000)), (0, 100_000));
        // 10,000 are expected; six standard deviations are 570.
        assert!((9_430..=10_570).contains(&drawn(100_000)), "{}", drawn(100_000));
    }

    #[test]
    fn what_is_a_part_of_something_is_sampled_if_that_is() {
        let (never, always) = (Tracer::new(options(0)), Tracer::new(options(1_000_000)));
        assert!(never.draw(Some(parent(true))).is_some());
        assert!(always.draw(Some(parent(false))).is_none());
    }

    #[test]
    fn nobody_can_ask_for_more_than_there_may_be_in_a_second() {
        let tracer = Tracer::new(options(0));
        // Within the same second, or over two.
        let begun: Vec<_> = (0..1_000)
            .filter_map(|_| tracer.begin(Instant::now(), Some(parent(true)), Ingress::Http))
            .collect();
        assert!(begun.len() == 10 || begun.len() == 20, "{}", begun.len());
        let counters = tracer.counters();
        assert_eq!(counters.by_parent.get() + counters.over_rate.get(), 1_000);
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_takes_again() {
        let tracer = Tracer::new(TraceOptions { sampled_per_s_max: 1_000, ..options(0) });
        for _ in 0..30 {
            drop(tracer.begin(Instant::now(), None, Ingress::Library));
        }
        let lost = || tracer.counters().lost(SpansLost::QueueFull).get();
        assert_eq!((tracer.queued(), lost()), (25, 5));
        assert!(tracer.take().is_some());
        assert_eq!(tracer.queued(), 24);
        drop(tracer.begin(Instant::now(), None, Ingress::Library));
        assert_eq!((tracer.queued(), lost()), (25, 5));
    }
}
