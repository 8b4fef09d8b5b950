//! Any bytes from a client, cut in any way: the cuts change nothing, and three other implementations
//! agree about what was said and about right and wrong. Where one is known not to, [`peers`] says
//! so.
//!
//! Input: a byte `n`, `n % 8` lengths of pieces, then the stream.

use crate::ours;
use crate::peers::{self, Refused};

/// Longer inputs only repeat what shorter ones do, slower.
const STREAM_BYTES_MAX: usize = 8 << 10;

pub fn run(data: &[u8]) {
    let Some((&count, data)) = data.split_first() else { return };
    let Some((lengths, stream)) = data.split_at_checked(usize::from(count % 8)) else { return };
    let stream = &stream[..stream.len().min(STREAM_BYTES_MAX)];

    let by_frame = ours::decode(stream, ours::frames(stream).0);
    // Lengths over and over, a 0 as one that leaves nothing for a further cut.
    let pieces = lengths.iter().cycle().map(|&len| if len == 0 { usize::MAX } else { len.into() });
    for outcome in [
        ours::decode(stream, []),
        ours::decode(stream, std::iter::repeat(1)),
        ours::decode(stream, pieces),
    ] {
        assert_eq!(outcome.events, by_frame.events, "a cut changed the events");
        assert_eq!(outcome.violation, by_frame.violation, "a cut changed the violation");
        assert_eq!(outcome.end, by_frame.end, "a cut changed the end");
    }

    let refused = Refused::find(&by_frame, stream);
    for peer in [peers::tungstenite, peers::fastwebsockets, peers::sockudo] {
        peer(stream).compare(&by_frame, refused.as_ref());
    }
}
