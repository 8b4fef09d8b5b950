//! Keys that are fetched while they are in use: somebody else fetches, checks of tokens look here.
//!
//! # State
//! The keys that count now, and until when they do. At first there are none, and none count.
//!
//! # Who may touch what
//! One fetcher stores; whoever checks a token loads, and may ask for a fetch.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `held` | the fetcher | checks of tokens | `ArcSwap` | a check sees the old ones or the new ones, whole |
//!
//! # Races considered
//! - *A check that began under the old keys*: it ends under them, as it would have a moment before.
//! - *The fetcher is gone*: the keys end by themselves at their time, whoever looks.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use super::keys::KeySet;
use crate::base::access::Answering;

/// Asks for a fetch out of turn. What it returns is ready when one that was allowed is over, with
/// whether it is worth to look again.
pub type Refetch = Box<dyn Fn() -> Answering<bool> + Send + Sync>;

/// See the module.
pub struct KeySource {
    held: ArcSwap<Option<Held>>,
    refetch: Refetch,
}

struct Held {
    keys: KeySet,
    until: SystemTime,
}

impl KeySource {
    /// Without keys yet.
    pub fn new(refetch: Refetch) -> Self {
        Self { held: ArcSwap::from_pointee(None), refetch }
    }

    /// From now on these keys, at most until then.
    pub fn set(&self, keys: KeySet, until: SystemTime) {
        self.held.store(Arc::new(Some(Held { keys, until })));
    }

    /// From now on none.
    pub fn clear(&self) {
        self.held.store(Arc::new(None));
    }

    /// Whether there are keys at this time.
    pub fn is_ready(&self, now: SystemTime) -> bool {
        self.held.load().as_ref().as_ref().is_some_and(|held| now < held.until)
    }

    /// How many there are at this time.
    pub fn len(&self, now: SystemTime) -> usize {
        self.with(now, KeySet::len).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self, now: SystemTime) -> bool {
        self.len(now) == 0
    }

    /// What `look` makes of the keys at this time; `None` if there are none to look at.
    pub(super) fn with<T>(&self, now: SystemTime, look: impl FnOnce(&KeySet) -> T) -> Option<T> {
        let held = self.held.load();
        let held = held.as_ref().as_ref().filter(|held| now < held.until)?;
        Some(look(&held.keys))
    }

    pub(super) fn refetch(&self) -> Answering<bool> {
        (self.refetch)()
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySource(..)")
    }
}
