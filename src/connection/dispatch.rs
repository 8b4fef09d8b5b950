//! What a peer's messages mean: plain ones are publications, JSON ones are commands.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::asking::{self, Asking};
use super::rate::PublishRate;
use crate::base::access::{Authoriser, Grant, Info, Refusal};
use crate::base::disconnect::{Disconnect, Reason};
use crate::base::ids::ChannelName;
use crate::base::message::Message;
use crate::base::position::Recover;
use crate::base::refused::Bound;
use crate::base::trace::{Ingress, Trace};
use crate::frame::{self, DataKind, Opcode, Payload};
use crate::hub::letters::{JoinReply, Receipt};
use crate::hub::session::Session;
use crate::hub::traced::Drawn;
use crate::hub::{Hub, Presence, PublishError, PublishOptions, SubscribeError};
use crate::protocol::WireFormat;
use crate::protocol::json::{self, Command, CommandError, ErrorCode, Id, Reply, Welcome};

/// Bytes of the answer who is in a channel: half of what may wait for a session in replies.
const PRESENCE_BYTES_MAX: usize = 32 << 10;

/// Sessions that are looked at for it: with the shortest of entries, what fits.
const PRESENCE_SESSIONS_MAX: usize = 1_000;

/// What the reader does after a message.
#[derive(Debug)]
pub(super) enum Flow {
    /// Go on.
    Next,
    /// Wait for that, then go on.
    Wait(Box<Wait>),
    /// End the session.
    Close(Disconnect),
}

/// What a session waits for; nothing it says is looked at meanwhile.
#[derive(Debug)]
pub(super) enum Wait {
    /// The hub has no room: wait, then publish this.
    Room(Waiting),
    /// The peer publishes too fast: wait for so many milliseconds, then publish this.
    Later(Waiting, u64),
    /// The application decides: wait for its answer.
    Answer(Asking),
}

/// A publication of a peer, and the command that it came with, if any.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) channel: ChannelName,
    pub(super) message: Message,
    options: PublishOptions,
    pub(super) command: Option<Option<Id>>,
    trace: Option<Arc<Trace>>,
}

impl Waiting {
    /// Publishes and has a command answered; or comes back.
    pub(super) fn publish(self, hub: &Hub, session: &Arc<Session>) -> Flow {
        let id = self.command.as_ref().and_then(Option::as_ref);
        // Only a reply says the position.
        let keeps = id.is_some() && hub.keeps_history(&self.channel);
        let receipt = id.filter(|_| keeps).map(|id| {
            let (hub, session, id) = (hub.clone(), session.clone(), id.clone());
            Receipt::new(move |taken| {
                acknowledge(&hub, &session, Some(&id), Reply::Published(taken.position));
            })
        });
        let (message, options) = (self.message.clone(), self.options.clone());
        match hub.post(&self.channel, message, options, receipt, self.trace.clone()) {
            Ok(_) => {
                if !keeps {
                    acknowledge(hub, session, id, Reply::Published(None));
                }
                Flow::Next
            }
            Err(PublishError::Overloaded) => Flow::Wait(Box::new(Wait::Room(self))),
            Err(error) => match self.command {
                // The hub is draining: the close is on its way.
                None => Flow::Next,
                Some(id) => {
                    let error = CommandError::new(id, ErrorCode::Overloaded)
                        .with_message(error.to_string())
                        .retry_after_ms(PublishError::RETRY_AFTER_MS);
                    fail(hub, session, &error)
                }
            },
        }
    }
}

/// A subscription that was asked for.
#[derive(Debug)]
pub(super) struct Subscribing {
    pub(super) id: Option<Id>,
    pub(super) channel: ChannelName,
    recover: Option<Recover>,
    join_leave: bool,
}

impl Subscribing {
    /// Subscribes and answers.
    pub(super) fn subscribe(self, hub: &Hub, session: &Arc<Session>) -> Flow {
        let Self { id, channel, recover, join_leave } = self;
        let reply = id.clone().map(|id| subscribed(WireFormat::Json, Some(id), &channel));
        let joined = hub.join(session, &channel, reply, recover).and_then(|()| match join_leave {
            true => hub.join_beside(session, &channel),
            false => Ok(()),
        });
        let error = match joined {
            Ok(()) => return Flow::Next,
            Err(error) => error,
        };
        let code = match error {
            SubscribeError::AlreadySubscribed => ErrorCode::AlreadySubscribed,
            SubscribeError::TooManySubscriptions(_) => ErrorCode::TooManySubscriptions,
            SubscribeError::ChannelFull(_) => ErrorCode::ChannelFull,
            SubscribeError::TooManyChannels => ErrorCode::Overloaded,
            SubscribeError::NoSession => ErrorCode::Internal,
        };
        fail(hub, session, &CommandError::new(id, code).with_message(error.to_string()))
    }
}

/// How one peer talks.
#[derive(Debug)]
pub(super) enum Dialect {
    Raw(Raw),
    Json(Box<Json>),
}

/// Every message is a publication to one channel.
#[derive(Debug)]
pub(super) struct Raw {
    channel: Option<ChannelName>,
    may_publish: bool,
    echo: bool,
    rate: PublishRate,
}

/// Every message is a command.
#[derive(Debug)]
pub(super) struct Json {
    grant: Grant,
    echo: bool,
    rate: PublishRate,
    authoriser: Option<Arc<dyn Authoriser>>,
}

impl Dialect {
    pub(super) fn new(
        format: WireFormat,
        channel: Option<ChannelName>,
        grant: Grant,
        echo: bool,
        rate: PublishRate,
        authoriser: Option<Arc<dyn Authoriser>>,
    ) -> Self {
        match format {
            WireFormat::Raw => {
                let may_publish =
                    channel.as_ref().is_some_and(|channel| grant.publish.allow(channel.as_str()));
                Self::Raw(Raw { channel, may_publish, echo, rate })
            }
            WireFormat::Json | WireFormat::Sse => {
                Self::Json(Box::new(Json { grant, echo, rate, authoriser }))
            }
        }
    }

    /// What the peer is told first, if anything.
    pub(super) fn welcome(&self, session: &Session, channels: &[ChannelName]) -> Option<Bytes> {
        let Self::Json(json) = self else { return None };
        let user = session.user.as_ref();
        let expires_unix_s = json.grant.expires_unix_s;
        Some(Welcome { session: session.id, user, channels, expires_unix_s }.encode())
    }

    /// Acts on a message.
    pub(super) fn message(
        &mut self,
        hub: &Hub,
        session: &Arc<Session>,
        kind: DataKind,
        payload: Payload<'_>,
    ) -> Flow {
        let drawn = hub.draw(|| None);
        match self {
            Self::Raw(raw) => raw.publish(hub, session, kind, payload, drawn),
            Self::Json(json) => json.command(hub, session, kind, &payload, drawn),
        }
    }
}

impl Raw {
    fn publish(
        &mut self,
        hub: &Hub,
        session: &Arc<Session>,
        kind: DataKind,
        payload: Payload<'_>,
        drawn: Option<Drawn>,
    ) -> Flow {
        let channel = match &self.channel {
            Some(channel) if self.may_publish => channel,
            _ => {
                let text = "this session may not publish to its channel";
                return Flow::Close(Disconnect::new(Reason::PolicyViolation).with_text(text));
            }
        };
        let data = payload.into_bytes();
        let message = match kind {
            DataKind::Text => Message::text_validated(data),
            DataKind::Binary => Message::binary(data),
        };
        let options = publish_options(session, self.echo);
        let trace = hub.begin(drawn, Ingress::WebSocket);
        let channel = channel.clone();
        let waiting = Waiting { channel, message, options, command: None, trace };
        match self.rate.charge(hub.now_ms()) {
            None => asking::or_publish(waiting, hub, session),
            Some(wait_ms) => {
                hub.counters().refused.by(Bound::PublishesPerSession).add(1);
                Flow::Wait(Box::new(Wait::Later(waiting, wait_ms)))
            }
        }
    }
}

impl Json {
    fn command(
        &mut self,
        hub: &Hub,
        session: &Arc<Session>,
        kind: DataKind,
        payload: &[u8],
        drawn: Option<Drawn>,
    ) -> Flow {
        let text = match (kind, std::str::from_utf8(payload)) {
            (DataKind::Text, Ok(text)) => text,
            _ => {
                let text = "a command is a text message with one JSON object, not a binary one";
                let error = CommandError::new(None, ErrorCode::BadRequest).with_message(text);
                return fail(hub, session, &error);
            }
        };
        let request = match json::parse(text) {
            Ok(request) => request,
            Err(error) => return fail(hub, session, &error),
        };
        let id = request.id;
        match request.command {
            Command::Subscribe { channel, recover, join_leave } => {
                self.subscribe(hub, session, id, &channel, recover, join_leave)
            }
            Command::Presence { channel } => presence(hub, session, id, channel),
            Command::Unsubscribe { channel } => unsubscribe(hub, session, id, &channel),
            Command::Publish { channel, message, extras } => {
                if !self.grant.publish.allow(channel.as_str()) {
                    return fail(hub, session, &CommandError::new(id, ErrorCode::Forbidden));
                }
                if let Err(wait_ms) = self.rate.allow(hub.now_ms()) {
                    hub.counters().refused.by(Bound::PublishesPerSession).add(1);
                    let error = CommandError::new(id, ErrorCode::RateLimited);
                    return fail(hub, session, &error.retry_after_ms(wait_ms));
                }
                let options = PublishOptions {
                    key: extras.key,
                    ttl_ms: extras.ttl_ms,
                    idempotency_key: extras.idempotency_key,
                    ..publish_options(session, self.echo)
                };
                let trace = hub.begin(drawn, Ingress::WebSocket);
                let waiting = Waiting { channel, message, options, command: Some(id), trace };
                asking::or_publish(waiting, hub, session)
            }
            Command::Refresh { token } => self.refresh(hub, session, id, token.as_str()),
            Command::Ping => {
                reply(hub, session, id.as_ref(), Reply::Pong);
                Flow::Next
            }
        }
    }

    fn subscribe(
        &self,
        hub: &Hub,
        session: &Arc<Session>,
        id: Option<Id>,
        channel: &ChannelName,
        recover: Option<Recover>,
        join_leave: bool,
    ) -> Flow {
        if !self.grant.subscribe.allow(channel.as_str()) {
            return fail(hub, session, &CommandError::new(id, ErrorCode::Forbidden));
        }
        if join_leave && !hub.channel_options(channel).join_leave {
            let error = CommandError::new(id, ErrorCode::NotAvailable)
                .with_message("join_leave is not turned on for this channel");
            return fail(hub, session, &error);
        }
        let subscribing = Subscribing { id, channel: channel.clone(), recover, join_leave };
        asking::or_subscribe(subscribing, hub, session)
    }

    /// A fresh token: for the same user, or it is refused and the old one goes on.
    fn refresh(&mut self, hub: &Hub, session: &Arc<Session>, id: Option<Id>, token: &str) -> Flow {
        let Some(authoriser) = &self.authoriser else {
            let error = CommandError::new(id, ErrorCode::TokenInvalid)
                .with_message("this session has no token to refresh");
            return fail(hub, session, &error);
        };
        let grant = match authoriser.authorise(Some(token), SystemTime::now()) {
            Ok(grant) if grant.user == self.grant.user => grant,
            Ok(_) => {
                let error = CommandError::new(id, ErrorCode::TokenInvalid)
                    .with_message("the token is for another user");
                return fail(hub, session, &error);
            }
            Err(refusal) => {
                let code = match refusal {
                    Refusal::Expired => ErrorCode::TokenExpired,
                    Refusal::Unavailable => ErrorCode::Unavailable,
                    _ => ErrorCode::TokenInvalid,
                };
                let error = CommandError::new(id, code).with_message(refusal.to_string());
                return fail(hub, session, &error);
            }
        };
        session.set_expires(grant.expires_unix_s);
        let expires_unix_s = grant.expires_unix_s;
        self.grant = grant;
        reply(hub, session, id.as_ref(), Reply::Refreshed { expires_unix_s });
        Flow::Next
    }
}

/// Only for who is in the channel itself.
fn presence(hub: &Hub, session: &Arc<Session>, id: Option<Id>, channel: ChannelName) -> Flow {
    if !hub.channel_options(&channel).presence {
        let error = CommandError::new(id, ErrorCode::NotAvailable)
            .with_message("presence is not turned on for this channel");
        return fail(hub, session, &error);
    }
    if !hub.is_in(session, &channel) {
        return fail(hub, session, &CommandError::new(id, ErrorCode::NotSubscribed));
    }
    if let Some(id) = id {
        let (to, asker, name) = (hub.clone(), session.clone(), channel.clone());
        let give = Box::new(move |presence: Presence| {
            let shown = presence.sessions.iter().map(|who| {
                (who.session, who.user.as_ref(), who.info.as_deref().map(Info::as_json))
            });
            let counts = (presence.sessions_count, presence.users_count);
            let text = json::encode_presence(&id, &name, shown, counts, PRESENCE_BYTES_MAX);
            to.control(&asker, frame::encode(Opcode::Text, &text));
        });
        hub.ask_presence(&channel, PRESENCE_SESSIONS_MAX, give);
    }
    Flow::Next
}

fn unsubscribe(hub: &Hub, session: &Arc<Session>, id: Option<Id>, channel: &ChannelName) -> Flow {
    let reply = id.as_ref().map(|id| reply_frame(Some(id), Reply::Unsubscribed(channel)));
    if hub.part(session, channel, reply) {
        return Flow::Next;
    }
    fail(hub, session, &CommandError::new(id, ErrorCode::NotSubscribed))
}

fn publish_options(session: &Session, echo: bool) -> PublishOptions {
    PublishOptions { except: (!echo).then_some(session.id), ..PublishOptions::default() }
}

/// Says that the session is in the channel, and where that is. Without an id it is said only of a
/// channel that has a position to tell.
pub(super) fn subscribed(format: WireFormat, id: Option<Id>, channel: &ChannelName) -> JoinReply {
    let channel = channel.clone();
    JoinReply(Box::new(move |joined| {
        let reply = Reply::Subscribed {
            channel: &channel,
            position: joined.position,
            recovered: joined.recovered,
        };
        // Whoever only listens has not asked, and wants to know that it is in.
        let is_asked = id.is_some() || format == WireFormat::Sse;
        let is_told = is_asked || joined.position.is_some();
        is_told.then(|| format.text(&json::encode_reply(id.as_ref(), reply)))
    }))
}

fn reply_frame(id: Option<&Id>, reply: Reply<'_>) -> Bytes {
    frame::encode(Opcode::Text, &json::encode_reply(id, reply))
}

fn reply(hub: &Hub, session: &Arc<Session>, id: Option<&Id>, reply: Reply<'_>) {
    if id.is_some() {
        hub.control(session, reply_frame(id, reply));
    }
}

/// Says that a publication was accepted; not to a session that is ending, to which it may not come back.
fn acknowledge(hub: &Hub, session: &Arc<Session>, id: Option<&Id>, published: Reply<'_>) {
    if session.ended_by().is_none() {
        reply(hub, session, id, published);
    }
}

pub(super) fn fail(hub: &Hub, session: &Arc<Session>, error: &CommandError) -> Flow {
    hub.counters().commands_refused.add(1);
    hub.control(session, frame::encode(Opcode::Text, &json::encode_error(error)));
    Flow::Next
}
