//! The annotated configuration that `fanfare config` prints, made from the table of keys.

use std::fmt::Write as _;

use super::keys::{self, Key, Kind};
use super::settings::Settings;

const HEAD: &str = "\
# The configuration of fanfare: every key with its default. Take out the # in front of a key to
# set it. `fanfare check --config FILE` says whether a file is good.
#
# The environment overrides the file, and flags override the environment. Names of keys end with
# their unit. Relative paths count from the directory of this file.
";

/// The width that text is broken at.
const WIDTH: usize = 96;

/// Prints every key with its meaning and what `defaults` has for it.
pub(crate) fn print(defaults: &Settings) -> String {
    let mut out = HEAD.to_owned();
    let mut section = "";
    for key in keys::all() {
        let (in_section, name) = key.split();
        out.push('\n');
        if in_section != section {
            section = in_section;
            // Writing to a String cannot fail.
            let _ = writeln!(out, "[{section}]");
        }
        comment(&mut out, &description(key));
        let _ = match (key.example, (key.get)(defaults)) {
            (None, Some(value)) => writeln!(out, "#{name} = {value}"),
            (example, _) => writeln!(out, "# Example: {name} = {}", example.unwrap_or_default()),
        };
    }
    out
}

/// What the key means, what it takes, and its variable.
fn description(key: &Key) -> String {
    let takes = match key.kind {
        Kind::Number { min, max } => format!(" From {min} to {max}{}.", unit(key.path)),
        Kind::Choice(names) => format!(" One of {}.", names.join(", ")),
        _ => String::new(),
    };
    let variable = match key.kind {
        Kind::Tables(_) | Kind::Table(_) => "Only in the file.".into(),
        Kind::List | Kind::SecretList => format!("{} (with commas between).", key.variable()),
        _ => format!("{}.", key.variable()),
    };
    format!("{}{takes} {variable}", key.meaning)
}

/// The unit that the key's name ends with, or has before its `_max`.
fn unit(path: &str) -> &'static str {
    let name = path.rsplit('.').next().unwrap_or_default();
    if name.ends_with("_ms") {
        " milliseconds"
    } else if name.ends_with("_s") {
        " seconds"
    } else if name.contains("bytes") {
        " bytes"
    } else {
        ""
    }
}

fn comment(out: &mut String, text: &str) {
    let mut width = usize::MAX;
    for word in text.split_whitespace() {
        if width.saturating_add(1 + word.len()) > WIDTH {
            if width != usize::MAX {
                out.push('\n');
            }
            out.push('#');
            width = 1;
        }
        out.push(' ');
        out.push_str(word);
        width += 1 + word.len();
    }
    out.push('\n');
}
