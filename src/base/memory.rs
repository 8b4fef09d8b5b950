//! The memory that peers can make grow, against one budget for the node.
//!
//! Counted are publications with their encoded forms, once, however many outboxes, lanes and
//! histories hold them; what each outbox adds for itself; messages and requests that are not whole yet.
//! Not counted, because it has bounds of its own that no slow peer can stretch: sessions, channels,
//! subscriptions (their numbers), idempotency keys, and what the kernel holds for its sockets.
//!
//! # Order of shedding
//! [`Pressure`], from the mildest on. Each step takes effect where something would grow, at that
//! moment; only the choice of the worst waits for the next tick.
//!
//! # State
//! One sum, and in each [`Held`] what it added to that.
//!
//! # Who may touch what
//! Whoever holds something that grows or shrinks adds to the sum, through its `Held`.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | the sum | everybody | everybody | Relaxed add/sub | nothing: a bound may be missed by what is added at the same moment |
//! | a `Held` | its owners | its owners | Relaxed | nothing: dropped by the last owner, which the reference count orders |
//!
//! # Races considered
//! - *Two that add at once and both see room*: the budget is passed by one of them. The steps begin
//!   well below it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::counters::Gauge;

/// What is done to stay within the budget; each includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Pressure {
    /// Nothing: less than half is used.
    #[default]
    None,
    /// From 50 %: of what policies may drop, an outbox holds an eighth of its bounds.
    Conflate,
    /// From 65 %: what policies may drop is dropped for every session that is behind.
    Drop,
    /// From 80 %: with each tick the sessions that hold most are ended.
    Evict,
    /// From 90 %: no new session; a session whose message is not whole is ended.
    RefuseSessions,
    /// From 95 %: no publication; a session that would have to queue anything is ended.
    RefusePublications,
}

impl Pressure {
    /// From which share of the budget on, in percent; the tightest first.
    pub const FROM: [(Pressure, usize); 5] = [
        (Pressure::RefusePublications, 95),
        (Pressure::RefuseSessions, 90),
        (Pressure::Evict, 80),
        (Pressure::Drop, 65),
        (Pressure::Conflate, 50),
    ];

    /// Its name for whoever looks after the node.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Conflate => "conflate",
            Self::Drop => "drop",
            Self::Evict => "evict",
            Self::RefuseSessions => "refuse_sessions",
            Self::RefusePublications => "refuse_publications",
        }
    }

    fn of(used: usize, max: usize) -> Self {
        let share = |percent| max / 100 * percent;
        let reached = Self::FROM.iter().find(|(_, percent)| used >= share(*percent));
        reached.map_or(Self::None, |(pressure, _)| *pressure)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Memory {
    used: Gauge,
    max: usize,
}

impl Memory {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { used: Gauge::default(), max })
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        usize::try_from(self.used.get()).unwrap_or(0)
    }

    /// The budget, in bytes.
    pub fn max(&self) -> usize {
        self.max
    }

    /// How tight it is.
    pub fn pressure(&self) -> Pressure {
        Pressure::of(self.used(), self.max)
    }

    /// Bytes over what [`Pressure::Evict`] allows.
    pub(crate) fn to_evict(&self) -> usize {
        self.used().saturating_sub(self.max / 100 * 80)
    }
}

/// What somebody holds; given back when dropped. Without an account it counts for nobody.
#[derive(Debug, Default)]
pub(crate) struct Held {
    account: Option<Arc<Memory>>,
    bytes: AtomicUsize,
}

impl Held {
    pub(crate) fn new(account: &Arc<Memory>, bytes: usize) -> Self {
        let held = Self { account: Some(account.clone()), bytes: AtomicUsize::new(0) };
        held.add(bytes);
        held
    }

    /// Holds so much more.
    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.change(bytes as i64);
    }

    /// For a single owner: holds so much in all.
    pub(crate) fn set(&mut self, bytes: usize) {
        let before = std::mem::replace(self.bytes.get_mut(), bytes);
        if before != bytes {
            self.change(bytes as i64 - before as i64);
        }
    }

    fn change(&self, bytes: i64) {
        if let Some(account) = &self.account {
            account.used.add(bytes);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        self.change(-(bytes as i64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_until_it_is_dropped() {
        let memory = Memory::new(1_000);
        let mut one = Held::new(&memory, 100);
        let other = Arc::new(Held::new(&memory, 0));
        other.add(50);
        one.set(30);
        assert_eq!(memory.used(), 80);
        let shared = other.clone();
        drop(other);
        assert_eq!(memory.used(), 80, "once, for both");
        drop((one, shared));
        assert_eq!(memory.used(), 0);
        Held::default().add(7);
    }

    #[test]
    fn the_steps_come_one_after_the_other() {
        let steps: Vec<Pressure> = [0, 499, 500, 649, 650, 800, 900, 950, 2_000]
            .map(|used| Pressure::of(used, 1_000))
            .into();
        use Pressure::{Conflate, Drop, Evict, None, RefusePublications, RefuseSessions};
        let expected = [
            None,
            None,
            Conflate,
            Conflate,
            Drop,
            Evict,
            RefuseSessions,
            RefusePublications,
            RefusePublications,
        ];
        assert_eq!(steps, expected);
        assert!(steps.is_sorted());
    }
}
