//! Who has to go when new data does not fit, and what a new value replaces.
//!
//! The bounds are shared by all channels of a session, but a channel only ever costs itself: a new
//! message is let in at the expense of queued ones of its own stream or not at all. Nothing is dropped
//! in vain: if all of its stream together would not make room, the new one is the one that is lost.
//!
//! # Order
//! Offsets of a stream leave in order, whatever was dropped between them; recovery by position relies
//! on it. So a value goes to the back of the queue, not to where the one was that it replaces, unless
//! nothing of its stream stands behind that: then it takes the place itself, and keeps its turn. That
//! is always so for `Latest` and for a channel with one key: however fast they change, they get
//! through. A key of many that changes faster than the queue moves may be overtaken by the others.
//! No value takes a place before a reply that came in after the replaced one: the reply may end or
//! begin the membership.
//!
//! # Cost
//! What is compared first stands in the entry: 64 bytes, one cache line. A replaced value is searched
//! for from the back, one that makes way from the front; at most `frames_max` entries are looked at,
//! which at 1,024 takes less than the write that it stands for.

use std::sync::Arc;

use bytes::Bytes;

use super::{Bounds, Labelled, Pushed, Queue, Squeeze};
use crate::base::label::Label;
use crate::base::limits::SlowConsumerPolicy;
use crate::base::loss::{DropCause, Dropped};

/// A data frame that waits.
#[derive(Debug)]
pub(super) struct Entry {
    bytes: Bytes,
    queued_ms: u64,
    label: Option<Arc<Label>>,
    /// Of the label, to compare without following it.
    stream: u64,
    key_hash: u32,
    kind: Kind,
}

/// What may be done to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A reply in its place among the data: nothing.
    Reply,
    /// A message that the session gets or ends.
    Kept,
    /// A message that may be dropped, for its age too.
    Passing,
    /// The newest value of its key or channel.
    Value,
}

impl Entry {
    pub(super) fn new((bytes, label): Labelled, queued_ms: u64) -> Self {
        let kind = label.as_ref().map_or(Kind::Kept, |label| match label.policy {
            SlowConsumerPolicy::Disconnect => Kind::Kept,
            SlowConsumerPolicy::Latest => Kind::Value,
            SlowConsumerPolicy::Conflate if label.key.is_some() => Kind::Value,
            SlowConsumerPolicy::DropNewest
            | SlowConsumerPolicy::DropOldest
            | SlowConsumerPolicy::Conflate => Kind::Passing,
        });
        let stream = label.as_ref().map_or(0, |label| label.stream);
        let key_hash = label.as_ref().map_or(0, |label| label.key_hash());
        Self { bytes, queued_ms, label, stream, key_hash, kind }
    }

    pub(super) fn reply(bytes: Bytes, queued_ms: u64) -> Self {
        let (label, stream, key_hash) = (None, 0, 0);
        Self { bytes, queued_ms, label, stream, key_hash, kind: Kind::Reply }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes
    }

    pub(super) fn queued_ms(&self) -> u64 {
        self.queued_ms
    }

    pub(super) fn label(&self) -> Option<&Arc<Label>> {
        self.label.as_ref()
    }

    pub(super) fn is_reply(&self) -> bool {
        self.kind == Kind::Reply
    }

    /// Whether a bound may drop it; its time to live may in any case.
    pub(super) fn may_be_dropped(&self) -> bool {
        matches!(self.kind, Kind::Passing | Kind::Value)
    }

    /// Whether it may be lost without its session ending.
    pub(super) fn may_be_lost(&self) -> bool {
        let may_expire = self.label.as_ref().is_some_and(|label| label.expires_ms.is_some());
        self.may_be_dropped() || may_expire
    }

    pub(super) fn is_expired(&self, now_ms: u64) -> bool {
        self.label.as_ref().is_some_and(|label| label.is_expired(now_ms))
    }

    pub(super) fn is_too_old(&self, now_ms: u64, age_max_ms: u64) -> bool {
        let is_over_age = now_ms.saturating_sub(self.queued_ms) > age_max_ms;
        (is_over_age && self.kind == Kind::Passing) || self.is_expired(now_ms)
    }

    fn is_of_stream(&self, other: &Entry) -> bool {
        self.stream == other.stream && self.may_be_dropped()
    }

    /// Whether `newer` stands for the same value.
    fn is_replaced_by(&self, newer: &Entry) -> bool {
        self.key_hash == newer.key_hash
            && self.is_of_stream(newer)
            && match (&self.label, &newer.label) {
                (Some(label), Some(newer)) => label.key == newer.key,
                _ => false,
            }
    }

    fn policy(&self) -> SlowConsumerPolicy {
        self.label.as_ref().map_or(SlowConsumerPolicy::Disconnect, |label| label.policy)
    }
}

/// A queued value that a new one replaces.
struct Replaced {
    at: usize,
    bytes: usize,
    /// Whether the new one may take its place.
    in_place: bool,
}

impl Queue {
    /// Lets a new frame in, at the expense of whoever its policy says.
    pub(super) fn admit(&mut self, entry: Entry, bounds: &Bounds, dropped: &mut Dropped) -> Pushed {
        let replaced = self.replaced_by(&entry);
        let Some(oldest) = self.in_the_way(&entry, replaced.as_ref(), bounds) else {
            if !entry.may_be_dropped() {
                return Pushed::Overflow;
            }
            self.lose(&entry, DropCause::Newest, dropped);
            return Pushed::Dropped;
        };
        match replaced {
            Some(Replaced { at, in_place: true, .. }) if oldest == 0 => {
                self.swap(at, entry, dropped);
            }
            replaced => {
                if let Some(Replaced { at, .. }) = replaced {
                    self.drop_at(at, cause_of_replacing(&entry), dropped);
                }
                self.drop_oldest(&entry, oldest, dropped);
                self.append(entry);
            }
        }
        Pushed::Queued
    }

    /// The same while memory is tight.
    pub(super) fn admit_squeezed(
        &mut self,
        entry: Entry,
        bounds: &Bounds,
        dropped: &mut Dropped,
    ) -> Pushed {
        if bounds.squeeze == Squeeze::All {
            return Pushed::Overflow;
        }
        if !entry.may_be_dropped() {
            return self.admit(entry, bounds, dropped);
        }
        if bounds.squeeze == Squeeze::Eighth {
            let eighth = Bounds {
                bytes_max: bounds.bytes_max / 8,
                frames_max: (bounds.frames_max / 8).max(1),
                ..*bounds
            };
            return self.admit(entry, &eighth, dropped);
        }
        let mut at = 0;
        while at < self.data.len() {
            match self.data[at].may_be_dropped() {
                true => self.drop_at(at, DropCause::Shed, dropped),
                false => at += 1,
            }
        }
        self.lose(&entry, DropCause::Shed, dropped);
        Pushed::Dropped
    }

    /// The queued value that this one stands for, if its policy knows such a thing.
    fn replaced_by(&self, entry: &Entry) -> Option<Replaced> {
        if entry.kind != Kind::Value {
            return None;
        }
        let is_latest = entry.policy() == SlowConsumerPolicy::Latest;
        let mut in_place = true;
        for (at, other) in self.data.iter().enumerate().rev() {
            if (is_latest && other.is_of_stream(entry)) || other.is_replaced_by(entry) {
                return Some(Replaced { at, bytes: other.len(), in_place });
            }
            in_place &= !other.is_reply() && !other.is_of_stream(entry);
        }
        None
    }

    /// How many of the oldest entries of its stream have to go for the new one to fit, besides the
    /// one that it replaces; `None` if it does not fit whatever goes.
    fn in_the_way(
        &self,
        entry: &Entry,
        replaced: Option<&Replaced>,
        bounds: &Bounds,
    ) -> Option<usize> {
        let (freed_bytes, freed_frames) = replaced.map_or((0, 0), |replaced| (replaced.bytes, 1));
        let wanted_bytes = self.bytes() - freed_bytes + entry.len();
        let mut bytes_over = wanted_bytes.saturating_sub(bounds.bytes_max);
        let wanted_frames = self.frames() - freed_frames + 1;
        let mut frames_over = wanted_frames.saturating_sub(bounds.frames_max);
        if bytes_over == 0 && frames_over == 0 {
            return Some(0);
        }
        if !entry.may_be_dropped() || entry.policy() == SlowConsumerPolicy::DropNewest {
            return None;
        }
        let mut oldest = 0;
        for (at, other) in self.data.iter().enumerate() {
            if !other.is_of_stream(entry) || replaced.is_some_and(|replaced| replaced.at == at) {
                continue;
            }
            oldest += 1;
            bytes_over = bytes_over.saturating_sub(other.len());
            frames_over = frames_over.saturating_sub(1);
            if bytes_over == 0 && frames_over == 0 {
                return Some(oldest);
            }
        }
        None
    }

    fn drop_oldest(&mut self, entry: &Entry, mut count: usize, dropped: &mut Dropped) {
        let mut at = 0;
        while count > 0 && at < self.data.len() {
            if self.data[at].is_of_stream(entry) {
                self.drop_at(at, DropCause::Oldest, dropped);
                count -= 1;
            } else {
                at += 1;
            }
        }
    }

    fn drop_at(&mut self, at: usize, cause: DropCause, dropped: &mut Dropped) {
        if let Some(entry) = self.data.remove(at) {
            self.data_bytes -= entry.len();
            self.lose(&entry, cause, dropped);
        }
    }

    fn swap(&mut self, at: usize, entry: Entry, dropped: &mut Dropped) {
        self.data_bytes += entry.len();
        let cause = cause_of_replacing(&entry);
        let replaced = std::mem::replace(&mut self.data[at], entry);
        self.data_bytes -= replaced.len();
        self.lose(&replaced, cause, dropped);
    }
}

fn cause_of_replacing(entry: &Entry) -> DropCause {
    match entry.policy() {
        SlowConsumerPolicy::Latest => DropCause::Latest,
        _ => DropCause::Conflated,
    }
}
