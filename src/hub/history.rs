//! What a channel keeps of what was published to it. A plain value: the holder of the channel's duty
//! is its only user.
//!
//! # What holds
//! * Offsets go up by one with every publication that is kept or could have been.
//! * What is kept is always the newest, without a gap: so either everything after a position is here,
//!   or the answer is that it is not.
//! * The bounds of [`HistoryOptions`] and of the hub hold after every publication; age is looked at
//!   before every answer.

use std::collections::VecDeque;
use std::sync::Arc;

use super::encoded::Encoded;
use crate::base::channels::HistoryOptions;
use crate::base::counters::Gauge;
use crate::base::position::{Epoch, StreamPosition};

/// What keeping a publication costs besides its message, in bytes: its bookkeeping and one short
/// encoded form.
const OVERHEAD_BYTES: usize = 512;

/// See the module.
#[derive(Debug)]
pub(crate) struct History {
    epoch: Epoch,
    /// The offset of the newest publication; 0 before the first.
    top: u64,
    kept: VecDeque<Kept>,
    bytes: usize,
    version: Option<Version>,
}

#[derive(Debug)]
struct Kept {
    encoded: Arc<Encoded>,
    offset: u64,
    at_ms: u64,
}

/// The publisher's own number of what it published: an older one that comes late is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Higher is newer.
    pub number: u64,
    /// Numbers of different epochs do not compare: the later publication counts.
    pub epoch: Box<str>,
}

/// How much of a history is wanted in one answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    pub(crate) publications: usize,
    pub(crate) bytes: usize,
}

impl History {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self { epoch, top: 0, kept: VecDeque::new(), bytes: 0, version: None }
    }

    /// Where the channel is.
    pub(crate) fn position(&self) -> StreamPosition {
        StreamPosition { epoch: self.epoch, offset: self.top }
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Notes the publisher's version. Returns whether the publication is to go out: it is newer than
    /// the last one, or of another epoch.
    pub(crate) fn is_newer(&mut self, version: &Version) -> bool {
        let is_newer = self
            .version
            .as_ref()
            .is_none_or(|last| last.epoch != version.epoch || last.number < version.number);
        if is_newer {
            self.version = Some(version.clone());
        }
        is_newer
    }

    /// The next offset, for a publication that goes out.
    pub(crate) fn number(&mut self) -> u64 {
        self.top += 1;
        self.top
    }

    /// Keeps the publication that was numbered last. `total` counts the bytes of all histories of
    /// the hub, which may have `total_max`: a channel that finds it full makes room among its own.
    pub(crate) fn keep(
        &mut self,
        encoded: &Arc<Encoded>,
        options: &HistoryOptions,
        (total, total_max): (&Gauge, usize),
        now_ms: u64,
    ) {
        let bytes = cost(encoded);
        total.add(bytes as i64);
        self.bytes += bytes;
        self.kept.push_back(Kept { encoded: encoded.clone(), offset: self.top, at_ms: now_ms });
        let is_over = |history: &Self| {
            history.kept.len() > options.publications_max
                || history.message_bytes() > options.bytes_max
                || total.get() > total_max as i64
        };
        while !self.kept.is_empty() && is_over(self) {
            self.forget_oldest(total);
        }
        self.expire(options, total, now_ms);
    }

    fn message_bytes(&self) -> usize {
        self.bytes - self.kept.len() * OVERHEAD_BYTES
    }

    fn forget_oldest(&mut self, total: &Gauge) {
        if let Some(kept) = self.kept.pop_front() {
            let bytes = cost(&kept.encoded);
            self.bytes -= bytes;
            total.add(-(bytes as i64));
        }
    }

    /// Forgets what is too old.
    pub(crate) fn expire(&mut self, options: &HistoryOptions, total: &Gauge, now_ms: u64) {
        while let Some(oldest) = self.kept.front()
            && now_ms.saturating_sub(oldest.at_ms) > options.age_max_ms
        {
            self.forget_oldest(total);
        }
        if self.kept.is_empty() {
            self.kept.shrink_to(16);
        }
    }

    /// Forgets everything. The position stays: who was there before cannot recover, and is told so.
    pub(crate) fn clear(&mut self, total: &Gauge) {
        while !self.kept.is_empty() {
            self.forget_oldest(total);
        }
        self.kept = VecDeque::new();
    }

    /// Everything after `position`, oldest first; `None` if any of it is not here.
    pub(crate) fn after(&self, position: StreamPosition) -> Option<Vec<Arc<Encoded>>> {
        if position.epoch != self.epoch || position.offset > self.top {
            return None;
        }
        let missed = usize::try_from(self.top - position.offset).ok()?;
        let from = self.kept.len().checked_sub(missed)?;
        Some(self.kept.range(from..).map(|kept| kept.encoded.clone()).collect())
    }

    /// The newest publication that is kept.
    pub(crate) fn newest(&self) -> Option<&Arc<Encoded>> {
        self.kept.back().map(|kept| &kept.encoded)
    }

    /// Up to `most` of what is kept, those after `since` if it is given, oldest first or newest
    /// first. `None` if what follows `since` is not all here.
    pub(crate) fn page(
        &self,
        since: Option<StreamPosition>,
        is_reverse: bool,
        most: Most,
    ) -> Option<Vec<Arc<Encoded>>> {
        let offset = match since {
            None => None,
            Some(since) if since.epoch != self.epoch || since.offset > self.top => return None,
            Some(since) => Some(since.offset),
        };
        let oldest = self.kept.front().map_or(self.top + 1, |kept| kept.offset);
        let wanted: &mut dyn Iterator<Item = &Kept> = match (is_reverse, offset) {
            (false, Some(offset)) if offset + 1 < oldest => return None,
            (false, offset) => {
                &mut self.kept.iter().filter(move |kept| offset.is_none_or(|at| kept.offset > at))
            }
            // Towards the past: what lies before the position.
            (true, offset) => &mut self
                .kept
                .iter()
                .rev()
                .filter(move |kept| offset.is_none_or(|at| kept.offset < at)),
        };
        let mut bytes = 0;
        let page = wanted.take(most.publications).map(|kept| &kept.encoded).take_while(|encoded| {
            bytes += encoded.message_len();
            bytes <= most.bytes
        });
        Some(page.cloned().collect())
    }
}

fn cost(encoded: &Encoded) -> usize {
    encoded.message_len() + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests;
