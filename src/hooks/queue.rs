//! Events on their way to the application: a ring with a bound, that whoever has one pushes to without
//! waiting.
//!
//! # State
//! The ring, and the number of the next event. A number is given before it is known whether there is
//! room: so the application sees by a gap that events were lost.
//!
//! # Who may touch what
//! Any thread pushes. One task pops.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `next` | whoever pushes | the same | Relaxed | nothing: each number is given once |
//! | the ring | whoever pushes | the task | its own | |
//!
//! # Races considered
//! - *Two push at once*: they may stand in the ring in another order than by number. Those of one channel
//!   never do: its duty is with one thread at a time, and goes from one to the next with what it did.
//! - *A push while the task goes to sleep*: the wake-up is kept until it sleeps.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crossbeam_queue::ArrayQueue;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::settings::EventKind;
use crate::base::application::HubEvent;
use crate::base::clock::since_1970;
use crate::base::disconnect::Reason;
use crate::base::ids::{ChannelName, SessionId, UserId};
use crate::base::outgoing::{EventLost, HookCounters};

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    /// Made with the first event: where none are told it costs nothing.
    ring: OnceLock<ArrayQueue<Event>>,
    len_max: usize,
    next: AtomicU64,
    /// Which run of which gateway the numbers are of.
    run: String,
    pub(super) pushed: Notify,
}

/// An event that waits.
#[derive(Debug)]
pub(super) struct Event {
    sequence: u64,
    unix_ms: u64,
    kind: EventKind,
    about: About,
}

#[derive(Debug)]
enum About {
    Session {
        session: SessionId,
        user: Option<UserId>,
        peer: Option<SocketAddr>,
        reason: Option<Reason>,
    },
    Channel(ChannelName),
}

impl Queue {
    pub(super) fn new(len_max: usize) -> Self {
        Self {
            ring: OnceLock::new(),
            len_max,
            next: AtomicU64::new(1),
            run: format!("{:016x}", rand::random::<u64>()),
            pushed: Notify::new(),
        }
    }

    /// Takes an event, or counts that there was no room for it.
    pub(super) fn push(&self, event: HubEvent<'_>, counters: &HookCounters) {
        let event = Event {
            sequence: self.next.fetch_add(1, Ordering::Relaxed),
            unix_ms: since_1970(SystemTime::now()).as_millis() as u64,
            kind: EventKind::of(&event),
            about: About::from(event),
        };
        let ring = self.ring.get_or_init(|| ArrayQueue::new(self.len_max));
        match ring.push(event) {
            Ok(()) => {
                counters.events_queued.add(1);
                self.pushed.notify_one();
            }
            Err(_) => counters.events_lost(EventLost::Full).add(1),
        }
    }

    pub(super) fn pop(&self) -> Option<Event> {
        self.ring.get()?.pop()
    }

    pub(super) fn len(&self) -> usize {
        self.ring.get().map_or(0, ArrayQueue::len)
    }

    /// The body of a request with these.
    pub(super) fn body(&self, events: &[Event]) -> Value {
        let events: Vec<Value> = events.iter().map(|event| event.json(&self.run)).collect();
        json!({ "run": self.run, "events": events })
    }
}

impl From<HubEvent<'_>> for About {
    fn from(event: HubEvent<'_>) -> Self {
        match event {
            HubEvent::Connected { session, user, peer } => {
                Self::Session { session, user: user.cloned(), peer, reason: None }
            }
            HubEvent::Disconnected { session, user, reason } => {
                let reason = Some(reason);
                Self::Session { session, user: user.cloned(), peer: None, reason }
            }
            HubEvent::Occupied(channel) | HubEvent::Vacated(channel) => {
                Self::Channel(channel.clone())
            }
        }
    }
}

impl Event {
    fn json(&self, run: &str) -> Value {
        let mut json = json!({
            "id": format!("{run}-{}", self.sequence),
            "sequence": self.sequence,
            "time_ms": self.unix_ms,
            "type": self.kind.name(),
        });
        match &self.about {
            About::Channel(channel) => json["channel"] = channel.as_str().into(),
            About::Session { session, user, peer, reason } => {
                json["session"] = session.to_string().into();
                for (name, value) in [
                    ("user", user.as_ref().map(|user| user.as_str().to_owned())),
                    ("address", peer.map(|peer| peer.to_string())),
                    ("reason", reason.map(|reason| reason.name().to_owned())),
                ] {
                    if let Some(value) = value {
                        json[name] = value.into();
                    }
                }
            }
        }
        json
    }
}
