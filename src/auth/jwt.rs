//! JSON Web Tokens (RFC 7519) as the proof of who a peer is.
//!
//! # What a token must be
//! At most [`TOKEN_BYTES_MAX`] long, in compact form (RFC 7515 section 7.1), signed by a
//! configured key with that key's own algorithm. `none` is refused, and so is a `crit` header:
//! there is no extension that is understood here. `jwk`, `jku` and `x5u` are not looked at: a
//! token does not bring its own key.
//!
//! # What its claims say
//! | claim | type | meaning |
//! |---|---|---|
//! | `exp` | number | the end of the grant, in seconds since the Unix epoch; required unless configured otherwise |
//! | `nbf` | number | the start; accepted up to the leeway earlier |
//! | `iss` | string | must be the configured issuer, if one is |
//! | `aud` | string or array of strings | must hold the configured audience, if one is |
//! | `sub` | string | the user |
//! | `subscribe`, `publish` | array of strings | channels: `news`, `news.*` or `*`; at most 128 of at most 200 bytes |
//!
//! A claim of another type is an error, never a claim that is not there. Other claims are not
//! looked at.

use std::sync::Arc;
use std::time::SystemTime;
use std::{fmt, str};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::claims::{self, Claims};
use super::fault::KeySetError;
use super::jwks::Jwks;
use super::keys::{Algorithm, KEYS_MAX, KeySet, KeySettings};
use super::source::KeySource;
use crate::base::access::{Answering, Authoriser, Grant, Refusal, Rules};
use crate::base::clock::since_1970;

/// The longest token, in bytes: what fits in the 8 KiB that all headers of a request may have. A
/// longer one is refused unread.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Patterns in one claim.
pub const PATTERNS_MAX: usize = 128;

/// The longest pattern, in bytes: as long as a channel name may be.
pub const PATTERN_BYTES_MAX: usize = 200;

/// The longest leeway, in seconds. Clocks that are further apart want repair.
pub const LEEWAY_S_MAX: u64 = 30;

/// How tokens are checked, as somebody configured it.
#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// The keys, at most [`KEYS_MAX`]; at least one unless there are others below.
    pub keys: Vec<KeySettings>,
    /// More keys, as their issuer publishes them.
    pub jwks: Option<Arc<Jwks>>,
    /// More keys, that are fetched while they are in use.
    pub source: Option<Arc<KeySource>>,
    /// Whether a token must expire. Default: yes; one that never does cannot be taken back.
    pub require_exp: bool,
    /// How far the issuer's clock may be ahead of ours, in seconds, at most [`LEEWAY_S_MAX`].
    /// Default: 5. Clocks that are kept by NTP differ by less than one, and a token used in the
    /// second it was made would be refused now and then without any.
    ///
    /// It moves `nbf` alone. `exp` is exact: delivery ends at that second, so a token accepted
    /// after it would be good for a session that ends at once.
    pub leeway_s: u64,
    /// The `iss` that a token must have. Default: not looked at.
    pub issuer: Option<String>,
    /// The audience that a token's `aud` must hold. Default: not looked at.
    pub audience: Option<String>,
    /// What a token without a `subscribe` claim may subscribe to. Default: nothing.
    pub default_subscribe: Rules,
    /// What a token without a `publish` claim may publish to. Default: nothing.
    pub default_publish: Rules,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            jwks: None,
            source: None,
            require_exp: true,
            leeway_s: 5,
            issuer: None,
            audience: None,
            default_subscribe: Rules::none(),
            default_publish: Rules::none(),
        }
    }
}

/// Why settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// The keys are not good.
    Keys(KeySetError),
    /// The leeway is longer than [`LEEWAY_S_MAX`]; it is this many seconds.
    Leeway(u64),
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(error) => error.fmt(f),
            Self::Leeway(seconds) => {
                write!(f, "the leeway is {seconds} s; at most {LEEWAY_S_MAX} s are allowed")
            }
        }
    }
}

impl std::error::Error for SettingsError {}

/// Accepts who brings a good token, with what the token says.
#[derive(Debug)]
pub struct JwtAuthoriser {
    keys: KeySet,
    settings: AuthSettings,
}

impl JwtAuthoriser {
    /// Checks the settings and takes them.
    ///
    /// # Errors
    /// [`SettingsError`], which shows nothing of a key.
    pub fn new(mut settings: AuthSettings) -> Result<Self, SettingsError> {
        if settings.leeway_s > LEEWAY_S_MAX {
            return Err(SettingsError::Leeway(settings.leeway_s));
        }
        let keys = std::mem::take(&mut settings.keys);
        let has_others = settings.jwks.is_some() || settings.source.is_some();
        let keys = match keys.is_empty() && has_others {
            true => KeySet::default(),
            false => KeySet::new(keys).map_err(SettingsError::Keys)?,
        };
        Ok(Self { keys, settings })
    }

    /// The claims of a token whose signature is good.
    fn verified(&self, token: &str, now: SystemTime) -> Result<Claims, Refusal> {
        let invalid = Refusal::Invalid;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(invalid("it is longer than 8 KiB"));
        }
        let mut parts = token.split('.');
        let (Some(head), Some(body), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid("it does not have the three parts of a signed JWT"));
        };
        let header: Header =
            object(head).ok_or(invalid("its header is not a JSON object with a string alg"))?;
        if header.alg.eq_ignore_ascii_case("none") {
            return Err(invalid("it is not signed (alg none)"));
        }
        if header.crit.is_some() {
            return Err(invalid("its header has crit, and no extension is known here"));
        }
        let algorithm =
            Algorithm::from_name(&header.alg).ok_or(invalid("its alg is not supported here"))?;
        let mut trial = Trial {
            algorithm,
            kid: header.kid.as_deref(),
            signed: &token.as_bytes()[..head.len() + 1 + body.len()],
            signature: URL_SAFE_NO_PAD.decode(signature).ok(),
            knows_kid: false,
            tried: 0,
        };
        let is_good = trial.fits_any(&self.keys)
            || self.settings.jwks.as_ref().is_some_and(|jwks| trial.fits_any(&jwks.keys));
        let source = self.settings.source.as_ref();
        let is_good = is_good
            || source.is_some_and(|source| {
                source.with(now, |keys| trial.fits_any(keys)).unwrap_or(false)
            });
        match is_good {
            true => object(body)
                .ok_or(invalid("its claims are not a JSON object, or one is given twice")),
            false => Err(trial.refusal(source.map(|source| source.is_ready(now)))),
        }
    }
}

/// A token's signature, held against one set of keys after the other. Only a key with the token's
/// `kid`, where it has one, and with exactly its algorithm is ever used.
struct Trial<'t> {
    algorithm: Algorithm,
    kid: Option<&'t str>,
    signed: &'t [u8],
    /// `None` if it is not base64url.
    signature: Option<Vec<u8>>,
    knows_kid: bool,
    tried: usize,
}

impl Trial<'_> {
    fn fits_any(&mut self, keys: &KeySet) -> bool {
        for key in keys.named(self.kid) {
            self.knows_kid = true;
            if key.algorithm() != self.algorithm {
                continue;
            }
            // A bad token must not cost more checks than this, over all sets.
            if self.tried == KEYS_MAX {
                return false;
            }
            self.tried += 1;
            let fits = |signature: &Vec<u8>| key.verify(self.signed, signature);
            if self.signature.as_ref().is_some_and(fits) {
                return true;
            }
        }
        false
    }

    /// Why none of them fits. `fetched` says whether keys that are fetched are there.
    fn refusal(&self, fetched: Option<bool>) -> Refusal {
        match (self.tried > 0, fetched) {
            (true, _) if self.signature.is_none() => {
                Refusal::Invalid("its signature is not base64url")
            }
            (true, None | Some(true)) => Refusal::Invalid("its signature does not fit"),
            (_, Some(false)) => Refusal::Unavailable,
            (false, _) if self.knows_kid => {
                Refusal::Invalid("its alg is not that of a key of this gateway")
            }
            (false, Some(true)) if self.kid.is_some() => Refusal::UnknownKey,
            (false, _) => Refusal::Invalid("its kid names no key of this gateway"),
        }
    }
}

impl Authoriser for JwtAuthoriser {
    fn authorise(&self, token: Option<&str>, now: SystemTime) -> Result<Grant, Refusal> {
        let claims = self.verified(token.ok_or(Refusal::Missing)?, now)?;
        claims::grant(claims, &self.settings, since_1970(now).as_secs())
    }

    fn refetched(&self) -> Answering<bool> {
        match &self.settings.source {
            Some(source) => source.refetch(),
            None => Box::pin(std::future::ready(false)),
        }
    }

    fn is_ready(&self, now: SystemTime) -> bool {
        self.settings.source.as_ref().is_none_or(|source| source.is_ready(now))
    }
}

/// The fields that matter. The others are skipped, `jwk`, `jku`, `x5u` and `x5c` among them.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default, deserialize_with = "claims::given")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "claims::given")]
    crit: Option<serde::de::IgnoredAny>,
}

/// A part of a token as a JSON object. Fields that are known and given twice are an error.
fn object<T: DeserializeOwned>(part: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    // Asked here because serde would also fill a struct from an array, by position.
    if !json.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    serde_json::from_str(str::from_utf8(&json).ok()?).ok()
}
