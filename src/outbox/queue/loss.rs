//! What a session lost and has not been told yet: for each stream one sum.
//!
//! What bounds it: a stream appears once, so there are about as many sums as the session has
//! subscriptions. A peer that joins and leaves channels while it does not read could make more, so
//! with [`LOSSES_MAX`] the session takes no more and has to end: it would no longer know what it
//! misses. (What is found too old while the writer takes comes on top: at most what was queued.)

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::label::Label;
use crate::base::loss::DropCause;

/// Streams with something to tell at once, from which on the session ends. Memory: 40 bytes each.
pub(super) const LOSSES_MAX: usize = 1_024;

/// Messages of one stream that a session did not get, since it was last told.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    /// The label of one of them, for its channel and stream.
    pub(crate) label: Arc<Label>,
    pub(crate) count: u64,
    /// The first and the last offset; others between them may have been delivered.
    pub(crate) from_offset: u64,
    pub(crate) to_offset: u64,
    /// Why the last of them was dropped.
    pub(crate) cause: DropCause,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Losses(VecDeque<Loss>);

impl Losses {
    pub(crate) fn note(&mut self, label: &Arc<Label>, cause: DropCause) {
        // From the back: whoever lost a message is likely to lose the next one too.
        let known = self.0.iter_mut().rev().find(|loss| loss.label.stream == label.stream);
        let offset = label.offset;
        match known {
            Some(loss) => {
                loss.count += 1;
                loss.from_offset = loss.from_offset.min(offset);
                loss.to_offset = loss.to_offset.max(offset);
                loss.cause = cause;
            }
            None => self.0.push_back(Loss {
                label: label.clone(),
                count: 1,
                from_offset: offset,
                to_offset: offset,
                cause,
            }),
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Loss> {
        self.0.pop_front()
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= LOSSES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
