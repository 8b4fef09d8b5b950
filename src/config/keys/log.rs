//! The log.

use super::super::settings::LogFormat;
use super::{Key, Kind, int, key, number, text};

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("log.format", Kind::Choice(&["text", "json"]),
        |s| text(match s.log.format { LogFormat::Text => "text", LogFormat::Json => "json" }),
        "The form of a log line on stderr: for people, or one JSON object."),
    key("log.filter", Kind::Text, |s| text(&s.log.filter),
        "Which events: a level (error, warn, info, debug, trace), and others for parts of the \
         program: info,fanfare::http=debug."),
    number("log.queue_lines_max", (1, 1 << 20), |s| int(s.log.queue_lines_max),
        "Log lines that wait while nobody reads stderr. Beyond it lines are dropped and counted; \
         nothing waits for the log. Memory: some 200 bytes each."),
];
