//! A turn of a lane: a bounded number of writes, shared fairly by the channels that are pending.
//!
//! A channel of a million members gets `writes_per_turn` members, then it is the others' turn. Small
//! channels share one turn; a session that is in several of them gets one vectored write.

use std::sync::Arc;
use std::time::Instant;

use super::deliver::Piece;
use super::lane::Lane;
use super::pass::Pass;

/// One member's share of the turn: member `member` of served pass `pass` gets that pass's
/// publications from `first` on.
#[derive(Clone, Copy, Debug)]
struct Slot {
    session: usize,
    pass: u32,
    member: u32,
    first: u32,
}

impl Lane {
    /// Serves the channels whose turn it is, each at most once.
    pub(super) fn turn(&mut self) {
        if self.ring.is_empty() {
            return;
        }
        let mut served: Vec<(usize, Pass)> = Vec::new();
        let mut slots: Vec<Slot> = Vec::new();
        let mut budget = self.shared.limits.writes_per_turn;
        for _ in 0..self.ring.len() {
            if budget == 0 {
                break;
            }
            let Some(key) = self.ring.pop_front() else { break };
            let Some(work) = self.works.get_mut(&key) else { continue };
            match work.next_pass(self.index, &mut self.delivery, &mut budget) {
                Some(mut pass) => {
                    budget -= gather(&mut slots, &mut pass, served.len(), budget);
                    served.push((key, pass));
                }
                None if work.is_done() => drop(self.works.remove(&key)),
                None => self.ring.push_back(key),
            }
        }
        if served.len() > 1 {
            // Stable: what a session gets from one channel stays in that channel's order.
            slots.sort_by_key(|slot| slot.session);
        }
        self.flush(&slots, &mut served);
        for (key, pass) in served {
            self.put_back(key, pass);
        }
    }

    fn flush(&mut self, slots: &[Slot], served: &mut [(usize, Pass)]) {
        for slot in slots {
            let pass = &mut served[slot.pass as usize].1;
            let form = pass.snapshot[slot.member as usize].session.form;
            pass.batch.join(form, &self.shared);
        }
        let mut pieces: Vec<Piece<'_>> = Vec::new();
        for group in slots.chunk_by(|a, b| a.session == b.session) {
            let first = group[0];
            let session = &served[first.pass as usize].1.snapshot[first.member as usize].session;
            pieces.clear();
            for slot in group {
                let batch = &served[slot.pass as usize].1.batch;
                let range = slot.first as usize..batch.len();
                if batch.excludes(session.id) {
                    let stretches = batch.stretches(session.id, range);
                    pieces.extend(stretches.into_iter().map(|range| Piece { batch, range }));
                } else {
                    pieces.push(Piece { batch, range });
                }
            }
            if !pieces.is_empty() {
                self.delivery.publications(session, &pieces);
            }
        }
    }

    fn put_back(&mut self, key: usize, pass: Pass) {
        let Some(work) = self.works.get_mut(&key) else { return };
        if pass.is_at_end() {
            let counters = &self.shared.counters.lanes()[self.index];
            counters.passes.add(1);
            let took = Instant::now().duration_since(pass.began);
            counters.pass_us.note(took.as_micros() as u64);
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
