//! Floor 2: what goes over the wire, as pure bytes ⇄ values.
//!
//! Invariant: nothing here knows the hub, a socket or a clock.

pub mod json;
pub mod publication;
pub mod sse;

pub use publication::{Form, PresenceEvent, Publication, Target, WireFormat};
