//! Inflating whole messages (RFC 7692 section 7.2.2), never beyond a bound.
//!
//! **The end of a message.** What a sender cut off is added again (`00 00 FF FF`), and behind it an
//! empty block that says it is the last. A message is whole exactly if inflating ends with that
//! block: then the payload did end between two blocks. Without it a payload that was cut short would
//! pass for a shorter message.
//!
//! **Last blocks inside.** A sender may mark any block as the last (section 7.2.3.4); inflating goes
//! on behind it, and what follows cannot refer to what came before.
//!
//! **Scratch.** An inflater with its window takes about 48 KiB, always with the largest window, and
//! so does what it writes to. Each thread has one of each, reset between messages, since the client
//! agreed to take no context over; a connection has none.

use std::cell::RefCell;
use std::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::deflate::FLUSH;
use super::event::DataKind;
use crate::base::disconnect::{Disconnect, Reason};

/// An empty block of fixed codes, marked as the last (RFC 1951 section 3.2.3).
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];

/// Bytes inflated at a time.
const CHUNK_BYTES: usize = 16 << 10;

/// The largest window, whatever the client uses.
const WINDOW_BITS: u8 = 15;

thread_local! {
    static SCRATCH: RefCell<Option<Box<Scratch>>> = const { RefCell::new(None) };
}

/// What a thread inflates with.
struct Scratch {
    state: Inflate,
    chunk: [u8; CHUNK_BYTES],
}

/// Why the payload of a compressed message is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InflateError {
    /// It inflates to more bytes than allowed (1009).
    TooBig {
        /// The limit, in bytes.
        message_bytes_max: usize,
    },
    /// It is not deflated data, or not all of it, or it refers to an earlier message (1007).
    Invalid,
    /// It inflates to a text that is not UTF-8 (1007).
    NotUtf8,
}

impl InflateError {
    /// How the session ends. RFC 7692 section 7.2.2 wants the connection failed and leaves the code
    /// open; 1007 is the one for data that is not what its message says (RFC 6455 section 7.4.1).
    pub fn disconnect(&self) -> Disconnect {
        let disconnect = match self {
            Self::TooBig { .. } => Disconnect::new(Reason::MessageTooBig),
            Self::Invalid => Disconnect::new(Reason::ProtocolError).with_code(1007),
            Self::NotUtf8 => Disconnect::new(Reason::InvalidUtf8),
        };
        disconnect.with_text(self.to_string())
    }
}

impl fmt::Display for InflateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooBig { message_bytes_max } => write!(
                f,
                "the message inflates to more than the limit of {message_bytes_max} bytes \
                 (RFC 6455 10.4)"
            ),
            Self::Invalid => f.write_str(
                "a compressed message must be whole deflated data without context of earlier ones \
                 (RFC 7692 7.2.2)",
            ),
            Self::NotUtf8 => f.write_str("a text message must be valid UTF-8 (RFC 6455 8.1)"),
        }
    }
}

impl std::error::Error for InflateError {}

/// Inflates the payload of a compressed message, put together from its fragments. What it returns
/// is at most `message_bytes_max` long, and UTF-8 if the message is a text.
///
/// Memory: up to twice what was inflated, never more than was inflated and 16 KiB beyond the limit.
///
/// # Errors
/// [`InflateError`]; at the limit it stops there, whatever was still to come.
pub fn inflate(
    kind: DataKind,
    payload: &[u8],
    message_bytes_max: usize,
) -> Result<Vec<u8>, InflateError> {
    let message = SCRATCH.with_borrow_mut(|slot| {
        // Taken out while it works, it does not outlive a panic.
        let mut scratch = slot.take().unwrap_or_else(Scratch::new);
        let message = scratch.inflate(payload, message_bytes_max);
        *slot = Some(scratch);
        message
    })?;
    match kind {
        DataKind::Text if std::str::from_utf8(&message).is_err() => Err(InflateError::NotUtf8),
        _ => Ok(message),
    }
}

impl Scratch {
    fn new() -> Box<Self> {
        Box::new(Self { state: Inflate::new(false, WINDOW_BITS), chunk: [0; CHUNK_BYTES] })
    }

    fn inflate(&mut self, payload: &[u8], bytes_max: usize) -> Result<Vec<u8>, InflateError> {
        let mut message = Vec::new();
        self.state.reset(false);
        let mut has_ended = false;
        for input in [payload, &FLUSH, &LAST_BLOCK] {
            has_ended = self.take(input, &mut message, bytes_max, has_ended)?;
        }
        if has_ended { Ok(message) } else { Err(InflateError::Invalid) }
    }

    /// Inflates all of `input` behind what was taken before. Returns whether it ended with a block
    /// that is the last.
    fn take(
        &mut self,
        mut input: &[u8],
        message: &mut Vec<u8>,
        bytes_max: usize,
        mut has_ended: bool,
    ) -> Result<bool, InflateError> {
        // Each turn takes input or fills the chunk, or ends the call.
        loop {
            if has_ended && !input.is_empty() {
                self.state.reset(false);
                has_ended = false;
            }
            if has_ended {
                return Ok(true);
            }
            let (taken, made) = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(input, &mut self.chunk, InflateFlush::NoFlush);
            let taken = (self.state.total_in() - taken) as usize;
            let made = (self.state.total_out() - made) as usize;
            input = &input[taken..];
            if message.len() + made > bytes_max {
                return Err(InflateError::TooBig { message_bytes_max: bytes_max });
            }
            message.extend_from_slice(&self.chunk[..made]);
            match status {
                Ok(Status::StreamEnd) => has_ended = true,
                // With room left in the chunk nothing more comes of this input.
                Ok(Status::Ok | Status::BufError) if made < CHUNK_BYTES => {
                    return if input.is_empty() { Ok(false) } else { Err(InflateError::Invalid) };
                }
                Ok(Status::Ok | Status::BufError) => {}
                Err(_) => return Err(InflateError::Invalid),
            }
        }
    }
}

#[cfg(test)]
mod tests;
