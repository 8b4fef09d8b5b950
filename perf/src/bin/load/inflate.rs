//! Inflating, as cheaply as a generator must: a server that compresses once sends everybody the same
//! bytes, so what was inflated last is kept and compared.

use flate2::{Decompress, FlushDecompress};

/// What a sender leaves off, RFC 7692 section 7.2.1.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// More is not a message of ours.
const INFLATED_MAX: usize = 1 << 20;

#[derive(Debug)]
pub struct Inflater {
    /// The last payload, compressed and not.
    last: Vec<u8>,
    plain: Vec<u8>,
    inflate: Decompress,
}

impl Inflater {
    pub fn new() -> Self {
        Self { last: Vec::new(), plain: Vec::new(), inflate: Decompress::new(false) }
    }

    /// The payload in plain; `None` if it is not what a sender without context makes.
    pub fn inflate(&mut self, payload: &[u8]) -> Option<&[u8]> {
        if self.last != payload {
            self.last.clear();
            self.plain.clear();
            let whole = [payload, &TAIL].concat();
            self.inflate.reset(false);
            let mut taken = 0;
            while taken < whole.len() && self.plain.len() < INFLATED_MAX {
                self.plain.reserve(4 << 10);
                self.inflate
                    .decompress_vec(&whole[taken..], &mut self.plain, FlushDecompress::Sync)
                    .ok()?;
                taken = self.inflate.total_in() as usize;
            }
            self.last.extend_from_slice(payload);
        }
        Some(&self.plain)
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    #[test]
    fn what_was_deflated_comes_back_and_only_that() {
        let text = b"@000100000002 and the same again and again and again and again".repeat(30);
        let mut deflate = Compress::new(Compression::fast(), false);
        let mut out = Vec::with_capacity(8 << 10);
        deflate.compress_vec(&text, &mut out, FlushCompress::Sync).unwrap();
        assert!(out.ends_with(&TAIL));
        out.truncate(out.len() - 4);
        let mut inflater = Inflater::new();
        for _ in 0..2 {
            assert_eq!(inflater.inflate(&out), Some(&text[..]));
        }
        assert_eq!(inflater.inflate(&[0xff; 40]), None);
    }
}
