//! What is wrong with a configuration: one line that says where, what, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a value was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere: it is the default.
    #[default]
    Default,
    /// In the file, in this line, counted from 1.
    File(Arc<Path>, usize),
    /// In this environment variable.
    Variable(String),
    /// In this flag.
    Flag(String),
}

impl Place {
    /// A path that was given here. In the configuration file a relative one counts from its directory,
    /// so that it does not matter where the program is started.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        match self {
            Self::File(file, _) => file.parent().unwrap_or(Path::new("")).join(path),
            _ => path.into(),
        }
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::Default
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("configuration"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Why a configuration cannot be used.
///
/// `Display` is one line: where, what, and what to do about it. It never shows a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    place: Place,
    what: String,
    is_key: bool,
}

impl ConfigError {
    /// `what` says what is wrong, then behind a semicolon what to do.
    pub(crate) fn new(place: Place, what: impl Into<String>) -> Self {
        Self { place, what: what.into(), is_key: false }
    }

    /// The same about the material of a key.
    pub(crate) fn key(place: Place, what: impl Into<String>) -> Self {
        Self { place, what: what.into(), is_key: true }
    }

    /// Whether an API key, a secret or a key in PEM is no good, rather than anything else.
    pub fn is_key(&self) -> bool {
        self.is_key
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl std::error::Error for ConfigError {}

/// `word` as it may be shown: without what would break the line or turn a terminal's text, and
/// not endless.
pub(crate) fn shown(word: &str) -> String {
    const CHARACTERS_MAX: usize = 80;
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let mut text: String = word.chars().take(CHARACTERS_MAX).map(printable).collect();
    if word.chars().nth(CHARACTERS_MAX).is_some() {
        text.push_str("...");
    }
    text
}

/// The candidate most like `word`, if one is like it at all.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // The comparison is quadratic; nothing this long was meant to be a key.
    if word.len() > 200 {
        return None;
    }
    let distance = |candidate: &&str| {
        let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
        // The right key in the wrong section is as good as one letter wrong.
        let whole = strsim::damerau_levenshtein(word, candidate);
        let apart = strsim::damerau_levenshtein(&last(word), &last(candidate)) + 1;
        whole.min(apart)
    };
    let (best, candidate) =
        candidates.into_iter().map(|c| (distance(&c), c)).min_by_key(|(best, _)| *best)?;
    let tolerated = (word.rsplit('.').next().unwrap_or_default().len() / 3).max(2);
    (best <= tolerated).then_some(candidate)
}
