//! Who is let in, and the loops that accept.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection::{self, Phase};
use super::descriptors;
use super::entrance::{Arrival, Entrance};
use super::listener::Listener;
use super::per_address::{self, PerAddress};
use super::serving::Serving;
use super::turnstile::{Entry, LetIn, Turnstile};
use crate::base::limits::HttpLimits;
use crate::base::panics::Culprit;
use crate::base::retry::{RETRY_AFTER_S_MAX, retry_after_s};
use crate::connection::{Permit, Stream};
use crate::http::{ConnectionRefused, Peer, State, StateOptions};

/// The pause after accepting failed. Out of file descriptors the next attempt fails as well, at
/// once; with a pause the loop takes no time to speak of, and is back this much after one is free.
const PAUSE: Duration = Duration::from_millis(50);

/// How often a failure to accept, and a refusal, is logged at most.
const LOG_EACH: Duration = Duration::from_secs(1);

/// Refused connections that wait for the peer to take the answer, at once: a part of the reserve of
/// descriptors. Beyond it they are just closed, which may take the answer away from the peer.
const REFUSED_MAX: usize = 16;

/// How long a refused connection waits for its peer.
const REFUSED_TIMEOUT: Duration = Duration::from_secs(1);

/// Those of them for whom a descriptor is free besides the reserve: they still count as connections.
const LINGERING_MAX: usize = 1_024;

/// The answers to those who are refused, by [`ConnectionRefused`] and when to come back.
static ANSWERS: LazyLock<[Vec<String>; ConnectionRefused::ALL.len()]> = LazyLock::new(|| {
    let all = |why| (0..=RETRY_AFTER_S_MAX).map(|s| answer(why, s)).collect();
    ConnectionRefused::ALL.map(all)
});

fn answer(why: ConnectionRefused, retry_after_s: u16) -> String {
    let body = format!("{{\"error\":\"{}\"}}", why.text());
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
         Retry-After: {retry_after_s}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Who is let in, whichever listener they come in by.
#[derive(Debug)]
pub(super) struct Door {
    state: Arc<State>,
    phases: watch::Receiver<Phase>,
    per_address: Arc<PerAddress>,
    turnstile: Arc<Turnstile<Comer>>,
    /// How many connections the process has file descriptors for.
    room: Option<u64>,
    /// Places for refused connections that wait for their peers, in the reserve and besides it.
    refused: [Arc<Semaphore>; 2],
    error_logged: Mutex<Option<Instant>>,
    refusal_logged: Mutex<Option<Instant>>,
}

/// Somebody at the door.
#[derive(Debug)]
struct Comer {
    serving: Serving,
    arrival: Arrival,
    entrance: Arc<Entrance>,
}

impl Comer {
    /// Of one that came alone, and has nothing to go through: it has nearly always asked by now, and a task
    /// for that moment cost more than all that it does there. Where several come at once, each has a task
    /// of its own, on any worker.
    fn begin_here(self, options: &StateOptions) {
        let Self { serving, arrival, entrance } = self;
        // A panic ends this connection alone, and it counts that itself.
        let serve = || connection::serve_now(serving, arrival, entrance, options);
        let _ = catch_unwind(AssertUnwindSafe(serve));
    }
}

impl Door {
    pub(super) fn new(state: Arc<State>, phases: watch::Receiver<Phase>) -> Self {
        let room = descriptors::connections_max();
        let connections_max = state.limits().connections_max as u64;
        if let Some(room) = room.filter(|room| *room < connections_max) {
            tracing::info!(connections_max = room, "open files bound the connections (ulimit -n)");
        }
        Self {
            state,
            phases,
            per_address: PerAddress::new(),
            turnstile: Arc::new(Turnstile::new(Handle::current().metrics().num_workers())),
            room,
            refused: [REFUSED_MAX, LINGERING_MAX].map(|most| Arc::new(Semaphore::new(most))),
            error_logged: Mutex::default(),
            refusal_logged: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> &Arc<State> {
        &self.state
    }

    pub(super) fn phases(&self) -> watch::Receiver<Phase> {
        self.phases.clone()
    }

    /// As many as are configured, or as there are file descriptors for.
    fn connections_max(&self, limits: &HttpLimits) -> u64 {
        let configured = limits.connections_max as u64;
        self.room.map_or(configured, |room| room.min(configured))
    }

    /// Whether there is room for one more, whoever it is.
    fn admit_one(&self, limits: &HttpLimits) -> Result<(), ConnectionRefused> {
        let is_below = |now: i64, max: u64| u64::try_from(now).is_ok_and(|now| now < max);
        if !is_below(connections(&self.state), self.connections_max(limits)) {
            return Err(ConnectionRefused::Total);
        }
        match is_below(self.state.tally().handshakes.get(), limits.handshakes_max as u64) {
            true => Ok(()),
            false => Err(ConnectionRefused::Handshakes),
        }
    }

    /// Counts one more connection of this peer; `None` if it is not counted.
    ///
    /// # Errors
    /// Why it is not let in.
    pub(super) fn admit_peer(
        &self,
        peer: Peer,
        options: &StateOptions,
        now: Instant,
    ) -> Result<Option<Permit>, ConnectionRefused> {
        let Some(address) = peer.address() else { return Ok(None) };
        // It stands for many, who are counted each when they are known.
        if options.trusted_proxies.trust(peer) {
            return Ok(None);
        }
        let connections_max = self.connections_max(&options.http_limits);
        let exempt = &options.per_address_exempt;
        let limits = per_address::Limits::new(&options.http_limits, connections_max, exempt);
        let held = self.per_address.admit(address.ip(), now.into_std(), &limits);
        let held = held.inspect_err(|why| {
            if is_due(&self.refusal_logged) {
                let address = address.ip();
                tracing::warn!(%address, reason = why.name(), "refused connections");
            }
        })?;
        Ok(held.map(Permit::new))
    }

    /// Counts a refusal, and says why unless the connection waits for TLS; without reading what was
    /// asked. With what it counts for, if it is one of the connections that there may be.
    #[cold]
    pub(super) fn refuse(
        &self,
        stream: Stream,
        why: ConnectionRefused,
        is_mute: bool,
        serving: Option<Serving>,
    ) {
        self.state.tally().connections_refused(why).add(1);
        if !is_mute {
            // A fresh socket takes these bytes whole.
            let answer = ANSWERS[why as usize][usize::from(retry_after_s())].as_bytes();
            let _ = stream.try_write(answer);
        }
        let places = &self.refused[usize::from(serving.is_some())];
        let Ok(place) = places.clone().try_acquire_owned() else { return };
        tokio::spawn(end(stream, (place, serving)));
    }

    /// Those who stand in line.
    pub(super) fn line(&self) -> Line {
        Line { turnstile: self.turnstile.clone(), state: self.state.clone() }
    }

    /// A handshake has its first turn.
    pub(super) fn begun(&self, let_in: LetIn) {
        self.turnstile.begun(let_in);
    }

    /// The turn of one that stood in line has come.
    fn begin_late(&self, comer: Comer) {
        self.state.tally().handshakes_waiting.add(-1);
        let wait_max = Duration::from_millis(self.state.limits().handshakes_wait_max_ms);
        // The pace slowed down meanwhile.
        let now = Instant::now();
        if now > comer.arrival.began + wait_max * 3 / 2 {
            let Comer { serving, arrival, entrance } = comer;
            let is_mute = entrance.tls.is_some();
            return self.refuse(arrival.stream, ConnectionRefused::Pace, is_mute, Some(serving));
        }
        self.begin(comer, now);
    }

    fn begin(&self, comer: Comer, now: Instant) {
        let Comer { serving, mut arrival, entrance } = comer;
        arrival.let_in = Some(self.turnstile.let_in(now));
        tokio::spawn(connection::serve(serving, arrival, entrance));
    }

    fn note(&self, error: &io::Error) {
        self.state.tally().accept_errors.add(1);
        if is_due(&self.error_logged) {
            tracing::error!("cannot accept connections: {error}");
        }
    }
}

/// Those who stand in line, without the door: it ends with the last connection.
#[derive(Clone, Debug)]
pub(super) struct Line {
    turnstile: Arc<Turnstile<Comer>>,
    state: Arc<State>,
}

impl Line {
    /// Lets them in. Never ends.
    pub(super) async fn usher(self) {
        let Self { turnstile, state } = self;
        let lag_max = || Duration::from_millis(state.limits().handshakes_lag_max_ms);
        let panics = &state.hub().counters().panics;
        let begin = |comer: Comer| {
            let door = comer.entrance.door.clone();
            panics.isolate(Culprit::Accept, || door.begin_late(comer));
        };
        turnstile.usher(lag_max, begin).await;
    }

    /// Turns them away, for good. They have asked for nothing yet.
    pub(super) fn close(&self) {
        self.turnstile.clear();
    }
}

/// Accepts until what is returned is dropped, which drops the listeners.
///
/// Each in a task of its own: whoever awaits this may be the thread that started the runtime, which is
/// not one of its workers, and each connection would then wake that thread, and be handed back by it.
pub(super) fn start(listeners: Vec<(Listener, Arc<Entrance>)>) -> JoinSet<()> {
    let mut accepting = JoinSet::new();
    for (listener, entrance) in listeners {
        accepting.spawn(accept_all(listener, entrance));
    }
    accepting
}

/// Waits until `shutdown` is ready, then drops the listeners of `clients`. A panic in any is passed on.
pub(super) async fn accept_until(
    shutdown: impl Future<Output = ()>,
    mut clients: JoinSet<()>,
    others: &mut JoinSet<()>,
) {
    let ended = tokio::select! {
        biased;
        () = shutdown => None,
        Some(ended) = clients.join_next() => ended.err(),
        Some(ended) = others.join_next() => ended.err(),
    };
    if let Some(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
    clients.shutdown().await;
}

async fn accept_all(listener: Listener, entrance: Arc<Entrance>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer, is_alone)) => {
                let panics = &entrance.door.state.hub().counters().panics;
                panics.isolate(Culprit::Accept, || take(&entrance, stream, peer, is_alone));
            }
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                entrance.door.note(&error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn take(entrance: &Arc<Entrance>, stream: Stream, peer: Peer, is_alone: bool) {
    let door = &entrance.door;
    let options = door.state.options_now();
    let limits = &options.http_limits;
    let is_mute = entrance.tls.is_some();
    if let Err(why) = door.admit_one(limits) {
        return door.refuse(stream, why, is_mute, None);
    }
    let serving = Serving::new(door.state.clone());
    let began = Instant::now();
    // Behind a proxy it is not known yet who it is.
    let admitted = match entrance.proxy_protocol {
        true => Ok(None),
        false => door.admit_peer(peer, &options, began),
    };
    let permit = match admitted {
        Ok(permit) => permit,
        Err(why) => return door.refuse(stream, why, is_mute, Some(serving)),
    };
    let arrival = Arrival { stream, peer, began, let_in: None, permit };
    let comer = Comer { serving, arrival, entrance: entrance.clone() };
    match door.turnstile.ask(comer, limits, began) {
        Entry::Begin(comer) => {
            door.state.tally().connections_accepted.add(1);
            match is_alone && entrance.is_plain() {
                true => comer.begin_here(&options),
                false => door.begin(comer, began),
            }
        }
        Entry::InLine => {
            door.state.tally().connections_accepted.add(1);
            door.state.tally().handshakes_waiting.add(1);
        }
        Entry::Refused(Comer { serving, arrival, .. }) => {
            door.refuse(arrival.stream, ConnectionRefused::Pace, is_mute, Some(serving));
        }
    }
}

/// Whether the last line is long enough ago for one more.
fn is_due(logged: &Mutex<Option<Instant>>) -> bool {
    let mut logged = logged.lock();
    let is_due = logged.is_none_or(|at| at.elapsed() >= LOG_EACH);
    if is_due {
        *logged = Some(Instant::now());
    }
    is_due
}

/// Sessions and HTTP connections together: both have a socket.
fn connections(state: &State) -> i64 {
    state.hub().counters().sessions.get() + state.tally().connections.get()
}

/// The connection was gone before it was accepted: nothing is wrong here.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Waits for the peer for a moment. Closed with a request unread, the kernel would reset the
/// connection, and the peer might never see the answer.
async fn end(mut stream: Stream, place: (OwnedSemaphorePermit, Option<Serving>)) {
    let _ = stream.shutdown().await;
    let mut scratch = [0; 1_024];
    let read = async { while matches!(stream.read(&mut scratch).await, Ok(1..)) {} };
    let _ = tokio::time::timeout(REFUSED_TIMEOUT, read).await;
    drop(place);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_say_what_was_wrong() {
        for (why, text) in [
            (ConnectionRefused::Total, "as many connections as"),
            (ConnectionRefused::AddressCount, "from your address"),
            (ConnectionRefused::AddressRate, "too fast"),
            (ConnectionRefused::Handshakes, "in their handshake"),
            (ConnectionRefused::Pace, "faster than the node"),
        ] {
            let (head, body) = ANSWERS[why as usize][3].split_once("\r\n\r\n").unwrap();
            assert!(head.contains("\r\nRetry-After: 3\r\n"), "{head}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert!(body["error"].as_str().unwrap().contains(text), "{body}");
        }
    }
}
