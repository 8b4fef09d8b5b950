//! miniz_oxide 0.9 as the other inflater: it shares no code with zlib-rs, which ours is made of.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

/// What a sender cut off (RFC 7692 section 7.2.2), and an empty last block behind it.
const END: [u8; 6] = [0x00, 0x00, 0xFF, 0xFF, 0x03, 0x00];

/// What a payload inflates to.
#[derive(Debug)]
pub enum Inflated {
    Whole(Vec<u8>),
    /// It is not deflated data, or not all of it; so many bytes came of it before that was clear.
    Broken(usize),
    /// More bytes than there was room for.
    Beyond,
}

/// Inflates a payload in one go, up to `bytes_max` bytes.
pub fn inflate(payload: &[u8], bytes_max: usize) -> Inflated {
    let input = [payload, &END].concat();
    let mut left = &input[..];
    let mut output = vec![0; bytes_max];
    let mut len = 0;
    // A last block may be followed by more (section 7.2.3.4), which does not refer to what was before.
    while !left.is_empty() {
        let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let mut state = DecompressorOxide::new();
        let (status, taken, made) = decompress(&mut state, left, &mut output[len..], 0, flags);
        len += made;
        match status {
            TINFLStatus::Done => left = &left[taken..],
            TINFLStatus::HasMoreOutput => return Inflated::Beyond,
            _ => return Inflated::Broken(len),
        }
    }
    output.truncate(len);
    Inflated::Whole(output)
}

/// Inflates a payload of ours as a client does that keeps no more than this window; `None` if that
/// does not do.
pub fn inflate_with_window(payload: &[u8], window_bits: u8) -> Option<Vec<u8>> {
    let input = [payload, &END].concat();
    let mut left = &input[..];
    let (mut window, mut output) = (vec![0; 1 << window_bits], Vec::new());
    let mut state = DecompressorOxide::new();
    loop {
        // Writes over its oldest bytes, so a distance beyond the window is out of bounds.
        let at = output.len() % window.len();
        let (status, taken, made) = decompress(&mut state, left, &mut window, at, 0);
        left = &left[taken..];
        output.extend_from_slice(&window[at..at + made]);
        match status {
            TINFLStatus::Done => return left.is_empty().then_some(output),
            TINFLStatus::HasMoreOutput => {}
            _ => return None,
        }
    }
}
