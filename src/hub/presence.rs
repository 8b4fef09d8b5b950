//! Who is in a channel: for those who ask, and as events for those who asked to be told.
//!
//! Events are publications to a channel beside the one they are about, whose name nobody can type
//! ([`ChannelName::beside`]). So they are as bounded, as fair and as encoded-once as every other
//! publication, and only sessions that want them pay for them.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::Hub;
use super::channel::{Channel, Letter};
use super::encoded::Encoded;
use super::prepared::Prepared;
use super::session::Session;
use super::shared::Shared;
use crate::base::access::Info;
use crate::base::ids::{ChannelName, SessionId, UserId};
use crate::base::message::Message;
use crate::protocol::{Publication, Target};

/// A session in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Its id.
    pub session: SessionId,
    /// Its user, if any.
    pub user: Option<UserId>,
    /// What others may see of it.
    pub info: Option<Arc<Info>>,
}

/// Who is in a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// The sessions, in no order; not all of them if there are more than were asked for.
    pub sessions: Vec<Present>,
    /// How many sessions there are.
    pub sessions_count: usize,
    /// How many users they belong to.
    pub users_count: usize,
}

/// The users of a channel, each with its sessions there: kept only where presence is on.
#[derive(Debug, Default)]
pub(crate) struct Users(HashMap<UserId, usize>);

impl Users {
    pub(crate) fn of<'a>(members: impl Iterator<Item = &'a Arc<Session>>) -> Self {
        let mut users = Self::default();
        members.filter_map(|session| session.user.as_ref()).for_each(|user| users.join(user));
        users
    }

    pub(crate) fn join(&mut self, user: &UserId) {
        *self.0.entry(user.clone()).or_default() += 1;
    }

    pub(crate) fn leave(&mut self, user: &UserId) {
        if let Some(sessions) = self.0.get_mut(user) {
            *sessions -= 1;
            if *sessions == 0 {
                self.0.remove(user);
            }
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

impl From<&Session> for Present {
    fn from(session: &Session) -> Self {
        Self { session: session.id, user: session.user.clone(), info: session.info.clone() }
    }
}

/// Tells those who asked for it that somebody came or went. `missed` such events could not be told
/// before. Returns whether this one could.
pub(crate) fn announce(
    channel: &ChannelName,
    session: &Session,
    is_join: bool,
    missed: u64,
    shared: &Shared,
) -> bool {
    let event = crate::protocol::PresenceEvent {
        channel: channel.clone(),
        is_join,
        session: session.id,
        user: session.user.clone(),
        info: session.info.clone(),
        missed,
    };
    let letter = |found: &Channel| {
        let room = Some((&found.flow, shared.limits.publications_pending_max));
        let charge = shared.flow.charge(0, room).ok_or(())?;
        let publication =
            Publication { target: Target::Presence(Box::new(event)), message: Message::text("") };
        let encoded = Encoded::new(publication, Some(found.origin()), &shared.memory);
        Ok(Letter::Publish(Prepared::new(encoded, None, charge, None), None))
    };
    match shared.directory.post(&channel.beside(), letter) {
        Ok(Some((events, duty))) => {
            if let Some(duty) = duty {
                events.drain(duty, shared);
            }
            true
        }
        Ok(None) => true,
        Err(()) => {
            shared.counters.presence_events_dropped.add(1);
            false
        }
    }
}

impl Hub {
    /// Who is in the channel, with at most `most` of the sessions; `None` if its rule does not turn
    /// presence on.
    ///
    /// Cancel safe.
    pub async fn presence(&self, channel: &ChannelName, most: usize) -> Option<Presence> {
        if !self.channel_options(channel).presence {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        let give = Box::new(move |presence| {
            // Nobody listens any more: the caller dropped the future.
            let _ = answer.send(presence);
        });
        match self.ask_presence(channel, most, give) {
            // Without a channel nobody is in it.
            false => Some(Presence::default()),
            true => Some(answered.await.unwrap_or_default()),
        }
    }

    /// Asks who is in the channel. Returns whether there is one, so that an answer comes.
    pub(crate) fn ask_presence(
        &self,
        channel: &ChannelName,
        most: usize,
        give: Box<dyn FnOnce(Presence) + Send>,
    ) -> bool {
        let shared = &self.inner.shared;
        let letter = |_: &Channel| Ok::<_, ()>(Letter::Presence(Asked { most, give }));
        let Ok(Some((found, duty))) = shared.directory.post(channel, letter) else { return false };
        if let Some(duty) = duty {
            found.drain(duty, shared);
        }
        true
    }
}

/// A question who is in a channel.
pub(crate) struct Asked {
    most: usize,
    give: Box<dyn FnOnce(Presence) + Send>,
}

impl Asked {
    /// Users are counted only where they are kept: else each question would walk all members.
    pub(crate) fn answer<'a, M: Iterator<Item = &'a Arc<Session>>>(
        self,
        members: impl Fn() -> M,
        sessions_count: usize,
        is_kept: bool,
        users: &mut Option<Users>,
    ) {
        let users_count = match is_kept {
            true => users.get_or_insert_with(|| Users::of(members())).count(),
            false => 0,
        };
        let sessions = members().take(self.most).map(|session| Present::from(&**session)).collect();
        (self.give)(Presence { sessions, sessions_count, users_count });
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asked(..)")
    }
}
