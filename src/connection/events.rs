//! A stream of server-sent events: a session that only listens.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;

use super::discard::poll_discard;
use super::dispatch::subscribed;
use super::upgrade::{Accept, Permit, UpgradeError};
use crate::base::disconnect::Reason;
use crate::base::panics::Culprit;
use crate::base::position::Recover;
use crate::hub::session::Session;
use crate::hub::{Hub, SubscribeError};
use crate::outbox::Socket;
use crate::protocol::json::Welcome;
use crate::protocol::{Form, WireFormat};

/// A session that waits for its socket, and then ends with it.
pub struct EventStream {
    hub: Hub,
    session: Arc<Session>,
    /// What its connection counts for.
    _permit: Option<Permit>,
}

impl EventStream {
    /// Opens a session and subscribes it to the channels of `accept`, from where `recover` says if
    /// they keep that, and with `join_leave` to who comes and goes there. `head` goes out before
    /// everything else.
    ///
    /// # Errors
    /// [`UpgradeError`]; nothing has changed then.
    pub fn open(
        hub: &Hub,
        accept: Accept,
        recover: &[Recover],
        join_leave: bool,
        head: Bytes,
    ) -> Result<Self, UpgradeError> {
        let form = Form::plain(WireFormat::Sse);
        let session = hub.open(accept.session_options(form)).map_err(UpgradeError::Open)?;
        // What a listener sends means nothing; with its end of the connection everything ends.
        session.close_unheard();
        let stream = Self { hub: hub.clone(), session, _permit: None };
        let session = &stream.session;
        let welcome = Welcome {
            session: session.id,
            user: session.user.as_ref(),
            channels: accept.channel_names(),
            expires_unix_s: accept.expires_unix_s(),
        };
        let first = [head, WireFormat::Sse.text(&welcome.encode())].concat();
        hub.control(session, first.into());
        for channel in accept.channel_names() {
            let reply = subscribed(WireFormat::Sse, None, channel);
            // An epoch belongs to one channel: of several positions each fits one at most.
            let epoch = hub.epoch(channel);
            let fits = |recover: &&Recover| recover.epoch.is_some() && recover.epoch == epoch;
            let recover = recover.iter().find(fits).or(recover.first()).copied();
            let mut joined = hub.join(session, channel, Some(reply), recover);
            if join_leave && joined.is_ok() {
                joined = hub.join_beside(session, channel);
            }
            match joined {
                Ok(()) | Err(SubscribeError::AlreadySubscribed) => {}
                Err(error) => return Err(UpgradeError::Subscribe(channel.clone(), error)),
            }
        }
        Ok(stream)
    }

    /// Keeps this for as long as it lives.
    pub fn hold(&mut self, permit: Option<Permit>) {
        self._permit = permit;
    }

    /// Writes to the socket until the peer or the hub ends it.
    ///
    /// Dropping it ends the session.
    pub async fn run(self, socket: impl Into<Socket>) {
        self.hub.attach(&self.session, socket.into());
        poll_fn(|cx| poll_discard(&self.session, cx)).await;
    }
}

impl Drop for EventStream {
    /// With a panic, at once: a stream of events has no word for it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.hub.counters().panics.of(Culprit::Connection).add(1);
            tracing::error!(session = %self.session.id, "a panic ends this session");
            self.session.note_end(Reason::InternalError);
        }
        self.hub.end(&self.session);
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventStream").field(&self.session.id).finish()
    }
}
