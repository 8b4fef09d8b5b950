//! Floor 1: HTTP requests that the gateway makes itself, for keys and to the application.
//!
//! A thin shell around hyper that leaves nothing unbounded:
//!
//! | bound | on |
//! |---|---|
//! | [`FetchLimits::connect_timeout`] | the TCP connection, over all addresses of a name |
//! | [`FetchLimits::timeout`] | everything: name, connection, TLS, request, head and body of the answer |
//! | [`FetchLimits::body_bytes_max`] | the body of the answer, whatever its head declares |
//! | [`FetchLimits::in_flight_max`] | requests at once; one more is refused and does not wait |
//! | [`HEAD_BYTES_MAX`], [`HEADERS_MAX`] | the head of the answer |
//!
//! A redirect is an answer like any other and never followed: where keys come from, and who is told
//! what users do, is for the configuration to say and not for whoever answers. TLS 1.2 and 1.3,
//! HTTP/1.1; the authorities are those of the machine, or those of one file.
//!
//! No error here repeats a body, a header or the query of an address.

pub(crate) mod tls;
mod url;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;

pub use tls::TlsError;
pub use url::{Url, UrlError};

/// Bytes of the head of an answer.
pub const HEAD_BYTES_MAX: usize = 16 << 10;

/// Headers of an answer.
pub const HEADERS_MAX: usize = 100;

/// Connections that are kept for the next request, and how long.
const IDLE_MAX: usize = 16;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The bounds of a [`Client`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// How long a TCP connection may take.
    pub connect_timeout: Duration,
    /// How long a request may take in all.
    pub timeout: Duration,
    /// Bytes of the body of an answer.
    pub body_bytes_max: usize,
    /// Requests at once.
    pub in_flight_max: usize,
    /// The authorities that servers need a certificate of, in PEM; without it those of the machine.
    pub ca_file: Option<PathBuf>,
}

/// Sends requests, and keeps a few connections for the next ones.
pub struct Client {
    inner: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    places: Semaphore,
    limits: FetchLimits,
}

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

impl Client {
    /// A client with these bounds. Reads the files of the authorities.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(limits: FetchLimits) -> Result<Self, TlsError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(limits.connect_timeout));
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::config(limits.ca_file.as_deref())?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX.min(limits.in_flight_max))
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .http1_max_headers(HEADERS_MAX)
            .build(connector);
        Ok(Self { inner, places: Semaphore::new(limits.in_flight_max), limits })
    }

    /// Sends a request, whose address is a [`Url`]'s, and reads the whole answer.
    ///
    /// Cancel safe in that nothing is left behind: dropped, it closes its connection. Whether the
    /// server has acted is not known then.
    ///
    /// # Errors
    /// [`FetchError`]. An answer with any status is none.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Reply, FetchError> {
        let Ok(_place) = self.places.try_acquire() else { return Err(FetchError::Busy) };
        let answered = tokio::time::timeout(self.limits.timeout, self.exchange(request)).await;
        answered.unwrap_or(Err(FetchError::Timeout(self.limits.timeout)))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply, FetchError> {
        let answer = self.inner.request(request).await.map_err(FetchError::of)?;
        let (head, body) = answer.into_parts();
        let bytes_max = self.limits.body_bytes_max;
        let body =
            Limited::new(body, bytes_max).collect().await.map_err(|error| match error
                .downcast_ref::<LengthLimitError>(
            ) {
                Some(_) => FetchError::TooBig(bytes_max),
                None => FetchError::Failed(sources(&*error)),
            })?;
        Ok(Reply { status: head.status, headers: head.headers, body: body.to_bytes() })
    }

    /// Requests on their way now.
    pub fn in_flight(&self) -> usize {
        self.limits.in_flight_max - self.places.available_permits()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchError {
    /// As many requests are on their way as there may be.
    Busy,
    /// It took longer than this.
    Timeout(Duration),
    /// No connection, with the reason.
    Connect(String),
    /// The body is longer than this many bytes.
    TooBig(usize),
    /// The connection broke, or what came was no HTTP.
    Failed(String),
}

impl FetchError {
    fn of(error: legacy::Error) -> Self {
        match error.is_connect() {
            true => Self::Connect(sources(&error)),
            false => Self::Failed(sources(&error)),
        }
    }
}

/// An error and what it came from: hyper's own text alone says little.
fn sources(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("as many requests are on their way as there may be"),
            Self::Timeout(after) => write!(f, "no whole answer within {} ms", after.as_millis()),
            Self::Connect(why) => write!(f, "no connection: {why}"),
            Self::TooBig(bytes) => write!(f, "the answer has more than {bytes} bytes"),
            Self::Failed(why) => write!(f, "the request failed: {why}"),
        }
    }
}

impl std::error::Error for FetchError {}

#[cfg(test)]
mod tests;
