//! Floor 2: who may come in. Tokens, origins and keys as pure functions: the time is an argument,
//! nothing here waits, reads a file or keeps a state.
//!
//! | part | decides |
//! |---|---|
//! | [`token`] | where in a request the token is |
//! | [`jwt`] | whether a token is good, and what it allows |
//! | [`keys`] | which key a token may be checked with, and how |
//! | [`jwks`] | sets of keys as issuers publish them |
//! | [`source`] | keys that are fetched while they are in use |
//! | [`mint`] | makes tokens, for tests and for trying things out |
//! | [`origin`] | whether a browser's page may connect |
//! | [`api_key`] | whether a key of the HTTP API is right |
//!
//! What holds throughout: no error, log line or `Debug` shows a token, a secret or a key.

pub mod api_key;
mod claims;
mod fault;
pub mod jwks;
pub mod jwt;
pub mod keys;
pub mod mint;
pub mod origin;
pub mod rotating;
pub mod source;
pub mod token;

pub use fault::{KeyFault, KeySetError};

use std::time::SystemTime;

use crate::base::access::{Authoriser, Grant, Refusal};

/// Lets nobody in by a token: where the application decides instead.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTokens;

impl Authoriser for NoTokens {
    fn authorise(&self, token: Option<&str>, _: SystemTime) -> Result<Grant, Refusal> {
        Err(token.map_or(Refusal::Missing, |_| Refusal::Invalid("this gateway takes no tokens")))
    }

    fn takes_tokens(&self) -> bool {
        false
    }
}

/// Lets everybody do everything: for a gateway without keys, which has to stay on loopback (see
/// [`origin::host_is_loopback`]) or behind something that decides for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAnyone;

impl Authoriser for AllowAnyone {
    /// A token is not looked at: there is nothing to check it with.
    fn authorise(&self, _: Option<&str>, _: SystemTime) -> Result<Grant, Refusal> {
        Ok(Grant::anyone())
    }
}

#[cfg(test)]
mod tests;
