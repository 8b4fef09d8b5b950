//! The log.

use super::super::settings::LogFormat;
use super::{Key, Kind, key, text};

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("log.format", Kind::Choice(&["text", "json"]),
        |s| text(match s.log.format { LogFormat::Text => "text", LogFormat::Json => "json" }),
        "The form of a log line on stderr: for people, or one JSON object."),
    key("log.filter", Kind::Text, |s| text(&s.log.filter),
        "Which events: a level (error, warn, info, debug, trace), and others for parts of the \
         program: info,fanfare::http=debug."),
];
