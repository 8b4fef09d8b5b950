//! How the application is reached, as somebody configured it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use crate::base::application::HubEvent;
use crate::base::outgoing::Hook;
use crate::fetch::{FetchLimits, Url};

/// The fewest bytes of a secret: as many as the hash has.
pub const SECRET_BYTES_MIN: usize = 32;

/// What requests are signed with. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    /// From these bytes; `None` if there are fewer than [`SECRET_BYTES_MIN`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= SECRET_BYTES_MIN).then(|| Self(bytes.into()))
    }

    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(..)")
    }
}

/// What the application can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A session began.
    Connected,
    /// A session ended.
    Disconnected,
    /// A channel has its first subscriber.
    ChannelOccupied,
    /// A channel has lost its last subscriber.
    ChannelVacated,
}

impl EventKind {
    /// All of them.
    pub const ALL: [EventKind; 4] = [
        EventKind::Connected,
        EventKind::Disconnected,
        EventKind::ChannelOccupied,
        EventKind::ChannelVacated,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::ChannelOccupied => "channel_occupied",
            Self::ChannelVacated => "channel_vacated",
        }
    }

    /// One that no other has.
    pub(super) const fn bit(self) -> u8 {
        1 << self as u8
    }

    pub(super) fn of(event: &HubEvent<'_>) -> Self {
        match event {
            HubEvent::Connected { .. } => Self::Connected,
            HubEvent::Disconnected { .. } => Self::Disconnected,
            HubEvent::Occupied(_) => Self::ChannelOccupied,
            HubEvent::Vacated(_) => Self::ChannelVacated,
        }
    }
}

/// How the application is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSettings {
    /// Where it is asked who may connect.
    pub connect_url: Option<Url>,
    /// Where it is asked who may subscribe.
    pub subscribe_url: Option<Url>,
    /// Where it is asked who may publish.
    pub publish_url: Option<Url>,
    /// Where it is told what happened.
    pub events_url: Option<Url>,
    /// What all requests are signed with; there is one where there is an address.
    pub secret: Option<SigningSecret>,
    /// Headers of whoever connects that are passed on.
    pub headers: Vec<HeaderName>,
    /// The authorities of its certificate; those of the machine otherwise.
    pub ca_file: Option<PathBuf>,
    /// How long a request may take.
    pub timeout: Duration,
    /// Bytes of an answer.
    pub response_bytes_max: usize,
    /// Questions at once.
    pub in_flight_max: usize,
    /// Failures in a row after which it is left alone.
    pub failures_max: usize,
    /// For how long.
    pub pause: Duration,
    /// What it is told.
    pub events: Vec<EventKind>,
    /// Events that may wait.
    pub events_queue_max: usize,
    /// Events in one request.
    pub events_batch_max: usize,
    /// How long an event may wait for others to be told with it.
    pub events_delay_max: Duration,
    /// How long it is tried to tell events, before they are given up.
    pub events_retry_max: Duration,
}

impl Default for HookSettings {
    fn default() -> Self {
        let names = ["cookie", "origin", "user-agent"];
        Self {
            connect_url: None,
            subscribe_url: None,
            publish_url: None,
            events_url: None,
            secret: None,
            headers: names.map(HeaderName::from_static).into(),
            ca_file: None,
            timeout: Duration::from_secs(3),
            response_bytes_max: 64 << 10,
            in_flight_max: 256,
            failures_max: 10,
            pause: Duration::from_secs(5),
            events: EventKind::ALL.into(),
            events_queue_max: 10_000,
            events_batch_max: 100,
            events_delay_max: Duration::from_millis(200),
            events_retry_max: Duration::from_secs(60),
        }
    }
}

impl HookSettings {
    pub(super) fn limits(&self) -> FetchLimits {
        FetchLimits {
            connect_timeout: self.timeout,
            timeout: self.timeout,
            body_bytes_max: self.response_bytes_max,
            in_flight_max: self.in_flight_max,
            ca_file: self.ca_file.clone(),
        }
    }

    pub(super) fn url(&self, hook: Hook) -> Option<&Url> {
        match hook {
            Hook::Connect => self.connect_url.as_ref(),
            Hook::Subscribe => self.subscribe_url.as_ref(),
            Hook::Publish => self.publish_url.as_ref(),
            Hook::Events => self.events_url.as_ref(),
        }
    }

    /// All addresses.
    pub fn urls(&self) -> impl Iterator<Item = &Url> {
        Hook::ALL.into_iter().filter_map(|hook| self.url(hook))
    }

    /// What it is told; nothing without an address for it.
    pub(super) fn told(&self) -> &[EventKind] {
        if self.events_url.is_some() { &self.events } else { &[] }
    }
}
