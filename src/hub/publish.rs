//! Publishing: to a channel, to several, to a user.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Hub;
use super::channel::{Channel, Letter};
use super::encoded::Encoded;
use super::errors::PublishError;
use super::flow::Charge;
use super::history::Version;
use super::lane::Item;
use super::letters::{Conditions, Receipt, Terms};
use super::prepared::Prepared;
use super::session::Session;
use super::traced;
use crate::base::ids::{ChannelName, SessionId, UserId};
use crate::base::message::Message;
use crate::base::position::StreamPosition;
use crate::base::trace::{Ingress, Trace};
use crate::protocol::{Publication, Target};

/// What a publisher may say besides the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// A session that is not to get the message: most often the one that sent it.
    pub except: Option<SessionId>,
    /// What the message is the newest value of. In a channel that conflates it takes the place of the
    /// one with the same key that waits for a session which is behind.
    pub key: Option<Box<str>>,
    /// After how many milliseconds the message is of no use any more: it is not queued for longer.
    pub ttl_ms: Option<u64>,
    /// Whether a channel that keeps a history leaves it out of that.
    pub skip_history: bool,
    /// A name for this publication: within five minutes a second one of the same name in the same
    /// channel does not go out and is answered as the first.
    pub idempotency_key: Option<Box<str>>,
    /// The publisher's own number of it: not newer than the channel's last, it does not go out.
    pub version: Option<Version>,
}

/// A publication was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Subscribers at that moment: how many copies were about to go out.
    pub subscribers: usize,
    /// Where it is in its channel, if that keeps a history; only
    /// [`publish_positioned`](Hub::publish_positioned) knows.
    pub position: Option<StreamPosition>,
}

impl Hub {
    /// Publishes `message` to every subscriber of `channel`.
    ///
    /// Lock-free: it posts to the channel's mailbox and returns; if the mailbox was idle it passes
    /// the publication on to the lanes first. All subscribers see one order; a publisher's messages
    /// stay in its order. A channel that nobody subscribes to takes it, keeps it if it has a history,
    /// and drops it otherwise.
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
        let trace = self.begin(self.draw(|| None), Ingress::Library);
        self.post(channel, message, options, None, trace)
    }

    /// [`publish_with`](Self::publish_with), and waits until the channel has taken the message: as
    /// long as the letters posted before it take, microseconds as a rule. The answer says where it is
    /// in the channel's history.
    ///
    /// Cancel safe: dropping it loses the answer and not the message.
    ///
    /// # Errors
    /// [`PublishError`]; then nobody gets the message.
    pub async fn publish_positioned(
        &self,
        channel: &ChannelName,
        message: Message,
        options: PublishOptions,
    ) -> Result<Published, PublishError> {
        let trace = self.begin(self.draw(|| None), Ingress::Library);
        self.post_positioned(channel, message, options, trace).await
    }

    /// [`publish_positioned`](Self::publish_positioned) of what may have been sampled before.
    pub(crate) async fn post_positioned(
        &self,
        channel: &ChannelName,
        message: Message,
        options: PublishOptions,
        trace: Option<Arc<Trace>>,
    ) -> Result<Published, PublishError> {
        let (give, taken) = oneshot::channel();
        let receipt = Receipt::new(move |taken| {
            // Nobody listens any more: the caller dropped the future.
            let _ = give.send(taken);
        });
        let published = self.post(channel, message, options, Some(receipt), trace)?;
        // Without an answer nothing takes letters any more, or nothing was posted.
        let position = taken.await.ok().and_then(|taken| taken.position);
        Ok(Published { position, ..published })
    }

    /// Publishes; `receipt` hears of it when the channel has taken it. It does not if the channel is
    /// neither there nor made, because it would keep nothing.
    pub(crate) fn post(
        &self,
        channel: &ChannelName,
        message: Message,
        options: PublishOptions,
        receipt: Option<Receipt>,
        trace: Option<Arc<Trace>>,
    ) -> Result<Published, PublishError> {
        let posted = self.post_letter(channel, message, options, receipt, trace.as_ref());
        traced::answered(trace.as_ref(), &posted);
        posted
    }

    fn post_letter(
        &self,
        channel: &ChannelName,
        message: Message,
        options: PublishOptions,
        receipt: Option<Receipt>,
        trace: Option<&Arc<Trace>>,
    ) -> Result<Published, PublishError> {
        let shared = &self.inner.shared;
        self.check_draining()?;
        let len = message.data().len();
        let may_create = options.idempotency_key.is_some() || self.keeps_history(channel);
        let letter = |found: &Channel| {
            let room = Some((&found.flow, shared.limits.publications_pending_max));
            let charge = shared.flow.charge(len, room).ok_or(PublishError::Overloaded)?;
            let traced = traced::posted(trace, found, len);
            Ok(self.letter(found, message, options, receipt, (charge, traced)))
        };
        let posted = match may_create {
            true => shared.directory.post_or_create(
                channel,
                || self.create_channel(channel).ok_or(PublishError::TooManyChannels),
                letter,
            )?,
            false => match shared.directory.post(channel, letter)? {
                Some(posted) => posted,
                None => {
                    traced::nobody(trace, channel, len);
                    self.count_publication(len);
                    return Ok(Published { subscribers: 0, position: None });
                }
            },
        };
        self.count_publication(len);
        let (channel, duty) = posted;
        if let Some(duty) = duty {
            channel.drain(duty, shared);
        }
        Ok(Published { subscribers: channel.subscribers(), position: None })
    }

    /// Whether the channel keeps a history.
    pub fn keeps_history(&self, channel: &ChannelName) -> bool {
        // Asked with every publication: no reference is taken.
        self.inner.shared.channels.load().of(channel.as_str()).history.is_on()
    }

    /// Whether the application is asked before a session publishes there.
    pub(crate) fn asks_to_publish(&self, channel: &ChannelName) -> bool {
        self.inner.shared.channels.load().of(channel.as_str()).authorize_publish
    }

    fn letter(
        &self,
        channel: &Channel,
        message: Message,
        options: PublishOptions,
        receipt: Option<Receipt>,
        (charge, trace): (Charge, Option<Arc<Trace>>),
    ) -> Letter {
        let target = Target::Channel(channel.name.clone());
        let publication = Publication { target, message };
        let mut encoded =
            Encoded::new(publication, Some(channel.origin()), &self.inner.shared.memory);
        encoded.key = options.key.or_else(|| encoded.key_in_message());
        encoded.expires_ms = options.ttl_ms.map(|ttl_ms| self.now_ms() + ttl_ms);
        let PublishOptions { idempotency_key, version, skip_history, .. } = options;
        let has_terms =
            receipt.is_some() || idempotency_key.is_some() || version.is_some() || skip_history;
        let terms = has_terms.then(|| {
            let conditions = Conditions { idempotency_key, version, skip_history };
            Box::new(Terms { conditions, receipt })
        });
        Letter::Publish(Prepared::new(encoded, options.except, charge, trace), terms)
    }

    fn count_publication(&self, len: usize) {
        let counters = &self.inner.shared.counters;
        counters.publications.add(1);
        counters.publication_bytes.add(len as u64);
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
        let encoded = Encoded::new(Publication { target, message }, None, &shared.memory);
        let prepared = Prepared::new(encoded, None, charge, None);
        self.count_publication(len);
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
        match self.inner.draining.refuses_publications() {
            true => Err(PublishError::Draining),
            false => Ok(()),
        }
    }
}
