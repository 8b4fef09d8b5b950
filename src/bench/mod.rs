//! Floor 7: a load generator for any WebSocket server, ours or not.
//!
//! # What is measured
//!
//! Every message carries the time that it was meant to be sent, by a schedule that does not wait for
//! the server. Latency is counted from that time, so a server that stands still for a second has
//! slowed down every message that was due in it, and not only the one that was being sent: an open
//! loop, without coordinated omission. (`burst` is a closed loop, and its report says so.)
//!
//! Messages are numbered in each channel, so that what a subscriber lost, got twice or got late is
//! counted, not estimated.
//!
//! # How
//!
//! One thread reads, writes and waits (two in `beside`, each with its own subscribers): nothing is handed from thread to thread, and the time at which a
//! message is looked at is the time at which it was read. It sends what is due between two reads. When
//! it cannot keep up, the report says that the figures are the generator's.
//!
//! | file | holds |
//! |---|---|
//! | `options`, `target`, `sources` | what to do, where to, from where |
//! | `stamp`, `client`, `inflate` | what a message carries, and the frames it comes in |
//! | `account`, `flight`, `tally`, `stats` | what was lost, what has not reached everybody, the counts, the times |
//! | `pacer`, `publisher` | when to send, and over what |
//! | `stream`, [`tls`] | a connection with TLS or without; whom it trusts |
//! | `connect`, `pool` | handshakes; all subscribers |
//! | `rig` | the loop around them |
//! | `scenario`, `companion` | what happens in which order; what happens beside it |
//! | `measure`, `interrupt` | /proc and our own CPU; signals |
//! | [`report`] | what was found, as JSON, a table or a page |

mod account;
mod client;
mod companion;
mod connect;
mod eras;
mod flight;
mod inflate;
mod interrupt;
mod measure;
pub mod options;
mod pacer;
mod pool;
mod publisher;
pub mod report;
mod rig;
mod scenario;
pub mod sources;
mod stamp;
mod stats;
mod stream;
mod tally;
mod target;
pub mod tls;

use std::fmt;
use std::io;
use std::time::Duration;

use options::Options;
use report::Report;
use rig::Rig;

/// Why there is nothing to report.
#[derive(Debug)]
pub enum BenchError {
    /// What was asked for cannot be done.
    Options(String),
    /// Not a single subscriber could connect.
    Connect(String),
    /// Publishing failed.
    Publisher(String),
    /// The system refused.
    Io {
        /// What was tried.
        what: &'static str,
        /// What it said.
        error: io::Error,
    },
}

impl BenchError {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { what, error }
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(text) => f.write_str(text),
            Self::Connect(text) => write!(f, "no subscriber could connect: {text}"),
            Self::Publisher(text) => write!(f, "the publisher: {text}"),
            Self::Io { what, error } => write!(f, "cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for BenchError {}

/// How far a run is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// What it is doing.
    pub phase: &'static str,
    /// Since it began.
    pub elapsed: Duration,
    /// Subscribers that are connected.
    pub connected: usize,
    /// Messages sent since the last time this was told.
    pub sent: u64,
    /// Deliveries since then.
    pub received: u64,
    /// How long that is.
    pub span: Duration,
    /// The latency of the measured among them.
    pub p99_us: Option<f64>,
}

/// Runs, and tells about once a second how far it is. SIGINT and SIGTERM end the measurement, not
/// the process: what was measured until then is reported.
///
/// Blocks its thread until it is done.
///
/// # Errors
/// There is nothing to report.
pub fn run(options: &Options, progress: &mut dyn FnMut(&Progress)) -> Result<Report, BenchError> {
    options.check()?;
    let mut rig = Rig::new(options, progress)?;
    scenario::run(&mut rig)
}
