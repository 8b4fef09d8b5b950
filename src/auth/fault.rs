//! What can be wrong with a key. No text here shows any part of one.

use std::fmt;

use super::keys::{Algorithm, KEYS_MAX, KID_BYTES_MAX};

/// What is wrong with one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyFault {
    /// The secret is shorter than the hash of its algorithm.
    SecretTooShort {
        /// The algorithm.
        algorithm: Algorithm,
        /// Bytes it has.
        bytes: usize,
        /// Bytes it needs.
        bytes_min: usize,
    },
    /// A PEM key was given for an HMAC.
    NeedsSecret(Algorithm),
    /// A secret was given for an algorithm of key pairs.
    NeedsPem(Algorithm),
    /// No PEM, or of something else than a key.
    NotPem,
    /// More than one PEM block.
    SeveralPem,
    /// A certificate instead of a key.
    Certificate,
    /// A private key where a public one is needed.
    Private,
    /// A public key where a private one is needed.
    Public,
    /// A private key in another form than unencrypted PKCS #8.
    NotPkcs8,
    /// A key of another kind than its algorithm's, or damaged.
    WrongKind(Algorithm),
    /// An RSA key that is too short.
    RsaTooShort {
        /// Bits it has.
        bits: usize,
    },
    /// Not a key id.
    Kid,
    /// The key id of another key in the set.
    KidTwice,
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretTooShort { algorithm, bytes, bytes_min } => write!(
                f,
                "the secret has {bytes} bytes; {algorithm} needs at least {bytes_min} \
                 (RFC 7518 section 3.2); make one with: openssl rand -hex {bytes_min}"
            ),
            Self::NeedsSecret(algorithm) => write!(
                f,
                "{algorithm} takes a secret, and this is a key in PEM; with the text of a public \
                 key as secret anybody could sign; for key pairs use RS256, ES256 or EdDSA"
            ),
            Self::NeedsPem(algorithm) => {
                write!(f, "{algorithm} takes a key in PEM, not a secret; for a secret use HS256")
            }
            Self::NotPem => f.write_str(
                "this is not a key in PEM; it starts with -----BEGIN PUBLIC KEY----- \
                             (or PRIVATE, to sign)",
            ),
            Self::SeveralPem => f.write_str(
                "there is more than one PEM block; give the key alone, and further keys as keys \
                 of their own",
            ),
            Self::Certificate => f.write_str(
                "this is a certificate; take its key out with: openssl x509 -pubkey -noout",
            ),
            Self::Private => f.write_str(
                "this is a private key, and tokens are checked with the public one; take it out \
                 with: openssl pkey -pubout",
            ),
            Self::Public => f.write_str("this is a public key; only the private one can sign"),
            Self::NotPkcs8 => f.write_str(
                "this private key is not unencrypted PKCS #8; convert it with: \
                 openssl pkcs8 -topk8 -nocrypt",
            ),
            Self::WrongKind(algorithm) => write!(
                f,
                "this is not a key for {algorithm} ({}), or it is damaged",
                match algorithm {
                    Algorithm::Es256 => "it needs one on the curve P-256",
                    Algorithm::Es384 => "it needs one on the curve P-384",
                    Algorithm::EdDsa => "it needs an Ed25519 key",
                    _ => "it needs an RSA key of up to 4096 bits",
                }
            ),
            Self::RsaTooShort { bits } => write!(
                f,
                "this RSA key has {bits} bits; at least 2048 are needed (RFC 7518 section 3.3)"
            ),
            Self::Kid => {
                write!(f, "its kid must have 1 to {KID_BYTES_MAX} bytes without control characters")
            }
            Self::KidTwice => f.write_str("another key has the same kid"),
        }
    }
}

impl std::error::Error for KeyFault {}

/// Why keys do not make a set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySetError {
    /// There are this many keys.
    Count(usize),
    /// One of them is no good.
    Key {
        /// Its place, from 0.
        index: usize,
        /// Its id, if it has one.
        kid: Option<String>,
        /// What is wrong with it.
        fault: KeyFault,
    },
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => {
                write!(f, "there are {count} keys; there must be 1 to {KEYS_MAX}")
            }
            // Quoted by `Debug`: a kid may be the fault, and hold what turns a terminal's text.
            Self::Key { index, kid: Some(kid), fault } if *fault != KeyFault::Kid => {
                write!(f, "key {index} (kid {kid:?}): {fault}")
            }
            Self::Key { index, fault, .. } => write!(f, "key {index}: {fault}"),
        }
    }
}

impl std::error::Error for KeySetError {}
