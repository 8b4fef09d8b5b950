//! `GET /health`: whether to send peers here. 200 while it serves, 503 from the moment it drains.

use std::time::SystemTime;

use http::StatusCode;
use serde::Serialize;

use super::answer::{self, Answer};
use super::state::State;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
    uptime_s: u64,
    /// Why nobody with a token gets in, if that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<&'static str>,
}

pub(super) fn show(state: &State) -> Answer {
    let (code, status) = match state.hub.is_draining() {
        false => (StatusCode::OK, "ok"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
    };
    let version = env!("CARGO_PKG_VERSION");
    let uptime_s = state.started.elapsed().as_secs();
    let has_keys = state.options().authoriser.is_ready(SystemTime::now());
    let tokens = (!has_keys).then_some("the keys of tokens cannot be fetched");
    answer::json(code, &Health { status, version, uptime_s, tokens })
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::state;
    use super::*;

    #[tokio::test]
    async fn it_turns_when_the_hub_drains() {
        let state = state(true);
        let (status, body) = answer::tests::read(show(&state));
        assert_eq!(status, 200);
        assert!(body.starts_with("{\"status\":\"ok\",\"version\":\""), "{body}");
        state.hub.drain(Default::default()).await;
        let (status, body) = answer::tests::read(show(&state));
        assert_eq!(status, 503);
        assert!(body.starts_with("{\"status\":\"draining\""), "{body}");
    }
}
