//! The application: where it is asked and told.

use super::{DAY_MS, Key, Kind, int, key, ms, number};
use crate::hooks::EventKind;

/// The names of [`EventKind`]; a test compares.
pub(crate) const EVENTS: &[&str] =
    &["connected", "disconnected", "channel_occupied", "channel_vacated"];

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("hooks.connect_url", Kind::Text, |_| None,
        "Where the application is asked, by POST, who may connect, who that is and what it may. A token is \
         checked first where there are keys for it, and not needed then.")
        .example("\"https://app.example.com/fanfare/connect\""),
    key("hooks.subscribe_url", Kind::Text, |_| None,
        "Where it is asked who may subscribe to channels with authorize_subscribe.")
        .example("\"https://app.example.com/fanfare/subscribe\""),
    key("hooks.publish_url", Kind::Text, |_| None,
        "Where it is asked what sessions may publish to channels with authorize_publish.")
        .example("\"https://app.example.com/fanfare/publish\""),
    key("hooks.events_url", Kind::Text, |_| None,
        "Where it is told what happened.")
        .example("\"https://app.example.com/fanfare/events\""),
    key("hooks.secret", Kind::Secret, |_| None,
        "What requests to the application are signed with (X-Fanfare-Signature), at least 32 bytes. \
         Needed with each of the addresses above.")
        .example("\"(openssl rand -hex 32)\""),
    key("hooks.secret_file", Kind::Text, |_| None,
        "A file with it. A line break at its end does not count.")
        .example("\"/run/secrets/fanfare-hooks-secret\""),
    key("hooks.headers", Kind::List, |_| None,
        "Headers of whoever connects that are passed on to hooks.connect_url. By default cookie, \
         origin and user-agent.")
        .example("[\"cookie\", \"accept-language\"]"),
    key("hooks.ca_file", Kind::Text, |_| None,
        "The authorities, in PEM, that the application needs a certificate of. By default those of the \
         machine.")
        .example("\"/etc/fanfare/ca.pem\""),
    number("hooks.timeout_ms", (10, 60_000), |s| ms(s.hooks.timeout),
        "How long a request to the application may take in all. What is not answered by then is \
         refused."),
    number("hooks.response_bytes_max", (1_024, 16 << 20), |s| int(s.hooks.response_bytes_max),
        "Bytes of an answer. Memory: this, for each of hooks.in_flight_max."),
    number("hooks.in_flight_max", (1, 65_536), |s| int(s.hooks.in_flight_max),
        "Questions at once. Beyond it whoever wants something is told to try again later. Memory: the \
         message and the answer, for each."),
    number("hooks.failures_max", (1, 1_000_000), |s| int(s.hooks.failures_max),
        "Failures of one kind of question in a row after which it is not asked for hooks.pause_ms, and \
         refused at once."),
    number("hooks.pause_ms", (10, DAY_MS), |s| ms(s.hooks.pause),
        "How long. Then one question is asked, and its answer decides."),
    key("hooks.events", Kind::List, |_| None,
        "What the application is told: connected, disconnected, channel_occupied (the first \
         subscriber), channel_vacated (the last one left). By default all of it.")
        .example("[\"channel_occupied\", \"channel_vacated\"]"),
    number("hooks.events_queue_max", (1, 10_000_000), |s| int(s.hooks.events_queue_max),
        "Events that may wait to be told; those beyond it are lost, and counted. Memory: 100 bytes \
         each, from the first event on."),
    number("hooks.events_batch_max", (1, 10_000), |s| int(s.hooks.events_batch_max),
        "Events in one request."),
    number("hooks.events_delay_max_ms", (0, 60_000), |s| ms(s.hooks.events_delay_max),
        "How long an event waits for others to be told with it."),
    number("hooks.events_retry_max_ms", (0, DAY_MS), |s| ms(s.hooks.events_retry_max),
        "How long it is tried to tell events, again and again, before they are given up and counted as \
         lost. The others wait meanwhile."),
];

const _: () = assert!(EVENTS.len() == EventKind::ALL.len());
