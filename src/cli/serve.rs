//! `fanfare serve`: the order of events.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;

use super::exit::Failure;
use super::logging;
use crate::config::{self, Flags, Process, Settings};
use crate::gateway::{self, Inherited};

/// What tasks may take to notice that the gateway has ended. Nothing is owed to anyone by then.
const LEFTOVERS_TIMEOUT: Duration = Duration::from_millis(100);

pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let settings = config::load(flags, &Process)?;
    let lines = logging::start(&settings.log);
    warn_of_what_is_open(&settings);
    raise_descriptor_limit();
    let inherited = Inherited::take();
    // A thread, so not before the environment was changed. Dropped last: the end is in the log.
    let _log =
        lines.write().map_err(|error| Failure::Other(format!("cannot start the log: {error}")))?;
    let runtime = scheduler(settings.hub.lanes)
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("cannot start threads: {error}")))?;
    let again = flags.clone();
    let load = move || config::load(&again, &Process);
    let ended = runtime.block_on(gateway::run_until_signal(settings, inherited, load));
    runtime.shutdown_timeout(LEFTOVERS_TIMEOUT);
    ended?;
    Ok(())
}

/// A thread for each lane. One has nobody to share work with, and does without what that takes: a
/// twentieth of an accept (`perf/README.md`).
fn scheduler(lanes: usize) -> Builder {
    if lanes == 1 {
        return Builder::new_current_thread();
    }
    let mut threads = Builder::new_multi_thread();
    threads.worker_threads(lanes);
    threads
}

/// Every connection is a file descriptor, and shells commonly start programs with 1,024 of them where
/// the system would allow far more.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("cannot raise the limit of open files, {:?}: {error}", limit.current);
    }
}

/// Says what anyone may do, and how to end that.
fn warn_of_what_is_open(settings: &Settings) {
    let addresses = settings.listeners.iter().map(|listener| listener.address.to_string());
    let listen = addresses.collect::<Vec<_>>().join(", ");
    if settings.open_mode {
        tracing::warn!(
            "OPEN: there are no keys, so anyone who reaches {listen} may subscribe, publish and \
             use the API; to close it: export FANFARE_API_KEYS=$(openssl rand -hex 32) \
             FANFARE_AUTH_SECRET=$(openssl rand -hex 32)"
        );
    } else if settings.auth.is_none() && settings.hooks.connect_url.is_none() {
        tracing::warn!(
            "OPEN SESSIONS: the API has keys and sessions have none, so anyone who reaches \
             {listen} may subscribe and publish; to close it: export \
             FANFARE_AUTH_SECRET=$(openssl rand -hex 32)"
        );
    } else if settings.api.keys_count == 0 {
        tracing::warn!(
            "the API is closed, because it has no keys; to use it: export \
             FANFARE_API_KEYS=$(openssl rand -hex 32)"
        );
    }
}
