//! Makes tokens: for trying a gateway out, for tests and for small applications without a library
//! of their own.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::jwt::{PATTERN_BYTES_MAX, PATTERNS_MAX, TOKEN_BYTES_MAX};
use super::keys::SigningKey;
use crate::base::ids::UserId;

/// What a token is to say; see [`jwt`](super::jwt) for what each claim means. What is `None` is
/// left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenClaims {
    /// `sub`.
    pub user: Option<UserId>,
    /// `exp`, in seconds since the Unix epoch.
    pub expires_unix_s: Option<u64>,
    /// `nbf`, in seconds since the Unix epoch.
    pub not_before_unix_s: Option<u64>,
    /// `iss`.
    pub issuer: Option<String>,
    /// `aud`.
    pub audience: Option<String>,
    /// `subscribe`: `Some` of nothing allows nothing, `None` leaves it to the gateway's default.
    pub subscribe: Option<Vec<String>>,
    /// `publish`, likewise.
    pub publish: Option<Vec<String>>,
}

/// Why no token was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MintError {
    /// More patterns than a gateway takes, or a longer one.
    Patterns,
    /// The token has this many bytes, more than a gateway takes.
    TooLong(usize),
    /// The key does not sign.
    Signing,
}

impl fmt::Display for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Patterns => write!(
                f,
                "too many channel patterns or too long ones: at most {PATTERNS_MAX} of at most \
                 {PATTERN_BYTES_MAX} bytes; a pattern like news.* covers many channels"
            ),
            Self::TooLong(bytes) => write!(
                f,
                "the token would have {bytes} bytes; at most {TOKEN_BYTES_MAX} are accepted"
            ),
            Self::Signing => f.write_str("the key does not sign; is it damaged?"),
        }
    }
}

impl std::error::Error for MintError {}

/// Makes a token and signs it with the key's algorithm.
///
/// # Errors
/// [`MintError`]: what no gateway would accept is not made.
pub fn mint(key: &SigningKey, claims: &TokenClaims) -> Result<String, MintError> {
    for patterns in [&claims.subscribe, &claims.publish].into_iter().flatten() {
        let long = patterns.iter().any(|pattern| pattern.len() > PATTERN_BYTES_MAX);
        if long || patterns.len() > PATTERNS_MAX {
            return Err(MintError::Patterns);
        }
    }
    let mut header = Map::new();
    header.insert("alg".into(), key.algorithm().name().into());
    header.insert("typ".into(), "JWT".into());
    if let Some(kid) = key.kid() {
        header.insert("kid".into(), kid.into());
    }
    let mut token = URL_SAFE_NO_PAD.encode(Value::Object(header).to_string());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims.to_json().to_string(), &mut token);
    let signature = key.sign(token.as_bytes()).ok_or(MintError::Signing)?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    if token.len() > TOKEN_BYTES_MAX { Err(MintError::TooLong(token.len())) } else { Ok(token) }
}

impl TokenClaims {
    fn to_json(&self) -> Value {
        let mut json = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                json.insert(name.into(), value);
            }
        };
        put("sub", self.user.as_ref().map(|user| user.as_str().into()));
        put("exp", self.expires_unix_s.map(Value::from));
        put("nbf", self.not_before_unix_s.map(Value::from));
        put("iss", self.issuer.clone().map(Value::from));
        put("aud", self.audience.clone().map(Value::from));
        put("subscribe", self.subscribe.clone().map(Value::from));
        put("publish", self.publish.clone().map(Value::from));
        Value::Object(json)
    }
}
