//! A turn of a lane: a bounded amount of writing, shared fairly by the channels that are pending.
//!
//! **What a turn costs.** Publications that wait together are written as one, and the longer the write
//! the longer it takes: beside 3 µs for a short one, [`BYTES_PER_WRITE`] more take about as long again.
//! So a write counts as one for each so many bytes that it begins, and a turn takes about the same
//! time whether a channel has one publication pending or a thousand.
//!
//! **Who comes first.** A channel that had nothing pending goes ahead of those that have had a turn
//! and are not done; so a small one waits for the turn that is under way and not for another. To those
//! that have waited longer half of each turn is left, however many come anew.
//!
//! Small channels share one turn; a session that is in several of them gets one vectored write.

use std::sync::Arc;
use std::time::Instant;

use super::deliver::Piece;
use super::lane::Lane;
use super::pass::Pass;
use super::roster::Member;
use super::shared::Shared;
use crate::base::trace::Ways;

/// Bytes of a write that count as one more.
const BYTES_PER_WRITE: usize = 2 << 10;

/// Members that are looked at, one right after the other, before the first of them is written to.
/// Their sessions are not in the cache (see [`Session`](super::session::Session)); looked at together
/// they come from memory together, while a send between two would make each wait for its own. More
/// than a few would be gone again before it is their turn.
const LOOK_AHEAD: usize = 16;

/// One member's share of the turn: member `member` of served pass `pass` gets that pass's
/// publications from `first` on.
#[derive(Clone, Copy, Debug)]
struct Slot {
    session: usize,
    pass: u32,
    member: u32,
    first: u32,
}

/// What a turn is made of.
#[derive(Debug, Default)]
struct Plan {
    served: Vec<(usize, Pass)>,
    slots: Vec<Slot>,
}

impl Lane {
    /// Serves the channels whose turn it is, each at most once.
    pub(super) fn turn(&mut self) {
        if self.ring.is_empty() && self.fresh.is_empty() {
            return;
        }
        let mut plan = Plan::default();
        let mut budget = self.shared.limits.writes_per_turn;
        let waiting = self.ring.len();
        let reserved = if waiting > 0 { budget / 2 } else { 0 };
        budget -= reserved;
        while budget > 0
            && let Some(key) = self.fresh.pop_front()
        {
            self.plan(key, &mut plan, &mut budget);
        }
        budget += reserved;
        for _ in 0..waiting {
            if budget == 0 {
                break;
            }
            let Some(key) = self.ring.pop_front() else { break };
            self.plan(key, &mut plan, &mut budget);
        }
        self.ring.append(&mut self.fresh);
        let Plan { mut served, mut slots } = plan;
        if served.len() > 1 {
            // Stable: what a session gets from one channel stays in that channel's order.
            slots.sort_by_key(|slot| slot.session);
        }
        self.flush(&slots, &mut served);
        for (key, pass) in served {
            self.put_back(key, pass);
        }
    }

    /// Takes a channel into the turn, with as many of its members as the budget has room for.
    fn plan(&mut self, key: usize, plan: &mut Plan, budget: &mut usize) {
        let Some(work) = self.works.get_mut(&key) else { return };
        match work.next_pass(self.index, &mut self.delivery, budget) {
            Some(mut pass) => {
                let cost = cost_each(&mut pass, &self.shared);
                // A single write may be more than a turn has left, or has at all.
                let most = (*budget / cost).max(1);
                let looked_at = gather(&mut plan.slots, &mut pass, plan.served.len(), most);
                *budget = budget.saturating_sub(looked_at * cost);
                plan.served.push((key, pass));
            }
            None if work.is_done() => drop(self.works.remove(&key)),
            None => self.ring.push_back(key),
        }
    }

    /// Writes a few at a time, see [`LOOK_AHEAD`].
    fn flush(&mut self, mut slots: &[Slot], served: &mut [(usize, Pass)]) {
        let mut ways = None;
        let mut is_first = true;
        while !slots.is_empty() {
            let next;
            (next, slots) = split_between_sessions(slots, LOOK_AHEAD);
            for slot in next {
                let pass = &mut served[slot.pass as usize].1;
                let form = pass.snapshot[slot.member as usize].session.form;
                pass.join(form, &self.shared);
                pass.deliveries += (pass.batch.len() - slot.first as usize) as u64;
            }
            if std::mem::take(&mut is_first) {
                ways = begin_watch(served);
            }
            self.write(next, served, ways.as_mut());
        }
        for (pass, way) in ways.into_iter().flatten() {
            if let Some(watch) = &mut served[pass].1.watch {
                watch.add(way);
            }
        }
        self.note_waits(served);
    }

    fn write(
        &mut self,
        slots: &[Slot],
        served: &[(usize, Pass)],
        mut ways: Option<&mut Vec<(usize, Ways)>>,
    ) {
        let mut pieces: Vec<Piece<'_>> = Vec::new();
        for group in slots.chunk_by(|a, b| a.session == b.session) {
            let first = group[0];
            let member = &served[first.pass as usize].1.snapshot[first.member as usize];
            let Member { session, id, .. } = member;
            pieces.clear();
            for slot in group {
                let batch = &served[slot.pass as usize].1.batch;
                let range = slot.first as usize..batch.len();
                if batch.excludes(*id) {
                    let stretches = batch.stretches(*id, range);
                    pieces.extend(stretches.into_iter().map(|range| Piece { batch, range }));
                } else {
                    pieces.push(Piece { batch, range });
                }
            }
            match &mut ways {
                _ if pieces.is_empty() => {}
                None => self.delivery.publications(session, &pieces),
                Some(ways) => {
                    let way = self.delivery.publications_watched(session, &pieces);
                    ways.extend(group.iter().map(|slot| (slot.pass as usize, way)));
                }
            }
        }
    }

    /// Once a turn and pass, not once a delivery: a clock read takes 25 ns.
    fn note_waits(&self, served: &mut [(usize, Pass)]) {
        let (now, counters) = (Instant::now(), &self.shared.counters.lanes()[self.index]);
        for (_, pass) in served {
            let deliveries = std::mem::take(&mut pass.deliveries);
            if let Some(oldest) = pass.batch.oldest().filter(|_| deliveries > 0) {
                let waited = now.saturating_duration_since(oldest);
                counters.delivery_us.note_many(waited.as_micros() as u64, deliveries);
            }
        }
    }

    fn put_back(&mut self, key: usize, mut pass: Pass) {
        let Some(work) = self.works.get_mut(&key) else { return };
        if pass.is_at_end() {
            let counters = &self.shared.counters.lanes()[self.index];
            counters.passes.add(1);
            let now = Instant::now();
            counters.pass_us.note(now.duration_since(pass.began).as_micros() as u64);
            if let Some(watch) = pass.watch.take() {
                watch.tell(&pass, self.index, now);
            }
            drop(pass);
            if work.is_done() {
                self.works.remove(&key);
                return;
            }
        } else {
            work.suspend(pass);
        }
        self.ring.push_back(key);
    }
}

/// The first `most` slots, and those after them that are the same session's; and the rest.
fn split_between_sessions(slots: &[Slot], most: usize) -> (&[Slot], &[Slot]) {
    let mut end = most.min(slots.len());
    while end < slots.len() && slots[end].session == slots[end - 1].session {
        end += 1;
    }
    slots.split_at(end)
}

/// Which way each delivery went, with the served pass that it is of; only if anybody watches one.
fn begin_watch(served: &mut [(usize, Pass)]) -> Option<Vec<(usize, Ways)>> {
    let mut watched = None;
    for watch in served.iter_mut().filter_map(|(_, pass)| pass.watch.as_mut()) {
        watch.begin_turn();
        watched.get_or_insert_with(Vec::new);
    }
    watched
}

/// What writing a pass to one of its members counts as. In the form of the next one: nearly always
/// they have but one.
fn cost_each(pass: &mut Pass, shared: &Shared) -> usize {
    let Some(next) = pass.snapshot.get(pass.cursor) else { return 1 };
    let form = next.session.form;
    pass.join(form, shared);
    let bytes = pass.batch.bytes(form, &(0..pass.batch.len())).len();
    bytes.div_ceil(BYTES_PER_WRITE).max(1)
}

/// Notes the next members of a pass, at most `most`; returns how many it looked at.
fn gather(slots: &mut Vec<Slot>, pass: &mut Pass, at: usize, most: usize) -> usize {
    let range = pass.advance(most);
    let count = range.len();
    slots.reserve(range.len());
    for (member, entry) in range.clone().zip(&pass.snapshot[range]) {
        let first = pass.batch.first_for(entry);
        if first < pass.batch.len() {
            slots.push(Slot {
                session: Arc::as_ptr(&entry.session) as usize,
                pass: at as u32,
                member: member as u32,
                first: first as u32,
            });
        }
    }
    count
}

#[cfg(all(test, not(fanfare_loom)))]
mod tests {
    use std::sync::Arc;

    use crate::base::counters::LaneCounters;
    use crate::base::ids::ChannelName;
    use crate::base::message::Message;
    use crate::hub::session::Session;
    use crate::hub::{Hub, SessionOptions};

    /// Without sockets: what is delivered waits in outboxes, and each delivery is counted.
    struct Rig {
        hub: Hub,
        _sessions: Vec<Arc<Session>>,
    }

    impl Rig {
        fn new(writes_per_turn: usize, members: &[(&str, usize)]) -> Self {
            let hub = Hub::builder().lanes(1).writes_per_turn(writes_per_turn).build();
            let mut sessions = Vec::new();
            for (name, count) in members {
                for _ in 0..*count {
                    let session = hub.open(SessionOptions::default()).unwrap();
                    hub.join(&session, &ChannelName::try_from(*name).unwrap(), None, None).unwrap();
                    sessions.push(session);
                }
            }
            Self { hub, _sessions: sessions }
        }

        fn publish(&self, channel: &str, bytes: usize) {
            let channel = ChannelName::try_from(channel).unwrap();
            self.hub.publish(&channel, Message::text("x".repeat(bytes))).unwrap();
        }

        /// Deliveries and finished passes after one more turn of the lane.
        async fn turn(&self) -> (u64, u64) {
            tokio::task::yield_now().await;
            let counters = self.hub.counters();
            let of = |lane: &LaneCounters| lane.passes.get();
            (counters.over_lanes(|lane| &lane.deliveries), counters.lanes().iter().map(of).sum())
        }
    }

    #[tokio::test]
    async fn a_channel_that_comes_anew_waits_for_one_turn() {
        let rig = Rig::new(8, &[("big", 100), ("small", 2)]);
        rig.turn().await;
        rig.publish("big", 10);
        assert_eq!(rig.turn().await, (8, 0));
        rig.publish("small", 10);
        // Its own two, and with what is left of the turn the big one goes on.
        assert_eq!(rig.turn().await, (16, 1));
    }

    #[tokio::test]
    async fn those_that_wait_have_half_of_each_turn() {
        let rig = Rig::new(8, &[("big", 16), ("small", 100)]);
        rig.turn().await;
        rig.publish("big", 10);
        assert_eq!(rig.turn().await, (8, 0));
        rig.publish("small", 10);
        assert_eq!(rig.turn().await, (16, 0), "half each");
        assert_eq!(rig.turn().await, (24, 0), "not new any more, it has its turn");
        assert_eq!(rig.turn().await, (32, 1), "the big one had its");
    }

    #[tokio::test]
    async fn a_long_write_counts_as_several() {
        let rig = Rig::new(8, &[("big", 100)]);
        rig.turn().await;
        rig.publish("big", 4_000);
        assert_eq!(rig.turn().await, (4, 0));
        for _ in 0..24 {
            rig.turn().await;
        }
        // More than a turn has.
        rig.publish("big", 20_000);
        assert_eq!(rig.turn().await, (101, 1));
    }
}
