//! UTF-8 that arrives in pieces (RFC 3629), refused at the first byte that cannot be right.

use std::ops::RangeInclusive;

/// Where a stream stands inside of a character: how many bytes it still lacks, and which the next
/// may be. Only the second byte of a character has other bounds than `80..=BF` (no overlong
/// forms, no surrogates, nothing above U+10FFFF).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Utf8 {
    lacking: u8,
    next: RangeInclusive<u8>,
}

/// The bounds of a byte that continues a character, where nothing narrower holds.
const CONTINUATION: RangeInclusive<u8> = 0x80..=0xBF;

impl Default for Utf8 {
    fn default() -> Self {
        Self { lacking: 0, next: CONTINUATION }
    }
}

impl Utf8 {
    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// The position in `bytes` of the first byte with which no continuation is UTF-8.
    #[inline]
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while self.lacking > 0 {
            let Some(&byte) = bytes.get(at) else { return Ok(()) };
            self.step(byte).map_err(|()| at)?;
            at += 1;
        }
        let Err(error) = std::str::from_utf8(&bytes[at..]) else { return Ok(()) };
        // What is left is either the start of a character that is not all there yet (at most three
        // bytes) or holds the bad byte (at most the fourth from here).
        at += error.valid_up_to();
        for (after, &byte) in bytes[at..].iter().enumerate() {
            self.step(byte).map_err(|()| at + after)?;
        }
        Ok(())
    }

    /// Whether the stream may end here: no character is left half done.
    #[inline]
    pub(crate) fn is_complete(&self) -> bool {
        self.lacking == 0
    }

    /// One byte, by table 3-7 of the Unicode standard.
    fn step(&mut self, byte: u8) -> Result<(), ()> {
        if self.lacking > 0 {
            if !self.next.contains(&byte) {
                return Err(());
            }
            self.lacking -= 1;
            self.next = CONTINUATION;
            return Ok(());
        }
        (self.lacking, self.next) = match byte {
            0x00..=0x7F => (0, CONTINUATION),
            0xC2..=0xDF => (1, CONTINUATION),
            0xE0 => (2, 0xA0..=0xBF),
            0xE1..=0xEC | 0xEE | 0xEF => (2, CONTINUATION),
            0xED => (2, 0x80..=0x9F),
            0xF0 => (3, 0x90..=0xBF),
            0xF1..=0xF3 => (3, CONTINUATION),
            0xF4 => (3, 0x80..=0x8F),
            _ => return Err(()),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What std says of the whole: the first byte with which it cannot become UTF-8 any more, and
    /// whether it is complete. A prefix is hopeless when std names an error of known length.
    fn reference(bytes: &[u8]) -> Result<bool, usize> {
        let hopeless = |end: &usize| {
            std::str::from_utf8(&bytes[..*end]).is_err_and(|error| error.error_len().is_some())
        };
        match (1..=bytes.len()).find(hopeless) {
            Some(end) => Err(end - 1),
            None => Ok(std::str::from_utf8(bytes).is_ok()),
        }
    }

    fn in_pieces(bytes: &[u8], cuts: &[usize]) -> Result<bool, usize> {
        let mut utf8 = Utf8::default();
        let mut from = 0;
        for &cut in cuts.iter().chain([&bytes.len()]) {
            utf8.feed(&bytes[from..cut]).map_err(|at| from + at)?;
            from = cut;
        }
        Ok(utf8.is_complete())
    }

    fn agrees_under_every_pair_of_cuts(bytes: &[u8]) {
        let expected = reference(bytes);
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let got = in_pieces(bytes, &[first, second]);
                assert_eq!(got, expected, "{bytes:x?} cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn every_pair_of_bytes_with_and_without_company() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                agrees_under_every_pair_of_cuts(&[first, second]);
                let tail = [first, second, 0x80, 0xBF, b'x'];
                assert_eq!(in_pieces(&tail, &[1, 2, 3]), reference(&tail), "{tail:x?}");
                assert_eq!(in_pieces(&tail, &[]), reference(&tail), "{tail:x?}");
            }
        }
    }

    #[test]
    fn the_awkward_ones() {
        let cases: [&[u8]; 10] = [
            b"",
            "κόσμε".as_bytes(),
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
            b"\xf0\x9f\x8e\xba trumpet \xf0\x9f\x8e",
            b"\xf4\x8f\xbf\xbf",
            b"\xf4\x90\x80\x80",
            b"\xc0\xaf",
            b"\xe0\x9f\xbf",
            b"\xf0\x8f\xbf\xbf",
            b"\xef\xbf\xbe\xf5",
        ];
        for bytes in cases {
            agrees_under_every_pair_of_cuts(bytes);
        }
    }

    /// Mostly pieces of characters, so that long valid stretches and near misses both occur.
    fn nearly_utf8() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
            2 => "[ -~]{0,40}".prop_map(String::into_bytes),
            1 => prop::collection::vec(0x80..=0xFFu8, 1..4),
            1 => any::<char>().prop_map(|c| {
                let mut bytes = c.to_string().into_bytes();
                bytes.pop();
                bytes
            }),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn agrees_with_std_under_any_cuts(
            bytes in nearly_utf8(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            prop_assert_eq!(in_pieces(&bytes, &cuts), reference(&bytes));
        }
    }
}
