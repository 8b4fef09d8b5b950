//! What the hub notes of sampled publications: how they begin, and what a lane does with them.
//!
//! A hub without a [`Tracer`], and a publication that was not sampled, cost one look at an `Option` at
//! each place: no clock, no lock, no allocation.

use std::sync::Arc;
use std::time::Instant;

use super::Hub;
use super::channel::Channel;
use super::errors::PublishError;
use super::pass::{Batch, Pass};
use super::prepared::Prepared;
use super::publish::Published;
use super::shared::Shared;
use crate::base::ids::ChannelName;
use crate::base::trace::{
    EncodeNotes, Ingress, LaneNotes, Outcome, Trace, TraceParent, Tracer, Ways,
};
use crate::protocol::Form;

/// A request or message that is to be sampled if it turns out to be a publication.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drawn {
    at: Instant,
    parent: Option<TraceParent>,
}

impl Hub {
    /// Where its sampled publications are noted, if anywhere.
    pub fn tracer(&self) -> Option<&Arc<Tracer>> {
        self.inner.shared.tracer.as_ref()
    }

    /// Whether what came in now is to be sampled, if it is a publication; `parent` is asked for only if
    /// there is a tracer.
    #[inline]
    pub(crate) fn draw(&self, parent: impl FnOnce() -> Option<TraceParent>) -> Option<Drawn> {
        let tracer = self.tracer()?;
        let parent = parent();
        tracer.draw(parent).map(|at| Drawn { at, parent })
    }

    /// It is one.
    #[inline]
    pub(crate) fn begin(&self, drawn: Option<Drawn>, ingress: Ingress) -> Option<Arc<Trace>> {
        let Drawn { at, parent } = drawn?;
        self.tracer()?.begin(at, parent, ingress)
    }
}

/// What is noted before it is posted to its channel. Comes back for the letter.
pub(super) fn posted(
    trace: Option<&Arc<Trace>>,
    channel: &Channel,
    len: usize,
) -> Option<Arc<Trace>> {
    let trace = trace?;
    trace.note(|notes| {
        notes.channel = Some(channel.name.clone());
        notes.message_bytes = len;
        notes.posted = Some(Instant::now());
    });
    Some(trace.clone())
}

/// What is noted of one that nobody is there for.
pub(super) fn nobody(trace: Option<&Arc<Trace>>, channel: &ChannelName, len: usize) {
    let Some(trace) = trace else { return };
    trace.note(|notes| {
        notes.channel = Some(channel.clone());
        notes.message_bytes = len;
        notes.outcome = Outcome::Nobody;
    });
}

/// What is noted of one that the hub may not have taken. It may come back.
pub(super) fn answered(trace: Option<&Arc<Trace>>, answer: &Result<Published, PublishError>) {
    let Some((trace, error)) = trace.zip(answer.as_ref().err()) else { return };
    let outcome = match error {
        PublishError::Overloaded => Outcome::Overloaded,
        PublishError::Draining => Outcome::Draining,
        PublishError::TooManyChannels => Outcome::TooManyChannels,
    };
    trace.note(|notes| notes.outcome = outcome);
}

/// What a lane notes of a pass that has a sampled publication.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    encodes: Vec<EncodeNotes>,
    first_write: Option<Instant>,
    turns: u32,
    ways: Ways,
}

impl Watch {
    /// For a batch that has a sampled publication.
    pub(crate) fn of(batch: &Batch) -> Option<Box<Self>> {
        batch.is_traced().then(Box::default)
    }

    /// Makes a form, if it is not there.
    pub(crate) fn join(&mut self, batch: &mut Batch, form: Form, shared: &Shared) {
        if batch.has(form) {
            return;
        }
        let began = Instant::now();
        batch.join(form, shared);
        self.encodes.push(EncodeNotes {
            form: form.format.name(),
            is_deflated: form.deflate.is_some(),
            bytes: batch.bytes(form, &(0..batch.len())).len(),
            began,
            ended: Instant::now(),
        });
    }

    /// What is written next is this pass's, too.
    pub(crate) fn begin_turn(&mut self) {
        self.turns += 1;
        self.first_write.get_or_insert_with(Instant::now);
    }

    /// Which way it went to some.
    pub(crate) fn add(&mut self, ways: Ways) {
        self.ways.writes += ways.writes;
        self.ways.direct += ways.direct;
        self.ways.outbox += ways.outbox;
        self.ways.gone += ways.gone;
    }

    /// The pass is at its end: tells each of its sampled publications.
    pub(crate) fn tell(self, pass: &Pass, lane: usize, ended: Instant) {
        let notes = LaneNotes {
            lane,
            began: pass.began,
            first_write: self.first_write.unwrap_or(ended),
            encodes: self.encodes,
            ended,
            batch: pass.batch.len(),
            turns: self.turns,
            ways: self.ways,
        };
        for trace in pass.batch.traces() {
            trace.note(|of| of.lanes.push(notes.clone()));
        }
    }
}

/// What is noted when the channel has taken it, before the lanes get it.
pub(super) fn taken(prepared: &Prepared, is_repeat: bool, subscribers: usize) {
    let Some(trace) = &prepared.trace else { return };
    let now = Instant::now();
    trace.note(|notes| {
        notes.taken = Some(now);
        notes.subscribers = subscribers;
        notes.offset = prepared.encoded.offset();
        notes.outcome = if is_repeat { Outcome::Repeat } else { Outcome::Accepted };
    });
}

/// What is noted when the lanes are about to get it.
pub(super) fn passed_on(prepared: &Prepared) {
    let Some(trace) = &prepared.trace else { return };
    let now = Instant::now();
    trace.note(|notes| notes.passed_on = Some(now));
}
