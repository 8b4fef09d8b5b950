//! What a hub counts. Plain monotonic numbers and gauges; the metrics page reads them.
//!
//! # State
//! One [`Counters`] per hub; one [`LaneCounters`] per lane, each on its own cache lines, so that
//! two lanes never write to the same one.
//!
//! # Who may touch what
//! A lane adds to its own `LaneCounters`, once per turn and not once per delivery; a writer of one of
//! its sessions adds what it dropped for its age, once per write. Everything else in [`Counters`] is
//! added to where the thing happens, which is never per delivery either.
//!
//! # What adds up
//! Every message that a session was to get, in the end: it was dropped as the newest
//! ([`DropCause::Newest`]), or it is one of [`LaneCounters::deliveries`]. Of those, the ones
//! [dropped](LaneCounters::dropped) for any other cause or [`discarded`](LaneCounters::discarded) did
//! not reach its socket. (A session that breaks off takes what waited for it along, uncounted.)
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | every number | as above | the metrics page, tests | Relaxed | nothing: each is a number of its own |
//!
//! # Races considered
//! A reader may see two numbers from different moments. Nothing computes one from another.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::disconnect::Reason;
use super::loss::{DropCause, Dropped};
use super::panics::Panics;
use super::refused::Refused;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// 0.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds `n`, which may be negative; returns what it was before.
    pub fn add(&self, n: i64) -> i64 {
        self.0.fetch_add(n, Ordering::Relaxed)
    }

    /// Makes it `n`; for one who is alone in changing it.
    pub fn set(&self, n: i64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the buckets of [`LaneCounters::pass_us`], in microseconds; the last bucket is open.
pub const PASS_US_BOUNDS: [u64; 14] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 1_000_000, 10_000_000,
];

/// A histogram with the bounds [`PASS_US_BOUNDS`].
#[derive(Debug, Default)]
pub struct PassHistogram {
    buckets: [AtomicU64; PASS_US_BOUNDS.len() + 1],
    sum_us: AtomicU64,
}

impl PassHistogram {
    /// Notes one value, in microseconds.
    pub fn note(&self, us: u64) {
        self.note_many(us, 1);
    }

    /// Notes the same value so many times.
    pub fn note_many(&self, us: u64, times: u64) {
        let at = PASS_US_BOUNDS.partition_point(|&bound| bound < us);
        self.buckets[at].fetch_add(times, Ordering::Relaxed);
        self.sum_us.fetch_add(us * times, Ordering::Relaxed);
    }

    /// How many values fell into each bucket (not cumulated), and the sum of all.
    pub fn get(&self) -> ([u64; PASS_US_BOUNDS.len() + 1], u64) {
        let buckets = std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed));
        (buckets, self.sum_us.load(Ordering::Relaxed))
    }
}

/// What one lane counts.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct LaneCounters {
    /// Messages handed to a socket or to an outbox, which may drop some of them later.
    pub deliveries: Count,
    /// Bytes of those messages with their framing.
    pub delivery_bytes: Count,
    /// Writes to sockets by the lane itself.
    pub writes: Count,
    /// Of those, writes that the socket did not take whole.
    pub writes_blocked: Count,
    dropped: [Count; DropCause::ALL.len()],
    /// Messages that waited for a session when it was ended, or that ended it.
    pub discarded: Count,
    /// Passes: walks over the members of a channel.
    pub passes: Count,
    /// How long a pass took from its first write to its last.
    pub pass_us: PassHistogram,
    /// How long a message took from being published to being written or queued: each with the time of
    /// the oldest that it was written with, at the end of the turn.
    pub delivery_us: PassHistogram,
}

impl LaneCounters {
    /// Messages that policies dropped for this cause.
    pub fn dropped(&self, cause: DropCause) -> &Count {
        &self.dropped[cause as usize]
    }

    /// Adds what was dropped.
    pub(crate) fn note_dropped(&self, dropped: &Dropped) {
        for cause in DropCause::ALL {
            if dropped.of(cause) > 0 {
                self.dropped(cause).add(dropped.of(cause));
            }
        }
    }
}

/// What compression did, in one direction.
#[derive(Debug, Default)]
pub struct DeflateCounters {
    /// Messages that were deflated or inflated, those that did not come out shorter included.
    pub messages: Count,
    /// Bytes before.
    pub input_bytes: Count,
    /// Bytes after.
    pub output_bytes: Count,
    /// Time it took, in nanoseconds.
    pub ns: Count,
}

impl DeflateCounters {
    /// Notes one message.
    pub fn note(&self, input_bytes: usize, output_bytes: usize, took: Duration) {
        self.messages.add(1);
        self.input_bytes.add(input_bytes as u64);
        self.output_bytes.add(output_bytes as u64);
        self.ns.add(took.as_nanos() as u64);
    }
}

/// What a hub counts.
#[derive(Debug)]
pub struct Counters {
    /// Sessions now.
    pub sessions: Gauge,
    /// Sessions ever.
    pub sessions_opened: Count,
    /// Channels now.
    pub channels: Gauge,
    /// Subscriptions now.
    pub subscriptions: Gauge,
    /// Publications accepted.
    pub publications: Count,
    /// Bytes of their messages.
    pub publication_bytes: Count,
    /// Publications that did not go out because their idempotency key or version had.
    pub publications_repeated: Count,
    /// Events of who comes and goes that found no room; the next one says how many.
    pub presence_events_dropped: Count,
    /// Bytes that the histories hold: messages and bookkeeping.
    pub history_bytes: Gauge,
    /// Sessions that came back and got everything they missed.
    pub recovered: Count,
    /// Sessions that came back and were told that something is missing.
    pub unrecovered: Count,
    /// Publications refused because the hub was overloaded.
    pub publications_refused: Count,
    /// Bytes of publications accepted and not yet written by every lane.
    pub publication_bytes_pending: Gauge,
    /// Writer tasks now: sessions that are behind.
    pub writers: Gauge,
    /// Writer tasks ever.
    pub writers_started: Count,
    /// Member lists rebuilt.
    pub snapshots_rebuilt: Count,
    /// Messages from peers.
    pub messages_received: Count,
    /// Bytes from peers.
    pub bytes_received: Count,
    /// Commands of peers that were answered with an error; their sessions went on.
    pub commands_refused: Count,
    /// Panics, by what panicked.
    pub panics: Panics,
    /// Who ran into a bound.
    pub refused: Refused,
    /// Publications deflated: each once for every wire format and window that was needed.
    pub deflate: DeflateCounters,
    /// Messages from peers inflated.
    pub inflate: DeflateCounters,
    disconnects: [Count; Reason::ALL.len()],
    lanes: Box<[LaneCounters]>,
}

impl Counters {
    /// All zero, for this many lanes.
    pub fn new(lanes: usize) -> Self {
        Self {
            sessions: Gauge::default(),
            sessions_opened: Count::default(),
            channels: Gauge::default(),
            subscriptions: Gauge::default(),
            publications: Count::default(),
            publication_bytes: Count::default(),
            publications_repeated: Count::default(),
            presence_events_dropped: Count::default(),
            history_bytes: Gauge::default(),
            recovered: Count::default(),
            unrecovered: Count::default(),
            publications_refused: Count::default(),
            publication_bytes_pending: Gauge::default(),
            writers: Gauge::default(),
            writers_started: Count::default(),
            snapshots_rebuilt: Count::default(),
            messages_received: Count::default(),
            bytes_received: Count::default(),
            commands_refused: Count::default(),
            panics: Panics::default(),
            refused: Refused::default(),
            deflate: DeflateCounters::default(),
            inflate: DeflateCounters::default(),
            disconnects: Default::default(),
            lanes: (0..lanes).map(|_| LaneCounters::default()).collect(),
        }
    }

    /// Sessions that ended for `reason`.
    pub fn disconnects(&self, reason: Reason) -> &Count {
        &self.disconnects[reason as usize]
    }

    /// Those of each lane.
    pub fn lanes(&self) -> &[LaneCounters] {
        &self.lanes
    }

    /// The sum of one number over all lanes.
    pub fn over_lanes(&self, pick: impl Fn(&LaneCounters) -> &Count) -> u64 {
        self.lanes.iter().map(|lane| pick(lane).get()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_puts_a_value_into_the_bucket_whose_bound_it_does_not_pass() {
        let histogram = PassHistogram::default();
        for us in [10, 11, 10_000_001] {
            histogram.note(us);
        }
        let (buckets, sum) = histogram.get();
        assert_eq!((buckets[0], buckets[1], buckets[14], sum), (1, 1, 1, 10_000_022));
    }
}
