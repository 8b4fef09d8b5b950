//! The gateway as its users meet it: the real program, real sockets, clients written by others.
//!
//! * `fanout`: every message, once, in one order, while others come and go.
//! * `slow`: subscribers that stop reading.
//! * `identity`: tokens, users, expiry, origins.
//! * `admin`: the endpoints of the admin page.
//! * `jwks`: keys of tokens from a file and from an address.
//! * `hooks`: the application, asked and told; `application` is a stand-in for it.
//! * `api`: the HTTP side.
//! * `json`: the JSON session protocol.
//! * `lifecycle`: start, signals, drain, exit codes.
//! * `drain`: a graceful end in full traffic.
//! * `log_sink`: whatever reads the log fails.
//! * `clock`: a wall clock that jumps; ignored, as it needs libfaketime.
//! * `crash`: killed, and there again.
//! * `deflate`: permessage-deflate, frame by frame.
//! * `client`: the JavaScript client that the gateway serves; ignored, as it needs Node.js.
//! * `peers`: permessage-deflate as others implement it; ignored, as it needs Node.js.
//! * `policies`: channels with different policies in one session.
//! * `logs`: what the log says of sessions, and what it never says.
//! * `traces`: spans, as a collector gets them.
//! * `embed`: the library inside somebody else's server.

mod admin;
mod api;
mod application;
mod churn;
mod client;
mod clock;
mod crash;
mod deflate;
mod drain;
mod embed;
mod fanout;
mod history;
mod hooks;
mod identity;
mod json;
mod jwks;
mod lifecycle;
mod log_sink;
mod logs;
mod peers;
mod policies;
mod presence;
mod recovery;
mod reload;
mod slow;
mod sse;
mod stalled;
mod support;
mod traces;
