//! From an HTTP request to a session.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Empty, Full};

use super::accepted::{Accepted, Switch};
use super::dispatch::{Dialect, subscribed};
use super::head::Head;
use super::rate::PublishRate;
use super::reader::Connection;
use super::{silent, socket};
use crate::base::access::{Authoriser, Grant};
use crate::base::disconnect::Disconnect;
use crate::base::ids::ChannelName;
use crate::base::limits::{HubLimits, MessageLimits};
use crate::base::retry::retry_after_s;
use crate::frame::{self, Deflate, Handshake, HandshakeError};
use crate::hub::{Hub, OpenError, SessionOptions, SubscribeError};
use crate::protocol::{Form, WireFormat};

/// How long the HTTP side may take to hand over the socket once it has the answer. The answer is
/// written by then or never: 101 is under 200 bytes.
pub(super) const HAND_OVER: Duration = Duration::from_secs(5);

/// The longest subprotocol that is selected, in bytes.
const PROTOCOL_BYTES_MAX: usize = 1_024;

/// What a connection holds for as long as it lives, whatever it becomes: a place among those that one
/// address may have, say. As an extension of a request it goes over to the session ([`upgrade`]).
#[derive(Clone, Debug)]
pub struct Permit {
    _what: Arc<dyn Any + Send + Sync>,
}

impl Permit {
    /// Holds this; it is dropped with the last clone.
    pub fn new(what: impl Any + Send + Sync) -> Self {
        Self { _what: Arc::new(what) }
    }
}

/// How an upgrade is accepted, once the caller has decided that it is.
#[derive(Clone, Debug)]
pub struct Accept {
    grant: Grant,
    channels: Vec<ChannelName>,
    format: WireFormat,
    echo: bool,
    peer: Option<SocketAddr>,
    limits: MessageLimits,
    authoriser: Option<Arc<dyn Authoriser>>,
    protocol: Option<HeaderValue>,
    send_buffer_bytes: Option<usize>,
    deflate: bool,
    closing: Option<Disconnect>,
}

/// Each is inlined, so that it sets a field and moves nothing.
impl Accept {
    /// A peer that may do what `grant` says, in no channel yet, with plain messages.
    #[inline]
    pub fn new(grant: Grant) -> Self {
        Self {
            grant,
            channels: Vec::new(),
            format: WireFormat::Raw,
            echo: true,
            peer: None,
            limits: MessageLimits::default(),
            authoriser: None,
            protocol: None,
            send_buffer_bytes: None,
            deflate: true,
            closing: None,
        }
    }

    /// Subscribes it to one more channel, whatever the grant says about subscribing. What a plain
    /// peer sends goes to the first.
    #[must_use]
    #[inline]
    pub fn channel(mut self, channel: ChannelName) -> Self {
        self.channels.push(channel);
        self
    }

    /// Subscribes it to these channels, in this order, in place of those given before.
    #[must_use]
    #[inline]
    pub fn channels(mut self, channels: Vec<ChannelName>) -> Self {
        self.channels = channels;
        self
    }

    /// How it wants its messages, default plain. Server-sent events are nothing that a WebSocket
    /// carries: it gets JSON in their place.
    #[must_use]
    #[inline]
    pub fn format(mut self, format: WireFormat) -> Self {
        self.format = match format {
            WireFormat::Sse => WireFormat::Json,
            format => format,
        };
        self
    }

    /// Whether it gets its own messages back, default yes.
    #[must_use]
    #[inline]
    pub fn echo(mut self, echo: bool) -> Self {
        self.echo = echo;
        self
    }

    /// Where it is, for inspection.
    #[must_use]
    #[inline]
    pub fn peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// What it may send.
    #[must_use]
    #[inline]
    pub fn limits(mut self, limits: MessageLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Who checks the fresh tokens that it may bring. Without one a refresh is refused.
    #[must_use]
    #[inline]
    pub fn authoriser(mut self, authoriser: Arc<dyn Authoriser>) -> Self {
        self.authoriser = Some(authoriser);
        self
    }

    /// The subprotocol to select, one of those it offered. None is selected if that has more than 1 KiB.
    #[must_use]
    #[inline]
    pub fn protocol(mut self, protocol: HeaderValue) -> Self {
        self.protocol = Some(protocol).filter(|protocol| protocol.len() <= PROTOCOL_BYTES_MAX);
        self
    }

    /// Bytes of the kernel's send buffer for it; the system's default otherwise. What a peer that
    /// does not read can hold in the kernel is twice this.
    #[must_use]
    #[inline]
    pub fn send_buffer_bytes(mut self, bytes: usize) -> Self {
        self.send_buffer_bytes = Some(bytes);
        self
    }

    /// Opens the WebSocket only to close it with this: for a page, which cannot read the status of a
    /// refusal. It is in no channel, and gets nothing else.
    #[must_use]
    #[inline]
    pub fn closing(mut self, disconnect: Disconnect) -> Self {
        self.closing = Some(disconnect);
        self
    }

    pub(super) fn session_options(&self, form: Form) -> SessionOptions {
        SessionOptions {
            user: self.grant.user.clone(),
            info: self.grant.info.clone(),
            form,
            expires_unix_s: self.grant.expires_unix_s,
            peer: self.peer,
        }
    }

    pub(super) fn channel_names(&self) -> &[ChannelName] {
        &self.channels
    }

    pub(super) fn expires_unix_s(&self) -> Option<u64> {
        self.grant.expires_unix_s
    }

    /// Whether permessage-deflate (RFC 7692) is agreed on if it offers it, default yes. The hub's
    /// [`DeflateSettings::enabled`](crate::base::limits::DeflateSettings::enabled) has to be set too.
    #[must_use]
    pub fn deflate(mut self, deflate: bool) -> Self {
        self.deflate = deflate;
        self
    }
}

/// Turns an upgrade request into a session of the hub. The answer goes back to the peer as it is;
/// the rest happens by itself.
///
/// The session is subscribed before the answer is made: a peer that sees the 101 gets everything
/// published from then on.
///
/// ```no_run
/// use axum::{Router, extract::{Request, State}, response::{IntoResponse, Response}, routing::get};
/// use fanfare::base::access::Grant;
/// use fanfare::connection::{Accept, upgrade};
/// use fanfare::hub::Hub;
///
/// async fn feed(State(hub): State<Hub>, request: Request) -> Response {
///     // Your own authorisation goes here: sessions, cookies, whatever you have.
///     let channel = "news".try_into().unwrap();
///     match upgrade(&hub, request, Accept::new(Grant::anyone()).channel(channel)) {
///         Ok(response) => response.into_response(),
///         Err(refusal) => refusal.response().into_response(),
///     }
/// }
///
/// #[tokio::main]
/// async fn main() {
///     let hub = Hub::builder().build();
///     let app = Router::new().route("/feed", get(feed)).with_state(hub.clone());
///     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await.unwrap();
///     axum::serve(listener, app).await.unwrap();
/// }
/// ```
///
/// # Errors
/// [`UpgradeError`]; nothing has changed then. [`UpgradeError::response`] is the answer to send.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn upgrade<B>(
    hub: &Hub,
    request: Request<B>,
    accept: Accept,
) -> Result<Response<Empty<Bytes>>, UpgradeError> {
    let (parts, body) = request.into_parts();
    let send_buffer = accept.send_buffer_bytes;
    let handshake = frame::check(&parts).map_err(UpgradeError::Handshake)?;
    let Accepted { mut connection, answer } = open(hub, handshake, accept)?;
    connection.hold(parts.extensions.get::<Permit>().cloned());
    let on_upgrade = hyper::upgrade::on(Request::from_parts(parts, body));
    tokio::spawn(async move {
        // If this ends early, dropping the connection ends the session.
        if let Ok(Ok(upgraded)) = tokio::time::timeout(HAND_OVER, on_upgrade).await {
            let (socket, early) = socket::from_upgraded(upgraded, send_buffer);
            let first = connection.begin(socket, early);
            // Not in this task, which is as large as what hyper keeps for a hand-over.
            silent::start(connection, first);
        }
    });
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = answer.headers();
    Ok(response)
}

/// The half of [`upgrade`] before the socket changes hands: checks the head of a request, opens the
/// session, and subscribes it.
///
/// # Errors
/// [`UpgradeError`]; nothing has changed then.
pub fn accept(hub: &Hub, head: &Head, accept: Accept) -> Result<Accepted, UpgradeError> {
    let handshake = frame::check_fields(head).map_err(UpgradeError::Handshake)?;
    open(hub, handshake, accept)
}

fn open(hub: &Hub, handshake: Handshake, mut accept: Accept) -> Result<Accepted, UpgradeError> {
    let limits = hub.limits_now();
    let may_deflate = accept.deflate && limits.deflate.enabled;
    let deflate = handshake.deflate.filter(|_| may_deflate);
    let protocol = accept.protocol.take();
    let connection = connect(hub, &limits, accept, deflate)?;
    Ok(Accepted { connection, answer: Switch { key: handshake.accept, protocol, deflate } })
}

/// Opens the session and subscribes it.
fn connect(
    hub: &Hub,
    limits: &HubLimits,
    accept: Accept,
    deflate: Option<Deflate>,
) -> Result<Box<Connection>, UpgradeError> {
    let form = Form { format: accept.format, deflate: deflate.map(|agreed| agreed.window_bits) };
    let session = hub.open(accept.session_options(form)).map_err(UpgradeError::Open)?;
    let first = accept.channels.first().cloned();
    let rate = PublishRate::new(limits.publishes_per_session_per_s_max);
    let dialect =
        Dialect::new(accept.format, first, accept.grant, accept.echo, rate, accept.authoriser);
    let limits = accept.limits;
    let connection =
        Box::new(Connection::new(hub.clone(), session, dialect, limits, deflate.is_some()));
    if let Some(disconnect) = accept.closing {
        hub.close(connection.session().clone(), disconnect);
        return Ok(connection);
    }
    connection.welcome(&accept.channels);
    for channel in &accept.channels {
        let reply = matches!(accept.format, WireFormat::Json)
            .then(|| subscribed(WireFormat::Json, None, channel));
        match hub.join(connection.session(), channel, reply, None) {
            Ok(()) | Err(SubscribeError::AlreadySubscribed) => {}
            Err(error) => return Err(UpgradeError::Subscribe(channel.clone(), error)),
        }
    }
    Ok(connection)
}

/// Why an upgrade was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The request is not a proper WebSocket handshake.
    Handshake(HandshakeError),
    /// The hub takes no more sessions.
    Open(OpenError),
    /// The session cannot be in this one of its channels.
    Subscribe(ChannelName, SubscribeError),
}

impl UpgradeError {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Handshake(error) => error.status(),
            // Others of the same node are served: it is the user that has to do something.
            Self::Open(OpenError::TooManySessionsOfUser(_)) => StatusCode::TOO_MANY_REQUESTS,
            Self::Open(_)
            | Self::Subscribe(
                _,
                SubscribeError::TooManyChannels | SubscribeError::ChannelFull(_),
            ) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Subscribe(..) => StatusCode::BAD_REQUEST,
        }
    }

    /// The answer to send. It closes the connection: what comes behind a refused handshake is not
    /// to be read as a request.
    pub fn response(&self) -> Response<Full<Bytes>> {
        let body = serde_json::json!({ "error": self.to_string() }).to_string();
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        match self.status() {
            StatusCode::UPGRADE_REQUIRED => {
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, retry_after_s().into());
            }
            _ => {}
        }
        response
    }
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(error) => error.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::Subscribe(channel, error) => write!(f, "{channel}: {error}"),
        }
    }
}

impl std::error::Error for UpgradeError {}
