//! Who is ended when the node's memory is tight: those who hold most of it.

use std::sync::Arc;

use super::lane::Lane;
use super::session::Session;
use crate::base::disconnect::{Disconnect, Reason};
use crate::base::memory::Pressure;
use crate::outbox::state::State;

impl Lane {
    /// Ends the worst of the lane's sessions, as many as hold the lane's share of what is too much.
    ///
    /// What a session holds is partly held by others too, so ending it may free less. Then the next
    /// tick ends more: whoever is furthest behind goes first, and what everybody holds goes with the
    /// last of them.
    pub(super) fn evict(&mut self) {
        let memory = &self.shared.memory;
        if memory.pressure() < Pressure::Evict {
            return;
        }
        let mut to_free = memory.to_evict() / self.shared.lanes.len();
        let holds = |session: &Arc<Session>| {
            let is_behind = session.outbox.state() == State::Parked;
            let bytes = if is_behind { session.outbox.lag()?.held_bytes } else { 0 };
            (bytes > 0).then(|| (bytes, session.clone()))
        };
        let mut behind: Vec<(usize, Arc<Session>)> =
            self.sessions.iter().filter_map(holds).collect();
        behind.sort_unstable_by_key(|(bytes, _)| usize::MAX - bytes);
        for (bytes, session) in behind {
            self.delivery.close(&session, &Disconnect::new(Reason::Shed), true);
            match to_free.checked_sub(bytes) {
                Some(left) => to_free = left,
                None => return,
            }
        }
    }
}
