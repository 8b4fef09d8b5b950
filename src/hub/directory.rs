//! The channels by name.
//!
//! Posting to a channel happens under the read lock of its shard, removing one under the write lock
//! and only if its mailbox is drained. So no letter reaches a channel that is gone, and a publisher's
//! letters stay in order when a channel goes and comes back. A post is a few atomic operations; the
//! lock is never held across a drain.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::channel::{Channel, Letter};
use super::mailbox::Duty;
use crate::base::ids::ChannelName;

/// See the module.
#[derive(Debug)]
pub(crate) struct Directory {
    channels: DashMap<ChannelName, Arc<Channel>>,
}

/// A letter was posted: the channel, and the duty if the caller now has it.
pub(crate) type Posted = (Arc<Channel>, Option<Duty>);

impl Directory {
    pub(crate) fn new() -> Self {
        Self { channels: DashMap::new() }
    }

    /// Channels now.
    pub(crate) fn len(&self) -> usize {
        self.channels.len()
    }

    /// The channel, if there is one.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Channel>> {
        self.channels.get(name).map(|entry| entry.value().clone())
    }

    /// Posts to the channel if there is one. `letter` may decline.
    pub(crate) fn post<E>(
        &self,
        name: &ChannelName,
        letter: impl FnOnce(&Channel) -> Result<Letter, E>,
    ) -> Result<Option<Posted>, E> {
        let Some(entry) = self.channels.get(name) else { return Ok(None) };
        let duty = entry.mailbox.post(letter(&entry)?);
        Ok(Some((entry.value().clone(), duty)))
    }

    /// Posts to the channel; `create` makes it if need be. Both may decline.
    pub(crate) fn post_or_create<E>(
        &self,
        name: &ChannelName,
        create: impl FnOnce() -> Result<Channel, E>,
        letter: impl FnOnce(&Channel) -> Result<Letter, E>,
    ) -> Result<Posted, E> {
        if let Some(entry) = self.channels.get(name) {
            let duty = entry.mailbox.post(letter(&entry)?);
            return Ok((entry.value().clone(), duty));
        }
        match self.channels.entry(name.clone()) {
            Entry::Occupied(entry) => {
                let duty = entry.get().mailbox.post(letter(entry.get())?);
                Ok((entry.get().clone(), duty))
            }
            Entry::Vacant(entry) => {
                // Posted before it can be found: one without a letter would never be removed.
                let channel = Arc::new(create()?);
                let duty = channel.mailbox.post(letter(&channel)?);
                entry.insert(channel.clone());
                Ok((channel, duty))
            }
        }
    }

    /// Removes a channel whose duty the caller holds, if nothing more was posted.
    pub(crate) fn remove_drained(&self, channel: &Arc<Channel>, duty: &Duty) -> bool {
        let is_it = |_: &ChannelName, found: &Arc<Channel>| {
            Arc::ptr_eq(found, channel) && channel.mailbox.is_drained(duty)
        };
        self.channels.remove_if(&channel.name, is_it).is_some()
    }

    /// Calls `see` with every channel, in no order; for inspection, not for delivery.
    pub(crate) fn for_each(&self, mut see: impl FnMut(&Channel)) {
        for entry in &self.channels {
            see(&entry);
        }
    }
}
