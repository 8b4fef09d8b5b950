//! What of a configuration can change while a gateway runs.

use super::keys;
use super::settings::Settings;

/// Keys, and sections with a point at the end, that a reload takes up for whatever begins then.
const TAKEN_UP: &[&str] = &[
    "api.",
    "admin.",
    "auth.",
    "hooks.",
    "origins.",
    "channels.",
    "messages.",
    "hub.sessions_max",
    "hub.sessions_per_user_max",
    "hub.channels_max",
    "hub.subscriptions_per_session_max",
    "hub.subscribers_per_channel_max",
    "hub.publishes_per_session_per_s_max",
    "hub.slow_consumer_policy",
    "http.header_bytes_max",
    "http.headers_max",
    "http.handshake_timeout_ms",
    "http.body_bytes_max",
    "http.batch_items_max",
    "http.connections_max",
    "http.connections_per_address_max",
    "http.connects_per_address_per_s_max",
    "http.handshakes_max",
    "http.handshakes_wait_max_ms",
    "http.handshakes_lag_max_ms",
    "http.per_address_exempt",
    "http.trusted_proxies",
];

/// The keys that differ and that only a restart takes up.
pub fn needs_restart(old: &Settings, new: &Settings) -> Vec<&'static str> {
    let is_taken_up = |path: &str| {
        TAKEN_UP.iter().any(|known| match known.strip_suffix('.') {
            Some(_) => path.starts_with(known),
            None => path == *known,
        })
    };
    let fixed = keys::all().filter(|key| !is_taken_up(key.path));
    let mut differ: Vec<_> =
        fixed.filter(|key| (key.get)(old) != (key.get)(new)).map(|key| key.path).collect();
    if old.hooks.events_queue_max != new.hooks.events_queue_max {
        differ.push("hooks.events_queue_max");
    }
    if old.listeners != new.listeners && !differ.contains(&"listen") {
        differ.push("listeners");
    }
    differ
}
