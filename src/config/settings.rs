//! What is used: checked and concrete.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::traces::TraceSettings;
use crate::auth::api_key::ApiKeys;
use crate::auth::jwt::AuthSettings;
use crate::auth::origin::OriginList;
use crate::base::channels::ChannelRules;
use crate::base::limits::{HttpLimits, HubLimits, MessageLimits};
use crate::base::network::Network;
use crate::fetch::{FetchLimits, Url};
use crate::hooks::HookSettings;
use crate::http::{AdminSettings, Serves, TrustedProxies};

/// Everything that a gateway runs with. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen, at least one.
    pub listeners: Vec<ListenerSettings>,
    /// Whether nothing is keyed: anyone who reaches the address may subscribe, publish and use
    /// the API.
    pub open_mode: bool,
    /// Whether the operator asked for an open gateway where it would be refused.
    pub insecure: bool,
    /// The HTTP API. Without keys it is open in [`open_mode`](Self::open_mode) and otherwise
    /// closed: every request is answered with 401.
    pub api: ApiSettings,
    /// The admin page; off without keys.
    pub admin: AdminSettings,
    /// How the tokens of sessions are checked. `None`: a session needs none and may do everything.
    pub auth: Option<AuthSettings>,
    /// Where keys of tokens are fetched, and how often. Without an address none are.
    pub jwks: JwksSettings,
    /// How the application is asked and told; without addresses it is neither.
    pub hooks: HookSettings,
    /// The cookie that a token is looked for in.
    pub auth_cookie: String,
    /// Origins that may connect besides the gateway's own.
    pub origins: OriginList,
    /// The bounds of the hub. `lanes` is always set, and is the number of the runtime's threads too.
    pub hub: HubLimits,
    /// What channels keep and do, by name.
    pub channels: ChannelRules,
    /// The bounds of what one peer may send.
    pub messages: MessageLimits,
    /// The bounds of the HTTP side.
    pub http: HttpLimits,
    /// Networks whose addresses the bounds for one address do not hold for.
    pub per_address_exempt: Vec<Network>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// How often the files of certificates are looked at, in milliseconds.
    pub tls_reload_interval_ms: u64,
    /// How a graceful end goes.
    pub drain: DrainSettings,
    /// What is logged, and how.
    pub log: LogSettings,
    /// What is sampled, and where it is exported to.
    pub traces: TraceSettings,
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

impl Settings {
    /// The first TCP address that is listened on.
    pub fn listen(&self) -> Option<SocketAddr> {
        self.listeners.iter().find_map(|listener| match listener.address {
            ListenAddress::Tcp(address) => Some(address),
            _ => None,
        })
    }
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where.
    pub address: ListenAddress,
    /// With TLS, or without.
    pub tls: Option<TlsSettings>,
    /// Whether every connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// What it answers.
    pub serves: Serves,
}

impl ListenerSettings {
    /// On a TCP address, for everything, without TLS.
    pub fn plain(address: SocketAddr) -> Self {
        let address = ListenAddress::Tcp(address);
        Self { address, tls: None, proxy_protocol: false, serves: Serves::ALL }
    }
}

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A Unix socket that is made at this path.
    Unix(PathBuf),
    /// Sockets that a parent handed over by systemd's protocol: those with this name, or all that no
    /// other listener names.
    Systemd(Option<String>),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(None) => f.write_str("systemd"),
            Self::Systemd(Some(name)) => write!(f, "fd:{name}"),
        }
    }
}

/// The TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificate and those between it and the authority, in PEM.
    pub certificate_file: PathBuf,
    /// Its private key, in PEM.
    pub key_file: PathBuf,
    /// The authorities, in PEM, of which a client needs a certificate; without it no client does.
    pub client_ca_file: Option<PathBuf>,
    /// The lowest version.
    pub version_min: TlsVersion,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2 (RFC 5246).
    V12,
    /// 1.3 (RFC 8446).
    V13,
}

/// Who may use the HTTP API.
#[derive(Clone, Debug, Default)]
pub struct ApiSettings {
    /// The keys that are accepted.
    pub keys: ApiKeys,
    /// How many there are.
    pub keys_count: usize,
}

/// How a graceful end goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainSettings {
    /// How long it says that it is not ready before it closes its listeners.
    pub ready_wait: Duration,
    /// Over how long the closes of sessions are spread.
    pub window: Duration,
    /// How long all of it may take from when the listeners are closed.
    pub timeout: Duration,
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self {
            ready_wait: Duration::ZERO,
            window: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Where keys of tokens are fetched, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksSettings {
    /// The address of a JWK set.
    pub url: Option<Url>,
    /// How often at the least.
    pub refresh_interval: Duration,
    /// How long there is between two fetches at the least; never more than
    /// [`refresh_interval`](Self::refresh_interval).
    pub refresh_min: Duration,
    /// How long keys count after they were last fetched.
    pub stale_max: Duration,
    /// The bounds of a fetch.
    pub limits: FetchLimits,
}

impl Default for JwksSettings {
    fn default() -> Self {
        let timeout = Duration::from_secs(5);
        Self {
            url: None,
            refresh_interval: Duration::from_secs(300),
            refresh_min: Duration::from_secs(10),
            stale_max: Duration::from_secs(3_600),
            limits: FetchLimits {
                connect_timeout: timeout,
                timeout,
                body_bytes_max: 256 << 10,
                in_flight_max: 1,
                ca_file: None,
            },
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The form of a line.
    pub format: LogFormat,
    /// Lines that wait to be written.
    pub queue_lines_max: usize,
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
