//! Latencies before, during and after something that happens in the middle of a run.

use std::sync::Arc;

use parking_lot::Mutex;

use super::stats::{Summary, Times};

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    Before,
    During,
    After,
}

/// Shared between the run that is measured and the one that says when what happens. A lock for each
/// message, of which there are few.
#[derive(Clone, Debug)]
pub(crate) struct Eras(Arc<Mutex<(Era, [Times; 3])>>);

impl Eras {
    pub(crate) fn new() -> Self {
        let times = std::array::from_fn(|_| Times::new());
        Self(Arc::new(Mutex::new((Era::Before, times))))
    }

    /// From now on it is this one.
    pub(crate) fn begin(&self, era: Era) {
        self.0.lock().0 = era;
    }

    pub(crate) fn record(&self, ns: u64) {
        let mut inner = self.0.lock();
        let at = inner.0 as usize;
        inner.1[at].record(ns);
    }

    pub(crate) fn summary(&self, era: Era) -> Summary {
        self.0.lock().1[era as usize].summary()
    }
}
