//! From the claims of a verified token to a grant.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::jwt::{AuthSettings, PATTERN_BYTES_MAX, PATTERNS_MAX};
use crate::base::access::{Grant, Info, Refusal, Rules};
use crate::base::ids::UserId;

/// The last second of the year 9999. A later date was meant in milliseconds, and would make a
/// token that never expires of one that should live for a minute.
const DATE_S_MAX: u64 = 253_402_300_799;

/// The claims that matter, of any type: what is given in another type than it must have is an
/// error and not an absent claim.
#[derive(Deserialize)]
pub(super) struct Claims {
    #[serde(default, deserialize_with = "given")]
    exp: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    nbf: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    iss: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    aud: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    sub: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    subscribe: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    publish: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    info: Option<Value>,
}

/// Keeps a field that is `null` apart from one that is not there, which `Option` does not.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// What `claims` allow at `now_s`, in seconds since the Unix epoch.
pub(super) fn grant(claims: Claims, settings: &AuthSettings, now_s: u64) -> Result<Grant, Refusal> {
    let expires_unix_s = match &claims.exp {
        None if settings.require_exp => return invalid("it has no exp"),
        None => None,
        Some(exp) => match date_s(exp) {
            None => return invalid("its exp is not a number of seconds since 1970"),
            Some(exp_s) if exp_s > DATE_S_MAX => {
                return invalid("its exp is after the year 9999; it counts seconds");
            }
            Some(exp_s) if exp_s <= now_s => return Err(Refusal::Expired),
            Some(exp_s) => Some(exp_s),
        },
    };
    if let Some(nbf) = &claims.nbf {
        match date_s(nbf) {
            None => return invalid("its nbf is not a number of seconds since 1970"),
            Some(nbf_s) if nbf_s > now_s.saturating_add(settings.leeway_s) => {
                return invalid("it is not valid yet (nbf)");
            }
            Some(_) => {}
        }
    }
    check_iss(claims.iss.as_ref(), settings.issuer.as_deref()).or_else(invalid)?;
    check_aud(claims.aud.as_ref(), settings.audience.as_deref()).or_else(invalid)?;
    Ok(Grant {
        user: claims.sub.as_ref().map(user).transpose().or_else(invalid)?,
        info: claims.info.as_ref().map(info).transpose().or_else(invalid)?,
        expires_unix_s,
        subscribe: match &claims.subscribe {
            None => settings.default_subscribe.clone(),
            Some(patterns) => rules(patterns)
                .ok_or(Refusal::Invalid("its subscribe is not up to 128 strings of 200 bytes"))?,
        },
        publish: match &claims.publish {
            None => settings.default_publish.clone(),
            Some(patterns) => rules(patterns)
                .ok_or(Refusal::Invalid("its publish is not up to 128 strings of 200 bytes"))?,
        },
    })
}

fn invalid<T>(what: &'static str) -> Result<T, Refusal> {
    Err(Refusal::Invalid(what))
}

/// A NumericDate (RFC 7519 section 2), cut to whole seconds.
fn date_s(value: &Value) -> Option<u64> {
    let number = value.as_number()?;
    number.as_u64().or_else(|| {
        let seconds = number.as_f64().filter(|seconds| *seconds >= 0.0)?;
        // Saturates; what is that late is refused by its size.
        Some(seconds as u64)
    })
}

fn check_iss(iss: Option<&Value>, wanted: Option<&str>) -> Result<(), &'static str> {
    match (wanted, iss.map(Value::as_str)) {
        (_, Some(None)) => Err("its iss is not a string"),
        (None, _) => Ok(()),
        (Some(wanted), Some(Some(iss))) if iss == wanted => Ok(()),
        (Some(_), Some(_)) => Err("its iss is not the issuer that is trusted here"),
        (Some(_), None) => Err("it has no iss"),
    }
}

fn check_aud(aud: Option<&Value>, wanted: Option<&str>) -> Result<(), &'static str> {
    let audiences = match aud {
        None if wanted.is_some() => return Err("it has no aud"),
        None => return Ok(()),
        Some(Value::Array(audiences)) => audiences.as_slice(),
        Some(audience) => std::slice::from_ref(audience),
    };
    if !audiences.iter().all(Value::is_string) {
        return Err("its aud is neither a string nor an array of strings");
    }
    match wanted {
        Some(wanted) if !audiences.iter().any(|aud| aud == wanted) => {
            Err("its aud does not name this gateway")
        }
        _ => Ok(()),
    }
}

fn user(sub: &Value) -> Result<UserId, &'static str> {
    match sub {
        Value::String(sub) => UserId::new(sub)
            .map_err(|_| "its sub must have 1 to 128 bytes without control characters"),
        Value::Number(_) => Err("its sub is a number; write it as a string"),
        _ => Err("its sub is not a string"),
    }
}

fn info(info: &Value) -> Result<Arc<Info>, &'static str> {
    Info::new(info).map(Arc::new).ok_or("its info has more than 1,024 bytes")
}

fn rules(patterns: &Value) -> Option<Rules> {
    let patterns = patterns.as_array().filter(|patterns| patterns.len() <= PATTERNS_MAX)?;
    let short = |pattern: &&str| pattern.len() <= PATTERN_BYTES_MAX;
    let patterns: Option<Vec<&str>> =
        patterns.iter().map(|pattern| pattern.as_str().filter(short)).collect();
    patterns.map(Rules::from_patterns)
}
