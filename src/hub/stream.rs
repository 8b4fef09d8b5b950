//! What a channel knows of what was published to it: numbers, history, idempotency keys. A plain
//! value: the holder of the channel's duty is its only user.

use std::sync::Arc;

use super::encoded::Encoded;
use super::history::History;
use super::letters::{Conditions, Joined, Taken};
use super::repeats::Repeats;
use super::shared::Shared;
use crate::base::channels::ChannelOptions;
use crate::base::position::{Epoch, Recover, StreamPosition};
use crate::protocol::Form;

/// See the module.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) history: History,
    repeats: Repeats,
    /// When somebody was last here who may want to recover: a publisher or a subscriber.
    used_ms: Option<u64>,
}

impl Stream {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self { history: History::new(epoch), repeats: Repeats::default(), used_ms: None }
    }

    /// Whether nothing is kept that a channel without subscribers must stay for. Its position alone
    /// is worth as long a stay as a publication: whoever comes back to a quiet channel has missed
    /// nothing, and only the position can say so.
    pub(crate) fn is_empty(&self, options: &ChannelOptions, shared: &Shared) -> bool {
        let is_unused = |used_ms: u64| {
            shared.clock.now_ms().saturating_sub(used_ms) > options.history.age_max_ms
        };
        self.history.is_empty()
            && self.repeats.is_empty()
            && (!options.history.is_on() || self.used_ms.is_none_or(is_unused))
    }

    /// Notes that somebody published, came or went.
    pub(crate) fn note_use(&mut self, shared: &Shared) {
        self.used_ms = Some(shared.clock.now_ms());
    }

    /// Decides what becomes of a publication, numbers it and keeps it.
    pub(crate) fn take(
        &mut self,
        encoded: &Arc<Encoded>,
        conditions: &Conditions,
        options: &ChannelOptions,
        shared: &Shared,
    ) -> Taken {
        let now_ms = shared.clock.now_ms();
        let keeps = options.history.is_on();
        if let Some(key) = &conditions.idempotency_key
            && let Some(position) = self.repeats.find(key, now_ms)
        {
            shared.counters.publications_repeated.add(1);
            return Taken { position, is_repeat: true };
        }
        if let Some(version) = &conditions.version
            && !self.history.is_newer(version)
        {
            shared.counters.publications_repeated.add(1);
            return Taken { position: keeps.then(|| self.history.position()), is_repeat: true };
        }
        self.note_use(shared);
        let mut position = None;
        // What is not kept has no number where numbers are positions: a gap in them would be a
        // message that nobody can recover.
        if !(keeps && conditions.skip_history) {
            encoded.set_offset(self.history.number());
        }
        if keeps && !conditions.skip_history {
            let total = (&shared.counters.history_bytes, shared.limits.history_bytes_max);
            self.history.keep(encoded, &options.history, total, now_ms);
            position = Some(self.history.position());
        }
        if let Some(key) = &conditions.idempotency_key {
            let keys_max = shared.limits.idempotency_keys_max;
            self.repeats.note(key.clone(), position, keys_max, now_ms);
        }
        Taken { position, is_repeat: false }
    }

    /// What a session that joins is told, and what it gets before everything that comes from now on:
    /// all that it missed, or else the newest value if the channel is a cache, or nothing.
    pub(crate) fn recover(
        &mut self,
        recover: Option<Recover>,
        form: Form,
        options: &ChannelOptions,
        shared: &Shared,
    ) -> (Joined, Vec<Arc<Encoded>>) {
        if !options.history.is_on() {
            return (Joined { position: None, recovered: recover.map(|_| false) }, Vec::new());
        }
        self.expire(options, shared);
        let missed = recover.and_then(|Recover { epoch, offset }| {
            let found = self.history.after(StreamPosition { epoch: epoch?, offset })?;
            fits(&found, form, shared).then_some(found)
        });
        if recover.is_some() {
            let counters = &shared.counters;
            if missed.is_some() { &counters.recovered } else { &counters.unrecovered }.add(1);
        }
        let joined = Joined {
            position: Some(self.history.position()),
            recovered: recover.map(|_| missed.is_some()),
        };
        let newest = || options.cache.then(|| self.history.newest().cloned()).flatten();
        (joined, missed.unwrap_or_else(|| newest().into_iter().collect()))
    }

    /// Forgets what is too old.
    pub(crate) fn expire(&mut self, options: &ChannelOptions, shared: &Shared) {
        let now_ms = shared.clock.now_ms();
        self.history.expire(&options.history, &shared.counters.history_bytes, now_ms);
        self.repeats.expire(now_ms);
    }
}

/// Whether the outbox of one session can take all of it at once.
fn fits(missed: &[Arc<Encoded>], form: Form, shared: &Shared) -> bool {
    let bytes = missed.iter().map(|encoded| encoded.frame(form, shared).len());
    missed.len() <= shared.limits.outbox_frames_max
        && bytes.sum::<usize>() <= shared.limits.outbox_bytes_max
}
