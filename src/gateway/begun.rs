//! A connection that has sent something: what it comes to.
//!
//! Nearly always that is a WebSocket which nobody has to be asked about. It becomes a session in one go, without a
//! future: each connection's was 2 KiB, filled, moved and thrown away.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::connection::{Caller, serve_rest};
use super::entrance::{Arrival, Entrance};
use super::serving::Serving;
use crate::connection::{Accepted, First, Head, Permit, Stream};
use crate::http::{self, Answer, Peer, StateOptions, Undecided};

/// A connection that has sent something.
pub(super) struct Begun {
    pub(super) serving: Serving,
    pub(super) caller: Caller,
    pub(super) stream: Stream,
    pub(super) began: Instant,
}

/// What is left to do for it, if it is not a session and not over.
pub(super) enum Rest {
    /// The answer that makes a session of it was not taken at once.
    Write(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// Somebody has to be asked whether it may be a session.
    Ask { begun: Begun, head: Head, peer: Peer, permit: Option<Permit>, undecided: Undecided },
    /// It is HTTP. This was read; and the answer to that, if there is one already.
    Http(Begun, Bytes, Option<Answer>),
}

impl Begun {
    pub(super) fn new(serving: Serving, arrival: Arrival, entrance: Arc<Entrance>) -> Self {
        let Arrival { stream, peer, began, permit, .. } = arrival;
        Self { serving, caller: Caller { peer, permit, entrance }, stream, began }
    }

    /// Makes a session of it, if that is what was asked for first, it may be one, and nobody has to be
    /// asked about it. Nearly always that is so, and then there is never a future for it.
    pub(super) fn begin(self, first: First, options: &StateOptions) -> Option<Rest> {
        let head = match first {
            First::Upgrade(head) => head,
            First::Other(bytes) => return Some(Rest::Http(self, bytes, None)),
        };
        if !http::asks_for_websocket(&head, self.caller.entrance.serves) {
            return Some(Rest::Http(self, head.into_bytes(), None));
        }
        let (peer, admitted) = self.caller.admit(options, &head, || true);
        let state = self.caller.entrance.door.state();
        let permit = match admitted {
            Ok(permit) => permit,
            Err(why) => {
                let answer = http::refuse_client(state, why);
                return self.refused(head, answer);
            }
        };
        match http::accept_at_once(state, options, &head, peer) {
            Ok(Ok(accepted)) => self.become_session(accepted, permit, head),
            Ok(Err(answer)) => self.refused(head, *answer),
            Err(undecided) => Some(Rest::Ask { begun: self, head, peer, permit, undecided }),
        }
    }

    #[cold]
    fn refused(self, head: Head, answer: Answer) -> Option<Rest> {
        Some(Rest::Http(self, head.into_bytes(), Some(answer)))
    }

    fn become_session(
        self,
        mut accepted: Accepted,
        permit: Option<Permit>,
        head: Head,
    ) -> Option<Rest> {
        let Self { serving, caller, stream, .. } = self;
        drop((serving, caller));
        accepted.hold(permit);
        accepted.run(stream, head.rest()).map(Rest::Write)
    }
}

impl Rest {
    /// Does it.
    pub(super) async fn go_on(self) {
        let rest = match self {
            Self::Ask { begun, head, peer, permit, undecided } => {
                let state = begun.caller.entrance.door.state();
                match Box::pin(http::accept(state, &head, peer, undecided)).await {
                    Ok(accepted) => begun.become_session(accepted, permit, head),
                    Err(answer) => begun.refused(head, *answer),
                }
            }
            rest => Some(rest),
        };
        match rest {
            None | Some(Self::Ask { .. }) => {}
            Some(Self::Write(written)) => written.await,
            Some(Self::Http(begun, read, answered)) => {
                Box::pin(serve_rest(begun, read, answered)).await;
            }
        }
    }
}
