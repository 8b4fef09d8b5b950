//! How the gateway ends, in numbered phases, each with a bound and a line in the log.
//!
//! | phase | what | bound |
//! |---|---|---|
//! | 1 | **Not ready**: `/ready` says 503, so that load balancers send nobody new. Everything else goes on. | `drain.ready_wait_ms` |
//! | 2 | **Doors closed**: listeners for clients are dropped: new connections go elsewhere, or wait in a socket that a parent holds. Their idle HTTP connections are closed, requests that are being served are answered. | [`FINISH_HTTP`] |
//! | 3 | **Tell**: sessions are closed, each at a moment of its own ([`Hub::close_sessions_over`]). Publications of those who are still there go on. | `drain.window_ms` |
//! | 4 | **Deliver**: no more publications; what was acknowledged goes out, and the peers' answers to our closes come in ([`Hub::drain`]). | what is left of `drain.timeout_ms` |
//! | 5 | **Cut** what is still there, with the listeners that serve no clients, which went on until here. | [`AFTER_CUT`] |
//!
//! `drain.timeout_ms` runs from phase 2 on. Whoever hurries skips the rest of phases 1 to 3, and leaves
//! phase 4 [`HURRIED`].

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::connection::Phase;
use crate::base::disconnect::Reason;
use crate::config::DrainSettings;
use crate::http::State;
use crate::hub::{DrainOptions, DrainReport, Hub};

/// How long requests that are being served may take when the gateway ends.
const FINISH_HTTP: Duration = Duration::from_millis(500);

/// How long HTTP connections may take to be gone once they are cut.
const AFTER_CUT: Duration = Duration::from_secs(1);

/// How long peers may take to answer our close once somebody hurries.
const HURRIED: Duration = Duration::from_millis(500);

/// How often the log says how many sessions are left.
const TELL_EACH: Duration = Duration::from_secs(1);

/// Phase 1. Returns whether somebody hurried meanwhile.
pub(super) async fn not_ready(
    state: &State,
    settings: DrainSettings,
    hurry: Pin<&mut impl Future<Output = ()>>,
) -> bool {
    state.tally().drain_phase.set(1);
    let sessions = state.hub().session_count();
    let ready_wait_ms = settings.ready_wait.as_millis() as u64;
    tracing::info!(sessions, ready_wait_ms, "drain, phase 1 of 5: not ready for new connections");
    let wait = tokio::time::sleep(settings.ready_wait);
    tokio::select! {
        biased;
        () = hurry => true,
        () = told(state.hub(), 1, wait) => false,
    }
}

/// Phases 2 to 4, after the listeners for clients were dropped.
pub(super) async fn close(
    state: &State,
    settings: DrainSettings,
    phase: &watch::Sender<Phase>,
    hurry: Pin<&mut impl Future<Output = ()>>,
    is_hurried: bool,
) -> DrainReport {
    let hub = state.hub();
    let sessions = hub.session_count();
    tracing::info!(sessions, "drain, phase 2 of 5: closed to clients");
    state.tally().drain_phase.set(2);
    phase.send_replace(Phase::FinishClients);
    let report = match is_hurried {
        true => in_haste(state).await,
        false => tokio::select! {
            biased;
            () = hurry => in_haste(state).await,
            report = at_leisure(state, settings, phase) => report,
        },
    };
    DrainReport { sessions, ..report }
}

/// Phase 5.
pub(super) async fn cut(state: &State, phase: &watch::Sender<Phase>, report: &DrainReport) {
    state.tally().drain_phase.set(5);
    phase.send_replace(Phase::Cut);
    let _ = timeout(AFTER_CUT, phase.closed()).await;
    let DrainReport { sessions, killed, undelivered_bytes } = report;
    tracing::info!(sessions, killed, undelivered_bytes, "drain, phase 5 of 5: drained");
}

async fn at_leisure(
    state: &State,
    settings: DrainSettings,
    phase: &watch::Sender<Phase>,
) -> DrainReport {
    let (began, hub) = (Instant::now(), state.hub());
    let finish = FINISH_HTTP.min(settings.timeout / 4);
    // Where listeners go on there are connections too; they are not waited for any longer.
    let _ = timeout(finish, phase.closed()).await;
    // The other half is for what the last ones are to get.
    let window = settings.window.min(settings.timeout / 2);
    tell(state, window).await;
    let timeout = settings.timeout.saturating_sub(began.elapsed());
    deliver(state, hub, timeout).await
}

async fn in_haste(state: &State) -> DrainReport {
    tracing::warn!("the drain is cut short");
    tell(state, Duration::ZERO).await;
    deliver(state, state.hub(), HURRIED).await
}

async fn tell(state: &State, window: Duration) {
    let hub = state.hub();
    state.tally().drain_phase.set(3);
    let (sessions, window_ms) = (hub.session_count(), window.as_millis() as u64);
    tracing::info!(sessions, window_ms, "drain, phase 3 of 5: closing sessions");
    told(hub, 3, hub.close_sessions_over(window, Reason::Shutdown)).await;
}

async fn deliver(state: &State, hub: &Hub, timeout: Duration) -> DrainReport {
    state.tally().drain_phase.set(4);
    let (sessions_left, timeout_ms) = (hub.session_count(), timeout.as_millis() as u64);
    tracing::info!(sessions_left, timeout_ms, "drain, phase 4 of 5: delivering what was accepted");
    told(hub, 4, hub.drain(DrainOptions { timeout, ..Default::default() })).await
}

/// Does something, and says meanwhile how many sessions are left.
async fn told<T>(hub: &Hub, phase: u8, doing: impl Future<Output = T>) -> T {
    let mut doing = pin!(doing);
    let mut each = interval(TELL_EACH);
    each.set_missed_tick_behavior(MissedTickBehavior::Delay);
    each.reset();
    loop {
        tokio::select! {
            biased;
            done = &mut doing => return done,
            _ = each.tick() => {
                tracing::info!(phase, sessions_left = hub.session_count(), "draining");
            }
        }
    }
}
