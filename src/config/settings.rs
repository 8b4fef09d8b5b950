//! What is used: checked and concrete.

use std::net::SocketAddr;

use crate::auth::api_key::ApiKeys;
use crate::auth::jwt::AuthSettings;
use crate::auth::origin::OriginList;
use crate::base::channels::ChannelRules;
use crate::base::limits::{HttpLimits, HubLimits, MessageLimits};
use crate::base::network::Network;

/// Everything that a gateway runs with. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whether nothing is keyed: anyone who reaches the address may subscribe, publish and use
    /// the API.
    pub open_mode: bool,
    /// Whether the operator asked for an open gateway where it would be refused.
    pub insecure: bool,
    /// The HTTP API. Without keys it is open in [`open_mode`](Self::open_mode) and otherwise
    /// closed: every request is answered with 401.
    pub api: ApiSettings,
    /// How the tokens of sessions are checked. `None`: a session needs none and may do everything.
    pub auth: Option<AuthSettings>,
    /// The cookie that a token is looked for in.
    pub auth_cookie: String,
    /// Origins that may connect besides the gateway's own.
    pub origins: OriginList,
    /// The bounds of the hub. `lanes` is always set, and is the number of the runtime's worker
    /// threads too.
    pub hub: HubLimits,
    /// What channels keep and do, by name.
    pub channels: ChannelRules,
    /// The bounds of what one peer may send.
    pub messages: MessageLimits,
    /// The bounds of the HTTP side.
    pub http: HttpLimits,
    /// Networks whose addresses the bounds for one address do not hold for.
    pub per_address_exempt: Vec<Network>,
    /// How long a graceful end may take, in milliseconds.
    pub drain_timeout_ms: u64,
    /// What is logged, and how.
    pub log: LogSettings,
}

/// The default of [`Settings::per_address_exempt`]: where a load balancer or a proxy stands, one
/// address for many. Not routed in the Internet: RFC 1122, RFC 1918, RFC 6598, RFC 4291, RFC 4193.
pub(crate) fn per_address_exempt() -> Vec<Network> {
    let networks = [
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "::1",
        "fc00::/7",
    ];
    networks.into_iter().filter_map(|network| network.parse().ok()).collect()
}

/// Who may use the HTTP API.
#[derive(Clone, Debug, Default)]
pub struct ApiSettings {
    /// The keys that are accepted.
    pub keys: ApiKeys,
    /// How many there are.
    pub keys_count: usize,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The form of a line.
    pub format: LogFormat,
    /// Which events, in the syntax of `tracing_subscriber::EnvFilter`; known to be good.
    pub filter: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
