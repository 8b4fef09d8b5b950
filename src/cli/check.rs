//! `fanfare check`: whether a configuration is good, and what it would run.

use super::exit::Failure;
use crate::config::{self, Flags, ListenerSettings, Process, Settings};
use crate::gateway;

pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let settings = config::load(flags, &Process)?;
    gateway::check_certificates(&settings)?;
    super::print(&format!("ok: {}\n", summary(&settings)))
}

/// What would run, in one line without secrets.
fn summary(settings: &Settings) -> String {
    let api = match settings.api.keys_count {
        _ if settings.open_mode => "API open".into(),
        0 => "API closed (no keys)".into(),
        count => format!("API keyed ({count} {})", keys(count)),
    };
    let sessions = match &settings.auth {
        None => "sessions open (anyone may subscribe and publish)".into(),
        Some(auth) => {
            let names: Vec<&str> = auth.keys.iter().map(|key| key.algorithm.name()).collect();
            format!("sessions keyed ({} {}: {})", names.len(), keys(names.len()), names.join(", "))
        }
    };
    let listeners: Vec<String> = settings.listeners.iter().map(listener).collect();
    format!(
        "would listen on {}; {api}; {sessions}; {} lanes; messages up to {} bytes",
        listeners.join(", "),
        settings.hub.lanes,
        settings.messages.message_bytes_max
    )
}

fn listener(listener: &ListenerSettings) -> String {
    let tls = if listener.tls.is_some() { " (TLS)" } else { "" };
    format!("{}{tls}", listener.address)
}

fn keys(count: usize) -> &'static str {
    if count == 1 { "key" } else { "keys" }
}
