//! One HTTP connection, from being accepted to its end or to its becoming a WebSocket.
//!
//! | bound | on |
//! |---|---|
//! | `handshake_timeout_ms` | each request's head, from being accepted or from the answer before: so it is the idle time of a connection that is kept alive as well |
//! | `header_bytes_max`, `headers_max` | a head; beyond it the answer is 431 |
//! | [`EXCHANGE_MAX`] | all of a request: its body, and the peer's taking the answer |

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::http::{self, State};

/// How long a connection may be without a new request, whatever it does: a peer that does not read
/// its answer would stay for ever. The longest answer has 2.4 MB, 80 KB/s within this.
const EXCHANGE_MAX: Duration = Duration::from_secs(30);

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
    // When the latest request came, in milliseconds. One task writes and reads it; it is atomic
    // only because the task may move between threads.
    let latest_ms = AtomicU64::new(0);
    let service = service_fn(|request| {
        latest_ms.store(began.elapsed().as_millis() as u64, Ordering::Relaxed);
        let state = state.clone();
        async move { Ok::<_, Infallible>(http::handle(state, request, peer).await) }
    });
    // Cannot fail on a socket that is open; on one that is not, the first read says so.
    let _ = stream.set_nodelay(true);
    let connection = builder(state).serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection.with_upgrades());
    let mut deadline = pin!(tokio::time::sleep(EXCHANGE_MAX));
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
                let latest = began + Duration::from_millis(latest_ms.load(Ordering::Relaxed));
                if latest.elapsed() >= EXCHANGE_MAX {
                    tracing::debug!(%peer, "connection ended: no new request for 30 s");
                    return;
                }
                deadline.as_mut().reset(latest + EXCHANGE_MAX);
            }
        }
    }
}

fn builder(state: &State) -> http1::Builder {
    let limits = state.limits();
    let header_bytes_max = limits.header_bytes_max.max(BUFFER_BYTES_MIN);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.handshake_timeout_ms))
        .max_buf_size(header_bytes_max)
        .max_header_size(header_bytes_max)
        .max_headers(limits.headers_max)
        .keep_alive(true);
    builder
}
