//! Who asks, and through which listener.

use std::fmt;
use std::net::SocketAddr;

use super::router::Route;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Its address. The port is 0 where a proxy named an address without one.
    At(SocketAddr),
    /// Somebody on this machine, through a Unix socket, which has no address.
    Local,
}

impl Peer {
    /// The address, if there is one.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::At(address) => Some(address),
            Self::Local => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::Local => f.write_str("unix"),
        }
    }
}

/// What a listener answers; anything else is not there. `/health` and `/ready` always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serves {
    /// WebSockets, event streams, and the page.
    pub clients: bool,
    /// The HTTP API and its description, and `/publish` and `/channel`.
    pub api: bool,
    /// `/metrics`.
    pub metrics: bool,
    /// The admin page, if it is on.
    pub admin: bool,
}

impl Serves {
    /// Everything.
    pub const ALL: Serves = Serves { clients: true, api: true, metrics: true, admin: true };

    pub(super) fn has(self, route: Route) -> bool {
        match route {
            Route::Page | Route::Script | Route::WebSocket | Route::EventStream => self.clients,
            Route::Publish | Route::Channel | Route::Slow | Route::Api | Route::OpenApi => self.api,
            Route::Metrics => self.metrics,
            Route::Admin | Route::AdminEvents | Route::AdminAction | Route::AdminFile => self.admin,
            Route::Health | Route::Ready => true,
        }
    }
}
