//! Sets of keys as their issuers publish them: JWK sets (RFC 7517 section 5).
//!
//! # What becomes of a key
//! | `kty` | `crv` | for |
//! |---|---|---|
//! | `RSA`, 2,048 to 4,096 bits | – | `alg`, or without it RS256, RS384 and RS512 |
//! | `EC` | `P-256`, `P-384` | ES256, ES384 |
//! | `OKP` | `Ed25519` | EdDSA |
//! | `oct`, from a file only | – | `alg`, which has to be there: HS256, HS384 or HS512 |
//!
//! Each algorithm makes a key of its own: no token's header ever decides how a key is used. A key that
//! says it is for something else than checking signatures (`use`, `key_ops`), one of a kind that is
//! not known here, a damaged one and one with its private part are skipped, each with the reason.
//! `oct` from a URL is skipped as well: whoever can read that address could sign.
//!
//! Of two with the same id and algorithm the first counts.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::claims::given;
use super::keys::{Algorithm, KeySet, VerifyingKey};

/// Keys in one set.
pub const JWKS_KEYS_MAX: usize = 64;

/// RSA moduli that are looked at, in bytes. A longer one makes each check cost more.
const RSA_MODULUS_BYTES_MAX: usize = 512;

/// RSA exponents, in bytes, likewise: 65537 has three.
const RSA_EXPONENT_BYTES_MAX: usize = 4;

/// Where a set is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwksOrigin {
    /// A file of this machine, which may hold secrets.
    File,
    /// An address, which may not.
    Url,
}

/// The keys of a set, and what was left out.
#[derive(Debug, Default)]
pub struct Jwks {
    /// The keys that tokens can be checked with.
    pub keys: KeySet,
    /// Those that were skipped.
    pub skipped: Vec<Skipped>,
}

/// A key that was skipped, and why. Shows its id and nothing else of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    index: usize,
    kid: Option<String>,
    why: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Quoted by `Debug`: an id may hold what turns a terminal's text.
        match &self.kid {
            Some(kid) => write!(f, "key {} (kid {kid:?}): {}", self.index, self.why),
            None => write!(f, "key {}: {}", self.index, self.why),
        }
    }
}

/// Why a text is no set of keys. Shows nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JwksError {
    /// Not a JSON object with an array `keys`.
    NotASet,
    /// More than [`JWKS_KEYS_MAX`] keys; there are this many.
    TooMany(usize),
}

impl fmt::Display for JwksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotASet => {
                f.write_str("this is no JWK set: a JSON object with an array keys (RFC 7517 5)")
            }
            Self::TooMany(count) => {
                write!(f, "the JWK set has {count} keys; at most {JWKS_KEYS_MAX} are taken")
            }
        }
    }
}

impl std::error::Error for JwksError {}

/// The fields that matter. One that is there with a wrong type makes the key a damaged one.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default, deserialize_with = "given")]
    alg: Option<String>,
    #[serde(default, deserialize_with = "given")]
    kid: Option<String>,
    #[serde(default, rename = "use", deserialize_with = "given")]
    intended: Option<String>,
    #[serde(default, deserialize_with = "given")]
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
    #[serde(default, deserialize_with = "given")]
    d: Option<IgnoredAny>,
}

/// Reads a set.
///
/// # Errors
/// [`JwksError`], if it is none. A key that is no good is skipped and is no error.
pub fn parse(json: &[u8], origin: JwksOrigin) -> Result<Jwks, JwksError> {
    #[derive(Deserialize)]
    struct Set<'a> {
        #[serde(borrow)]
        keys: Vec<&'a RawValue>,
    }
    // Asked here because serde would also fill a struct from an array, by position.
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(JwksError::NotASet);
    }
    let set: Set<'_> = serde_json::from_slice(json).map_err(|_| JwksError::NotASet)?;
    if set.keys.len() > JWKS_KEYS_MAX {
        return Err(JwksError::TooMany(set.keys.len()));
    }
    let mut keys: Vec<VerifyingKey> = Vec::new();
    let mut skipped = Vec::new();
    for (index, raw) in set.keys.iter().enumerate() {
        let Ok(jwk) = serde_json::from_str::<Jwk>(raw.get()) else {
            let why = "it is no JWK: an object with a kty, and each field once and of its type";
            skipped.push(Skipped { index, kid: None, why: why.into() });
            continue;
        };
        let known = |key: &VerifyingKey| {
            let same = |other: &VerifyingKey| {
                other.kid() == key.kid() && other.algorithm() == key.algorithm()
            };
            key.kid().is_some() && keys.iter().any(same)
        };
        match verifying(&jwk, origin) {
            Ok(made) if made.iter().any(known) => {
                let why = "a key before it has the same kid and algorithm";
                skipped.push(Skipped { index, kid: jwk.kid, why: why.into() });
            }
            Ok(made) => keys.extend(made),
            Err(why) => {
                let kid = jwk.kid.filter(|kid| kid.len() <= super::keys::KID_BYTES_MAX);
                skipped.push(Skipped { index, kid, why });
            }
        }
    }
    Ok(Jwks { keys: KeySet::of_checked(keys), skipped })
}

/// A key for each algorithm that it is for, at least one.
fn verifying(jwk: &Jwk, origin: JwksOrigin) -> Result<Vec<VerifyingKey>, String> {
    if jwk.intended.as_deref().is_some_and(|intended| intended != "sig") {
        return Err("it is not for signatures (use)".into());
    }
    if jwk.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
        return Err("it is not for checking signatures (key_ops)".into());
    }
    if jwk.d.is_some() {
        return Err("it has its private part: whoever reads it can sign, so it is no proof".into());
    }
    let (fits, key) = material(jwk, origin)?;
    let algorithms = match jwk.alg.as_deref() {
        // RFC 9864 section 2.2 has a second name for the one curve that there is here.
        Some("Ed25519") if fits == [Algorithm::EdDsa] => fits,
        Some(name) => match fits.iter().find(|algorithm| algorithm.name() == name) {
            Some(algorithm) => std::slice::from_ref(algorithm),
            None => return Err("its alg is not known here, or not that of such a key".into()),
        },
        None if jwk.kty == "oct" => return Err("a secret needs an alg: HS256, for one".into()),
        None => fits,
    };
    let make = |algorithm: &Algorithm| {
        VerifyingKey::checked(jwk.kid.clone(), *algorithm, key.clone())
            .map_err(|fault| fault.to_string())
    };
    algorithms.iter().map(make).collect()
}

/// What the key is made of, and the algorithms of such a key.
fn material(jwk: &Jwk, origin: JwksOrigin) -> Result<(&'static [Algorithm], DecodingKey), String> {
    match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let (n, e) = (bytes(&jwk.n, "n")?, bytes(&jwk.e, "e")?);
            let is_odd = e.last().is_some_and(|last| last % 2 == 1);
            if n.len() > RSA_MODULUS_BYTES_MAX + 1 || e.len() > RSA_EXPONENT_BYTES_MAX || !is_odd {
                return Err("its RSA modulus or exponent is not one that is taken here".into());
            }
            let fits = &[Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512];
            Ok((fits, DecodingKey::from_rsa_raw_components(&n, &e)))
        }
        ("EC", Some("P-256")) => Ok((&[Algorithm::Es256], point(jwk, 32)?)),
        ("EC", Some("P-384")) => Ok((&[Algorithm::Es384], point(jwk, 48)?)),
        ("OKP", Some("Ed25519")) => {
            Ok((&[Algorithm::EdDsa], DecodingKey::from_ed_der(&bytes(&jwk.x, "x")?)))
        }
        ("EC" | "OKP", _) => Err("its curve (crv) is not known here".into()),
        ("oct", _) if origin == JwksOrigin::Url => {
            Err("a secret does not come from an address: whoever reads it can sign".into())
        }
        ("oct", _) => {
            let secret = bytes(&jwk.k, "k")?;
            let named = jwk.alg.as_deref().and_then(Algorithm::from_name);
            let bytes_min = named.and_then(Algorithm::secret_bytes_min).unwrap_or_default();
            if secret.len() < bytes_min {
                return Err(format!(
                    "the secret has {} bytes; {bytes_min} are needed (RFC 7518 section 3.2)",
                    secret.len()
                ));
            }
            let fits = &[Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512];
            Ok((fits, DecodingKey::from_secret(&secret)))
        }
        _ => Err("its kind (kty) is not known here".into()),
    }
}

/// A point on a curve, uncompressed (SEC 1 section 2.3.3). Both halves have the full length (RFC
/// 7518 section 6.2.1.2).
fn point(jwk: &Jwk, len: usize) -> Result<DecodingKey, String> {
    let (x, y) = (bytes(&jwk.x, "x")?, bytes(&jwk.y, "y")?);
    if x.len() != len || y.len() != len {
        return Err(format!("its x and y do not have {len} bytes each"));
    }
    Ok(DecodingKey::from_ec_der(&[&[4], &*x, &*y].concat()))
}

fn bytes(field: &Option<String>, name: &str) -> Result<Vec<u8>, String> {
    let text = field.as_deref().ok_or_else(|| format!("it has no {name}"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("its {name} is not base64url"))
}
