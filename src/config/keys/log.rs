//! The end of the process, and its log.

use super::super::settings::LogFormat;
use super::{HOUR_MS, Key, Kind, int, key, number, text};

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    number("drain.timeout_ms", (0, HOUR_MS), |s| int(s.drain_timeout_ms),
        "How long a graceful end may take before what is left is cut off."),

    key("log.format", Kind::Choice(&["text", "json"]),
        |s| text(match s.log.format { LogFormat::Text => "text", LogFormat::Json => "json" }),
        "The form of a log line on stderr: for people, or one JSON object."),
    key("log.filter", Kind::Text, |s| text(&s.log.filter),
        "Which events: a level (error, warn, info, debug, trace), and others for parts of the \
         program: info,fanfare::http=debug."),
];
