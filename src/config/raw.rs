//! What was typed: every key optional, nothing checked but its type.
//!
//! The meaning, range and environment variable of each key stand in [`keys`](super::keys); a test
//! holds the two together.

use serde::Deserialize;

use super::secret::Secret;

/// The whole of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Raw {
    pub(crate) listen: Option<String>,
    pub(crate) listeners: Option<Vec<RawListener>>,
    pub(crate) insecure: Option<bool>,
    pub(crate) api: RawApi,
    pub(crate) admin: RawAdmin,
    pub(crate) auth: RawAuth,
    pub(crate) origins: RawOrigins,
    pub(crate) hub: RawHub,
    pub(crate) channels: RawChannels,
    pub(crate) messages: RawMessages,
    pub(crate) deflate: RawDeflate,
    pub(crate) hooks: RawHooks,
    pub(crate) http: RawHttp,
    pub(crate) tls: RawTls,
    pub(crate) drain: RawDrain,
    pub(crate) log: RawLog,
    pub(crate) traces: RawTraces,
}

/// One of several listeners.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawListener {
    pub(crate) address: Option<String>,
    pub(crate) tls: Option<RawListenerTls>,
    pub(crate) proxy_protocol: Option<bool>,
    pub(crate) serves: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawListenerTls {
    pub(crate) certificate_file: Option<String>,
    pub(crate) key_file: Option<String>,
    pub(crate) client_ca_file: Option<String>,
    pub(crate) version_min: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawTls {
    pub(crate) reload_interval_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawApi {
    pub(crate) keys: Option<Vec<Secret>>,
    pub(crate) keys_file: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawAdmin {
    pub(crate) keys: Option<Vec<Secret>>,
    pub(crate) keys_file: Option<String>,
    pub(crate) read_only_keys: Option<Vec<Secret>>,
    pub(crate) read_only_keys_file: Option<String>,
    pub(crate) viewers_max: Option<usize>,
    pub(crate) logins_max: Option<usize>,
    pub(crate) login_timeout_ms: Option<u64>,
    pub(crate) wrong_keys_per_min_max: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawAuth {
    pub(crate) keys: Option<Vec<RawKey>>,
    pub(crate) algorithm: Option<String>,
    pub(crate) secret: Option<Secret>,
    pub(crate) secret_file: Option<String>,
    pub(crate) public_key: Option<String>,
    pub(crate) public_key_file: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) cookie: Option<String>,
    pub(crate) require_exp: Option<bool>,
    pub(crate) leeway_s: Option<u64>,
    pub(crate) default_subscribe: Option<Vec<String>>,
    pub(crate) default_publish: Option<Vec<String>>,
    pub(crate) jwks_file: Option<String>,
    pub(crate) jwks_url: Option<String>,
    pub(crate) jwks_ca_file: Option<String>,
    pub(crate) jwks_refresh_interval_ms: Option<u64>,
    pub(crate) jwks_refresh_min_ms: Option<u64>,
    pub(crate) jwks_stale_max_ms: Option<u64>,
    pub(crate) jwks_timeout_ms: Option<u64>,
    pub(crate) jwks_bytes_max: Option<usize>,
}

/// One of several keys that tokens are signed with.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawKey {
    pub(crate) kid: Option<String>,
    pub(crate) algorithm: Option<String>,
    pub(crate) secret: Option<Secret>,
    pub(crate) secret_file: Option<String>,
    pub(crate) public_key: Option<String>,
    pub(crate) public_key_file: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawOrigins {
    pub(crate) allow: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawHub {
    pub(crate) lanes: Option<usize>,
    pub(crate) sessions_max: Option<usize>,
    pub(crate) sessions_per_user_max: Option<usize>,
    pub(crate) channels_max: Option<usize>,
    pub(crate) subscriptions_per_session_max: Option<usize>,
    pub(crate) subscribers_per_channel_max: Option<usize>,
    pub(crate) publishes_per_session_per_s_max: Option<u32>,
    pub(crate) publications_pending_max: Option<usize>,
    pub(crate) publication_bytes_pending_max: Option<usize>,
    pub(crate) outbox_bytes_max: Option<usize>,
    pub(crate) outbox_frames_max: Option<usize>,
    pub(crate) outbox_age_max_ms: Option<u64>,
    pub(crate) slow_consumer_policy: Option<String>,
    pub(crate) close_timeout_ms: Option<u64>,
    pub(crate) ping_interval_ms: Option<u64>,
    pub(crate) pong_timeout_ms: Option<u64>,
    pub(crate) frame_timeout_ms: Option<u64>,
    pub(crate) writes_per_turn: Option<usize>,
    pub(crate) pass_bytes_max: Option<usize>,
    pub(crate) memory_bytes_max: Option<usize>,
    pub(crate) history_bytes_max: Option<usize>,
    pub(crate) idempotency_keys_max: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawChannels {
    pub(crate) rules: Option<Vec<RawRule>>,
}

/// What some channels keep and do.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawRule {
    #[serde(rename = "match")]
    pub(crate) pattern: Option<String>,
    pub(crate) policy: Option<String>,
    pub(crate) key_pointer: Option<String>,
    pub(crate) history_publications_max: Option<usize>,
    pub(crate) history_bytes_max: Option<usize>,
    pub(crate) history_age_max_ms: Option<u64>,
    pub(crate) cache: Option<bool>,
    pub(crate) presence: Option<bool>,
    pub(crate) join_leave: Option<bool>,
    pub(crate) authorize_subscribe: Option<bool>,
    pub(crate) authorize_publish: Option<bool>,
    pub(crate) subscribers_max: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawMessages {
    pub(crate) message_bytes_max: Option<usize>,
    pub(crate) fragments_max: Option<usize>,
    pub(crate) control_frames_per_10s_max: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawDeflate {
    pub(crate) enabled: Option<bool>,
    pub(crate) min_bytes: Option<usize>,
    pub(crate) max_bytes: Option<usize>,
    pub(crate) level: Option<u8>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawHooks {
    pub(crate) connect_url: Option<String>,
    pub(crate) subscribe_url: Option<String>,
    pub(crate) publish_url: Option<String>,
    pub(crate) events_url: Option<String>,
    pub(crate) secret: Option<Secret>,
    pub(crate) secret_file: Option<String>,
    pub(crate) headers: Option<Vec<String>>,
    pub(crate) ca_file: Option<String>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) response_bytes_max: Option<usize>,
    pub(crate) in_flight_max: Option<usize>,
    pub(crate) failures_max: Option<usize>,
    pub(crate) pause_ms: Option<u64>,
    pub(crate) events: Option<Vec<String>>,
    pub(crate) events_queue_max: Option<usize>,
    pub(crate) events_batch_max: Option<usize>,
    pub(crate) events_delay_max_ms: Option<u64>,
    pub(crate) events_retry_max_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawHttp {
    pub(crate) header_bytes_max: Option<usize>,
    pub(crate) headers_max: Option<usize>,
    pub(crate) handshake_timeout_ms: Option<u64>,
    pub(crate) body_bytes_max: Option<usize>,
    pub(crate) batch_items_max: Option<usize>,
    pub(crate) connections_max: Option<usize>,
    pub(crate) connections_per_address_max: Option<usize>,
    pub(crate) connects_per_address_per_s_max: Option<u32>,
    pub(crate) per_address_exempt: Option<Vec<String>>,
    pub(crate) trusted_proxies: Option<Vec<String>>,
    pub(crate) handshakes_max: Option<usize>,
    pub(crate) handshakes_wait_max_ms: Option<u64>,
    pub(crate) handshakes_lag_max_ms: Option<u64>,
    pub(crate) send_buffer_bytes: Option<usize>,
    pub(crate) unsent_bytes_max: Option<u32>,
    pub(crate) tcp_user_timeout_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawDrain {
    pub(crate) ready_wait_ms: Option<u64>,
    pub(crate) window_ms: Option<u64>,
    pub(crate) timeout_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawLog {
    pub(crate) format: Option<String>,
    pub(crate) filter: Option<String>,
    pub(crate) queue_lines_max: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawTraces {
    pub(crate) otlp_url: Option<String>,
    pub(crate) headers: Option<Vec<Secret>>,
    pub(crate) ca_file: Option<String>,
    pub(crate) sample_per_million: Option<u32>,
    pub(crate) sampled_per_s_max: Option<u32>,
    pub(crate) queue_spans_max: Option<usize>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) service_name: Option<String>,
    pub(crate) channel_names: Option<bool>,
}
