//! Who is behind: the sessions that have something queued, for whoever looks after the node.
//!
//! Only sessions that are behind stand in the list, so it costs the others nothing, and asking costs
//! as much as there are of them.

use std::net::SocketAddr;
use std::sync::Arc;

use dashmap::DashMap;

use super::Hub;
use super::session::Session;
use crate::base::ids::{ChannelName, SessionId, UserId};

/// The sessions that have a writer.
#[derive(Debug, Default)]
pub(crate) struct Behind(DashMap<SessionId, Arc<Session>>);

impl Behind {
    pub(crate) fn add(&self, session: &Arc<Session>) {
        self.0.insert(session.id, session.clone());
    }

    /// Its writer has ended. It stays if it is behind again by now: its next writer may have been
    /// started already.
    pub(crate) fn leave(&self, session: &Session) {
        self.0.remove_if(&session.id, |_, session| session.outbox.lag().is_none());
    }
}

/// A session that is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowSession {
    /// Its id.
    pub session: SessionId,
    /// Its user, if any.
    pub user: Option<UserId>,
    /// Where its peer is.
    pub peer: Option<SocketAddr>,
    /// The channels it is subscribed to.
    pub channels: Vec<ChannelName>,
    /// Bytes that wait for it.
    pub bytes: usize,
    /// Messages that wait for it.
    pub messages: usize,
    /// For how long the oldest of them has waited, in milliseconds.
    pub oldest_ms: u64,
    /// For how long it has been behind without a break, in milliseconds.
    pub behind_ms: u64,
    /// Messages that it lost meanwhile.
    pub lost: u64,
}

impl Hub {
    /// The sessions that are behind, at most `most`: those with the oldest message first.
    pub fn slow_sessions(&self, most: usize) -> Vec<SlowSession> {
        self.slow_survey(usize::MAX, most, |_, _| ()).1
    }

    /// Looks at no more than `looked_at_max` of those that are behind, and calls `see` with the bytes that wait
    /// for each and for how long the oldest has, in milliseconds. Returns how many it looked at, and the worst.
    pub(crate) fn slow_survey(
        &self,
        looked_at_max: usize,
        most: usize,
        mut see: impl FnMut(usize, u64),
    ) -> (usize, Vec<SlowSession>) {
        let now_ms = self.now_ms();
        let seen = |session: &Arc<Session>| {
            let lag = session.outbox.lag()?;
            let since = |at_ms: u64| now_ms.saturating_sub(at_ms);
            let oldest_ms = since(lag.oldest_ms.unwrap_or(now_ms));
            Some((oldest_ms, since(lag.behind_since_ms.unwrap_or(now_ms)), lag, session.clone()))
        };
        let all = self.inner.shared.behind.0.iter().take(looked_at_max);
        let mut behind: Vec<_> = all.filter_map(|entry| seen(entry.value())).collect();
        behind.iter().for_each(|(oldest_ms, _, lag, _)| see(lag.bytes, *oldest_ms));
        let looked_at = behind.len();
        behind.sort_unstable_by_key(|(oldest_ms, behind_ms, lag, _)| {
            std::cmp::Reverse((*oldest_ms, *behind_ms, lag.bytes))
        });
        behind.truncate(most);
        let shown = behind.into_iter().map(|(oldest_ms, behind_ms, lag, session)| SlowSession {
            session: session.id,
            user: session.user.clone(),
            peer: session.peer(),
            channels: session.subscriptions.lock().names(),
            bytes: lag.bytes,
            messages: lag.frames,
            oldest_ms,
            behind_ms,
            lost: lag.lost,
        });
        (looked_at, shown.collect())
    }
}

#[cfg(all(test, not(fanfare_loom)))]
mod tests {
    use super::*;
    use crate::base::message::Message;
    use crate::hub::SessionOptions;
    use crate::outbox::Socket;

    /// 1. A session over TLS has something queued, and its peer breaks off.
    /// 2. Its writer cannot write; what it could not write is still in the outbox.
    /// 3. It was taken for a session that is behind again, and stood in the list for good: with its
    ///    socket, which stayed open.
    #[tokio::test]
    async fn whose_socket_broke_is_not_behind() {
        let hub = Hub::builder().lanes(1).build();
        let channel = ChannelName::try_from("a").unwrap();
        let session = hub.open(SessionOptions::default()).unwrap();
        hub.join(&session, &channel, None, None).unwrap();
        let (near, far) = tokio::io::duplex(64);
        hub.attach(&session, Socket::from_stream(near));
        drop(far);
        hub.publish(&channel, Message::text("x")).unwrap();
        let counters = hub.counters();
        while counters.writers_started.get() == 0 || counters.writers.get() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(hub.inner.shared.behind.0.is_empty());
        hub.end(&session);
    }
}
