//! One HTTP connection, from being accepted to its end or to its becoming a WebSocket.
//!
//! | bound | on |
//! |---|---|
//! | `handshake_timeout_ms` | the first request's head, from being accepted |
//! | [`QUIET_MAX`] | the time without a new request afterwards: idle, sending a body or a head, taking an answer |
//! | `header_bytes_max`, `headers_max` | a head; beyond it the answer is 431 |
//!
//! hyper's own timeout for heads is not used: it would run while a connection is idle as well, and
//! five seconds are too short for a backend that keeps its connections.
//!
//! # State
//! When the latest request came, beside the connection and its deadline.
//!
//! # Who may touch what
//! The connection's one task: its service writes the time, its deadline reads it.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `latest_ms` | the task | the task | Relaxed | nothing: atomic only because the task may move between threads |
//!
//! # Races considered
//! None: one task.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::http::{self, State};

/// How long a connection may be without a new request once it had one, whatever it does meanwhile.
/// Longer than the 60 s after which load balancers close an idle connection by themselves: so it is
/// they who do, and no request is sent into a closing connection.
const QUIET_MAX: Duration = Duration::from_secs(75);

/// The smallest read buffer that hyper takes.
const BUFFER_BYTES_MIN: usize = 8 << 10;

/// What connections are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Serve,
    /// Answer what was asked, then end.
    Finish,
    /// End now.
    Cut,
}

/// Counts a connection for as long as it is HTTP.
#[derive(Debug)]
pub(super) struct Serving {
    state: Arc<State>,
}

impl Serving {
    pub(super) fn new(state: Arc<State>) -> Self {
        state.tally().connections.add(1);
        Self { state }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.state.tally().connections.add(-1);
    }
}

/// Serves a connection. A panic while it does ends this connection and nothing else: it is a task
/// of its own.
pub(super) async fn serve(
    serving: Serving,
    stream: TcpStream,
    peer: SocketAddr,
    mut phases: watch::Receiver<Phase>,
) {
    let state = &serving.state;
    let began = Instant::now();
    let first = began + Duration::from_millis(state.limits().handshake_timeout_ms);
    // In milliseconds from `began` and one more; 0 before the first request.
    let latest_ms = AtomicU64::new(0);
    let service = service_fn(|request| {
        latest_ms.store(began.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
        let state = state.clone();
        async move { Ok::<_, Infallible>(http::handle(state, request, peer).await) }
    });
    // Cannot fail on a socket that is open; on one that is not, the first read says so.
    let _ = stream.set_nodelay(true);
    let connection = builder(state).serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection.with_upgrades());
    let mut deadline = pin!(tokio::time::sleep_until(first));
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, "connection ended: {error}");
                }
                return;
            }
            changed = phases.changed() => {
                let phase = changed.map_or(Phase::Cut, |()| *phases.borrow_and_update());
                match phase {
                    Phase::Serve => {}
                    Phase::Finish => connection.as_mut().graceful_shutdown(),
                    Phase::Cut => return,
                }
            }
            () = deadline.as_mut() => {
                let next = match latest_ms.load(Ordering::Relaxed) {
                    0 => first,
                    ms => began + Duration::from_millis(ms) + QUIET_MAX,
                };
                if next <= Instant::now() {
                    tracing::debug!(%peer, "connection ended: no request in time");
                    return;
                }
                deadline.as_mut().reset(next);
            }
        }
    }
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
