//! Floor 0: words that every other part uses, and that use none of them.

pub mod access;
pub mod application;
pub mod channels;
pub mod clock;
pub mod counters;
pub mod disconnect;
pub mod fields;
pub mod ids;
pub(crate) mod label;
pub mod limits;
pub(crate) mod line_rate;
pub mod log_lines;
pub mod loss;
pub mod memory;
pub mod message;
pub mod network;
pub mod outgoing;
pub mod panics;
pub mod position;
#[cfg(feature = "gateway")]
pub(crate) mod query;
pub mod refused;
pub mod retry;
pub mod sync;
pub mod trace;
