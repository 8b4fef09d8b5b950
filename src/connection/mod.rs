//! Floor 4: connections: from an HTTP upgrade to a session in the hub, and what the peer says.
//!
//! [`upgrade`] is the way in for anybody's hyper or axum program. From its first word on
//! each peer has one small task that reads ([`reader`]) and acts ([`dispatch`]), and none before ([`silent`]);
//! what goes out is the hub's business.
//! [`EventStream`] is for a peer that only listens. [`StrictStream`] is for whoever serves HTTP with hyper
//! alone, as the gateway does; it reads the [`First`] head of a connection itself and may [`accept`] it.
//!
//! Invariant: a reader never writes to its socket. What it has to answer goes through the session's
//! lane, like everything else.

mod accepted;
mod asking;
mod discard;
mod dispatch;
mod events;
mod first;
mod framing;
mod head;
mod rate;
mod reader;
mod silent;
mod socket;
mod stream;
mod strict;
mod upgrade;

pub use accepted::Accepted;
pub use events::EventStream;
pub use first::First;
pub use head::Head;
pub use stream::Stream;
pub use strict::{Requests, StrictStream};
pub use upgrade::{Accept, Permit, UpgradeError, accept, upgrade};
