//! What the application decides while a session waits for it, where the rule of a channel says so.
//!
//! Only this session waits: it is not read meanwhile, so what it says next is looked at next.

use std::fmt;
use std::future::ready;
use std::sync::Arc;

use super::dispatch::{Flow, Subscribing, Wait, Waiting, fail};
use crate::base::access::Answering;
use crate::base::application::{Application, Asker, Denial, Refused};
use crate::base::disconnect::{Disconnect, Reason};
use crate::hub::Hub;
use crate::hub::session::Session;
use crate::protocol::json::{CommandError, ErrorCode, Id};

/// When trying again may succeed.
const RETRY_AFTER_MS: u64 = 1_000;

/// What a plain session is closed with if the application cannot be asked: try again later (registered
/// with IANA, RFC 6455 section 11.7).
const TRY_AGAIN_LATER: u16 = 1013;

/// A question that is on its way, and what follows if the answer is yes.
pub(super) struct Asking {
    pub(super) answer: Answering<Result<(), Refused>>,
    pub(super) then: Then,
}

/// What follows.
#[derive(Debug)]
pub(super) enum Then {
    Subscribe(Subscribing),
    Publish(Waiting),
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Asking").field(&self.then).finish()
    }
}

/// Publishes, after the application has said yes if it is asked.
pub(super) fn or_publish(waiting: Waiting, hub: &Hub, session: &Arc<Session>) -> Flow {
    if !hub.asks_to_publish(&waiting.channel) {
        return waiting.publish(hub, session);
    }
    let answer = ask(hub, session, |application, asker| {
        application.publish(asker, waiting.channel.clone(), waiting.message.clone())
    });
    Flow::Wait(Box::new(Wait::Answer(Asking { answer, then: Then::Publish(waiting) })))
}

/// Subscribes, likewise. Whoever is in already is told so without a question.
pub(super) fn or_subscribe(wanted: Subscribing, hub: &Hub, session: &Arc<Session>) -> Flow {
    let channel = &wanted.channel;
    if !hub.asks_to_subscribe(channel) || hub.is_in(session, channel) {
        return wanted.subscribe(hub, session);
    }
    let answer =
        ask(hub, session, |application, asker| application.subscribe(asker, channel.clone()));
    Flow::Wait(Box::new(Wait::Answer(Asking { answer, then: Then::Subscribe(wanted) })))
}

/// Asks; where there is nobody to ask the answer is no.
fn ask(
    hub: &Hub,
    session: &Session,
    question: impl FnOnce(&dyn Application, Asker) -> Answering<Result<(), Refused>>,
) -> Answering<Result<(), Refused>> {
    let (user, peer) = (session.user.clone(), session.peer());
    let asker = Asker { session: Some(session.id), user, peer };
    match hub.application() {
        Some(application) => question(&**application, asker),
        None => Box::pin(ready(Err(Refused::Unavailable))),
    }
}

impl Then {
    /// Goes on with the answer.
    pub(super) fn go_on(
        self,
        answer: Result<(), Refused>,
        hub: &Hub,
        session: &Arc<Session>,
    ) -> Flow {
        match (answer, self) {
            (Ok(()), Self::Subscribe(subscribing)) => subscribing.subscribe(hub, session),
            (Ok(()), Self::Publish(waiting)) => waiting.publish(hub, session),
            (Err(refused), Self::Subscribe(subscribing)) => {
                fail(hub, session, &error(refused, subscribing.id))
            }
            (Err(refused), Self::Publish(Waiting { command: Some(id), .. })) => {
                fail(hub, session, &error(refused, id))
            }
            // Without words for it: a message that silently goes nowhere would be worse.
            (Err(refused), Self::Publish(Waiting { command: None, .. })) => {
                Flow::Close(close(refused))
            }
        }
    }
}

fn error(refused: Refused, id: Option<Id>) -> CommandError {
    match refused {
        Refused::Denied(Denial { reason, .. }) => {
            CommandError::new(id, ErrorCode::Denied).with_message(reason)
        }
        Refused::Unavailable => {
            CommandError::new(id, ErrorCode::Unavailable).retry_after_ms(RETRY_AFTER_MS)
        }
    }
}

fn close(refused: Refused) -> Disconnect {
    match refused {
        Refused::Denied(Denial { reason, .. }) => {
            Disconnect::new(Reason::PolicyViolation).with_text(reason)
        }
        Refused::Unavailable => Disconnect::new(Reason::InternalError)
            .with_code(TRY_AGAIN_LATER)
            .with_text(ErrorCode::Unavailable.text()),
    }
}
