//! Publishing: to a channel, to several, to a user.

use std::sync::Arc;

use super::Hub;
use super::channel::Letter;
use super::errors::PublishError;
use super::lane::Item;
use super::prepared::Prepared;
use super::session::Session;
use crate::base::ids::{ChannelName, SessionId, UserId};
use crate::base::message::Message;
use crate::protocol::{Publication, Target};

/// What a publisher may say besides the message.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublishOptions {
    /// A session that is not to get the message: most often the one that sent it.
    pub except: Option<SessionId>,
}

/// A publication was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Subscribers at that moment: how many copies were about to go out.
    pub subscribers: usize,
}

impl Hub {
    /// Publishes `message` to every subscriber of `channel`.
    ///
    /// Lock-free: it posts to the channel's mailbox and returns; if the mailbox was idle it passes
    /// the publication on to the lanes first. All subscribers see one order; a publisher's messages
    /// stay in its order. A channel nobody subscribes to takes it and drops it.
    ///
    /// # Errors
    /// [`PublishError`]; then nobody gets the message.
    pub fn publish(
        &self,
        channel: &ChannelName,
        message: Message,
    ) -> Result<Published, PublishError> {
        self.publish_with(channel, message, PublishOptions::default())
    }

    /// [`publish`](Self::publish) with options.
    ///
    /// # Errors
    /// [`PublishError`]; then nobody gets the message.
    pub fn publish_with(
        &self,
        channel: &ChannelName,
        message: Message,
        options: PublishOptions,
    ) -> Result<Published, PublishError> {
        let shared = &self.inner.shared;
        self.check_draining()?;
        let len = message.data().len();
        let not_to = options.except;
        let posted = shared.directory.post(channel, |found| {
            let room = Some((&found.flow, shared.limits.publications_pending_max));
            let charge = shared.flow.charge(len, room).ok_or(PublishError::Overloaded)?;
            let target = Target::Channel(channel.clone());
            Ok(Letter::Publish(Prepared::new(Publication { target, message }, not_to, charge)))
        })?;
        shared.counters.publications.add(1);
        shared.counters.publication_bytes.add(len as u64);
        let Some((channel, duty)) = posted else { return Ok(Published { subscribers: 0 }) };
        if let Some(duty) = duty {
            channel.drain(duty, shared);
        }
        Ok(Published { subscribers: channel.subscribers() })
    }

    /// Publishes `message` to each of `channels`; one answer per channel, in their order. A refusal
    /// for one does not keep it from the others.
    pub fn broadcast(
        &self,
        channels: &[ChannelName],
        message: &Message,
    ) -> Vec<Result<Published, PublishError>> {
        channels.iter().map(|channel| self.publish(channel, message.clone())).collect()
    }

    /// Sends `message` to every session of `user` and to nobody else. Returns how many there are.
    ///
    /// # Errors
    /// [`PublishError`]; then nobody gets the message.
    pub fn publish_to_user(&self, user: &UserId, message: Message) -> Result<usize, PublishError> {
        let shared = &self.inner.shared;
        self.check_draining()?;
        let len = message.data().len();
        let charge = shared.flow.charge(len, None).ok_or(PublishError::Overloaded)?;
        let sessions = self.inner.registry.of_user(user);
        let target = Target::User(user.clone());
        let prepared = Prepared::new(Publication { target, message }, None, charge);
        shared.counters.publications.add(1);
        shared.counters.publication_bytes.add(len as u64);
        let reached = sessions.len();
        for session in sessions {
            self.push(session, prepared.clone());
        }
        Ok(reached)
    }

    /// Waits until the hub may have room again after [`PublishError::Overloaded`], at most 50 ms.
    ///
    /// Cancel safe.
    pub async fn room(&self) {
        self.inner.shared.flow.room().await;
    }

    fn push(&self, session: Arc<Session>, prepared: Arc<Prepared>) {
        let lane = &self.inner.shared.lanes[usize::from(session.lane)];
        lane.post(Item::Push { session, prepared });
    }

    fn check_draining(&self) -> Result<(), PublishError> {
        match self.is_draining() {
            true => Err(PublishError::Draining),
            false => Ok(()),
        }
    }
}
