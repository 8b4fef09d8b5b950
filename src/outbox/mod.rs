//! The outbox: what one session still has to get, bounded, and the way out of it.
//!
//! An idle session has none of it: no queue, no writer, no buffer. [`queue`] is the bounded queue as
//! a plain value, [`state`] shares it between a lane and a writer, [`socket`] is where both write,
//! [`writer`] empties a queue into a socket and ends; until there is [`room`] in it, it waits.
//!
//! Invariant: nothing here knows a hub, a protocol or a clock. Frames are bytes, with a
//! [label](crate::base::label) of what their channel wants if they wait; `now` is an argument.

pub(crate) mod queue;
pub(crate) mod room;
pub(crate) mod socket;
pub(crate) mod state;
pub(crate) mod watched;
pub(crate) mod writer;

pub use socket::{Duplex, Socket};
pub(crate) use socket::{receive_now, send_now, send_vectored_now};
pub use watched::Watched;

#[cfg(all(test, fanfare_loom))]
mod loom_tests;
