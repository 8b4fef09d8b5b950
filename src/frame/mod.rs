//! Floor 1: the WebSocket codec. Bytes in, events out; messages in, frames out.
//!
//! It knows no socket, no clock and no task (sans-IO), so that every rule of RFC 6455 can be
//! tested, fuzzed and timed without any of them.
//!
//! * [`Decoder`]: what a client sent, in whatever pieces it arrived, becomes one [`Event`] at a time.
//! * [`encode`], [`encode_header`], [`encode_close`], [`PING`]: the frames a server sends.
//! * [`encode_deflated`], [`inflate`]: permessage-deflate (RFC 7692), a whole message at a time.
//! * [`check`]: whether an HTTP request is an upgrade that RFC 6455 section 4.2.1 allows.
//!
//! **Strict.** The first byte that breaks a rule is the last one looked at: a [`Violation`] names the
//! rule and the close code, and the decoder refuses everything after it. How the bytes were cut
//! makes no difference, neither to the events nor to the violation.
//!
//! **Cancel-safe by construction.** All progress lives in the decoder, and a call of
//! [`Decoder::decode`] runs to its end. A reader that is dropped between two calls loses nothing
//! but the bytes it never handed over.
//!
//! **Memory.** An idle decoder has no heap. A frame that lies whole in the input is handed on where
//! it lies. Otherwise memory grows with the bytes that arrived, at most twofold, and never with a
//! length that was only declared.

mod close;
mod decoder;
mod deflate;
mod encoder;
mod event;
mod extensions;
mod handshake;
mod header;
mod inflate;
mod mask;
mod utf8;
mod violation;

pub use decoder::{Decoded, Decoder, DecoderLimits};
pub use deflate::encode_deflated;
pub(crate) use encoder::split_data;
pub use encoder::{PING, encode, encode_close, encode_header, header_len};
pub use event::{DataKind, Event, Payload};
pub use extensions::{Deflate, WindowBits};
pub(crate) use handshake::{ACCEPT_LEN, check_fields};
pub use handshake::{Handshake, HandshakeError, check};
pub use header::Opcode;
pub use inflate::{InflateError, inflate};
pub use violation::Violation;
