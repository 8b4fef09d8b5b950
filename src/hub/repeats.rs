//! Idempotency keys of a channel: a publication that a publisher sends again, because it did not
//! hear the answer, is recognised and answered as the first one was.
//!
//! A plain value: the holder of the channel's duty is its only user. Bounded in number and age; a
//! key that was forgotten is a new one.

use std::collections::{HashMap, VecDeque};

use crate::base::position::StreamPosition;

/// How long a key is remembered, in milliseconds: five minutes, as publishers of Centrifugo expect.
pub(crate) const AGE_MAX_MS: u64 = 300_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    answers: HashMap<Box<str>, Option<StreamPosition>>,
    order: VecDeque<(Box<str>, u64)>,
}

impl Repeats {
    /// Whether no key is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The answer that the first publication with this key got.
    pub(crate) fn find(&mut self, key: &str, now_ms: u64) -> Option<Option<StreamPosition>> {
        self.expire(now_ms);
        self.answers.get(key).copied()
    }

    /// Remembers a key that [`find`](Self::find) did not know; beyond `keys_max` the oldest is
    /// forgotten.
    pub(crate) fn note(
        &mut self,
        key: Box<str>,
        answer: Option<StreamPosition>,
        keys_max: usize,
        now_ms: u64,
    ) {
        self.answers.insert(key.clone(), answer);
        self.order.push_back((key, now_ms));
        while self.order.len() > keys_max {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((key, _)) = self.order.pop_front() {
            self.answers.remove(&key);
        }
    }

    /// Forgets what is too old.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        while let Some((_, at_ms)) = self.order.front()
            && now_ms.saturating_sub(*at_ms) > AGE_MAX_MS
        {
            self.forget_oldest();
        }
        if self.order.is_empty() && self.order.capacity() > 0 {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_until_it_is_old_or_one_too_many() {
        let mut repeats = Repeats::default();
        for (at, key) in ["a", "b", "c"].into_iter().enumerate() {
            assert_eq!(repeats.find(key, at as u64), None);
            repeats.note(key.into(), None, 2, at as u64);
        }
        assert_eq!(repeats.find("a", 2), None, "two are the most");
        assert_eq!(repeats.find("b", AGE_MAX_MS + 1), Some(None));
        assert_eq!(repeats.find("b", AGE_MAX_MS + 2), None);
        assert_eq!(repeats.find("c", AGE_MAX_MS + 2), Some(None));
        repeats.expire(2 * AGE_MAX_MS);
        assert!(repeats.is_empty() && repeats.answers.is_empty());
    }
}
