//! How a command fails: the text on stderr and the exit code.

use std::fmt;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::gateway::StartError;

/// The codes, for the end of every help text. 2 is clap's own.
pub(crate) const TABLE: &str = "\
Exit codes:
  0  ok
  1  anything that is not listed here
  2  the arguments are not understood
  3  the configuration is not good: a file, a variable or a value
  4  a key is not good: an API key, a secret or a key in PEM
  5  the address cannot be listened on: in use, not of this machine, not permitted";

/// Why a command failed. `Display` is one line and shows no secret.
#[derive(Debug)]
pub(crate) enum Failure {
    Other(String),
    Usage(String),
    Config(String),
    Key(String),
    Address(String),
}

impl Failure {
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::Config(_) => 3,
            Self::Key(_) => 4,
            Self::Address(_) => 5,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(text)
            | Self::Usage(text)
            | Self::Config(text)
            | Self::Key(text)
            | Self::Address(text) => f.write_str(text),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let text = error.to_string();
        if error.is_key() { Self::Key(text) } else { Self::Config(text) }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let text = error.to_string();
        match error {
            StartError::Listen { .. } => Self::Address(text),
            StartError::Auth(_) | StartError::Tls(_) => Self::Key(text),
            _ => Self::Other(text),
        }
    }
}
