//! Floor 7: the gateway: a listener, HTTP connections, a hub, and how all of it starts and ends.
//!
//! How it ends, once the future given to [`Gateway::serve`] is ready: see [`drain`].

mod accept;
mod begun;
mod connection;
mod descriptors;
mod drain;
mod entrance;
mod error;
mod inherited;
mod jwks;
mod listener;
mod listening;
mod notify;
mod outward;
mod pace;
mod per_address;
mod proxy;
mod reload;
mod serving;
mod signals;
mod tls;
mod traces;
mod turnstile;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

pub use error::StartError;
pub use inherited::Inherited;
pub use signals::Signals;
pub use tls::TlsError;

use crate::auth::jwt::{AuthSettings, JwtAuthoriser};
use crate::auth::rotating::Rotating;
use crate::auth::{AllowAnyone, NoTokens};
use crate::base::access::Authoriser;
use crate::base::limits::HttpLimits;
use crate::config::{ConfigError, DrainSettings, ListenAddress, ListenerSettings, Settings};
use crate::hooks::Hooks;
use crate::http::{State, StateOptions};
use crate::hub::{DrainReport, Hub};
use accept::Door;
use connection::Phase;
use entrance::Entrance;
use jwks::Fetching;
use listener::Listener;
use notify::Notifier;
use outward::{Outward, Telling};
use reload::Reloader;
use tls::Certificates;
use traces::Exporting;

/// A gateway that listens and does not serve yet.
#[derive(Debug)]
pub struct Gateway {
    doors: Vec<Opened>,
    state: Arc<State>,
    reload: Arc<Notify>,
    reloader: Arc<Reloader>,
    reload_interval: Duration,
    drain: DrainSettings,
    telling: Telling,
    traces: Option<Exporting>,
}

/// A listener that nobody accepts at yet.
#[derive(Debug)]
struct Opened {
    /// The number of its settings; sockets of a parent may share one.
    number: usize,
    listener: Listener,
    tls: Option<Arc<Certificates>>,
    settings: ListenerSettings,
}

/// Whether the files of all listeners' TLS are good, without listening.
///
/// # Errors
/// [`StartError::Tls`].
pub fn check_certificates(settings: &Settings) -> Result<(), StartError> {
    load_certificates(&settings.listeners).map(drop)
}

fn load_certificates(
    listeners: &[ListenerSettings],
) -> Result<Vec<Option<Arc<Certificates>>>, StartError> {
    let load = |(number, listener): (usize, &ListenerSettings)| match &listener.tls {
        Some(tls) => Certificates::load(tls, number).map(|loaded| Some(Arc::new(loaded))),
        None => Ok(None),
    };
    listeners.iter().enumerate().map(load).collect::<Result<_, _>>().map_err(StartError::Tls)
}

/// Binds, serves until `shutdown` is ready, drains.
///
/// # Errors
/// [`StartError`], if it does not come to serving.
pub async fn run(
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<DrainReport, StartError> {
    Ok(Gateway::bind(settings, Inherited::default())?.serve(shutdown).await)
}

/// [`run`] until SIGTERM or SIGINT; a second one hurries. SIGHUP has the configuration read again by
/// `load`, and the certificates. A service manager is told of all of it (`sd_notify(3)`).
///
/// # Errors
/// [`StartError`], if it does not come to serving.
pub async fn run_until_signal(
    settings: Settings,
    inherited: Inherited,
    load: impl Fn() -> Result<Settings, ConfigError> + Send + 'static,
) -> Result<DrainReport, StartError> {
    let Signals { first, second, mut hangup } = Signals::listen().map_err(StartError::Signals)?;
    let gateway = Gateway::bind(settings, inherited)?;
    let (reload, reloader) = (gateway.reload.clone(), gateway.reloader.clone());
    let manager = Notifier::from_environment();
    let mut background = JoinSet::new();
    background.spawn(manager.clone().watchdog());
    let told = manager.clone();
    background.spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!("got SIGHUP: reading the configuration and the certificates again");
            told.reloading();
            reloader.reload(load());
            reload.notify_one();
            told.ready();
        }
    });
    manager.ready();
    let first = async move {
        first.await;
        manager.stopping();
    };
    Ok(gateway.serve_hurried(first, second).await)
}

impl Gateway {
    /// Makes the hub and listens. From here on connections queue up; they are served by
    /// [`serve`](Self::serve). Sockets that a parent handed over are used where `settings` name them.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(settings: Settings, mut inherited: Inherited) -> Result<Self, StartError> {
        let kept = settings.clone();
        let rotating = Arc::new(Rotating::new(Box::new(NoTokens)));
        let certificates = load_certificates(&settings.listeners)?;
        let listeners = settings.listeners.clone();
        let doors = open(listeners, certificates, &settings.http, &mut inherited)?;
        let hooks = Hooks::new(settings.hooks.clone()).map_err(StartError::Fetch)?;
        let traces = traces::start(&settings.traces).map_err(StartError::Fetch)?;
        let hub = Hub::builder()
            .limits(settings.hub.clone())
            .channels(settings.channels.clone())
            .application(Arc::new(hooks.clone()))
            .tracer(traces.as_ref().map(|exporting| exporting.tracer.clone()))
            .build();
        let options = state_options(rotating.clone(), settings);
        tell_start(&doors, &inherited, &options);
        if let Some(url) = &kept.traces.url {
            tracing::info!("sampled publications are exported to {url}");
            if url.is_exposed() && !kept.traces.headers.is_empty() {
                tracing::warn!(
                    "traces.headers are sent to {url} without TLS: others can read them"
                );
            }
        }
        let state = Arc::new(State::new(hub, options));
        let fetching = Fetching::new(state.tally().jwks.clone());
        rotating.set(authoriser(&kept, &fetching)?);
        for certificates in doors.iter().filter_map(|door| door.tls.as_ref()) {
            certificates.show(&state);
        }
        Ok(Self {
            doors,
            state: state.clone(),
            reload: Arc::default(),
            reload_interval: Duration::from_millis(kept.tls_reload_interval_ms),
            drain: kept.drain,
            telling: Telling::start(&hooks),
            reloader: Arc::new(Reloader::new(state, rotating, Outward { fetching, hooks }, kept)),
            traces,
        })
    }

    /// Where it listens first, of all IP addresses; with the port that the system chose if the
    /// configured one was 0.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.doors.iter().find_map(|door| door.listener.local_addr())
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
        let Self { doors, state, drain, reload, telling, traces, .. } = self;
        let (phase, phases) = watch::channel(Phase::Serve);
        let door = Arc::new(Door::new(state.clone(), phases));
        let certificates = doors.iter().filter_map(|door| door.tls.clone()).collect();
        let mut background = JoinSet::new();
        background.spawn(tls::keep_fresh(
            certificates,
            state.clone(),
            self.reload_interval,
            reload,
        ));
        let line = door.line();
        background.spawn(line.clone().usher());
        let (clients, others): (Vec<_>, Vec<_>) =
            doors.into_iter().partition(|opened| opened.settings.serves.clients);
        let accept_at = |doors: Vec<Opened>| {
            accept::start(doors.into_iter().map(|opened| opened.entrance(door.clone())).collect())
        };
        let (clients, mut others) = (accept_at(clients), accept_at(others));
        drop(door);
        let (mut hurry, mut is_hurried) = (pin!(outward::for_good(hurry)), false);
        let end = async {
            shutdown.await;
            is_hurried = drain::not_ready(&state, drain, hurry.as_mut()).await;
        };
        accept::accept_until(end, clients, &mut others).await;
        let ends = Instant::now() + drain.timeout;
        let report = drain::close(&state, drain, &phase, hurry.as_mut(), is_hurried).await;
        phase.send_replace(Phase::Finish);
        others.shutdown().await;
        line.close();
        tokio::join!(drain::cut(&state, &phase, &report), telling.end(ends, hurry));
        if let Some(exporting) = traces {
            exporting.finish().await;
        }
        report
    }
}

fn authoriser(settings: &Settings, fetching: &Fetching) -> Result<Box<dyn Authoriser>, StartError> {
    let source = fetching.source(&settings.jwks).map_err(StartError::Fetch)?;
    let Some(auth) = settings.auth.clone() else {
        // Where the application decides, a token that nobody checks must not decide anything.
        let is_decided = settings.hooks.connect_url.is_some();
        return Ok(if is_decided { Box::new(NoTokens) } else { Box::new(AllowAnyone) });
    };
    for skipped in auth.jwks.iter().flat_map(|jwks| &jwks.skipped) {
        tracing::warn!("a key of auth.jwks_file is skipped: {skipped}");
    }
    let auth = AuthSettings { source, ..auth };
    Ok(Box::new(JwtAuthoriser::new(auth).map_err(StartError::Auth)?))
}

fn state_options(authoriser: Arc<Rotating>, settings: Settings) -> StateOptions {
    StateOptions {
        authoriser,
        api_keys: settings.api.keys,
        origins: settings.origins,
        open: settings.open_mode,
        loopback_only: settings.open_mode && !settings.insecure,
        cookie_name: settings.auth_cookie,
        per_address_exempt: settings.per_address_exempt,
        trusted_proxies: settings.trusted_proxies,
        http_limits: settings.http,
        message_limits: settings.messages,
        admin: settings.admin,
    }
}

impl Opened {
    fn entrance(self, door: Arc<Door>) -> (Listener, Arc<Entrance>) {
        let Self { listener, tls, settings, .. } = self;
        let ListenerSettings { proxy_protocol, serves, .. } = settings;
        (listener, Arc::new(Entrance { door, proxy_protocol, tls, serves }))
    }
}

/// Listens on all of them, those with a name of their own before those that take what is left.
fn open(
    all: Vec<ListenerSettings>,
    certificates: Vec<Option<Arc<Certificates>>>,
    limits: &HttpLimits,
    inherited: &mut Inherited,
) -> Result<Vec<Opened>, StartError> {
    let mut opened = Vec::new();
    let mut all: Vec<_> = all.into_iter().zip(certificates).enumerate().collect();
    all.sort_by_key(|(_, (settings, _))| settings.address == ListenAddress::Systemd(None));
    for (number, (settings, tls)) in all {
        let sockets = Listener::open(&settings.address, limits, inherited)
            .map_err(|error| StartError::Listen { address: settings.address.clone(), error })?;
        opened.extend(sockets.into_iter().map(|listener| Opened {
            number,
            listener,
            tls: tls.clone(),
            settings: settings.clone(),
        }));
    }
    Ok(opened)
}

fn tell_start(doors: &[Opened], inherited: &Inherited, options: &StateOptions) {
    for Opened { number, listener, tls, settings } in doors {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let open = options.open;
        match listener.local_addr() {
            Some(address) => {
                tracing::info!(open, listener = number, "listening on {scheme}://{address}")
            }
            None => tracing::info!(
                open,
                listener = number,
                "listening on {} ({scheme})",
                settings.address
            ),
        }
    }
    for name in inherited.names() {
        tracing::warn!("a socket was handed over and no listener takes it: {name}");
    }
}

#[cfg(test)]
mod tests;
