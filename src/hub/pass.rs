//! A pass: everything that is pending for a channel, joined, on its walk over a snapshot.
//!
//! # Order
//! Items of a channel are taken in the order of its letters. A reply is written when its turn comes
//! and before the publications that follow it. A reply that ends a membership also ends the batch
//! before it, because the members of a batch are those of the snapshot at its end; one that begins a
//! membership need not: the member's `since` keeps it from what was published before. So does the end
//! of a session: what was published before it is written before it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::channel::Channel;
use super::deliver::Delivery;
use super::drain::Farewell;
use super::encoded::Encoded;
use super::prepared::Prepared;
use super::roster::{LetterNumber, Member, Snapshot};
use super::session::Session;
use super::shared::Shared;
use super::traced::Watch;
use crate::base::ids::SessionId;
use crate::base::trace::Trace;
use crate::protocol::Form;

/// Publications of one batch. Bounds what a late frame of a batch costs to find.
const PUBLICATIONS_PER_BATCH: usize = 4_096;

/// What a lane has pending for one channel.
#[derive(Debug)]
pub(crate) struct Work {
    channel: Arc<Channel>,
    items: VecDeque<WorkItem>,
    pass: Option<Pass>,
}

#[derive(Debug)]
enum WorkItem {
    Publication(Arc<Prepared>, LetterNumber),
    Reply { session: Arc<Session>, frame: Bytes, replay: Vec<Arc<Encoded>>, is_last: bool },
    Farewell(Arc<Farewell>),
}

impl Work {
    pub(crate) fn new(channel: Arc<Channel>) -> Self {
        Self { channel, items: VecDeque::new(), pass: None }
    }

    pub(crate) fn push_publication(&mut self, prepared: Arc<Prepared>, number: LetterNumber) {
        self.items.push_back(WorkItem::Publication(prepared, number));
    }

    pub(crate) fn push_reply(
        &mut self,
        session: Arc<Session>,
        frame: Bytes,
        replay: Vec<Arc<Encoded>>,
        is_last: bool,
    ) {
        self.items.push_back(WorkItem::Reply { session, frame, replay, is_last });
    }

    pub(crate) fn push_farewell(&mut self, farewell: Arc<Farewell>) {
        self.items.push_back(WorkItem::Farewell(farewell));
    }

    /// The pass to go on with: the one under way, or a new one of what is pending, after the replies
    /// before it are written, each of which costs one of `budget`. `None` when there is nothing to
    /// pass on, or when the budget went before the first publication came.
    pub(crate) fn next_pass(
        &mut self,
        lane: usize,
        delivery: &mut Delivery,
        budget: &mut usize,
    ) -> Option<Pass> {
        if let Some(pass) = self.pass.take() {
            return Some(pass);
        }
        let bytes_max = delivery.shared().limits.pass_bytes_max;
        let mut batch = Batch::default();
        while *budget > 0
            && let Some(item) = self.items.pop_front()
        {
            let ends_batch = match &item {
                WorkItem::Publication(prepared, _) => !batch.has_room(prepared, bytes_max),
                WorkItem::Reply { is_last, .. } => *is_last && !batch.publications.is_empty(),
                WorkItem::Farewell(_) => !batch.publications.is_empty(),
            };
            if ends_batch {
                self.items.push_front(item);
                break;
            }
            match item {
                WorkItem::Publication(prepared, number) => batch.push(prepared, number),
                WorkItem::Reply { session, frame, replay, .. } => {
                    delivery.membership_reply(&session, frame, &replay);
                    *budget -= 1;
                }
                WorkItem::Farewell(farewell) => {
                    if let Some(Farewell { session, disconnect }) = Arc::into_inner(farewell) {
                        delivery.close(&session, &disconnect, false);
                        *budget -= 1;
                    }
                }
            }
        }
        if batch.publications.is_empty() {
            return None;
        }
        let snapshot = self.channel.snapshot(lane);
        let watch = Watch::of(&batch);
        Some(Pass { batch, snapshot, cursor: 0, began: Instant::now(), deliveries: 0, watch })
    }

    /// Puts a pass back that is not at its end.
    pub(crate) fn suspend(&mut self, pass: Pass) {
        self.pass = Some(pass);
    }

    /// Whether nothing is pending.
    pub(crate) fn is_done(&self) -> bool {
        self.pass.is_none() && self.items.is_empty()
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) batch: Batch,
    pub(crate) snapshot: Arc<Snapshot<Arc<Session>>>,
    /// The next member.
    pub(crate) cursor: usize,
    pub(crate) began: Instant,
    /// Deliveries of the turn under way.
    pub(crate) deliveries: u64,
    /// If one of its publications was sampled.
    pub(crate) watch: Option<Box<Watch>>,
}

impl Pass {
    /// The next members, at most `most`.
    pub(crate) fn advance(&mut self, most: usize) -> Range<usize> {
        let from = self.cursor;
        self.cursor = self.snapshot.len().min(from + most);
        from..self.cursor
    }

    /// [`Batch::join`], which is noted if anybody watches.
    #[inline]
    pub(crate) fn join(&mut self, form: Form, shared: &Shared) {
        match &mut self.watch {
            None => self.batch.join(form, shared),
            Some(watch) => watch.join(&mut self.batch, form, shared),
        }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.cursor == self.snapshot.len()
    }
}

/// Publications that are written as one.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    publications: Vec<(Arc<Prepared>, LetterNumber)>,
    bytes: usize,
    /// Whether one of them was sampled.
    is_traced: bool,
    /// Sessions that are not to get one of the publications, sorted.
    excluded: Vec<SessionId>,
    /// The form that was needed first: nearly always the only one, so it is looked at first.
    joined: Option<Joined>,
    /// The other ones, in no order.
    joined_more: Vec<Joined>,
}

/// The frames of a batch in one form, one after the other.
#[derive(Debug)]
struct Joined {
    form: Form,
    bytes: Bytes,
    /// Where each frame begins, and where the last one ends.
    bounds: Vec<usize>,
}

impl Batch {
    /// A single publication, ready in this form.
    pub(crate) fn of_one(prepared: Arc<Prepared>, form: Form, shared: &Shared) -> Self {
        let mut batch = Self::default();
        batch.push(prepared, 0);
        batch.join(form, shared);
        batch
    }

    fn has_room(&self, prepared: &Prepared, bytes_max: usize) -> bool {
        let len = prepared.message_len();
        self.publications.is_empty()
            || (self.bytes + len <= bytes_max && self.publications.len() < PUBLICATIONS_PER_BATCH)
    }

    fn push(&mut self, prepared: Arc<Prepared>, number: LetterNumber) {
        self.bytes += prepared.message_len();
        self.is_traced |= prepared.trace.is_some();
        if let Some(id) = prepared.not_to
            && let Err(at) = self.excluded.binary_search(&id)
        {
            self.excluded.insert(at, id);
        }
        self.publications.push((prepared, number));
    }

    /// When the oldest of its publications was accepted.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.publications.first().map(|(prepared, _)| prepared.published)
    }

    /// Whether one of its publications was sampled.
    pub(crate) fn is_traced(&self) -> bool {
        self.is_traced
    }

    /// Where those of its publications are noted that were sampled.
    pub(crate) fn traces(&self) -> impl Iterator<Item = &Arc<Trace>> {
        self.publications.iter().filter_map(|(prepared, _)| prepared.trace.as_ref())
    }

    /// How many publications it has.
    pub(crate) fn len(&self) -> usize {
        self.publications.len()
    }

    /// The first publication that the member is to get: those before it joined are not for it.
    #[inline]
    pub(crate) fn first_for(&self, member: &Member<Arc<Session>>) -> usize {
        if member.since < self.publications[0].1 {
            return 0;
        }
        self.publications.partition_point(|(_, number)| *number <= member.since)
    }

    /// Makes the wire bytes of this form if nobody needed them yet.
    #[inline]
    pub(crate) fn join(&mut self, form: Form, shared: &Shared) {
        match &self.joined {
            Some(joined) if joined.form == form => {}
            _ => self.join_other(form, shared),
        }
    }

    /// Whether the wire bytes of this form are made.
    pub(crate) fn has(&self, form: Form) -> bool {
        self.joined.iter().chain(&self.joined_more).any(|joined| joined.form == form)
    }

    /// [`join`](Self::join), where it is not the form that was needed first.
    fn join_other(&mut self, form: Form, shared: &Shared) {
        if self.joined.is_none() {
            self.joined = Some(Joined::new(&self.publications, form, shared));
        } else if self.joined_more.iter().all(|joined| joined.form != form) {
            self.joined_more.push(Joined::new(&self.publications, form, shared));
        }
    }

    /// The wire bytes of some publications; [`join`](Self::join) has been called.
    #[inline]
    pub(crate) fn bytes(&self, form: Form, range: &Range<usize>) -> &[u8] {
        let joined = match &self.joined {
            Some(joined) if joined.form == form => Some(joined),
            _ => self.joined_more.iter().find(|joined| joined.form == form),
        };
        match joined {
            Some(joined) => &joined.bytes[joined.bounds[range.start]..joined.bounds[range.end]],
            None => &[],
        }
    }

    /// Some of its publications, one by one, each with the number of its letter.
    pub(crate) fn publications(
        &self,
        range: &Range<usize>,
    ) -> impl Iterator<Item = &(Arc<Prepared>, LetterNumber)> {
        self.publications[range.clone()].iter()
    }

    /// Whether there is a publication that this session is not to get.
    #[inline]
    pub(crate) fn excludes(&self, id: SessionId) -> bool {
        !self.excluded.is_empty() && self.excluded.binary_search(&id).is_ok()
    }

    /// The stretches of `range` that are for this session: all but what excludes it.
    pub(crate) fn stretches(&self, id: SessionId, range: Range<usize>) -> Vec<Range<usize>> {
        let mut stretches = Vec::new();
        let mut from = range.start;
        for at in range.clone() {
            if self.publications[at].0.not_to == Some(id) {
                if from < at {
                    stretches.push(from..at);
                }
                from = at + 1;
            }
        }
        if from < range.end {
            stretches.push(from..range.end);
        }
        stretches
    }
}

impl Joined {
    fn new(publications: &[(Arc<Prepared>, LetterNumber)], form: Form, shared: &Shared) -> Self {
        if let [(only, _)] = publications {
            let bytes = only.frame(form, shared).clone();
            return Self { form, bounds: vec![0, bytes.len()], bytes };
        }
        let mut bounds = Vec::with_capacity(publications.len() + 1);
        let frame_len = |prepared: &Prepared| prepared.frame(form, shared).len();
        let len = publications.iter().map(|(prepared, _)| frame_len(prepared)).sum();
        let mut bytes = BytesMut::with_capacity(len);
        for (prepared, _) in publications {
            bounds.push(bytes.len());
            bytes.extend_from_slice(prepared.frame(form, shared));
        }
        bounds.push(bytes.len());
        Self { form, bytes: bytes.freeze(), bounds }
    }
}
