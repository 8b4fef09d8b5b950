//! A close look at one channel or one session, for whoever looks after the node.

use std::sync::Arc;

use super::presence::Presence;
use super::{HistoryQuery, Hub, SessionInfo};
use crate::base::channels::ChannelOptions;
use crate::base::ids::{ChannelName, SessionId};
use crate::base::loss::DropCause;
use crate::base::position::StreamPosition;
use crate::protocol::Form;
use tokio::sync::oneshot;

/// What there is to see of a channel.
#[derive(Debug)]
pub(crate) struct ChannelLook {
    /// How many sessions there are, and some of them.
    pub(crate) presence: Presence,
    /// Publications since it was made.
    pub(crate) publications: u64,
    /// Messages dropped for its sessions, by cause.
    pub(crate) dropped: Vec<(DropCause, u64)>,
    /// Where it is, if it keeps a history.
    pub(crate) position: Option<StreamPosition>,
    pub(crate) options: Arc<ChannelOptions>,
}

/// What there is to see of a session.
#[derive(Debug)]
pub(crate) struct SessionLook {
    pub(crate) info: SessionInfo,
    pub(crate) form: Form,
    /// For how long its peer has been silent, in milliseconds.
    pub(crate) silent_ms: u64,
    /// When its token ends it, in seconds since 1970.
    pub(crate) expires_unix_s: Option<u64>,
    /// Messages that wait for it.
    pub(crate) messages: usize,
    /// For how long the oldest of them has waited, in milliseconds.
    pub(crate) oldest_ms: u64,
    /// Messages that it has lost since it fell behind.
    pub(crate) lost: u64,
}

impl Hub {
    /// The channel, with at most `most` of its sessions; `None` if there is none. Makes no channel.
    ///
    /// Cancel safe.
    pub(crate) async fn look_at_channel(
        &self,
        name: &ChannelName,
        most: usize,
    ) -> Option<ChannelLook> {
        let channel = self.inner.shared.directory.get(name.as_str())?;
        let (publications, dropped) = (channel.activity.publications(), channel.drops.get());
        drop(channel);
        let (answer, answered) = oneshot::channel();
        // Nobody listens any more if the caller dropped the future.
        let give = Box::new(move |presence| drop(answer.send(presence)));
        let presence = match self.ask_presence(name, most, give) {
            true => answered.await.unwrap_or_default(),
            false => return None,
        };
        let options = self.channel_options(name);
        let position = match options.history.is_on() {
            true => {
                let query = HistoryQuery { limit: 0, since: None, is_reverse: false };
                self.history(name, query).await.ok().map(|page| page.position)
            }
            false => None,
        };
        Some(ChannelLook { presence, publications, dropped, position, options })
    }

    /// The session, if there is one.
    pub(crate) fn look_at_session(&self, id: SessionId) -> Option<SessionLook> {
        let session = self.inner.registry.get(id)?;
        let (now_ms, lag) = (self.now_ms(), session.outbox.lag());
        let oldest = lag.and_then(|lag| lag.oldest_ms);
        let expires = session.expires_unix_s();
        Some(SessionLook {
            info: self.session(id)?,
            form: session.form,
            silent_ms: session.times.silent_ms(now_ms),
            expires_unix_s: (expires != u64::MAX).then_some(expires),
            messages: lag.map_or(0, |lag| lag.frames),
            oldest_ms: oldest.map_or(0, |oldest| now_ms.saturating_sub(oldest)),
            lost: lag.map_or(0, |lag| lag.lost),
        })
    }
}

#[cfg(all(test, not(fanfare_loom)))]
mod tests {
    use super::*;
    use crate::base::ids::UserId;
    use crate::base::message::Message;
    use crate::hub::SessionOptions;

    #[tokio::test]
    async fn a_channel_shows_its_sessions_and_is_not_made_by_looking() {
        let hub = Hub::builder().lanes(2).build();
        let name = ChannelName::try_from("news").unwrap();
        assert!(hub.look_at_channel(&name, 3).await.is_none());
        assert_eq!(hub.channel_count(), 0);
        let mut sessions = Vec::new();
        for n in 0..5 {
            let user = Some(UserId::new(&format!("u{n}")).unwrap());
            let session = hub.open(SessionOptions { user, ..Default::default() }).unwrap();
            hub.join(&session, &name, None, None).unwrap();
            sessions.push(session);
        }
        hub.publish(&name, Message::text("x")).unwrap();
        let look = hub.look_at_channel(&name, 3).await.unwrap();
        assert_eq!((look.presence.sessions_count, look.presence.sessions.len()), (5, 3));
        assert_eq!((look.publications, look.position), (1, None));

        let look = hub.look_at_session(sessions[0].id).unwrap();
        assert_eq!(look.info.user, sessions[0].user);
        assert_eq!((look.info.channels, look.expires_unix_s), (vec![name], None));
        assert!(hub.look_at_session(SessionId::from(1)).is_none());
    }
}
