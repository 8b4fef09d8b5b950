//! Sessions and memberships: opening, ending, subscribing, listing.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::Hub;
use super::channel::{Channel, Letter};
use super::endings;
use super::errors::{OpenError, SubscribeError};
use super::lane::Item;
use super::letters::{Join, JoinReply, Leave};
use super::session::{Session, SessionOptions};
use super::writing::start_writer;
use crate::base::application::{Application, HubEvent};
use crate::base::channels::{ChannelOptions, ChannelRules};
use crate::base::disconnect::{Disconnect, Reason};
use crate::base::ids::{ChannelName, SessionId, UserId};
use crate::base::limits::SlowConsumerPolicy;
use crate::base::loss::DropCause;
use crate::base::memory::Pressure;
use crate::base::position::Recover;
use crate::base::refused::Bound;
use crate::outbox::Socket;

/// A channel as [`Hub::channels`] lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Its name.
    pub name: ChannelName,
    /// Sessions subscribed to it.
    pub subscribers: usize,
    /// Messages dropped for them, by cause; only causes that there were.
    pub dropped: Vec<(DropCause, u64)>,
}

/// A session as [`Hub::session`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// Its user, if any.
    pub user: Option<UserId>,
    /// Where its peer is.
    pub peer: Option<SocketAddr>,
    /// The channels it is subscribed to.
    pub channels: Vec<ChannelName>,
    /// Bytes queued for it; 0 if it keeps up.
    pub outbox_bytes: usize,
    /// For how long it has been there, in whole seconds.
    pub age_s: u64,
}

impl Hub {
    /// Opens a session without a socket: it can be subscribed, and what it is to get queues up until
    /// [`attach`](Self::attach). Whoever opens a session ends it with [`end`](Self::end).
    pub(crate) fn open(&self, options: SessionOptions) -> Result<Arc<Session>, OpenError> {
        let shared = &self.inner.shared;
        if self.is_draining() {
            return Err(OpenError::Draining);
        }
        if shared.memory.pressure() >= Pressure::RefuseSessions {
            return Err(OpenError::Memory);
        }
        let limits = shared.entry_limits.load();
        let refused = |bound, error| {
            shared.counters.sessions.add(-1);
            shared.counters.refused.by(bound).add(1);
            Err(error)
        };
        if shared.counters.sessions.add(1) >= limits.sessions_max as i64 {
            return refused(Bound::Sessions, OpenError::TooManySessions);
        }
        let id = self.inner.ids.next();
        let lane = (id.get() % shared.lanes.len() as u64) as usize;
        let session = Session::new(id, lane, options, shared.clock.now_ms());
        let session = Arc::new(session);
        if !self.inner.registry.add(&session, limits.sessions_per_user_max) {
            let error = OpenError::TooManySessionsOfUser(limits.sessions_per_user_max);
            return refused(Bound::SessionsPerUser, error);
        }
        shared.counters.sessions_opened.add(1);
        shared.arrivals[lane].push(session.clone());
        let (user, peer) = (session.user.as_ref(), session.peer());
        shared.note(HubEvent::Connected { session: id, user, peer });
        Ok(session)
    }

    /// Gives an opened session its socket. What has queued up is written from now on.
    pub(crate) fn attach(&self, session: &Arc<Session>, socket: Socket) {
        session.set_socket(socket);
        if session.outbox.open() {
            start_writer(session, &self.inner.shared);
        }
    }

    /// Ends a session for good: out of the maps, the channels and its lane.
    pub(crate) fn end(&self, session: &Arc<Session>) {
        let shared = &self.inner.shared;
        endings::broke_off(session, shared);
        session.kill();
        self.inner.registry.remove(session);
        let mut duties = Vec::new();
        {
            let mut subscriptions = session.subscriptions.lock();
            for channel in subscriptions.end() {
                if let Some(duty) = channel.mailbox.post(leave(session, None)) {
                    duties.push((channel, duty));
                }
            }
        }
        for (channel, duty) in duties {
            channel.drain(duty, shared);
        }
        shared.lanes[usize::from(session.lane)].post(Item::Detach(session.clone()));
        shared.counters.sessions.add(-1);
        let reason = session.ended_by().unwrap_or(Reason::ClientClosed);
        shared.counters.disconnects(reason).add(1);
        let user = session.user.as_ref();
        shared.note(HubEvent::Disconnected { session: session.id, user, reason });
    }

    /// Subscribes a session to a channel. When this returns every later publication reaches it.
    ///
    /// # Errors
    /// [`SubscribeError`]; then nothing has changed.
    pub fn subscribe(&self, id: SessionId, channel: &ChannelName) -> Result<(), SubscribeError> {
        let session = self.inner.registry.get(id).ok_or(SubscribeError::NoSession)?;
        self.join(&session, channel, None, None)
    }

    /// The same, with a frame that the session gets before the channel's first publication, and with
    /// what it has seen of the channel before: then it gets what it missed first, if that is all here.
    pub(crate) fn join(
        &self,
        session: &Arc<Session>,
        name: &ChannelName,
        reply: Option<JoinReply>,
        recover: Option<Recover>,
    ) -> Result<(), SubscribeError> {
        let shared = &self.inner.shared;
        let mut subscriptions = session.subscriptions.lock();
        let channels = subscriptions.open().ok_or(SubscribeError::NoSession)?;
        if channels.iter().any(|channel| channel.name == *name) {
            return Err(SubscribeError::AlreadySubscribed);
        }
        if channels.len() >= shared.entry_limits.load().subscriptions_per_session_max {
            shared.counters.refused.by(Bound::SubscriptionsPerSession).add(1);
            return Err(SubscribeError::TooManySubscriptions(channels.len()));
        }
        let letter = |channel: &Channel| {
            channel.take_seat().map_err(|max| {
                shared.counters.refused.by(Bound::SubscribersPerChannel).add(1);
                SubscribeError::ChannelFull(max)
            })?;
            let session = session.clone();
            Ok(Letter::Join(Box::new(Join { session, reply, recover })))
        };
        let create = || self.create_channel(name).ok_or(SubscribeError::TooManyChannels);
        let (channel, duty) = shared.directory.post_or_create(name, create, letter)?;
        channels.push(channel.clone());
        drop(subscriptions);
        if let Some(duty) = duty {
            channel.drain(duty, shared);
        }
        Ok(())
    }

    pub(super) fn create_channel(&self, name: &ChannelName) -> Option<Channel> {
        let shared = &self.inner.shared;
        let place = shared.channel_place()?;
        let options = options_of(name, &shared.channels.load());
        Some(Channel::new(name.clone(), options, place, shared))
    }

    /// Has a member of a channel told who comes and goes there, until it leaves.
    pub(crate) fn join_beside(
        &self,
        session: &Arc<Session>,
        name: &ChannelName,
    ) -> Result<(), SubscribeError> {
        self.join(session, &name.beside(), None, None).inspect_err(|_| {
            self.part(session, name, None);
        })
    }

    /// Whether the session is in the channel, or about to be.
    pub(crate) fn is_in(&self, session: &Session, name: &ChannelName) -> bool {
        session.subscriptions.lock().channels().iter().any(|channel| channel.name == *name)
    }

    /// What the channel keeps and does.
    pub fn channel_options(&self, name: &ChannelName) -> Arc<ChannelOptions> {
        self.inner.shared.channels.load().of(name.as_str()).clone()
    }

    /// Whether the application is asked before a session subscribes there.
    pub(crate) fn asks_to_subscribe(&self, name: &ChannelName) -> bool {
        self.inner.shared.channels.load().of(name.as_str()).authorize_subscribe
    }

    /// Who is asked and told, if anybody is.
    pub fn application(&self) -> Option<&Arc<dyn Application>> {
        self.inner.shared.application.as_ref()
    }

    /// Changes what channels keep and do, for what happens from now on. What is kept stays kept as
    /// long as the new rules say; members stay.
    pub fn set_channels(&self, rules: ChannelRules) {
        let shared = &self.inner.shared;
        let rules = Arc::new(rules.settled(&shared.entry_limits.load()));
        shared.channels.store(rules.clone());
        shared.directory.for_each(|channel| channel.set_options(options_of(&channel.name, &rules)));
    }

    /// Takes a session out of a channel. Returns whether it was in. Publications that were not yet
    /// written may not reach it any more.
    pub fn unsubscribe(&self, id: SessionId, channel: &ChannelName) -> bool {
        let session = self.inner.registry.get(id);
        session.is_some_and(|session| self.part(&session, channel, None))
    }

    /// The same, with a frame that the session gets after the channel's last publication.
    pub(crate) fn part(
        &self,
        session: &Arc<Session>,
        name: &ChannelName,
        reply: Option<Bytes>,
    ) -> bool {
        let mut subscriptions = session.subscriptions.lock();
        let Some(channels) = subscriptions.open() else { return false };
        let found = channels.iter().position(|channel| channel.name == *name);
        let Some(at) = found else { return false };
        let mut left = vec![(channels.swap_remove(at), reply)];
        let beside = |channel: &Arc<Channel>| channel.name.about() == Some(name.as_str());
        if let Some(at) = channels.iter().position(beside) {
            left.insert(0, (channels.swap_remove(at), None));
        }
        let post = |(channel, reply): (Arc<Channel>, _)| {
            let duty = channel.mailbox.post(leave(session, reply))?;
            Some((channel, duty))
        };
        let duties: Vec<_> = left.into_iter().filter_map(post).collect();
        drop(subscriptions);
        for (channel, duty) in duties {
            channel.drain(duty, &self.inner.shared);
        }
        true
    }

    /// Subscribes every session that the user has now. Returns how many were not in yet.
    ///
    /// # Errors
    /// The first [`SubscribeError`] that is not about a session which is in already or gone.
    pub fn subscribe_user(
        &self,
        user: &UserId,
        channel: &ChannelName,
    ) -> Result<usize, SubscribeError> {
        let mut joined = 0;
        for session in self.inner.registry.of_user(user) {
            match self.join(&session, channel, None, None) {
                Ok(()) => joined += 1,
                Err(SubscribeError::AlreadySubscribed | SubscribeError::NoSession) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(joined)
    }

    /// Takes every session of the user out of a channel. Returns how many were in.
    pub fn unsubscribe_user(&self, user: &UserId, channel: &ChannelName) -> usize {
        let sessions = self.inner.registry.of_user(user);
        sessions.iter().filter(|session| self.part(session, channel, None)).count()
    }

    /// Closes a session. Returns whether there is one. What is queued for it is dropped.
    pub fn disconnect(&self, id: SessionId, disconnect: Disconnect) -> bool {
        let Some(session) = self.inner.registry.get(id) else { return false };
        self.close(session, disconnect);
        true
    }

    /// Closes every session of the user except those listed. Returns how many.
    pub fn disconnect_user(
        &self,
        user: &UserId,
        disconnect: &Disconnect,
        except: &[SessionId],
    ) -> usize {
        let sessions = self.inner.registry.of_user(user);
        let chosen = sessions.into_iter().filter(|session| !except.contains(&session.id));
        chosen.map(|session| self.close(session, disconnect.clone())).count()
    }

    pub(crate) fn close(&self, session: Arc<Session>, disconnect: Disconnect) {
        let lane = &self.inner.shared.lanes[usize::from(session.lane)];
        lane.post(Item::Close { session, disconnect: Box::new(disconnect), discard: true });
    }

    /// A control frame to a session, ahead of its data.
    pub(crate) fn control(&self, session: &Arc<Session>, frame: Bytes) {
        let lane = &self.inner.shared.lanes[usize::from(session.lane)];
        session.reply_posted();
        lane.post(Item::CountedReply { session: session.clone(), frame });
    }

    /// The coarse time.
    pub(crate) fn now_ms(&self) -> u64 {
        self.inner.shared.clock.now_ms()
    }

    /// Sessions now.
    pub fn session_count(&self) -> usize {
        self.inner.registry.len()
    }

    /// Users with at least one session.
    pub fn user_count(&self) -> usize {
        self.inner.registry.users()
    }

    /// Channels with at least one subscriber.
    pub fn channel_count(&self) -> usize {
        self.inner.shared.directory.len()
    }

    /// Subscribers of a channel.
    pub fn subscriber_count(&self, channel: &ChannelName) -> usize {
        let found = self.inner.shared.directory.get(channel.as_str());
        found.map_or(0, |channel| channel.subscribers())
    }

    /// Channels whose name passes `pick`, at most `most`, in no order. Walks the whole map: for
    /// inspection.
    pub fn channels(&self, most: usize, pick: impl Fn(&str) -> bool) -> Vec<ChannelInfo> {
        let mut found = Vec::new();
        self.inner.shared.directory.for_each(|channel| {
            let subscribers = channel.subscribers();
            let is_shown = subscribers > 0 && channel.name.about().is_none();
            if found.len() < most && is_shown && pick(channel.name.as_str()) {
                let (name, dropped) = (channel.name.clone(), channel.drops.get());
                found.push(ChannelInfo { name, subscribers, dropped });
            }
        });
        found
    }

    /// A session.
    pub fn session(&self, id: SessionId) -> Option<SessionInfo> {
        let session = self.inner.registry.get(id)?;
        let subscriptions = session.subscriptions.lock();
        Some(SessionInfo {
            id,
            user: session.user.clone(),
            peer: session.peer(),
            channels: subscriptions.names(),
            outbox_bytes: session.outbox.lag().map_or(0, |lag| lag.bytes),
            age_s: (self.now_ms() / 1_000).saturating_sub(session.opened_s.into()),
        })
    }

    /// The sessions of a user.
    pub fn sessions_of_user(&self, user: &UserId) -> Vec<SessionId> {
        self.inner.registry.of_user(user).iter().map(|session| session.id).collect()
    }
}

fn options_of(name: &ChannelName, rules: &ChannelRules) -> Arc<ChannelOptions> {
    match name.about() {
        None => rules.of(name.as_str()).clone(),
        Some(about) => Arc::new(options_beside(rules.of(about))),
    }
}

/// Of a channel's rule only the policy is for events about it as well; and events are no values of
/// which the newest says it all.
fn options_beside(about: &ChannelOptions) -> ChannelOptions {
    let policy = about.policy.map(|policy| match policy {
        SlowConsumerPolicy::Conflate | SlowConsumerPolicy::Latest => SlowConsumerPolicy::DropOldest,
        policy => policy,
    });
    ChannelOptions { policy, ..ChannelOptions::default() }
}

fn leave(session: &Arc<Session>, reply: Option<Bytes>) -> Letter {
    Letter::Leave(Box::new(Leave { session: session.clone(), reply }))
}
