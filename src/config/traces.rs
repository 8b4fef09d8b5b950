//! Where sampled publications are exported to: the section `traces`.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};

use super::Places;
use super::error::ConfigError;
use super::jwks;
use super::raw::RawTraces;
use crate::base::trace::TraceOptions;
use crate::fetch::{FetchLimits, Url};

/// What is sampled, and where it goes. `Debug` shows no header.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// Where spans are posted. Without it there are none.
    pub url: Option<Url>,
    /// Headers of each request, marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What is sampled, and how much of it is kept.
    pub options: TraceOptions,
    /// The name of the service that spans are of.
    pub service_name: String,
    /// Whether spans name the channel.
    pub channel_names: bool,
    /// The bounds of a request.
    pub limits: FetchLimits,
}

impl Default for TraceSettings {
    fn default() -> Self {
        let timeout = Duration::from_secs(5);
        Self {
            url: None,
            headers: Vec::new(),
            options: TraceOptions {
                sample_per_million: 1_000,
                sampled_per_s_max: 100,
                queue_spans_max: 8_192,
            },
            service_name: "fanfare".into(),
            channel_names: true,
            limits: FetchLimits {
                connect_timeout: timeout,
                timeout,
                body_bytes_max: 64 << 10,
                in_flight_max: 1,
                ca_file: None,
            },
        }
    }
}

/// From what was typed.
pub(crate) fn traces(raw: RawTraces, places: &Places) -> Result<TraceSettings, ConfigError> {
    let default = TraceSettings::default();
    let url = jwks::url("traces.otlp_url", raw.otlp_url.as_deref(), places)?;
    if url.as_ref().is_some_and(|url| url.uri().path() == "/") {
        return Err(ConfigError::new(
            places.of("traces.otlp_url"),
            "traces.otlp_url has no path; most collectors take traces at /v1/traces, as in \
             http://127.0.0.1:4318/v1/traces",
        ));
    }
    let timeout = raw.timeout_ms.map_or(default.limits.timeout, Duration::from_millis);
    let ca_file = raw.ca_file.as_deref();
    let typed = raw.headers.unwrap_or_default();
    let headers = typed.iter().enumerate().map(|(at, line)| header(at, line.expose(), places));
    Ok(TraceSettings {
        url,
        headers: headers.collect::<Result<_, _>>()?,
        options: TraceOptions {
            sample_per_million: raw
                .sample_per_million
                .unwrap_or(default.options.sample_per_million),
            sampled_per_s_max: raw.sampled_per_s_max.unwrap_or(default.options.sampled_per_s_max),
            queue_spans_max: raw.queue_spans_max.unwrap_or(default.options.queue_spans_max),
        },
        service_name: raw.service_name.unwrap_or(default.service_name),
        channel_names: raw.channel_names.unwrap_or(default.channel_names),
        limits: FetchLimits {
            connect_timeout: timeout,
            timeout,
            ca_file: ca_file.map(|path| places.of("traces.ca_file").resolve(path)),
            ..default.limits
        },
    })
}

fn header(
    at: usize,
    line: &str,
    places: &Places,
) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let parse = || {
        let (name, value) = line.split_once(':')?;
        let mut value: HeaderValue = value.trim().parse().ok()?;
        value.set_sensitive(true);
        Some((name.trim().parse().ok()?, value))
    };
    parse().ok_or_else(|| {
        ConfigError::new(
            places.of_item("traces.headers", at),
            format!(
                "traces.headers[{at}] is no header; write one like \"Authorization: Bearer ...\""
            ),
        )
    })
}
