//! permessage-deflate (RFC 7692), with any bytes as an offer, as a compressed message, or as a
//! message of ours to compress.
//!
//! Input: a byte that says which, then what that is made of.

mod inflater;
mod offers;
mod payloads;
mod round_trip;

pub fn run(data: &[u8]) {
    match data.split_first() {
        Some((0..=63, data)) => offers::run(data),
        Some((64..=191, data)) => payloads::run(data),
        Some((192.., data)) => round_trip::run(data),
        None => {}
    }
}
