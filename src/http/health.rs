//! `GET /health`: whether the process is alive: 200 as long as it can say so. `GET /ready`: whether to
//! send new peers here: 503 from the moment it ends, and while it would refuse them.

use std::time::SystemTime;

use http::StatusCode;
use serde::Serialize;

use super::answer::{self, Answer};
use super::state::State;
use crate::base::memory::Pressure;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
    uptime_s: u64,
    /// Why nobody with a token gets in, if that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<&'static str>,
}

const NO_KEYS: &str = "the keys of tokens cannot be fetched";

#[derive(Serialize)]
struct Ready {
    status: &'static str,
}

pub(super) fn show(state: &State) -> Answer {
    let status = if is_ending(state) { "draining" } else { "ok" };
    let version = env!("CARGO_PKG_VERSION");
    let uptime_s = state.started.elapsed().as_secs();
    let tokens = (!has_keys(state)).then_some(NO_KEYS);
    answer::json(StatusCode::OK, &Health { status, version, uptime_s, tokens })
}

pub(super) fn show_ready(state: &State) -> Answer {
    let refuses = refuses(state);
    let code = match refuses {
        None => StatusCode::OK,
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer::json(code, &Ready { status: refuses.unwrap_or("ready") })
}

/// Why no new session would get in.
fn refuses(state: &State) -> Option<&'static str> {
    let hub = &state.hub;
    if is_ending(state) {
        Some("draining")
    } else if hub.memory().pressure() >= Pressure::RefuseSessions {
        Some("short of memory")
    } else if hub.counters().sessions.get() >= hub.limits().sessions_max as i64 {
        Some("as many sessions as there may be")
    } else if !has_keys(state) {
        Some(NO_KEYS)
    } else {
        None
    }
}

fn has_keys(state: &State) -> bool {
    state.options().authoriser.is_ready(SystemTime::now())
}

fn is_ending(state: &State) -> bool {
    state.tally().drain_phase.get() > 0 || state.hub.is_draining()
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::{state, state_of};
    use super::*;
    use crate::base::memory::Held;
    use crate::hub::Hub;

    fn ready(state: &State) -> (u16, String) {
        let (status, body) = answer::tests::read(show_ready(state));
        (status, body)
    }

    #[tokio::test]
    async fn it_turns_when_the_gateway_begins_to_end() {
        for by_phase in [true, false] {
            let state = state(true);
            assert_eq!(ready(&state), (200, "{\"status\":\"ready\"}\n".into()));
            match by_phase {
                true => state.tally().drain_phase.set(1),
                false => drop(state.hub.drain(Default::default()).await),
            }
            assert_eq!(ready(&state), (503, "{\"status\":\"draining\"}\n".into()));
            // It is alive all the same: nobody is to start it again.
            let (status, body) = answer::tests::read(show(&state));
            assert_eq!(status, 200);
            assert!(body.starts_with("{\"status\":\"draining\",\"version\":\""), "{body}");
        }
    }

    #[tokio::test]
    async fn whoever_would_be_refused_is_not_sent_for() {
        let hub = Hub::builder().lanes(1).memory_bytes_max(1 << 22).sessions_max(1).build();
        let state = state_of(hub.clone(), true);
        let held = Held::new(hub.memory(), (1 << 22) / 100 * 90);
        assert_eq!(ready(&state).0, 503);
        assert!(hub.open(Default::default()).is_err(), "it means what it says");
        drop(held);
        assert_eq!(ready(&state).0, 200);
        let session = hub.open(Default::default()).unwrap();
        assert_eq!(ready(&state).0, 503);
        assert!(hub.open(Default::default()).is_err());
        hub.end(&session);
        assert_eq!(ready(&state).0, 200);
    }
}
