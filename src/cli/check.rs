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
        None if settings.hooks.connect_url.is_some() => String::new(),
        None => "sessions open (anyone may subscribe and publish)".into(),
        Some(auth) => {
            let mut what = Vec::new();
            let names: Vec<&str> = auth.keys.iter().map(|key| key.algorithm.name()).collect();
            if !names.is_empty() {
                what.push(format!("{} {}: {}", names.len(), keys(names.len()), names.join(", ")));
            }
            let of_file = auth.jwks.as_ref().map(|jwks| jwks.keys.len());
            what.extend(of_file.map(|count| format!("{count} {} of a JWK set", keys(count))));
            let url = settings.jwks.url.as_ref();
            what.extend(url.map(|url| format!("a JWK set from {url}")));
            format!("sessions keyed ({})", what.join(", "))
        }
    };
    let by_application = match (&settings.hooks.connect_url, sessions.is_empty()) {
        (None, _) => String::new(),
        (Some(url), true) => format!("sessions let in by {url}"),
        (Some(url), false) => format!(" and let in by {url}"),
    };
    let listeners: Vec<String> = settings.listeners.iter().map(listener).collect();
    format!(
        "would listen on {}; {api}; {sessions}{by_application}; {} lanes; messages up to {} bytes",
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
