//! What a run found: as values, which are the JSON, and from them a table and a page.

pub mod html;
mod plot;
pub mod table;

use serde::{Deserialize, Serialize};

pub use super::stats::Summary;

/// The name of this form of JSON. Fields may be added to it; none changes its meaning or goes.
pub const SCHEMA: &str = "fanfare-bench/1";

/// Everything about one run. All times are in the unit that ends the name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The name of the scenario.
    pub scenario: String,
    /// What the user called it.
    pub label: String,
    /// Whether nothing was wrong with what arrived.
    pub ok: bool,
    /// `complete`, `interrupted` or `stopped`.
    pub outcome: String,
    /// Why it is not ok.
    pub faults: Vec<String>,
    /// What to know when reading the figures.
    pub notes: Vec<String>,
    /// When it began, since the Unix epoch.
    pub started_unix_ms: u64,
    /// The program and its version.
    pub tool: String,
    /// Where it ran.
    pub machine: Machine,
    /// What it was told.
    pub options: Told,
    /// From the first measured message to the last that came, or to the end of waiting.
    pub measured_ms: f64,
    /// The connections.
    pub connect: Connect,
    /// What was published while it was measured.
    pub messages: Messages,
    /// What arrived of it.
    pub deliveries: Deliveries,
    /// From the time that a message was meant to be sent, for every delivery.
    pub latency_us: Summary,
    /// The same until the last subscriber had it, for every message.
    pub last_subscriber_us: Summary,
    /// From the first subscriber that had it to the last, for every message.
    #[serde(default)]
    pub pass_us: Summary,
    /// How well the generator kept to its times.
    pub schedule: Schedule,
    /// What the server used, if its processes were named.
    pub server: Option<Server>,
    /// What the generator used.
    pub generator: Generator,
    /// Of subscribers that stopped reading.
    pub stalled: Option<Stalled>,
    /// Of everybody's return.
    pub storm: Option<Storm>,
    /// Of the small channel beside, as a run of its own.
    #[serde(default)]
    pub beside: Option<Box<Report>>,
    /// The course of it.
    pub series: Vec<Point>,
}

/// The machine that the generator ran on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
}

/// The options, without secrets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as on the command line")]
pub struct Told {
    pub url: String,
    pub subscribers: usize,
    pub channels: usize,
    pub channels_per_session: usize,
    pub rate_per_s: Option<f64>,
    pub window: Option<usize>,
    #[serde(default)]
    pub deflate: bool,
    pub duration_ms: f64,
    pub warmup_ms: f64,
    pub message_bytes: usize,
    /// `ws`, `http` or `none`.
    pub publish: String,
    /// Whether publications went over TLS.
    #[serde(default)]
    pub publish_tls: bool,
    /// Whether no certificate was looked at.
    #[serde(default)]
    pub tls_insecure: bool,
    pub stalled_percent: f64,
}

/// The connections of the subscribers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Connect {
    pub attempted: u64,
    pub connected: u64,
    pub failed: u64,
    /// From the first attempt to the last handshake.
    pub duration_ms: f64,
    pub per_s: f64,
    pub handshake_us: Summary,
    pub errors: Vec<Counted>,
    /// That agreed on permessage-deflate, over the whole run.
    #[serde(default)]
    pub deflating: u64,
    /// What TLS the subscribers spoke; empty without.
    #[serde(default)]
    pub tls: Vec<Tls>,
    pub server_cpu_us_per_connection: Option<f64>,
}

/// Handshakes that agreed on this, over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Tls {
    /// Like `TLS 1.3`.
    pub version: String,
    /// By its IANA name, as in `TLS13_AES_256_GCM_SHA384`.
    pub cipher_suite: String,
    pub full: u64,
    pub resumed: u64,
}

/// A text and how often it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Counted {
    pub text: String,
    pub count: u64,
}

/// What was published while it was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Messages {
    /// Handed to the publisher's socket.
    pub sent: u64,
    /// Answered with 2xx, if they were requests.
    pub acknowledged: Option<u64>,
    /// Answered with something else.
    pub refused: u64,
    /// Sent, a second.
    pub per_s: f64,
    /// That reached every subscriber that was there.
    pub completed: u64,
    /// Planned, and not sent because the server did not take them.
    pub late_at_end: u64,
}

/// What arrived. `expected` is `received` and `lost`; doubles are not in them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Deliveries {
    pub expected: u64,
    pub received: u64,
    pub per_s: f64,
    pub lost: u64,
    pub doubled: u64,
    pub reordered: u64,
    /// Messages without a stamp of this run, such as a greeting.
    pub unstamped: u64,
    /// Subscribers whose connection ended.
    pub disconnected: u64,
    /// Subscribers that lost, got twice or got late.
    pub sessions_affected: u64,
    /// Whether late and doubled could be told apart throughout.
    pub exact: bool,
}

/// How well the generator kept to its times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Whether messages waited for others to arrive, by the nature of the scenario.
    pub closed_loop: bool,
    /// From the time that a message was meant to be sent until it was.
    pub lateness_us: Summary,
    /// Whether that is too much to be ignored.
    pub behind: bool,
}

/// What the server's processes used while it was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Server {
    pub pids: Vec<u32>,
    pub cpu_ms: f64,
    pub cpu_user_ms: f64,
    pub cpu_system_ms: f64,
    pub cpu_us_per_delivery: Option<f64>,
    /// How many cores were busy.
    pub cpu_cores: f64,
    /// How many of its threads wanted a core and had none, on average.
    pub waiting_cores: f64,
    /// Resident memory before the first connection, with all of them, and at the end.
    pub rss_before_bytes: u64,
    pub rss_connected_bytes: u64,
    pub rss_after_bytes: u64,
    pub rss_per_connection_bytes: f64,
}

/// What the generator used while it was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Generator {
    pub cpu_ms: f64,
    pub cpu_cores: f64,
    /// Which part of the time it wanted a core and had none.
    pub waiting_cores: f64,
    /// Whether the figures say more of the generator than of the server.
    pub bottleneck: bool,
}

/// What became of subscribers that stopped reading.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stalled {
    /// How many.
    pub sessions: u64,
    /// Disconnected by the server.
    pub evicted: u64,
    /// Still connected at the end.
    pub connected: u64,
}

/// How everybody came back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Storm {
    /// How many were cut off.
    pub sessions: u64,
    /// How many came back.
    pub reconnected: u64,
    /// From the cut to each handshake.
    pub reconnect_us: Summary,
    /// Attempts that the server asked to come later.
    #[serde(default)]
    pub put_off: u64,
    /// From the cut to the last handshake.
    pub all_connected_ms: Option<f64>,
    /// From the cut until a message had reached everybody again.
    pub full_recovery_ms: Option<f64>,
    /// What the server used until then, if its processes were named.
    #[serde(default)]
    pub server_cpu_ms: Option<f64>,
    /// Deliveries until then.
    #[serde(default)]
    pub received: u64,
    /// What those felt that stayed connected.
    #[serde(default)]
    pub steady: Option<Steady>,
}

/// The latencies of those that stay connected, by when a message arrived.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Steady {
    /// Until the cut.
    pub before_us: Summary,
    /// Until everybody was served again.
    pub during_us: Summary,
    /// From then on.
    pub after_us: Summary,
}

/// A piece of the course.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Point {
    /// When it ended, from the beginning of the measurement.
    pub t_ms: f64,
    pub span_ms: f64,
    pub sent: u64,
    pub received: u64,
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub max_us: Option<f64>,
    pub server_cpu_cores: Option<f64>,
    pub generator_cpu_cores: f64,
}

impl Report {
    /// As JSON, with a line break at the end.
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("plain values are JSON");
        json + "\n"
    }

    /// Reads what [`Report::to_json`] wrote, or an array of such.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn from_json(text: &str) -> Result<Vec<Self>, String> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrMore {
            One(Box<Report>),
            More(Vec<Report>),
        }
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let all = match serde_json::from_value(value) {
            Ok(OneOrMore::One(one)) => vec![*one],
            Ok(OneOrMore::More(all)) => all,
            Err(_) => return Err(format!("not a report of the form {SCHEMA}")),
        };
        match all.iter().find(|report| report.schema != SCHEMA) {
            Some(_) => Err(format!("not a report of the form {SCHEMA}")),
            None => Ok(all),
        }
    }

    /// What it is called: its label, otherwise where it connected to.
    pub fn name(&self) -> &str {
        if self.label.is_empty() { &self.options.url } else { &self.label }
    }
}

#[cfg(test)]
mod tests;
