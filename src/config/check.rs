//! From what was typed to what is used: the one step that can fail for what a value means.

use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::Places;
use super::access;
use super::environment::Environment;
use super::error::{ConfigError, Place};
use super::hooks;
use super::jwks;
use super::listeners;
use super::raw::{Raw, RawDeflate, RawDrain, RawHttp, RawHub, RawMessages};
use super::rules;
use super::secrets::{self, Files};
use super::settings::{DrainSettings, LogFormat, LogSettings, Settings, per_address_exempt};
use super::traces;
use crate::auth::origin::OriginList;
use crate::auth::token::COOKIE_NAME;
use crate::base::limits::{
    DeflateSettings, HttpLimits, HubLimits, MessageLimits, SlowConsumerPolicy,
};
use crate::base::network::{Network, NotANetwork};
use crate::http::TrustedProxies;

/// The longest name of a cookie, in bytes: browsers bound name and value together at 4 KiB.
const COOKIE_NAME_BYTES_MAX: usize = 128;

/// Log lines that wait to be written: seconds' worth of a busy log, and some 200 KiB.
const LOG_LINES_MAX: usize = 1_024;

/// Checks the values one by one, then against each other.
pub(crate) fn settings(
    raw: Raw,
    places: &Places,
    environment: &dyn Environment,
) -> Result<Settings, ConfigError> {
    let files = Files { places, environment };
    let listeners = listeners::listeners(raw.listen.as_deref(), raw.listeners, places)?;
    let reached = listeners::reached(&listeners, places);
    let insecure = raw.insecure.unwrap_or(false);
    let api = secrets::api(raw.api, &files)?;
    let admin = secrets::admin(raw.admin, &files)?;
    let auth_cookie = cookie(raw.auth.cookie.as_deref(), places)?;
    let hooks = hooks::hooks(raw.hooks, &files)?;
    let jwks = jwks::of_url(&raw.auth, places)?;
    let auth = secrets::auth(raw.auth, &files)?;
    let open_mode = access::decide(access::Asked {
        reached: reached.as_ref().map(|(listener, _)| listener.address.to_string()),
        place: reached.map_or_else(|| places.of("listen"), |(_, place)| place),
        insecure,
        has_api_keys: api.keys_count > 0,
        has_auth_keys: auth.is_some() || hooks.connect_url.is_some(),
    })?;
    let allow = raw.origins.allow.unwrap_or_default();
    let origins = OriginList::new(&allow).map_err(|error| {
        ConfigError::new(places.of_item("origins.allow", error.index), error.to_string())
    })?;
    let settings = Settings {
        listeners,
        open_mode,
        insecure,
        api,
        admin,
        auth,
        jwks,
        auth_cookie,
        origins,
        hub: hub(raw.hub, &raw.deflate, environment.cores()),
        channels: rules::channels(raw.channels.rules.unwrap_or_default(), &hooks, places)?,
        hooks,
        messages: messages(&raw.messages),
        http: http(&raw.http),
        trusted_proxies: trusted_proxies(raw.http.trusted_proxies, places)?,
        tls_reload_interval_ms: raw.tls.reload_interval_ms.unwrap_or(5_000),
        per_address_exempt: exempt(raw.http.per_address_exempt, places)?,
        drain: drain(&raw.drain),
        log: LogSettings {
            format: match raw.log.format.as_deref() {
                Some("json") => LogFormat::Json,
                _ => LogFormat::Text,
            },
            filter: filter(raw.log.filter, places)?,
            queue_lines_max: raw.log.queue_lines_max.unwrap_or(LOG_LINES_MAX),
        },
        traces: traces::traces(raw.traces, places)?,
    };
    bounds(&settings, places)?;
    Ok(settings)
}

fn cookie(typed: Option<&str>, places: &Places) -> Result<String, ConfigError> {
    let name = typed.unwrap_or(COOKIE_NAME);
    // RFC 6265 section 4.1.1: the name is a token of RFC 2616.
    let is_token =
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    if name.is_empty() || name.len() > COOKIE_NAME_BYTES_MAX || !is_token {
        return Err(ConfigError::new(
            places.of("auth.cookie"),
            "auth.cookie is not the name of a cookie; use up to 128 letters, digits, _ and -",
        ));
    }
    Ok(name.into())
}

fn filter(typed: Option<String>, places: &Places) -> Result<String, ConfigError> {
    let filter = typed.unwrap_or_else(|| "info".into());
    match EnvFilter::try_new(&filter) {
        Ok(_) => Ok(filter),
        Err(_) => Err(ConfigError::new(
            places.of("log.filter"),
            "log.filter is not a filter; write a level, and others for parts of the program: \
             info,fanfare::http=debug",
        )),
    }
}

fn hub(raw: RawHub, raw_deflate: &RawDeflate, cores: usize) -> HubLimits {
    let default = HubLimits::default();
    HubLimits {
        lanes: raw.lanes.unwrap_or(cores.clamp(1, 1_024)),
        sessions_max: raw.sessions_max.unwrap_or(default.sessions_max),
        sessions_per_user_max: raw.sessions_per_user_max.unwrap_or(default.sessions_per_user_max),
        channels_max: raw.channels_max.unwrap_or(default.channels_max),
        subscriptions_per_session_max: raw
            .subscriptions_per_session_max
            .unwrap_or(default.subscriptions_per_session_max),
        subscribers_per_channel_max: raw
            .subscribers_per_channel_max
            .unwrap_or(default.subscribers_per_channel_max),
        publishes_per_session_per_s_max: raw
            .publishes_per_session_per_s_max
            .unwrap_or(default.publishes_per_session_per_s_max),
        publications_pending_max: raw
            .publications_pending_max
            .unwrap_or(default.publications_pending_max),
        publication_bytes_pending_max: raw
            .publication_bytes_pending_max
            .unwrap_or(default.publication_bytes_pending_max),
        outbox_bytes_max: raw.outbox_bytes_max.unwrap_or(default.outbox_bytes_max),
        outbox_frames_max: raw.outbox_frames_max.unwrap_or(default.outbox_frames_max),
        outbox_age_max_ms: raw.outbox_age_max_ms.unwrap_or(default.outbox_age_max_ms),
        slow_consumer_policy: raw
            .slow_consumer_policy
            .as_deref()
            .and_then(SlowConsumerPolicy::from_name)
            .unwrap_or(default.slow_consumer_policy),
        close_timeout_ms: raw.close_timeout_ms.unwrap_or(default.close_timeout_ms),
        ping_interval_ms: raw.ping_interval_ms.unwrap_or(default.ping_interval_ms),
        pong_timeout_ms: raw.pong_timeout_ms.unwrap_or(default.pong_timeout_ms),
        frame_timeout_ms: raw.frame_timeout_ms.unwrap_or(default.frame_timeout_ms),
        writes_per_turn: raw.writes_per_turn.unwrap_or(default.writes_per_turn),
        pass_bytes_max: raw.pass_bytes_max.unwrap_or(default.pass_bytes_max),
        memory_bytes_max: raw.memory_bytes_max.unwrap_or(default.memory_bytes_max),
        history_bytes_max: raw.history_bytes_max.unwrap_or(default.history_bytes_max),
        idempotency_keys_max: raw.idempotency_keys_max.unwrap_or(default.idempotency_keys_max),
        deflate: deflate(raw_deflate),
    }
}

fn deflate(raw: &RawDeflate) -> DeflateSettings {
    let default = DeflateSettings::default();
    DeflateSettings {
        enabled: raw.enabled.unwrap_or(default.enabled),
        min_bytes: raw.min_bytes.unwrap_or(default.min_bytes),
        max_bytes: raw.max_bytes.unwrap_or(default.max_bytes),
        level: raw.level.unwrap_or(default.level),
    }
}

fn drain(raw: &RawDrain) -> DrainSettings {
    let default = DrainSettings::default();
    let or = |ms: Option<u64>, default| ms.map_or(default, Duration::from_millis);
    DrainSettings {
        ready_wait: or(raw.ready_wait_ms, default.ready_wait),
        window: or(raw.window_ms, default.window),
        timeout: or(raw.timeout_ms, default.timeout),
    }
}

fn messages(raw: &RawMessages) -> MessageLimits {
    let default = MessageLimits::default();
    MessageLimits {
        message_bytes_max: raw.message_bytes_max.unwrap_or(default.message_bytes_max),
        fragments_max: raw.fragments_max.unwrap_or(default.fragments_max),
        control_frames_per_10s_max: raw
            .control_frames_per_10s_max
            .unwrap_or(default.control_frames_per_10s_max),
    }
}

fn http(raw: &RawHttp) -> HttpLimits {
    let default = HttpLimits::default();
    HttpLimits {
        header_bytes_max: raw.header_bytes_max.unwrap_or(default.header_bytes_max),
        headers_max: raw.headers_max.unwrap_or(default.headers_max),
        handshake_timeout_ms: raw.handshake_timeout_ms.unwrap_or(default.handshake_timeout_ms),
        body_bytes_max: raw.body_bytes_max.unwrap_or(default.body_bytes_max),
        batch_items_max: raw.batch_items_max.unwrap_or(default.batch_items_max),
        connections_max: raw.connections_max.unwrap_or(default.connections_max),
        connections_per_address_max: raw
            .connections_per_address_max
            .unwrap_or(default.connections_per_address_max),
        connects_per_address_per_s_max: raw
            .connects_per_address_per_s_max
            .unwrap_or(default.connects_per_address_per_s_max),
        handshakes_max: raw.handshakes_max.unwrap_or(default.handshakes_max),
        handshakes_wait_max_ms: raw
            .handshakes_wait_max_ms
            .unwrap_or(default.handshakes_wait_max_ms),
        handshakes_lag_max_ms: raw.handshakes_lag_max_ms.unwrap_or(default.handshakes_lag_max_ms),
        send_buffer_bytes: raw.send_buffer_bytes.unwrap_or(default.send_buffer_bytes),
        unsent_bytes_max: raw.unsent_bytes_max.unwrap_or(default.unsent_bytes_max),
        tcp_user_timeout_ms: raw.tcp_user_timeout_ms.unwrap_or(default.tcp_user_timeout_ms),
    }
}

fn exempt(typed: Option<Vec<String>>, places: &Places) -> Result<Vec<Network>, ConfigError> {
    let Some(typed) = typed else { return Ok(per_address_exempt()) };
    let path = "http.per_address_exempt";
    typed.iter().enumerate().map(|(at, text)| network(path, at, text, places)).collect()
}

fn trusted_proxies(
    typed: Option<Vec<String>>,
    places: &Places,
) -> Result<TrustedProxies, ConfigError> {
    let mut trusted = TrustedProxies::default();
    for (at, text) in typed.unwrap_or_default().iter().enumerate() {
        match text.as_str() {
            "unix" => trusted.local = true,
            text => {
                trusted.networks.push(network("http.trusted_proxies", at, text, places)?);
            }
        }
    }
    Ok(trusted)
}

fn network(path: &str, at: usize, text: &str, places: &Places) -> Result<Network, ConfigError> {
    text.parse().map_err(|error: NotANetwork| {
        ConfigError::new(places.of_item(path, at), format!("{path}[{at}] is {error}"))
    })
}

/// Bounds that only make sense together: the largest message must fit wherever it waits.
fn bounds(settings: &Settings, places: &Places) -> Result<(), ConfigError> {
    let message_bytes_max = settings.messages.message_bytes_max;
    for (path, bytes) in [
        ("hub.outbox_bytes_max", settings.hub.outbox_bytes_max),
        ("hub.publication_bytes_pending_max", settings.hub.publication_bytes_pending_max),
    ] {
        if bytes < message_bytes_max {
            let message = places.of("messages.message_bytes_max");
            let place = places.of(path);
            return Err(ConfigError::new(
                if place == Place::Default { message } else { place },
                format!(
                    "{path} is {bytes}, and the largest message ({message_bytes_max} bytes) would \
                     not fit; raise it to at least {message_bytes_max}, or lower \
                     messages.message_bytes_max"
                ),
            ));
        }
    }
    Ok(())
}
