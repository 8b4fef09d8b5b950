//! Log lines on stderr.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};

/// Turns logging on for the whole process, once.
pub(crate) fn start(settings: &LogSettings) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&settings.filter))
        // By default a line that cannot be written is reported with `eprintln!`, which panics where
        // stderr is closed: the end of whatever reads the log would take connections along.
        .log_internal_errors(false)
        .with_writer(io::stderr);
    // Fails only where a subscriber is set already, and then that one logs.
    let _ = match settings.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
