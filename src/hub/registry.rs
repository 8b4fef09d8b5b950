//! The sessions by id, and the users' sessions: sharded maps for targeted pushes, kicks and
//! inspection. Never iterated for a delivery, never held across one.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::session::Session;
use crate::base::ids::{SessionId, UserId};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: DashMap<SessionId, Arc<Session>, BuildHasherDefault<IdHasher>>,
    users: DashMap<UserId, Vec<Arc<Session>>>,
}

/// Of ids, which this node gives out one after the other: nobody can choose them to collide, and one
/// multiplication (Knuth, The Art of Computer Programming, section 6.4) spreads them over shards, by the
/// upper bits, and over places, by the lower.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Registry {
    /// Adds a session, unless its user has as many as it may have. Returns whether it is in.
    pub(crate) fn add(&self, session: &Arc<Session>, per_user_max: usize) -> bool {
        if let Some(user) = &session.user {
            // Never left empty: a bound is at least one.
            let mut sessions = self.users.entry(user.clone()).or_default();
            if sessions.len() >= per_user_max.max(1) {
                return false;
            }
            sessions.push(session.clone());
        }
        self.sessions.insert(session.id, session.clone());
        true
    }

    pub(crate) fn remove(&self, session: &Arc<Session>) {
        self.sessions.remove(&session.id);
        let Some(user) = &session.user else { return };
        if let Entry::Occupied(mut entry) = self.users.entry(user.clone()) {
            entry.get_mut().retain(|other| !Arc::ptr_eq(other, session));
            if entry.get().is_empty() {
                entry.remove();
            }
        }
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<Arc<Session>> {
        self.sessions.get(&id).map(|entry| entry.value().clone())
    }

    /// All sessions now. Walks the whole map: for the end of the hub.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.sessions.iter().map(|entry| entry.value().clone()).collect()
    }

    /// All sessions of the user now.
    pub(crate) fn of_user(&self, user: &UserId) -> Vec<Arc<Session>> {
        self.users.get(user).map(|entry| entry.value().clone()).unwrap_or_default()
    }

    pub(crate) fn users(&self) -> usize {
        self.users.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }
}
