//! Sets of keys: `auth.jwks_file` and `auth.jwks_url`.

use std::sync::Arc;
use std::time::Duration;

use super::Places;
use super::error::ConfigError;
use super::raw::RawAuth;
use super::secrets::Files;
use super::settings::JwksSettings;
use crate::auth::jwks::{self, Jwks, JwksOrigin};
use crate::fetch::{FetchLimits, Url};

/// The set of a file.
pub(crate) fn of_file(
    path: Option<&str>,
    files: &Files<'_>,
) -> Result<Option<Arc<Jwks>>, ConfigError> {
    let Some(path) = path else { return Ok(None) };
    let key = "auth.jwks_file";
    let place = files.places.of(key);
    let text = files.read(key, path, &place)?;
    let jwks = jwks::parse(text.as_bytes(), JwksOrigin::File)
        .map_err(|error| ConfigError::key(place.clone(), format!("{key}: {error}")))?;
    if jwks.keys.is_empty() {
        let why = jwks.skipped.first().map_or_else(|| "it is empty".into(), ToString::to_string);
        let what = format!("{key}: there is no key in it that can be used: {why}");
        return Err(ConfigError::key(place, what));
    }
    Ok(Some(Arc::new(jwks)))
}

/// How the set of an address is fetched.
pub(crate) fn of_url(raw: &RawAuth, places: &Places) -> Result<JwksSettings, ConfigError> {
    let default = JwksSettings::default();
    let ms = |typed: Option<u64>, default| typed.map_or(default, Duration::from_millis);
    let refresh_interval = ms(raw.jwks_refresh_interval_ms, default.refresh_interval);
    let stale_max = ms(raw.jwks_stale_max_ms, default.stale_max);
    let timeout = ms(raw.jwks_timeout_ms, default.limits.timeout);
    let url = url("auth.jwks_url", raw.jwks_url.as_deref(), places)?;
    if url.is_some() && stale_max < refresh_interval {
        return Err(ConfigError::new(
            places.of("auth.jwks_stale_max_ms"),
            "auth.jwks_stale_max_ms is less than auth.jwks_refresh_interval_ms, so keys would end \
             before they are fetched again; raise it, or fetch more often",
        ));
    }
    let ca_file = raw.jwks_ca_file.as_deref();
    Ok(JwksSettings {
        url,
        refresh_interval,
        refresh_min: ms(raw.jwks_refresh_min_ms, default.refresh_min),
        stale_max,
        limits: FetchLimits {
            connect_timeout: timeout,
            timeout,
            body_bytes_max: raw.jwks_bytes_max.unwrap_or(default.limits.body_bytes_max),
            ca_file: ca_file.map(|path| places.of("auth.jwks_ca_file").resolve(path)),
            ..default.limits
        },
    })
}

/// An address at this key.
pub(crate) fn url(
    key: &str,
    typed: Option<&str>,
    places: &Places,
) -> Result<Option<Url>, ConfigError> {
    let parse = |text: &str| {
        text.parse().map_err(|error| ConfigError::new(places.of(key), format!("{key} {error}")))
    };
    typed.map(parse).transpose()
}
