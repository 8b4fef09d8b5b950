//! Keys that tokens are checked and signed with. Each is for exactly one algorithm.
//!
//! A token's header only ever selects among keys; it never says how one is used. So a public key
//! cannot become the secret of an HMAC, and `none` is no algorithm here.

use std::fmt;

use jsonwebtoken::crypto::CryptoProvider;
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use jsonwebtoken::{DecodingKey, DecodingKeyKind, EncodingKey};

use super::fault::{KeyFault, KeySetError};

/// Keys in one set. A token without a `kid` is tried with each of its algorithm: this bounds how
/// many signatures a bad token makes the gateway check.
pub const KEYS_MAX: usize = 16;

/// The longest key id, in bytes.
pub const KID_BYTES_MAX: usize = 200;

/// The smallest modulus of an RSA key, in bits (RFC 7518 section 3.3).
const RSA_BITS_MIN: usize = 2048;

/// Named here and not taken from the process: a dependency that turns on another provider would
/// otherwise decide, or leave nobody decided, which panics at the first token.
static PROVIDER: &CryptoProvider = &DEFAULT_PROVIDER;

/// How a token is signed (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256: one secret signs and checks.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA (PKCS #1 v1.5) with SHA-256: a private key signs, its public key checks.
    Rs256,
    /// RSA (PKCS #1 v1.5) with SHA-384.
    Rs384,
    /// RSA (PKCS #1 v1.5) with SHA-512.
    Rs512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Algorithm; 9] = [
        Algorithm::Hs256,
        Algorithm::Hs384,
        Algorithm::Hs512,
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::EdDsa,
    ];

    /// Its name in a token's header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of that name; names are compared exactly, as RFC 7515 section 4.1.1 has it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// For an HMAC, the fewest bytes its secret may have: as many as the hash (RFC 7518 section
    /// 3.2). `None` for the others, whose keys are pairs.
    pub const fn secret_bytes_min(self) -> Option<usize> {
        match self {
            Self::Hs256 => Some(32),
            Self::Hs384 => Some(48),
            Self::Hs512 => Some(64),
            _ => None,
        }
    }

    const fn foreign(self) -> jsonwebtoken::Algorithm {
        use jsonwebtoken::Algorithm as Foreign;
        match self {
            Self::Hs256 => Foreign::HS256,
            Self::Hs384 => Foreign::HS384,
            Self::Hs512 => Foreign::HS512,
            Self::Rs256 => Foreign::RS256,
            Self::Rs384 => Foreign::RS384,
            Self::Rs512 => Foreign::RS512,
            Self::Es256 => Foreign::ES256,
            Self::Es384 => Foreign::ES384,
            Self::EdDsa => Foreign::EdDSA,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a key is made of. `Debug` shows the kind only.
#[derive(Clone, PartialEq, Eq)]
pub enum Material {
    /// The secret of an HMAC: exactly these bytes. Whoever reads it from a file takes the line
    /// break at its end off.
    Secret(Vec<u8>),
    /// One key in PEM: public to check with, private (unencrypted PKCS #8, for RSA also PKCS #1)
    /// to sign with.
    Pem(String),
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret(..)",
            Self::Pem(_) => "Pem(..)",
        })
    }
}

/// A key as somebody configured it, not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySettings {
    /// The one algorithm it is for.
    pub algorithm: Algorithm,
    /// Its id, if tokens name it. Ids in a set differ.
    pub kid: Option<String>,
    /// What it is made of.
    pub material: Material,
}

/// A key that checks signatures.
pub(super) struct VerifyingKey {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl VerifyingKey {
    fn new(settings: KeySettings) -> Result<Self, KeyFault> {
        let KeySettings { algorithm, kid, material } = settings;
        let mismatch = |_| KeyFault::WrongKind(algorithm);
        let key = match (algorithm, &material) {
            (Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512, material) => {
                DecodingKey::from_secret(secret(algorithm, material)?)
            }
            (_, Material::Secret(_)) => return Err(KeyFault::NeedsPem(algorithm)),
            (_, Material::Pem(text)) => {
                let pem = single_pem(text, Side::Public)?;
                match algorithm {
                    Algorithm::Es256 | Algorithm::Es384 => DecodingKey::from_ec_pem(pem),
                    Algorithm::EdDsa => DecodingKey::from_ed_pem(pem),
                    _ => DecodingKey::from_rsa_pem(pem),
                }
                .map_err(mismatch)?
            }
        };
        Self::checked(kid, algorithm, key)
    }

    /// What all keys have to hold to, whatever form they came in.
    pub(super) fn checked(
        kid: Option<String>,
        algorithm: Algorithm,
        key: DecodingKey,
    ) -> Result<Self, KeyFault> {
        check_kid(kid.as_deref())?;
        let mismatch = |_| KeyFault::WrongKind(algorithm);
        match (algorithm, key.kind()) {
            // The library would slice 32 bytes out of it unasked.
            (Algorithm::EdDsa, DecodingKeyKind::SecretOrDer(bytes)) if bytes.len() != 32 => {
                return Err(KeyFault::WrongKind(algorithm));
            }
            (
                Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512,
                DecodingKeyKind::SecretOrDer(bytes),
            ) => {
                let parts = (PROVIDER.key_utils.rsa_pub_components_from_public_key)(bytes);
                check_rsa(&parts.map_err(mismatch)?.0)?;
            }
            (_, DecodingKeyKind::RsaModulusExponent { n, .. }) => check_rsa(n)?,
            _ => {}
        }
        // Once here, so that a key on another curve is found at start and not at the first token.
        (PROVIDER.verifier_factory)(&algorithm.foreign(), &key).map_err(mismatch)?;
        Ok(Self { kid, algorithm, key })
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `signature` is this key's over `message`, by the key's own algorithm.
    pub(super) fn verify(&self, message: &[u8], signature: &Vec<u8>) -> bool {
        (PROVIDER.verifier_factory)(&self.algorithm.foreign(), &self.key)
            .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({}, kid {:?})", self.algorithm, self.kid)
    }
}

/// Keys that tokens are checked with.
#[derive(Debug, Default)]
pub struct KeySet(Vec<VerifyingKey>);

impl KeySet {
    /// Checks the keys and takes them: 1 to [`KEYS_MAX`].
    ///
    /// # Errors
    /// [`KeySetError`] names the key and what is wrong with it, and shows nothing of it.
    pub fn new(keys: Vec<KeySettings>) -> Result<Self, KeySetError> {
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(KeySetError::Count(keys.len()));
        }
        let mut set: Vec<VerifyingKey> = Vec::with_capacity(keys.len());
        for (index, settings) in keys.into_iter().enumerate() {
            let kid = settings.kid.clone();
            let fault = match VerifyingKey::new(settings) {
                Ok(key) if kid.is_some() && set.iter().any(|other| other.kid == kid) => {
                    drop(key);
                    KeyFault::KidTwice
                }
                Ok(key) => {
                    set.push(key);
                    continue;
                }
                Err(fault) => fault,
            };
            return Err(KeySetError::Key { index, kid, fault });
        }
        Ok(Self(set))
    }

    /// Keys that were checked one by one, of which several may have one id for different
    /// algorithms. None are none.
    pub(super) fn of_checked(keys: Vec<VerifyingKey>) -> Self {
        Self(keys)
    }

    /// The keys that a token may mean which names this one, or all if it names none.
    pub(super) fn named(&self, kid: Option<&str>) -> impl Iterator<Item = &VerifyingKey> {
        self.0.iter().filter(move |key| kid.is_none() || key.kid.as_deref() == kid)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A key that signs tokens.
pub struct SigningKey {
    kid: Option<String>,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl SigningKey {
    /// Checks the key and takes it.
    ///
    /// # Errors
    /// [`KeyFault`] says what is wrong with it, and shows nothing of it.
    pub fn new(settings: KeySettings) -> Result<Self, KeyFault> {
        let KeySettings { algorithm, kid, material } = settings;
        check_kid(kid.as_deref())?;
        let mismatch = |_| KeyFault::WrongKind(algorithm);
        let key = match (algorithm, &material) {
            (Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512, material) => {
                EncodingKey::from_secret(secret(algorithm, material)?)
            }
            (_, Material::Secret(_)) => return Err(KeyFault::NeedsPem(algorithm)),
            (_, Material::Pem(text)) => {
                let pem = single_pem(text, Side::Private)?;
                match algorithm {
                    Algorithm::Es256 | Algorithm::Es384 => EncodingKey::from_ec_pem(pem),
                    Algorithm::EdDsa => EncodingKey::from_ed_pem(pem),
                    _ => EncodingKey::from_rsa_pem(pem),
                }
                .map_err(mismatch)?
            }
        };
        if matches!(algorithm, Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512) {
            let parts = (PROVIDER.key_utils.rsa_pub_components_from_private_key)(key.as_bytes());
            check_rsa(&parts.map_err(mismatch)?.0)?;
        }
        (PROVIDER.signer_factory)(&algorithm.foreign(), &key).map_err(mismatch)?;
        Ok(Self { kid, algorithm, key })
    }

    /// Its id, if it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The signature over `message`; `None` if the library fails, which it does not say why.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signer = (PROVIDER.signer_factory)(&self.algorithm.foreign(), &self.key).ok()?;
        signer.try_sign(message).ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, kid {:?})", self.algorithm, self.kid)
    }
}

fn check_kid(kid: Option<&str>) -> Result<(), KeyFault> {
    match kid {
        Some(kid)
            if kid.is_empty() || kid.len() > KID_BYTES_MAX || kid.contains(char::is_control) =>
        {
            Err(KeyFault::Kid)
        }
        _ => Ok(()),
    }
}

fn secret(algorithm: Algorithm, material: &Material) -> Result<&[u8], KeyFault> {
    let Material::Secret(secret) = material else {
        return Err(KeyFault::NeedsSecret(algorithm));
    };
    if secret.windows(10).any(|part| part == b"-----BEGIN") {
        return Err(KeyFault::NeedsSecret(algorithm));
    }
    let bytes_min = algorithm.secret_bytes_min().unwrap_or(0);
    if secret.len() < bytes_min {
        return Err(KeyFault::SecretTooShort { algorithm, bytes: secret.len(), bytes_min });
    }
    Ok(secret)
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Public,
    Private,
}

/// The PEM text, if it holds one key of that side in a form that can be read.
fn single_pem(text: &str, wanted: Side) -> Result<&[u8], KeyFault> {
    let mut blocks = text.split("-----BEGIN ").skip(1);
    let label = match (blocks.next(), blocks.next()) {
        (None, _) => return Err(KeyFault::NotPem),
        (Some(_), Some(_)) => return Err(KeyFault::SeveralPem),
        (Some(block), None) => block.split("-----").next().unwrap_or_default(),
    };
    match (label, wanted) {
        ("PUBLIC KEY" | "RSA PUBLIC KEY", Side::Public)
        | ("PRIVATE KEY" | "RSA PRIVATE KEY", Side::Private) => Ok(text.as_bytes()),
        ("PUBLIC KEY" | "RSA PUBLIC KEY", Side::Private) => Err(KeyFault::Public),
        ("CERTIFICATE", _) => Err(KeyFault::Certificate),
        (label, Side::Public) if label.ends_with("PRIVATE KEY") => Err(KeyFault::Private),
        ("EC PRIVATE KEY" | "ENCRYPTED PRIVATE KEY", _) => Err(KeyFault::NotPkcs8),
        _ => Err(KeyFault::NotPem),
    }
}

fn check_rsa(mut modulus: &[u8]) -> Result<(), KeyFault> {
    while let [0, rest @ ..] = modulus {
        modulus = rest;
    }
    let zeros = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = modulus.len() * 8 - zeros;
    if bits < RSA_BITS_MIN { Err(KeyFault::RsaTooShort { bits }) } else { Ok(()) }
}
