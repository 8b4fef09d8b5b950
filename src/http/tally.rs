//! What the HTTP side counts. Each is a number of its own; see [`crate::base::counters`].

use std::sync::Arc;

use http::StatusCode;

use super::router::{Find, Route};
use crate::base::counters::{Count, Gauge};
use crate::base::line_rate::LineRate;
use crate::base::outgoing::JwksCounters;

/// Routes, and one place for what is none.
const ROUTES: usize = Route::ALL.len() + 1;

/// Status classes: 1xx to 5xx.
const CLASSES: usize = 5;

/// The most listeners of one gateway.
pub const LISTENERS_MAX: usize = 16;

/// What the HTTP side counts.
#[derive(Debug, Default)]
pub struct Tally {
    /// HTTP connections now. A connection that became a WebSocket is a session and none of these.
    pub connections: Gauge,
    /// Of those, the ones that have not asked for anything yet.
    pub handshakes: Gauge,
    /// Of those, the ones in line, whose handshake has not begun.
    pub handshakes_waiting: Gauge,
    /// Connections accepted ever.
    pub connections_accepted: Count,
    /// Times that accepting failed, most often for want of file descriptors.
    pub accept_errors: Count,
    /// TLS handshakes done, with version 1.2 and with 1.3.
    pub tls_handshakes: [Count; 2],
    /// Certificates read again after the start: taken, and refused in favour of the old ones.
    pub tls_reloads: [Count; 2],
    /// Configurations that were read again: taken up, and refused.
    pub config_reloads: [Count; 2],
    /// By listener, the second since 1970 at which its certificate is over; 0 if it has none.
    pub certificates_not_after: [Gauge; LISTENERS_MAX],
    /// 0, and from SIGTERM on the number of the phase in which the gateway ends.
    pub drain_phase: Gauge,
    /// Of fetching the keys of tokens.
    pub jwks: Arc<JwksCounters>,
    entries_refused: [Count; EntryRefused::ALL.len()],
    answers: [[Count; CLASSES]; ROUTES],
    connections_refused: [Count; ConnectionRefused::ALL.len()],
    upgrades_refused: [Count; UpgradeRefused::ALL.len()],
    heads_refused: [Count; HeadRefused::ALL.len()],
    refusal_lines: [LineRate; UpgradeRefused::ALL.len()],
}

/// Why a connection was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ConnectionRefused {
    /// There are as many as there may be.
    Total,
    /// Its address has as many as it may have.
    AddressCount,
    /// Its address opens them too fast.
    AddressRate,
    /// There are as many in their handshake as there may be.
    Handshakes,
    /// They come faster than the node takes them.
    Pace,
}

impl ConnectionRefused {
    /// All of them.
    pub const ALL: [ConnectionRefused; 5] = [
        ConnectionRefused::Total,
        ConnectionRefused::AddressCount,
        ConnectionRefused::AddressRate,
        ConnectionRefused::Handshakes,
        ConnectionRefused::Pace,
    ];

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            ConnectionRefused::Total => "total",
            ConnectionRefused::AddressCount => "address_count",
            ConnectionRefused::AddressRate => "address_rate",
            ConnectionRefused::Handshakes => "handshakes",
            ConnectionRefused::Pace => "pace",
        }
    }

    /// What whoever is refused is told.
    pub const fn text(self) -> &'static str {
        match self {
            ConnectionRefused::Total => {
                "there are as many connections as there may be; try again later"
            }
            ConnectionRefused::AddressCount => {
                "there are as many connections from your address as there may be; try again later"
            }
            ConnectionRefused::AddressRate => {
                "your address opens connections too fast; try again later"
            }
            ConnectionRefused::Handshakes => {
                "as many connections are in their handshake as there may be; try again later"
            }
            ConnectionRefused::Pace => {
                "connections come faster than the node takes them; try again later"
            }
        }
    }
}

/// Why a connection ended before it was HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryRefused {
    /// A listener behind a proxy, and no proper header of the PROXY protocol.
    ProxyHeader,
    /// Such a header did not come in whole in time.
    ProxyTimeout,
    /// The TLS handshake failed.
    Tls,
    /// It did not end in time.
    TlsTimeout,
}

impl EntryRefused {
    pub(super) const ALL: [EntryRefused; 4] = [
        EntryRefused::ProxyHeader,
        EntryRefused::ProxyTimeout,
        EntryRefused::Tls,
        EntryRefused::TlsTimeout,
    ];

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            EntryRefused::ProxyHeader => "proxy_header",
            EntryRefused::ProxyTimeout => "proxy_timeout",
            EntryRefused::Tls => "tls",
            EntryRefused::TlsTimeout => "tls_timeout",
        }
    }
}

/// Why a request was not even read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HeadRefused {
    /// Not HTTP, or to be read in more than one way.
    Malformed,
    /// Too many bytes or headers.
    TooBig,
    /// It did not come in whole in time.
    Timeout,
}

impl HeadRefused {
    pub(super) const ALL: [HeadRefused; 3] =
        [HeadRefused::Malformed, HeadRefused::TooBig, HeadRefused::Timeout];

    /// Its name in metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            HeadRefused::Malformed => "malformed",
            HeadRefused::TooBig => "too_big",
            HeadRefused::Timeout => "timeout",
        }
    }
}

/// Why a WebSocket was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum UpgradeRefused {
    Origin,
    Query,
    Token,
    Permission,
    Handshake,
    Overloaded,
    Application,
    /// Its user or its channel has what it may have; others get in.
    Share,
}

impl UpgradeRefused {
    pub(super) const ALL: [UpgradeRefused; 8] = [
        UpgradeRefused::Origin,
        UpgradeRefused::Query,
        UpgradeRefused::Token,
        UpgradeRefused::Permission,
        UpgradeRefused::Handshake,
        UpgradeRefused::Overloaded,
        UpgradeRefused::Application,
        UpgradeRefused::Share,
    ];

    /// Its name in metrics and logs.
    pub(super) const fn name(self) -> &'static str {
        match self {
            UpgradeRefused::Origin => "origin",
            UpgradeRefused::Query => "query",
            UpgradeRefused::Token => "token",
            UpgradeRefused::Permission => "permission",
            UpgradeRefused::Handshake => "handshake",
            UpgradeRefused::Overloaded => "overloaded",
            UpgradeRefused::Application => "application",
            UpgradeRefused::Share => "share",
        }
    }
}

impl Tally {
    /// A request was answered.
    pub(super) fn answered(&self, found: &Find, status: StatusCode) {
        let row = match found {
            Find::Route(route) | Find::WrongMethod { route, .. } => *route as usize,
            Find::Nothing => Route::ALL.len(),
        };
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES) - 1;
        self.answers[row][class].add(1);
    }

    /// Answers by route and status class, those that are not 0.
    pub(super) fn answers(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let names = Route::ALL.into_iter().map(Route::path).chain(["other"]);
        names.zip(&self.answers).flat_map(|(name, classes)| {
            let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(classes);
            let counted = classes.map(move |(class, count)| (name, class, count.get()));
            counted.filter(|(_, _, count)| *count > 0)
        })
    }

    /// Connections refused for a reason.
    pub fn connections_refused(&self, why: ConnectionRefused) -> &Count {
        &self.connections_refused[why as usize]
    }

    /// Connections that ended before they were HTTP.
    pub fn entries_refused(&self, why: EntryRefused) -> &Count {
        &self.entries_refused[why as usize]
    }

    /// WebSockets refused for a reason.
    pub(super) fn upgrades_refused(&self, why: UpgradeRefused) -> &Count {
        &self.upgrades_refused[why as usize]
    }

    /// The log lines of WebSockets refused for a reason.
    pub(super) fn refusal_lines(&self, why: UpgradeRefused) -> &LineRate {
        &self.refusal_lines[why as usize]
    }

    /// Heads refused for a reason.
    pub fn heads_refused(&self, why: HeadRefused) -> &Count {
        &self.heads_refused[why as usize]
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::router;
    use super::*;

    #[test]
    fn answers_are_counted_by_route_and_class() {
        let tally = Tally::default();
        let ws = router::find(&Method::GET, "/ws");
        tally.answered(&ws, StatusCode::SWITCHING_PROTOCOLS);
        tally.answered(&ws, StatusCode::FORBIDDEN);
        tally.answered(&ws, StatusCode::UNAUTHORIZED);
        tally.answered(&Find::Nothing, StatusCode::NOT_FOUND);
        let counted: Vec<_> = tally.answers().collect();
        assert_eq!(counted, [("/ws", "1xx", 1), ("/ws", "4xx", 2), ("other", "4xx", 1)]);
    }

    #[test]
    fn all_lists_every_refusal_in_order() {
        for (at, why) in UpgradeRefused::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
        }
        for (at, why) in ConnectionRefused::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
        }
        for (at, why) in EntryRefused::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
        }
        for (at, why) in HeadRefused::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
        }
    }
}
