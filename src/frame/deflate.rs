//! Deflating whole messages (RFC 7692 section 7.2.1).
//!
//! **The library** is zlib-rs, the Trifecta Tech Foundation's zlib in Rust: raw deflate with any
//! window from 9 to 15 bits, a sync flush, no C compiler and no cmake. miniz_oxide, the other one in
//! Rust, deflates with the largest window only, and needs 26 µs where zlib-rs needs 6 (1 KiB of
//! JSON, level 1). flate2 would be a layer over either, with readers and writers that nothing here
//! has a use for.
//!
//! **Scratch.** A compressor takes about 370 KiB with the largest window and 250 KiB with the
//! smallest. Each thread has one for each [`WindowBits`] that it has met, reset between messages, as
//! no context is taken over; a connection has none.

use std::cell::RefCell;

use bytes::Bytes;
use zlib_rs::{DeflateFlush, Status};

use super::encoder::header_len;
use super::extensions::WindowBits;
use super::header::{self, Opcode};

/// The end of a sync flush, which the peer adds again (RFC 7692 section 7.2.1).
pub(super) const FLUSH: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Bytes of output scratch that a thread keeps; what a larger message needed is given back.
const KEPT_BYTES_MAX: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
}

/// What a thread deflates with.
struct Scratch {
    compressors: [Option<Compressor>; WindowBits::ALL.len()],
    output: Vec<u8>,
}

struct Compressor {
    level: u8,
    state: zlib_rs::Deflate,
}

/// The whole message `payload` as one compressed frame, or `None` if it would not be shorter than
/// the payload as it is.
///
/// The level goes from 1 (fast) to 9 (small); any other is taken as the nearer of them.
pub fn encode_deflated(
    opcode: Opcode,
    payload: &[u8],
    window_bits: WindowBits,
    level: u8,
) -> Option<Bytes> {
    // Whoever deflates is a lane, and a lane that panics takes its sessions along. What the library
    // does with somebody's bytes must not be worth more than the bytes: they then go out as they are.
    let encode = || encode_unguarded(opcode, payload, window_bits, level.clamp(1, 9));
    std::panic::catch_unwind(encode).ok().flatten()
}

fn encode_unguarded(
    opcode: Opcode,
    payload: &[u8],
    window_bits: WindowBits,
    level: u8,
) -> Option<Bytes> {
    SCRATCH.with_borrow_mut(|scratch| {
        let deflated = scratch.deflate(payload, window_bits, level);
        let frame = deflated.map(|deflated| {
            let len = deflated.len();
            let mut frame = Vec::with_capacity(header_len(len) + len);
            header::put_server_header(&mut frame, header::server_first(opcode) | header::RSV1, len);
            frame.extend_from_slice(deflated);
            frame.into()
        });
        scratch.give_back();
        frame
    })
}

impl Compressor {
    fn new(window_bits: WindowBits, level: u8) -> Self {
        Self { level, state: zlib_rs::Deflate::new(level.into(), false, window_bits as u8) }
    }
}

impl Scratch {
    const fn new() -> Self {
        Self { compressors: [const { None }; WindowBits::ALL.len()], output: Vec::new() }
    }

    /// The payload deflated, without the end of the flush; `None` if it is not shorter.
    ///
    /// A compressor is used again only if all it made was taken: reset with bytes left, zlib-rs
    /// 0.6.8 keeps their place in its buffer occupied, and panics once none is free. Taken out of
    /// its slot while it works, it does not outlive a panic either.
    fn deflate(&mut self, payload: &[u8], window_bits: WindowBits, level: u8) -> Option<&[u8]> {
        // Fixed codes take at most nine bits for a byte; the rest is for headers and the flush.
        let room = payload.len() + payload.len() / 8 + 64;
        if self.output.len() < room {
            self.output.resize(room, 0);
        }
        let slot = &mut self.compressors[window_bits.index()];
        let mut compressor = slot
            .take()
            .filter(|found| found.level == level)
            .unwrap_or_else(|| Compressor::new(window_bits, level));
        let state = &mut compressor.state;
        let status = state.compress(payload, &mut self.output, DeflateFlush::SyncFlush);
        let (taken, len) = (state.total_in() as usize, state.total_out() as usize);
        // With room left the flush has ended.
        if status != Ok(Status::Ok) || taken != payload.len() || len == self.output.len() {
            return None;
        }
        state.reset();
        *slot = Some(compressor);
        let deflated = self.output[..len].strip_suffix(&FLUSH)?;
        (deflated.len() < payload.len()).then_some(deflated)
    }

    fn give_back(&mut self) {
        if self.output.len() > KEPT_BYTES_MAX {
            self.output.truncate(KEPT_BYTES_MAX);
            self.output.shrink_to_fit();
        }
    }
}
