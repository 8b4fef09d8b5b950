//! Why a gateway did not start.

use std::{fmt, io};

use super::tls::TlsError;
use crate::auth::jwt::SettingsError;
use crate::config::ListenAddress;
use crate::fetch;

/// Why a gateway did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// It cannot listen.
    Listen {
        /// Where.
        address: ListenAddress,
        /// The system's reason.
        error: io::Error,
    },
    /// The certificate of a listener cannot be used.
    Tls(TlsError),
    /// The keys for tokens cannot be used.
    Auth(SettingsError),
    /// What requests to others are made with cannot be used.
    Fetch(fetch::TlsError),
    /// It cannot wait for signals.
    Signals(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, error } => {
                write!(f, "cannot listen on {address}: {error}")?;
                f.write_str(match error.kind() {
                    io::ErrorKind::AddrInUse if matches!(address, ListenAddress::Unix(_)) => {
                        "; there is a file, or another program that listens: remove it or end that"
                    }
                    io::ErrorKind::AddrInUse => {
                        "; another program does already: end it or choose another port"
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        "; this machine does not have the address: 0.0.0.0 stands for all it has"
                    }
                    io::ErrorKind::PermissionDenied if matches!(address, ListenAddress::Tcp(_)) => {
                        "; ports below 1024 need a privilege: choose a higher one"
                    }
                    _ => "",
                })
            }
            Self::Tls(error) => write!(f, "TLS is not possible: {error}"),
            Self::Auth(error) => write!(f, "the keys for tokens cannot be used: {error}"),
            Self::Fetch(error) => write!(f, "requests to others cannot be made: {error}"),
            Self::Signals(error) => write!(f, "cannot wait for signals: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { error, .. } | Self::Signals(error) => Some(error),
            Self::Tls(error) => Some(error),
            Self::Auth(error) => Some(error),
            Self::Fetch(error) => Some(error),
        }
    }
}
