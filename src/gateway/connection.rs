//! One connection, from being accepted to its end or to its becoming a WebSocket.
//!
//! | bound | on |
//! |---|---|
//! | `handshake_timeout_ms` | a request's head, from its first byte; the first one from being accepted |
//! | [`QUIET_MAX`] | the time without a new request otherwise: idle, sending a body, taking an answer |
//! | `header_bytes_max`, `headers_max` | a head; beyond it the answer is 431 |
//!
//! hyper's own timeout for heads is not used: it would run while a connection is idle as well, and
//! five seconds are too short for a backend that keeps its connections.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ::http::Request;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::begun::Begun;
use super::entrance::{Arrival, Entrance};
use super::serving::Serving;
use crate::base::fields::Fields;
use crate::base::limits::HttpLimits;
use crate::connection::{First, Permit, Requests, StrictStream};
use crate::http::{
    self, Answer, ConnectionRefused, HeadRefused, Peer, State, StateOptions, TakeOver, TakenOver,
};

/// How long a connection may be without a new request once it had one, whatever it does meanwhile.
/// Longer than the 60 s after which load balancers close an idle connection by themselves: so it is
/// they who do, and no request is sent into a closing connection.
const QUIET_MAX: Duration = Duration::from_secs(75);

/// The smallest read buffer that hyper takes.
const BUFFER_BYTES_MIN: usize = 8 << 10;

/// What connections are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serve,
    /// As the next, for those of listeners that serve clients.
    FinishClients,
    /// Answer what was asked, then end.
    Finish,
    /// End now.
    Cut,
}

/// What happens to a connection.
enum Event {
    Ended(hyper::Result<()>),
    /// The request is for a stream of events, which hyper has no part in.
    TakenOver(TakenOver),
    /// There is another phase.
    Phase,
    /// The gateway is gone.
    Cut,
    /// A head or the next request did not come in time.
    Late,
}

/// Serves a connection. A panic while it does ends this connection and nothing else: it is a task
/// of its own.
///
/// A block that captures, where nothing is taken apart before it is boxed: an `async fn` would keep its
/// arguments twice, and a task is moved half a dozen times before it runs.
#[expect(clippy::manual_async_fn)]
pub(super) fn serve(
    serving: Serving,
    mut arrival: Arrival,
    entrance: Arc<Entrance>,
) -> impl Future<Output = ()> + Send {
    async move {
        arrival.let_in.take().into_iter().for_each(|let_in| entrance.door.begun(let_in));
        if !entrance.is_plain() {
            arrival = tokio::select! {
                biased;
                // Boxed: it is gone when HTTP begins.
                entered = Box::pin(entrance.enter(arrival)) => match entered {
                    Some(arrival) => arrival,
                    None => return,
                },
                // Nothing was asked yet, but it was let in: it has until the end.
                () = cut(&entrance) => return,
            };
        }
        let (bytes_max, headers_max, timeout_ms) = serving.bounds();
        let due = arrival.began + Duration::from_millis(timeout_ms);
        // Mostly it is there by now, but tokio has not heard of it yet.
        let first = match First::at_once(&arrival.stream, bytes_max, headers_max) {
            Some(first) => first,
            None => tokio::select! {
                biased;
                first = First::read(&mut arrival.stream, bytes_max, headers_max) => first,
                // It was let in, and may ask once.
                () = cut(&entrance) => return,
                () = tokio::time::sleep_until(due) => {
                    return note_late(&serving.state, true, arrival.peer);
                }
            },
        };
        let Ok(first) = first else { return };
        let options = serving.state.options();
        let rest = Begun::new(serving, arrival, entrance).begin(first, &options);
        drop(options);
        // Boxed: what a task may become is what it always costs.
        if let Some(rest) = rest {
            Box::pin(rest.go_on()).await;
        }
    }
}

/// Serves what a connection of a plain listener has asked by now, where it was accepted. If it has asked
/// nothing yet, or something has to be waited for, it goes on in a task of its own.
pub(super) fn serve_now(
    serving: Serving,
    arrival: Arrival,
    entrance: Arc<Entrance>,
    options: &StateOptions,
) {
    let HttpLimits { header_bytes_max, headers_max, .. } = options.http_limits;
    let rest = match First::at_once(&arrival.stream, header_bytes_max, headers_max) {
        None => return drop(tokio::spawn(serve(serving, arrival, entrance))),
        Some(Err(_)) => return,
        Some(Ok(first)) => Begun::new(serving, arrival, entrance).begin(first, options),
    };
    if let Some(rest) = rest {
        tokio::spawn(rest.go_on());
    }
}

/// Waits until everybody is cut off.
async fn cut(entrance: &Entrance) {
    // An error means that the gateway is gone.
    let _ = entrance.door.phases().wait_for(|phase| *phase == Phase::Cut).await;
}

/// What is not a WebSocket from its first read on; `answered` is the answer to the first request if
/// there is one already.
pub(super) async fn serve_rest(begun: Begun, read: Bytes, answered: Option<Answer>) {
    let Begun { serving, caller, stream, began } = begun;
    let mut phases = caller.entrance.door.phases();
    // The one there is counts as well.
    phases.mark_changed();
    let (stream, requests) = StrictStream::new(stream, read, began);
    let served = serve_http(&serving, stream, &requests, &caller, answered, phases);
    let taken_over = served.await;
    // hyper has let go of the socket, and what it held is gone.
    if let Some((events, stream)) = taken_over.zip(requests.take()) {
        drop((serving, requests, caller));
        tokio::spawn(events.run(stream));
    }
}

/// Where requests come from.
pub(super) struct Caller {
    pub(super) peer: Peer,
    /// What the connection counts for, whatever it becomes.
    pub(super) permit: Option<Permit>,
    pub(super) entrance: Arc<Entrance>,
}

impl Caller {
    /// Who asks, which a proxy may say; and what that counts for.
    ///
    /// # Errors
    /// Why the client that a proxy names is not let in.
    pub(super) fn admit(
        &self,
        options: &StateOptions,
        headers: &impl Fields,
        asks_for_session: impl FnOnce() -> bool,
    ) -> Admitted {
        let door = &self.entrance.door;
        let client = options.trusted_proxies.client(self.peer, headers);
        // Others are answered and forgotten: the connection is the proxy's.
        if client == self.peer || !asks_for_session() {
            return (client, Ok(self.permit.clone()));
        }
        (client, door.admit_peer(client, options, Instant::now()))
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Answer {
        let state = self.entrance.door.state();
        let asks_for_session = || http::asks_for_session(&request);
        let (peer, admitted) = self.admit(&state.options(), request.headers(), asks_for_session);
        match admitted {
            Err(why) => http::refuse_client(state, why),
            Ok(permit) => {
                if let Some(permit) = permit {
                    request.extensions_mut().insert(permit);
                }
                http::handle(state.clone(), request, peer, self.entrance.serves).await
            }
        }
    }
}

type Admitted = (Peer, Result<Option<Permit>, ConnectionRefused>);

/// Serves requests. Returns a stream of events if one was asked for: then it takes the socket over.
async fn serve_http(
    serving @ Serving { state, .. }: &Serving,
    stream: StrictStream,
    requests: &Requests,
    caller: &Caller,
    answered: Option<Answer>,
    mut phases: watch::Receiver<Phase>,
) -> Option<TakenOver> {
    let (refused_upgrade, taken_over) = (Mutex::new(None), Mutex::new(None));
    let (answered, now) = (Mutex::new(answered), phases.clone());
    let service = service_fn(|request: Request<Incoming>| {
        let may_be_served = serving.note_request(requests);
        let (answered, now) = (answered.lock().take(), &now);
        let upgrade = request.extensions().get::<OnUpgrade>().cloned();
        let (refused_upgrade, taken_over) = (&refused_upgrade, &taken_over);
        async move {
            let mut answer = match answered {
                Some(answer) if may_be_served => answer,
                None if may_be_served => caller.answer(request).await,
                _ => http::refuse_ambiguous(state),
            };
            if let Some(events) = TakeOver::of(&answer) {
                requests.want();
                *taken_over.lock() = Some(events);
                std::future::pending::<()>().await;
            }
            if http::is_last(&answer) {
                requests.refuse();
                *refused_upgrade.lock() = upgrade;
            } else if caller.entrance.ends_in(*now.borrow()) {
                http::make_last(&mut answer);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = builder(state).serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection.with_upgrades());
    let handshake = Duration::from_millis(state.limits().handshake_timeout_ms);
    let due = || due(requests, handshake);
    let mut deadline = pin!(tokio::time::sleep_until(due()));
    loop {
        let taken = || taken_over.lock().take();
        let event = next_event(connection.as_mut(), taken, &mut phases, deadline.as_mut(), due);
        match event.await {
            Event::Ended(ended) => {
                note_end(state, ended, caller.peer);
                let refused = refused_upgrade.lock().take();
                end_refused(refused).await;
                return None;
            }
            Event::TakenOver(events) => return Some(events),
            Event::Cut => return None,
            Event::Phase => match *phases.borrow_and_update() {
                Phase::Cut => return None,
                // hyper would end one that was let in and has not asked yet, too. It may ask once.
                phase if caller.entrance.ends_in(phase) && requests.latest().is_some() => {
                    connection.as_mut().graceful_shutdown();
                }
                _ => {}
            },
            Event::Late => {
                if due() <= Instant::now() {
                    note_late(state, awaits_head(requests), caller.peer);
                    return None;
                }
                deadline.as_mut().reset(due());
            }
        }
    }
}

async fn next_event(
    mut connection: Pin<&mut impl Future<Output = hyper::Result<()>>>,
    taken_over: impl Fn() -> Option<TakenOver>,
    phases: &mut watch::Receiver<Phase>,
    mut deadline: Pin<&mut Sleep>,
    due: impl Fn() -> Instant,
) -> Event {
    let mut changed = pin!(phases.changed());
    poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(Event::Ended(ended));
        }
        if let Some(events) = taken_over() {
            return Poll::Ready(Event::TakenOver(events));
        }
        if let Poll::Ready(changed) = changed.as_mut().poll(cx) {
            return Poll::Ready(changed.map_or(Event::Cut, |()| Event::Phase));
        }
        // Only a head that has begun makes it earlier.
        let due = due();
        if due < deadline.deadline() {
            deadline.as_mut().reset(due);
        }
        deadline.as_mut().poll(cx).map(|()| Event::Late)
    })
    .await
}

/// hyper hands over the connection of an upgrade that was refused like that of one that was accepted,
/// and does not end it.
async fn end_refused(upgrade: Option<OnUpgrade>) {
    let Some(upgrade) = upgrade else { return };
    if let Ok(upgraded) = upgrade.await
        && let Ok(mut parts) = upgraded.downcast::<TokioIo<StrictStream>>()
    {
        // Flushed before it was handed over. If it is broken there is nothing to end.
        let _ = parts.io.inner_mut().shutdown().await;
    }
}

/// When the peer has to have sent what it is to send next.
fn due(requests: &Requests, handshake: Duration) -> Instant {
    match (requests.head_since(), requests.latest()) {
        (_, None) => requests.began() + handshake,
        (Some(head), Some(_)) => head + handshake,
        (None, Some(latest)) => latest + QUIET_MAX,
    }
}

fn note_end(state: &State, ended: hyper::Result<()>, peer: Peer) {
    let Err(error) = ended else { return };
    if error.is_parse_too_large() {
        state.tally().heads_refused(HeadRefused::TooBig).add(1);
    } else if error.is_parse() {
        state.tally().heads_refused(HeadRefused::Malformed).add(1);
    }
    tracing::debug!(%peer, "connection ended: {error}");
}

/// Whether it is a head that has not come: the first one, or one that has begun.
fn awaits_head(requests: &Requests) -> bool {
    requests.latest().is_none() || requests.head_since().is_some()
}

/// No request came in time; a head was awaited, or the connection was only idle.
fn note_late(state: &State, awaits_head: bool, peer: Peer) {
    if awaits_head {
        state.tally().heads_refused(HeadRefused::Timeout).add(1);
    }
    tracing::debug!(%peer, "connection ended: no request in time");
}

fn builder(state: &State) -> http1::Builder {
    let limits = state.limits();
    let header_bytes_max = limits.header_bytes_max.max(BUFFER_BYTES_MIN);
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_buf_size(header_bytes_max)
        .max_header_size(header_bytes_max)
        .max_headers(limits.headers_max)
        .keep_alive(true);
    builder
}
