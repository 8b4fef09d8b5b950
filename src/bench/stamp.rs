//! What a published message carries: which run, which channel, its number in the channel, and when
//! it was meant to be sent.
//!
//! | bytes | meaning |
//! |---|---|
//! | 0..8 | `fanf` and 16 bits of the run |
//! | 8..12 | the channel's index, 16 bits |
//! | 12..20 | the number in the channel, 32 bits |
//! | 20..32 | the intended time, 48 bits of nanoseconds since the run began (three days) |
//!
//! Numbers are letters, `a` to `p`, four bits each: the same bytes are text, binary, JSON, a form or a
//! line, whatever the server wants to see, and eight of them are decoded in a few operations.

/// How long a stamp is, and so the shortest message.
pub const STAMP_BYTES: usize = 32;

/// What the stamp of a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) channel: u16,
    pub(crate) number: u32,
    pub(crate) intended_ns: u64,
}

/// Writes and finds the stamps of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamper {
    magic: [u8; 8],
    /// Where the last stamp was found: a server wraps all messages alike.
    hint: usize,
}

impl Stamper {
    pub(crate) fn new(run: u16) -> Self {
        let mut magic = letters(u32::from(run));
        magic[..4].copy_from_slice(b"fanf");
        Self { magic, hint: 0 }
    }

    /// A message: the stamp, then letters that are not in stamps.
    pub(crate) fn message(&self, stamp: Stamp, bytes: usize) -> Vec<u8> {
        let mut message = Vec::with_capacity(bytes.max(STAMP_BYTES));
        message.extend_from_slice(&self.magic);
        let high = u32::from(stamp.channel) << 16 | stamp.number >> 16;
        let middle = stamp.number << 16 | (stamp.intended_ns >> 32) as u32 & 0xffff;
        for word in [high, middle, stamp.intended_ns as u32] {
            message.extend_from_slice(&letters(word));
        }
        message.extend((STAMP_BYTES..bytes).map(|at| b'q' + (at % 10) as u8));
        message
    }

    /// The stamp in the beginning of a payload, wherever the server put it.
    pub(crate) fn find(&mut self, payload: &[u8]) -> Option<Stamp> {
        if let Some(stamp) = self.at(payload, self.hint) {
            return Some(stamp);
        }
        let places = payload.windows(8).enumerate().filter(|(_, word)| *word == self.magic);
        let (at, stamp) = places.filter_map(|(at, _)| Some((at, self.at(payload, at)?))).next()?;
        self.hint = at;
        Some(stamp)
    }

    fn at(&self, payload: &[u8], at: usize) -> Option<Stamp> {
        let bytes: &[u8; STAMP_BYTES] = payload.get(at..)?.first_chunk()?;
        let ([magic, high, middle, low], _) = bytes.as_chunks::<8>() else { return None };
        if *magic != self.magic {
            return None;
        }
        let (high, middle, low) = (number(*high)?, number(*middle)?, number(*low)?);
        Some(Stamp {
            channel: (high >> 16) as u16,
            number: high << 16 | middle >> 16,
            intended_ns: u64::from(middle & 0xffff) << 32 | u64::from(low),
        })
    }
}

fn letters(number: u32) -> [u8; 8] {
    std::array::from_fn(|at| b'a' + (number >> (28 - 4 * at) & 15) as u8)
}

/// All eight letters at once: each becomes four bits of a byte, then neighbours are joined.
fn number(letters: [u8; 8]) -> Option<u32> {
    let bits = u64::from_be_bytes(letters).wrapping_sub(0x6161_6161_6161_6161);
    // A byte below `a` borrows, but the lowest such byte shows itself as at least 0x9f.
    if bits & 0xf0f0_f0f0_f0f0_f0f0 != 0 {
        return None;
    }
    let bytes = (bits | bits >> 4) & 0x00ff_00ff_00ff_00ff;
    let words = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
    Some((words | words >> 16) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp =
        Stamp { channel: 0xfedc, number: 0x89ab_cdef, intended_ns: 0x1234_5678_9abc };

    #[test]
    fn a_stamp_is_found_where_it_was_put() {
        let mut stamper = Stamper::new(0xbeef);
        for bytes in [32, 33, 128, 1000] {
            let message = stamper.message(STAMP, bytes);
            assert_eq!(message.len(), bytes);
            assert!(message.iter().all(u8::is_ascii_lowercase));
            assert_eq!(stamper.find(&message), Some(STAMP));
            let wrapped =
                [b"{\"type\":\"message\",\"text\":\"".as_slice(), &message, b"\"}"].concat();
            assert_eq!(stamper.find(&wrapped), Some(STAMP));
            assert_eq!(stamper.find(&wrapped), Some(STAMP), "where it was the last time");
        }
    }

    #[test]
    fn what_is_no_stamp_of_this_run_is_none() {
        let mut stamper = Stamper::new(1);
        let message = stamper.message(STAMP, 64);
        assert_eq!(Stamper::new(2).find(&message), None, "of another run");
        assert_eq!(stamper.find(&message[..31]), None, "cut short");
        assert_eq!(stamper.find(b""), None);
        for at in 8..32 {
            for wrong in [b'`', b'q', 0, 0xff, b'A'] {
                let mut bad = message.clone();
                bad[at] = wrong;
                assert_eq!(stamper.find(&bad), None, "{at} {wrong}");
            }
        }
    }

    #[test]
    fn letters_and_numbers_are_each_others_inverse() {
        for value in [0, 1, 0x0f0f_0f0f, 0x1234_5678, u32::MAX] {
            assert_eq!(number(letters(value)), Some(value));
        }
        assert_eq!(&letters(0x0123_4567), b"abcdefgh");
    }
}
