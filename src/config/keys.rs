//! The table of keys: one row for each thing that can be configured.
//!
//! The file, the environment, `--set`, the suggestions for unknown names and `fanfare config` all
//! work from it, so none of them can forget a key.

mod access;
mod admin;
mod drain;
mod hooks;
mod http;
mod hub;
mod listen;
mod log;
mod traces;

use toml::Value;

pub(crate) use access::ALGORITHMS;
pub(crate) use hooks::EVENTS;

use super::settings::Settings;

/// One key.
pub(crate) struct Key {
    /// Its name, with its section: `hub.lanes`.
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    /// What is used, as it would be typed; `None` if that is nothing, or is not shown.
    pub(crate) get: fn(&Settings) -> Option<Value>,
    /// What could be typed, for a key without a default to show.
    pub(crate) example: Option<&'static str>,
    pub(crate) meaning: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Switch,
    Number {
        min: i64,
        max: i64,
    },
    Text,
    Choice(&'static [&'static str]),
    List,
    Secret,
    SecretList,
    /// A list of tables, each with these entries: in the file only.
    Tables(&'static TableKind),
    /// A table in one of those, with these entries.
    Table(&'static TableKind),
}

/// What each table of a list may hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TableKind {
    /// What one of them is called, for an error.
    pub(crate) one: &'static str,
    pub(crate) entries: &'static [(&'static str, Kind)],
    pub(crate) example: &'static str,
    pub(crate) is_secret: bool,
}

impl Kind {
    /// Whether what was typed must not be repeated, nor stand in the arguments of a process.
    pub(crate) fn is_secret(self) -> bool {
        match self {
            Self::Secret | Self::SecretList => true,
            Self::Tables(table) | Self::Table(table) => table.is_secret,
            _ => false,
        }
    }

    /// What to write, for an error.
    pub(crate) fn wanted(self) -> String {
        match self {
            Self::Switch => "true or false".into(),
            Self::Number { min, max } => format!("a plain number from {min} to {max}"),
            Self::Text | Self::Secret => "a text in double quotes".into(),
            Self::Choice(names) => format!("one of {}", names.join(", ")),
            Self::List | Self::SecretList => "a list of texts: [\"...\", \"...\"]".into(),
            Self::Tables(tables) => format!("a list of tables: {}", tables.example),
            Self::Table(table) => format!("a table: {}", table.example),
        }
    }
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const GIB: i64 = 1 << 30;

impl Key {
    /// The environment variable.
    pub(crate) fn variable(&self) -> String {
        format!("FANFARE_{}", self.path.replace('.', "_").to_uppercase())
    }

    /// The section, empty at the top, and the name in it.
    pub(crate) fn split(&self) -> (&'static str, &'static str) {
        self.path.split_once('.').unwrap_or(("", self.path))
    }

    pub(crate) fn find(path: &str) -> Option<&'static Key> {
        all().find(|key| key.path == path)
    }

    const fn example(mut self, example: &'static str) -> Self {
        self.example = Some(example);
        self
    }
}

const fn key(
    path: &'static str,
    kind: Kind,
    get: fn(&Settings) -> Option<Value>,
    meaning: &'static str,
) -> Key {
    Key { path, kind, get, example: None, meaning }
}

const fn number(
    path: &'static str,
    (min, max): (i64, i64),
    get: fn(&Settings) -> Option<Value>,
    meaning: &'static str,
) -> Key {
    key(path, Kind::Number { min, max }, get, meaning)
}

/// A number that came through a check, and so fits.
fn int(number: impl TryInto<i64>) -> Option<Value> {
    number.try_into().ok().map(Value::Integer)
}

/// A duration that came from a number of milliseconds.
fn ms(duration: std::time::Duration) -> Option<Value> {
    int(duration.as_millis())
}

fn text(text: &str) -> Option<Value> {
    Some(text.into())
}

/// Every key, section by section.
pub(crate) fn all() -> impl Iterator<Item = &'static Key> + Clone {
    let all: [&[Key]; 9] = [
        listen::KEYS,
        access::KEYS,
        admin::KEYS,
        hooks::KEYS,
        hub::KEYS,
        http::KEYS,
        drain::KEYS,
        log::KEYS,
        traces::KEYS,
    ];
    all.into_iter().flatten()
}
