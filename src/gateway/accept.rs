//! Who is let in, and the loops that accept.

use std::future::Future;
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::connection::{self, Phase, Serving};
use super::descriptors;
use super::entrance::{Arrival, Entrance};
use super::listener::Listener;
use super::per_address::{self, PerAddress};
use crate::base::network::Network;
use crate::connection::{Permit, Stream};
use crate::http::{ConnectionRefused, Peer, State};

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

/// The answers to those who are refused, by [`ConnectionRefused`].
static ANSWERS: LazyLock<[String; 3]> = LazyLock::new(|| {
    ConnectionRefused::ALL.map(|why| {
        let body = format!("{{\"error\":\"{}\"}}", why.text());
        format!(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
             Retry-After: 1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    })
});

/// Who is let in, whichever listener they come in by.
#[derive(Debug)]
pub(super) struct Door {
    state: Arc<State>,
    phases: watch::Receiver<Phase>,
    per_address: Arc<PerAddress>,
    connections_max: i64,
    /// Places for refused connections that wait for their peers.
    refused: Arc<Semaphore>,
    error_logged: Mutex<Option<Instant>>,
    refusal_logged: Mutex<Option<Instant>>,
}

impl Door {
    pub(super) fn new(
        state: Arc<State>,
        per_address_exempt: Vec<Network>,
        phases: watch::Receiver<Phase>,
    ) -> Self {
        let connections_max = connections_max(&state);
        let limits = per_address::Limits::new(&state.limits(), connections_max, per_address_exempt);
        Self {
            state,
            phases,
            per_address: PerAddress::new(limits),
            connections_max: i64::try_from(connections_max).unwrap_or(i64::MAX),
            refused: Arc::new(Semaphore::new(REFUSED_MAX)),
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

    /// Counts one more connection of this peer; `None` if it is not counted.
    ///
    /// # Errors
    /// Why it is not let in.
    pub(super) fn admit_peer(&self, peer: Peer) -> Result<Option<Permit>, ConnectionRefused> {
        let Some(address) = peer.address() else { return Ok(None) };
        // It stands for many, who are counted each when they are known.
        if self.state.options().trusted_proxies.trust(peer) {
            return Ok(None);
        }
        let held = self.per_address.admit(address.ip(), Instant::now()).inspect_err(|why| {
            if is_due(&self.refusal_logged) {
                let address = address.ip();
                tracing::warn!(%address, reason = why.name(), "refused connections");
            }
        })?;
        Ok(held.map(Permit::new))
    }

    /// Counts a refusal, and says why unless the connection waits for TLS; without reading what was
    /// asked.
    pub(super) fn refuse(&self, stream: Stream, why: ConnectionRefused, is_mute: bool) {
        self.state.tally().connections_refused(why).add(1);
        if !is_mute {
            // A fresh socket takes these bytes whole.
            let answer = ANSWERS[why as usize].as_bytes();
            let _ = match &stream {
                Stream::Tcp(stream) => stream.try_write(answer),
                Stream::Unix(stream) => stream.try_write(answer),
                Stream::Other(_) => Ok(0),
            };
        }
        let Ok(place) = self.refused.clone().try_acquire_owned() else { return };
        tokio::spawn(end(stream, place));
    }

    fn note(&self, error: &io::Error) {
        self.state.tally().accept_errors.add(1);
        if is_due(&self.error_logged) {
            tracing::error!("cannot accept connections: {error}");
        }
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
            Ok((stream, peer)) => take(&entrance, stream, peer),
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                entrance.door.note(&error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn take(entrance: &Arc<Entrance>, stream: Stream, peer: Peer) {
    let door = &entrance.door;
    let admitted = match connections(&door.state) >= door.connections_max {
        true => Err(ConnectionRefused::Total),
        false if entrance.proxy_protocol => Ok(None),
        false => door.admit_peer(peer),
    };
    match admitted {
        Ok(permit) => {
            door.state.tally().connections_accepted.add(1);
            let serving = Serving::new(door.state.clone());
            let arrival = Arrival { stream, peer, began: tokio::time::Instant::now(), permit };
            tokio::spawn(connection::serve(serving, arrival, entrance.clone()));
        }
        Err(why) => door.refuse(stream, why, entrance.tls.is_some()),
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

/// As many as are configured, or as there are file descriptors for.
fn connections_max(state: &State) -> u64 {
    let configured = state.limits().connections_max as u64;
    let most = descriptors::connections_max().map_or(configured, |room| room.min(configured));
    if most < configured {
        tracing::info!(connections_max = most, "open files bound the connections (ulimit -n)");
    }
    most
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
async fn end(mut stream: Stream, place: OwnedSemaphorePermit) {
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
        ] {
            let (_, body) = ANSWERS[why as usize].split_once("\r\n\r\n").unwrap();
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert!(body["error"].as_str().unwrap().contains(text), "{body}");
        }
    }
}
