//! Which channels are published to most: for whoever watches the node, and only while somebody does.
//!
//! A channel counts its publications in any case: one addition by the holder of its duty. While the hub is
//! watched, the first publication of a channel since the last look also puts it on a list of
//! [`LISTED_MAX`]; a look takes the list. So a look costs as much as there were active channels, and
//! never more than that bound, however many channels there are. Where more were active, those listed are the
//! ones that published first after the last look: nearly always the ones that publish most.
//!
//! While nobody watches a publication costs the load of a flag besides. Memory: 16 KiB a hub.
//!
//! # State
//! A flag and a list for the hub; two counts and a flag for each channel.
//!
//! # Who may touch what
//! Whoever looks sets `is_watched`, takes from the list and clears `is_listed`. The holder of a channel's duty adds to
//! `publications`, sets `before` and `is_listed`, and puts the channel on the list.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `is_watched` | whoever looks | holders of a duty | Relaxed | nothing: a publication later is soon enough |
//! | `publications`, `before` | holder of the duty | whoever looks | Relaxed | nothing: figures; the list itself orders `before` |
//! | `is_listed` | both | holder of the duty | Release / Acquire | cleared after `before` was read, set before it is written |
//!
//! # Races considered
//! - *A publication between two steps of a look*: it counts for this look or for the next one.
//! - *Put on the list just after the last look*: it stays there, without keeping the channel alive, until
//!   somebody looks again; the list has a bound.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crossbeam_queue::ArrayQueue;

use super::Hub;
use super::channel::Channel;
use crate::base::ids::ChannelName;

/// Channels that one look may find.
const LISTED_MAX: usize = 1_024;

/// Of the hub: see the module.
#[derive(Debug)]
pub(crate) struct Busy {
    is_watched: AtomicBool,
    listed: ArrayQueue<Weak<Channel>>,
}

impl Default for Busy {
    fn default() -> Self {
        Self { is_watched: AtomicBool::new(false), listed: ArrayQueue::new(LISTED_MAX) }
    }
}

/// Of a channel: see the module.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    publications: AtomicU64,
    before: AtomicU64,
    is_listed: AtomicBool,
}

impl Activity {
    /// Publications since the channel was made.
    pub(crate) fn publications(&self) -> u64 {
        self.publications.load(Ordering::Relaxed)
    }
}

impl Busy {
    /// The channel was published to. For the holder of its duty.
    pub(crate) fn note(&self, channel: &Arc<Channel>) {
        let activity = &channel.activity;
        let before = activity.publications.load(Ordering::Relaxed);
        activity.publications.store(before + 1, Ordering::Relaxed);
        if !self.is_watched.load(Ordering::Relaxed) || activity.is_listed.load(Ordering::Acquire) {
            return;
        }
        activity.before.store(before, Ordering::Relaxed);
        activity.is_listed.store(true, Ordering::Release);
        if self.listed.push(Arc::downgrade(channel)).is_err() {
            activity.is_listed.store(false, Ordering::Release);
        }
    }
}

/// How much a channel was published to since the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusyChannel {
    /// Its name.
    pub name: ChannelName,
    /// Publications since then.
    pub publications: u64,
    /// Sessions subscribed to it now.
    pub subscribers: usize,
}

impl Hub {
    /// Whether publications are noted for [`busy_channels`](Self::busy_channels).
    pub fn watch_channels(&self, is_watched: bool) {
        let busy = &self.inner.shared.busy;
        busy.is_watched.store(is_watched, Ordering::Relaxed);
        // What was left since somebody watched last, or what is of no use to anybody now.
        self.busy_channels();
    }

    /// The channels that were published to since the last call, in no order, at most 1,024. For one
    /// watcher, who has said so by [`watch_channels`](Self::watch_channels).
    pub fn busy_channels(&self) -> Vec<BusyChannel> {
        let mut found = Vec::new();
        for _ in 0..LISTED_MAX {
            let Some(channel) = self.inner.shared.busy.listed.pop() else { break };
            let Some(channel) = channel.upgrade() else { continue };
            let activity = &channel.activity;
            let before = activity.before.load(Ordering::Relaxed);
            let publications = activity.publications().saturating_sub(before);
            activity.is_listed.store(false, Ordering::Release);
            if channel.name.about().is_none() {
                let subscribers = channel.subscribers();
                found.push(BusyChannel { name: channel.name.clone(), publications, subscribers });
            }
        }
        found
    }
}

#[cfg(all(test, not(fanfare_loom)))]
mod tests {
    use super::*;
    use crate::base::message::Message;
    use crate::hub::SessionOptions;

    fn publish(hub: &Hub, channel: &str, times: usize) {
        let channel = ChannelName::try_from(channel).unwrap();
        for _ in 0..times {
            hub.publish(&channel, Message::text("x")).unwrap();
        }
    }

    fn looked(hub: &Hub) -> Vec<(String, u64)> {
        let found = hub.busy_channels();
        let mut found: Vec<_> =
            found.into_iter().map(|busy| (busy.name.to_string(), busy.publications)).collect();
        found.sort();
        found
    }

    #[tokio::test]
    async fn a_look_sees_what_was_published_since_the_last() {
        let hub = Hub::builder().lanes(1).build();
        let session = hub.open(SessionOptions::default()).unwrap();
        for name in ["a", "b"] {
            hub.join(&session, &ChannelName::try_from(name).unwrap(), None, None).unwrap();
        }
        publish(&hub, "a", 3);
        assert_eq!(looked(&hub), [], "nobody watched");
        hub.watch_channels(true);
        publish(&hub, "a", 2);
        publish(&hub, "b", 1);
        assert_eq!(looked(&hub), [("a".into(), 2), ("b".into(), 1)]);
        publish(&hub, "b", 4);
        assert_eq!(looked(&hub), [("b".into(), 4)]);
        publish(&hub, "a", 1);
        hub.watch_channels(false);
        publish(&hub, "a", 1);
        assert_eq!(looked(&hub), []);
    }

    #[tokio::test]
    async fn a_look_is_bounded_however_many_channels_there_are() {
        let hub = Hub::builder().lanes(1).build();
        hub.watch_channels(true);
        let session = hub.open(SessionOptions::default()).unwrap();
        let names: Vec<_> = (0..LISTED_MAX + 10).map(|n| format!("c{n}")).collect();
        for name in names.iter().take(100) {
            hub.join(&session, &ChannelName::try_from(&**name).unwrap(), None, None).unwrap();
        }
        for name in &names {
            publish(&hub, name, 1);
        }
        // Channels without members do not stay, and are not kept.
        assert!((100..=LISTED_MAX).contains(&looked(&hub).len()));
        publish(&hub, "c0", 1);
        assert_eq!(looked(&hub), [("c0".into(), 1)]);
    }
}
