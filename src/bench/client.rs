//! Reads the frames that a server sends, as cheaply as it can be done: headers are walked in the
//! buffer that the socket was read into, the beginning of a message is looked at in place, and the
//! rest of it is stepped over.
//!
//! It checks what it looks at (masks, reserved bits, opcodes, lengths of control frames). It does
//! not check UTF-8, nor that fragments follow each other: a measuring instrument for servers that are
//! tested elsewhere.

use std::fmt;

/// How much of a message is looked at. What wraps the stamp has to fit, with the stamp.
pub const LOOKED_AT_BYTES_MAX: usize = 256;

/// Without a mask: two bytes, and eight for the length.
const HEAD_BYTES_MAX: usize = 10;

/// The most that is kept of a frame that has not arrived far enough.
pub(crate) const CARRIED_BYTES_MAX: usize = HEAD_BYTES_MAX + LOOKED_AT_BYTES_MAX;

/// What a frame was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'b> {
    /// The beginning of a message; at most [`LOOKED_AT_BYTES_MAX`].
    Message(&'b [u8]),
    /// The same of one that is compressed.
    Deflated(&'b [u8]),
    Ping(&'b [u8]),
    /// With its code; 1005 if it had none (RFC 6455 section 7.1.5).
    Close(u16),
}

/// What a server must not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameFault {
    Masked,
    Reserved,
    Opcode,
    Control,
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Masked => "the server sent a masked frame",
            Self::Reserved => "the server set a reserved bit",
            Self::Opcode => "the server sent a reserved opcode",
            Self::Control => "the server sent a control frame that is too long or in fragments",
        })
    }
}

/// Where one connection is in its stream of frames.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    /// Whether permessage-deflate was agreed on (RFC 7692 section 6).
    may_deflate: bool,
    /// Bytes of the frame that was looked at and is not over.
    skip: u64,
    /// The beginning of a frame that has not arrived far enough to look at.
    carried: Vec<u8>,
}

struct Head {
    opcode: u8,
    is_deflated: bool,
    bytes: usize,
    payload: u64,
}

impl FrameReader {
    pub(crate) fn new(may_deflate: bool) -> Self {
        Self { may_deflate, ..Self::default() }
    }

    /// Puts what was carried to the front of a buffer that is about to be read into; returns how
    /// much it was.
    pub(crate) fn restore(&mut self, buffer: &mut [u8]) -> usize {
        let carried = self.carried.len();
        if carried > 0 {
            buffer[..carried].copy_from_slice(&self.carried);
            self.carried.clear();
        }
        carried
    }

    /// Walks what was restored and read, in one slice.
    ///
    /// # Errors
    /// What the server must not send. The stream is of no use after it.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut on: impl FnMut(Piece<'_>),
    ) -> Result<(), FrameFault> {
        loop {
            let skipped = self.skip.min(bytes.len() as u64);
            self.skip -= skipped;
            bytes = &bytes[skipped as usize..];
            let Some(head) = head(bytes, self.may_deflate)? else { break };
            let looked_at = head.payload.min(LOOKED_AT_BYTES_MAX as u64) as usize;
            let Some(payload) = bytes.get(head.bytes..head.bytes + looked_at) else { break };
            match head.opcode {
                1 | 2 if head.is_deflated => on(Piece::Deflated(payload)),
                1 | 2 => on(Piece::Message(payload)),
                8 => {
                    on(Piece::Close(payload.first_chunk().map_or(1005, |c| u16::from_be_bytes(*c))))
                }
                9 => on(Piece::Ping(payload)),
                // A further fragment, or a pong.
                _ => {}
            }
            bytes = &bytes[head.bytes + looked_at..];
            self.skip = head.payload - looked_at as u64;
        }
        if !bytes.is_empty() {
            self.carried.extend_from_slice(bytes);
        }
        Ok(())
    }
}

/// The header of a frame (RFC 6455 section 5.2), once it is there.
fn head(bytes: &[u8], may_deflate: bool) -> Result<Option<Head>, FrameFault> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    let opcode = first & 0x0f;
    let is_final = first & 0x80 != 0;
    let short = second & 0x7f;
    let is_deflated = first & 0x40 != 0;
    let is_allowed = may_deflate && matches!(opcode, 1 | 2);
    if first & 0x30 != 0 || is_deflated && !is_allowed {
        return Err(FrameFault::Reserved);
    }
    if second & 0x80 != 0 {
        return Err(FrameFault::Masked);
    }
    if !matches!(opcode, 0..=2 | 8..=10) {
        return Err(FrameFault::Opcode);
    }
    if opcode >= 8 && (short > 125 || !is_final) {
        return Err(FrameFault::Control);
    }
    let (bytes, payload) = match short {
        126 => match bytes.get(2..).and_then(|rest| rest.first_chunk()) {
            Some(length) => (4, u64::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..).and_then(|rest| rest.first_chunk()) {
            Some(length) => (10, u64::from_be_bytes(*length)),
            None => return Ok(None),
        },
        short => (2, u64::from(short)),
    };
    Ok(Some(Head { opcode, is_deflated, bytes, payload }))
}

/// A frame from a client, whole and masked.
pub(crate) fn masked_frame(opcode: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    frame.push(0x80 | opcode);
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        middle @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests;
