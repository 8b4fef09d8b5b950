//! `hooks`: how the application is asked and told.

use std::time::Duration;

use http::HeaderName;

use super::Places;
use super::error::ConfigError;
use super::jwks::url;
use super::keys::EVENTS;
use super::raw::RawHooks;
use super::secrets::Files;
use crate::hooks::{EventKind, HookSettings, SigningSecret};

/// Headers that are passed on.
const HEADERS_MAX: usize = 32;

pub(crate) fn hooks(raw: RawHooks, files: &Files<'_>) -> Result<HookSettings, ConfigError> {
    let places = files.places;
    let default = HookSettings::default();
    let ms = |typed: Option<u64>, default| typed.map_or(default, Duration::from_millis);
    let ca_file = raw.ca_file.as_deref();
    let settings = HookSettings {
        connect_url: url("hooks.connect_url", raw.connect_url.as_deref(), places)?,
        subscribe_url: url("hooks.subscribe_url", raw.subscribe_url.as_deref(), places)?,
        publish_url: url("hooks.publish_url", raw.publish_url.as_deref(), places)?,
        events_url: url("hooks.events_url", raw.events_url.as_deref(), places)?,
        headers: raw.headers.map_or(Ok(default.headers), |names| headers(&names, places))?,
        ca_file: ca_file.map(|path| places.of("hooks.ca_file").resolve(path)),
        timeout: ms(raw.timeout_ms, default.timeout),
        response_bytes_max: raw.response_bytes_max.unwrap_or(default.response_bytes_max),
        in_flight_max: raw.in_flight_max.unwrap_or(default.in_flight_max),
        failures_max: raw.failures_max.unwrap_or(default.failures_max),
        pause: ms(raw.pause_ms, default.pause),
        events: raw.events.as_deref().map_or(Ok(default.events), |names| events(names, places))?,
        events_queue_max: raw.events_queue_max.unwrap_or(default.events_queue_max),
        events_batch_max: raw.events_batch_max.unwrap_or(default.events_batch_max),
        events_delay_max: ms(raw.events_delay_max_ms, default.events_delay_max),
        events_retry_max: ms(raw.events_retry_max_ms, default.events_retry_max),
        secret: secret(raw.secret.as_ref().map(|secret| secret.expose()), raw.secret_file, files)?,
    };
    if settings.secret.is_none() && settings.urls().next().is_some() {
        let given =
            ["connect", "subscribe", "publish", "events"].map(|hook| format!("hooks.{hook}_url"));
        let place = given.iter().map(|path| places.of(path)).find(|place| !place.is_default());
        return Err(ConfigError::key(
            place.unwrap_or_default(),
            "requests to the application are signed, and there is no secret; make one for both sides \
             with: export FANFARE_HOOKS_SECRET=$(openssl rand -hex 32)",
        ));
    }
    Ok(settings)
}

fn secret(
    typed: Option<&str>,
    file: Option<String>,
    files: &Files<'_>,
) -> Result<Option<SigningSecret>, ConfigError> {
    let (key, text) = match (typed, file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            let place = files.places.of("hooks.secret_file");
            let what = "there are hooks.secret and hooks.secret_file; keep one of them";
            return Err(ConfigError::new(place, what));
        }
        (Some(text), None) => ("hooks.secret", text.to_owned()),
        (None, Some(path)) => {
            let key = "hooks.secret_file";
            (key, files.read(key, &path, &files.places.of(key))?)
        }
    };
    let bytes = text.trim_end_matches(['\r', '\n']).as_bytes();
    SigningSecret::new(bytes).map(Some).ok_or_else(|| {
        let what = format!(
            "{key}: the secret has {} bytes; at least 32 are needed; make one with: openssl rand -hex 32",
            bytes.len()
        );
        ConfigError::key(files.places.of(key), what)
    })
}

fn headers(names: &[String], places: &Places) -> Result<Vec<HeaderName>, ConfigError> {
    let path = "hooks.headers";
    let parse = |(at, name): (usize, &String)| {
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            let what = format!("{path}[{at}] is not the name of a header; correct it");
            ConfigError::new(places.of_item(path, at), what)
        })
    };
    if names.len() > HEADERS_MAX {
        let what = format!("{path} takes at most {HEADERS_MAX} names; remove some");
        return Err(ConfigError::new(places.of(path), what));
    }
    names.iter().enumerate().map(parse).collect()
}

fn events(names: &[String], places: &Places) -> Result<Vec<EventKind>, ConfigError> {
    let path = "hooks.events";
    let parse = |(at, name): (usize, &String)| {
        let known = EventKind::ALL.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| {
            let what = format!("{path}[{at}] is none of {}; correct it", EVENTS.join(", "));
            ConfigError::new(places.of_item(path, at), what)
        })
    };
    names.iter().enumerate().map(parse).collect()
}
