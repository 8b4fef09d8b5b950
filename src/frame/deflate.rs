//! Deflating whole messages (RFC 7692 section 7.2.1).
//!
//! **The library** is zlib-rs, the Trifecta Tech Foundation's zlib in Rust: raw deflate with any
//! window from 9 to 15 bits, a sync flush, no C compiler and no cmake. miniz_oxide, the other one in
//! Rust, deflates with the largest window only, and needs 26 µs where zlib-rs needs 6 (1 KiB of
//! JSON, level 1). flate2 would be a layer over either, with readers and writers that nothing here
//! has a use for.
//!
//! **Scratch.** A compressor takes about 330 KiB with the largest window. Each thread has one for
//! each [`WindowBits`] that it has met, reset between messages, as no context is taken over; a
//! connection has none.

use std::cell::RefCell;

use bytes::Bytes;
use zlib_rs::{DeflateFlush, Status};

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
    SCRATCH.with_borrow_mut(|scratch| {
        let deflated = scratch.deflate(payload, window_bits, level.clamp(1, 9));
        let frame = deflated.map(|deflated| {
            let (mut header, header_len) = header::server_header(opcode, deflated.len());
            header[0] |= header::RSV1;
            [&header[..header_len], deflated].concat().into()
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
    fn deflate(&mut self, payload: &[u8], window_bits: WindowBits, level: u8) -> Option<&[u8]> {
        // Room for what would be worth it, and no more: the rest is not worth the time either. One
        // byte is never used, so that a flush that ended has room left to show it.
        let room = payload.len() + FLUSH.len();
        if self.output.len() < room {
            self.output.resize(room, 0);
        }
        let slot = &mut self.compressors[window_bits.index()];
        let state = &mut match slot.take_if(|found| found.level == level) {
            Some(found) => slot.insert(found),
            None => slot.insert(Compressor::new(window_bits, level)),
        }
        .state;
        state.reset();
        let status = state.compress(payload, &mut self.output[..room], DeflateFlush::SyncFlush);
        let len = state.total_out() as usize;
        let has_ended = status == Ok(Status::Ok) && len < room;
        if has_ended && state.total_in() as usize == payload.len() {
            self.output[..len].strip_suffix(&FLUSH)
        } else {
            None
        }
    }

    fn give_back(&mut self) {
        if self.output.len() > KEPT_BYTES_MAX {
            self.output.truncate(KEPT_BYTES_MAX);
            self.output.shrink_to_fit();
        }
    }
}
