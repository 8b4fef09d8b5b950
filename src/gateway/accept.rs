//! The listener, and the loop that accepts.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::connection::{self, Phase};
use super::descriptors;
use super::per_address::{self, PerAddress};
use crate::base::limits::HttpLimits;
use crate::base::network::Network;
use crate::connection::Permit;
use crate::http::{ConnectionRefused, State};

/// Connections that the kernel holds until they are accepted; it cuts this to `somaxconn`, which
/// is 4,096 by default.
const BACKLOG: i32 = 4_096;

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
    [
        "there are as many connections as there may be; try again later",
        "there are as many connections from your address as there may be; try again later",
        "your address opens connections too fast; try again later",
    ]
    .map(|text| {
        let body = format!("{{\"error\":\"{text}\"}}");
        format!(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
             Retry-After: 1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    })
});

/// Listens on an address. What is accepted inherits the options (Linux: `inet_csk_clone_lock`
/// copies the socket), which costs no call per connection.
pub(super) fn listen(address: SocketAddr, limits: &HttpLimits) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Or a restart would wait until the old connections' ports are forgotten.
    socket.set_reuse_address(true)?;
    socket.set_tcp_user_timeout(Some(Duration::from_millis(limits.tcp_user_timeout_ms)))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(limits.send_buffer_bytes)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Who is let in, and what they are let in to.
pub(super) struct Door {
    state: Arc<State>,
    phases: watch::Receiver<Phase>,
    per_address: Arc<PerAddress>,
    connections_max: i64,
    /// Places for refused connections that wait for their peers.
    refused: Arc<Semaphore>,
    error_logged: Option<Instant>,
    refusal_logged: Option<Instant>,
}

impl Door {
    pub(super) fn new(
        state: Arc<State>,
        per_address_exempt: Vec<Network>,
        phases: watch::Receiver<Phase>,
    ) -> Self {
        let connections_max = connections_max(&state);
        let limits = per_address::Limits::new(state.limits(), connections_max, per_address_exempt);
        Self {
            state,
            phases,
            per_address: PerAddress::new(limits),
            connections_max: i64::try_from(connections_max).unwrap_or(i64::MAX),
            refused: Arc::new(Semaphore::new(REFUSED_MAX)),
            error_logged: None,
            refusal_logged: None,
        }
    }

    /// Accepts until `shutdown` is ready, then drops the listener.
    ///
    /// In a task of its own: whoever awaits this may be the thread that started the runtime, which is
    /// not one of its workers, and each connection would then wake that thread, and be handed back by
    /// it.
    pub(super) async fn accept_until(
        self,
        shutdown: impl Future<Output = ()>,
        listener: TcpListener,
    ) {
        let mut accepting = JoinSet::new();
        accepting.spawn(self.accept_all(listener));
        tokio::select! {
            biased;
            () = shutdown => {}
            ended = accepting.join_next() => {
                if let Some(Err(error)) = ended && error.is_panic() {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
        }
        accepting.shutdown().await;
    }

    async fn accept_all(mut self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.take(stream, peer),
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    self.note(&error);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        match self.admit(peer.ip()) {
            Ok(permit) => {
                self.state.tally().connections_accepted.add(1);
                let serving = connection::Serving::new(self.state.clone(), permit);
                // Boxed, because spawning moves a future several times, and this one is 4 KiB.
                let serve = connection::serve(serving, stream, peer, self.phases.clone());
                tokio::spawn(Box::pin(serve));
            }
            Err(why) => {
                self.state.tally().connections_refused(why).add(1);
                if why != ConnectionRefused::Total && is_due(&mut self.refusal_logged) {
                    tracing::warn!(address = %peer.ip(), reason = why.name(), "refused connections");
                }
                refuse(stream, why, &self.refused);
            }
        }
    }

    fn admit(&self, address: IpAddr) -> Result<Option<Permit>, ConnectionRefused> {
        if connections(&self.state) >= self.connections_max {
            return Err(ConnectionRefused::Total);
        }
        let held = self.per_address.admit(address, Instant::now())?;
        Ok(held.map(Permit::new))
    }

    fn note(&mut self, error: &io::Error) {
        self.state.tally().accept_errors.add(1);
        if is_due(&mut self.error_logged) {
            tracing::error!("cannot accept connections: {error}");
        }
    }
}

/// Whether the last line is long enough ago for one more.
fn is_due(logged: &mut Option<Instant>) -> bool {
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

/// Says why, without reading what was asked.
fn refuse(stream: TcpStream, why: ConnectionRefused, refused: &Arc<Semaphore>) {
    // A fresh socket takes these bytes whole.
    let _ = stream.try_write(ANSWERS[why as usize].as_bytes());
    let Ok(place) = refused.clone().try_acquire_owned() else { return };
    // Closed with a request unread, the kernel would reset the connection, and the peer might never
    // see the answer.
    tokio::spawn(async move {
        let mut stream = stream;
        let _ = socket2::SockRef::from(&stream).shutdown(std::net::Shutdown::Write);
        let mut scratch = [0; 1_024];
        let read = async { while matches!(stream.read(&mut scratch).await, Ok(1..)) {} };
        let _ = tokio::time::timeout(REFUSED_TIMEOUT, read).await;
        drop(place);
    });
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

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_is_accepted_inherits_the_options() {
        let limits = HttpLimits {
            tcp_user_timeout_ms: 12_345,
            send_buffer_bytes: 77_000,
            ..HttpLimits::default()
        };
        let listener = listen("127.0.0.1:0".parse().unwrap(), &limits).unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let inherited = socket2::SockRef::from(&accepted);
        assert_eq!(inherited.tcp_user_timeout().unwrap(), Some(Duration::from_millis(12_345)));
        assert!(inherited.tcp_nodelay().unwrap());
        // Linux doubles it, for what it needs itself.
        assert_eq!(inherited.send_buffer_size().unwrap(), 154_000);
    }
}
