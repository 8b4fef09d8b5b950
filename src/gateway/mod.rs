//! Floor 7: the gateway: a listener, HTTP connections, a hub, and how all of it starts and ends.
//!
//! How it ends, once the future given to [`Gateway::serve`] is ready:
//! 1. **Close the door.** The listener is dropped: new connections go elsewhere.
//! 2. **Finish HTTP.** Idle connections are closed, requests that are being served are answered;
//!    this may take half a second.
//! 3. **Drain the hub** (see [`Hub::drain`]): publications that were acknowledged go out, sessions
//!    are closed, all within the configured time, which phase 2 is part of.
//! 4. **Cut** the HTTP connections that are still there.
//!
//! In all it takes the configured time and two seconds at most; hurried, two seconds.

mod accept;
mod connection;
mod descriptors;
mod per_address;
mod signals;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, io};

use tokio::net::TcpListener;
use tokio::sync::watch;

pub use signals::Signals;

use crate::auth::AllowAnyone;
use crate::auth::jwt::{JwtAuthoriser, SettingsError};
use crate::base::access::Authoriser;
use crate::base::network::Network;
use crate::config::Settings;
use crate::http::{State, StateOptions};
use crate::hub::{DrainOptions, DrainReport, Hub};
use connection::Phase;

/// How long requests that are being served may take when the gateway ends.
const FINISH_HTTP: Duration = Duration::from_millis(500);

/// How long HTTP connections may take to be gone once they are cut.
const AFTER_CUT: Duration = Duration::from_secs(1);

/// A gateway that listens and does not serve yet.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
    state: Arc<State>,
    per_address_exempt: Vec<Network>,
    drain_timeout: Duration,
}

/// Binds, serves until `shutdown` is ready, drains.
///
/// # Errors
/// [`StartError`], if it does not come to serving.
pub async fn run(
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<DrainReport, StartError> {
    Ok(Gateway::bind(settings)?.serve(shutdown).await)
}

/// [`run`] until SIGTERM or SIGINT; a second one hurries.
///
/// # Errors
/// [`StartError`], if it does not come to serving.
pub async fn run_until_signal(settings: Settings) -> Result<DrainReport, StartError> {
    let Signals { first, second } = Signals::listen().map_err(StartError::Signals)?;
    Ok(Gateway::bind(settings)?.serve_hurried(first, second).await)
}

impl Gateway {
    /// Makes the hub and listens. From here on connections queue up; they are served by
    /// [`serve`](Self::serve).
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(settings: Settings) -> Result<Self, StartError> {
        let authoriser: Arc<dyn Authoriser> = match settings.auth {
            Some(auth) => Arc::new(JwtAuthoriser::new(auth).map_err(StartError::Auth)?),
            None => Arc::new(AllowAnyone),
        };
        let listen = |error| StartError::Listen { address: settings.listen, error };
        let listener = accept::listen(settings.listen, &settings.http).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let hub = Hub::builder().limits(settings.hub).channels(settings.channels).build();
        let options = StateOptions {
            authoriser,
            api_keys: settings.api.keys,
            origins: settings.origins,
            open: settings.open_mode,
            loopback_only: settings.open_mode && !settings.insecure,
            cookie_name: settings.auth_cookie,
            http_limits: settings.http,
            message_limits: settings.messages,
        };
        tell_start(address, &options);
        let state = Arc::new(State::new(hub, options));
        let drain_timeout = Duration::from_millis(settings.drain_timeout_ms);
        let per_address_exempt = settings.per_address_exempt;
        Ok(Self { listener, address, state, per_address_exempt, drain_timeout })
    }

    /// Where it listens; with the port that the system chose if the configured one was 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Its hub.
    pub fn hub(&self) -> &Hub {
        self.state.hub()
    }

    /// Serves until `shutdown` is ready, then ends; see the module for the phases.
    ///
    /// Not cancel safe: dropped, it leaves connections without anybody who ends them.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> DrainReport {
        self.serve_hurried(shutdown, std::future::pending()).await
    }

    /// [`serve`](Self::serve), where what is left of the end is cut short as soon as `hurry` is
    /// ready.
    pub async fn serve_hurried(
        self,
        shutdown: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
    ) -> DrainReport {
        let Self { listener, state, per_address_exempt, drain_timeout, .. } = self;
        let (phase, phases) = watch::channel(Phase::Serve);
        let door = accept::Door::new(state.clone(), per_address_exempt, phases);
        door.accept_until(shutdown, listener).await;
        tracing::info!(sessions = state.hub().session_count(), "draining: the listener is closed");
        let mut hurry = pin!(hurry);
        let report = tokio::select! {
            biased;
            () = &mut hurry => hurried(state.hub()).await,
            report = drain(state.hub(), &phase, drain_timeout) => report,
        };
        phase.send_replace(Phase::Cut);
        let _ = tokio::time::timeout(AFTER_CUT, phase.closed()).await;
        let DrainReport { sessions, killed, undelivered_bytes } = report;
        tracing::info!(sessions, killed, undelivered_bytes, "drained");
        report
    }
}

/// Phases 2 and 3.
async fn drain(hub: &Hub, phase: &watch::Sender<Phase>, timeout: Duration) -> DrainReport {
    let began = Instant::now();
    phase.send_replace(Phase::Finish);
    let finish = FINISH_HTTP.min(timeout / 4);
    if tokio::time::timeout(finish, phase.closed()).await.is_err() {
        tracing::info!("draining: HTTP requests are still being served");
    }
    let timeout = timeout.saturating_sub(began.elapsed());
    tracing::info!(timeout_ms = timeout.as_millis() as u64, "draining: the hub");
    hub.drain(DrainOptions { timeout, ..Default::default() }).await
}

async fn hurried(hub: &Hub) -> DrainReport {
    tracing::warn!("draining is cut short");
    hub.drain(DrainOptions { timeout: Duration::ZERO, ..Default::default() }).await
}

fn tell_start(address: SocketAddr, options: &StateOptions) {
    tracing::info!(open = options.open, "listening on http://{address}");
}

/// Why a gateway did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// It cannot listen.
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        error: io::Error,
    },
    /// The keys for tokens cannot be used.
    Auth(SettingsError),
    /// It cannot wait for signals.
    Signals(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, error } => {
                write!(f, "cannot listen on {address}: {error}")?;
                f.write_str(match error.kind() {
                    io::ErrorKind::AddrInUse => {
                        "; another program does already: end it or choose another port"
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        "; this machine does not have the address: 0.0.0.0 stands for all it has"
                    }
                    io::ErrorKind::PermissionDenied => {
                        "; ports below 1024 need a privilege: choose a higher one"
                    }
                    _ => "",
                })
            }
            Self::Auth(error) => write!(f, "the keys for tokens cannot be used: {error}"),
            Self::Signals(error) => write!(f, "cannot wait for signals: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { error, .. } | Self::Signals(error) => Some(error),
            Self::Auth(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests;
