//! Floor 6: from what was typed to what is used.
//!
//! What was typed comes from the file, the environment and flags, each laid over the one before.
//! [`keys`] says what there is; [`entries`] and [`file`] collect it with the place it came from;
//! [`raw`] is its typed form; [`check`] makes [`Settings`] of it, or an error that says where, what
//! and what to do. [`access`] holds the rule of what may run without keys.
//!
//! No error, log line or `Debug` shows a secret, and no error repeats a value that has not been
//! understood: it may be a secret in the wrong place.

mod access;
mod check;
mod entries;
mod environment;
mod error;
mod file;
mod hooks;
mod jwks;
mod keys;
mod listeners;
mod raw;
mod reference;
mod reload;
mod rules;
mod secret;
mod secrets;
mod settings;
#[cfg(test)]
mod tests;
mod traces;

use std::path::PathBuf;

pub use environment::{Environment, Process};
pub use error::ConfigError;
pub use reload::needs_restart;
pub use settings::{
    ApiSettings, DrainSettings, JwksSettings, ListenAddress, ListenerSettings, LogFormat,
    LogSettings, Settings, TlsSettings, TlsVersion,
};
pub use traces::TraceSettings;

use crate::auth::jwt::AuthSettings;
use entries::{CONFIG_VARIABLE, Entries, Places};
use error::Place;
use keys::Key;
use raw::Raw;

/// What was typed as arguments. Later fields override earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The file; without it `FANFARE_CONFIG` names one, or there is none.
    pub config: Option<PathBuf>,
    /// `section.key=value`, each. Of two for one key the later counts.
    pub set: Vec<String>,
    /// `listen`.
    pub listen: Option<String>,
    /// `insecure = true`.
    pub insecure: bool,
    /// `log.format`.
    pub log_format: Option<String>,
}

/// Loads what a gateway runs with.
///
/// # Errors
/// [`ConfigError`] says where, what, and what to do.
pub fn load(flags: &Flags, environment: &dyn Environment) -> Result<Settings, ConfigError> {
    let (raw, places) = collect(flags, environment)?;
    check::settings(raw, &places, environment)
}

/// Loads only how tokens are checked, whether or not a gateway may run with the rest; `None` if
/// there is no key.
///
/// # Errors
/// [`ConfigError`], as [`load`].
pub fn load_auth(
    flags: &Flags,
    environment: &dyn Environment,
) -> Result<Option<AuthSettings>, ConfigError> {
    let (raw, places) = collect(flags, environment)?;
    secrets::auth(raw.auth, &secrets::Files { places: &places, environment })
}

/// Every key with its default, unit and meaning, as TOML.
pub fn reference() -> String {
    let defaults = load(&Flags::default(), &Bare).expect("defaults are good: a test loads them");
    reference::print(&defaults)
}

/// Surroundings with nothing in them.
struct Bare;

impl Environment for Bare {
    fn variables(&self) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
        Vec::new()
    }

    fn read_file(&self, _: &std::path::Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn cores(&self) -> usize {
        1
    }
}

/// Lays the sources over each other: the file, the environment, the flags.
fn collect(flags: &Flags, environment: &dyn Environment) -> Result<(Raw, Places), ConfigError> {
    let variables = environment.variables();
    let named = variables.iter().find(|(name, _)| name == CONFIG_VARIABLE);
    let file = match (&flags.config, named) {
        (Some(path), _) => Some((path.clone(), Place::Flag("--config".into()))),
        (None, Some((name, path))) => {
            Some((path.into(), Place::Variable(name.to_string_lossy().into())))
        }
        (None, None) => None,
    };
    let mut entries = match file {
        Some((path, place)) => {
            let text = environment.read_file(&path).map_err(|error| {
                let path = error::shown(&path.to_string_lossy());
                let what = format!("cannot read {path}: {error}; correct the path or the file");
                ConfigError::new(place, what)
            })?;
            file::parse(&text, &path)?
        }
        None => Entries::default(),
    };
    entries.overlay(Entries::from_variables(variables)?);
    for assignment in &flags.set {
        entries.set(assignment)?;
    }
    let insecure = flags.insecure.then_some("true");
    for (path, flag, value) in [
        ("listen", "--listen", flags.listen.as_deref()),
        ("insecure", "--insecure", insecure),
        ("log.format", "--log-format", flags.log_format.as_deref()),
    ] {
        if let (Some(value), Some(key)) = (value, Key::find(path)) {
            entries.insert_text(key, value, Place::Flag(flag.into()))?;
        }
    }
    entries.into_raw()
}
