//! Any bytes as compressed messages: however they are cut into fragments and reads, they inflate to
//! the same, to what another inflater says, and never to more than the limit.
//!
//! Input: a byte for the limit, a byte for the number of cuts, the cuts, then the payload.

use fanfare::frame::{
    DataKind, Decoder, DecoderLimits, Event, InflateError, Opcode, encode_deflated, inflate,
};

use super::inflater::{self, Inflated};
use super::round_trip::masked;

/// Around what is inflated at a time (16 KiB), and the ends.
const LIMITS: [usize; 12] =
    [0, 1, 100, 1_000, 4_096, 16_383, 16_384, 16_385, 32_768, 40_000, 65_535, 65_536];

/// How far beyond the limit the other inflater goes, so that we may find an error there too.
const BEYOND: usize = 64 << 10;

const DECODER_LIMITS: DecoderLimits =
    DecoderLimits { message_bytes_max: 64 << 10, fragments_max: 8 };

pub fn run(data: &[u8]) {
    let Some((&[limit, count], data)) = data.split_first_chunk() else { return };
    let Some((cuts, payload)) = data.split_at_checked(usize::from(count) % 8) else { return };
    let limit = LIMITS[usize::from(limit) % LIMITS.len()];
    let theirs = inflater::inflate(payload, limit + BEYOND);
    for (kind, opcode) in [(DataKind::Binary, Opcode::Binary), (DataKind::Text, Opcode::Text)] {
        let ours = inflate(kind, payload, limit);
        compare(kind, &ours, &theirs, limit);
        let arrived = through_the_decoder(opcode, payload, cuts);
        assert_eq!(arrived, payload, "fragments change nothing");
        assert_eq!(inflate(kind, &arrived, limit), ours, "what was before changes nothing");
    }
    // Whatever it was, the next message is not touched by it.
    let frame = encode_deflated(Opcode::Text, &[b'x'; 50], fanfare::frame::WindowBits::Nine, 1);
    let next = inflate(DataKind::Text, &frame.unwrap()[2..], 50);
    assert_eq!(next.as_deref(), Ok(&[b'x'; 50][..]));
}

fn compare(kind: DataKind, ours: &Result<Vec<u8>, InflateError>, theirs: &Inflated, limit: usize) {
    let too_big = Err(InflateError::TooBig { message_bytes_max: limit });
    match theirs {
        Inflated::Whole(message) if message.len() > limit => assert_eq!(*ours, too_big),
        Inflated::Whole(message) => match (kind, std::str::from_utf8(message)) {
            (DataKind::Text, Err(_)) => assert_eq!(*ours, Err(InflateError::NotUtf8)),
            _ => assert_eq!(ours.as_ref(), Ok(message)),
        },
        Inflated::Broken(made) if *made <= limit => assert_eq!(*ours, Err(InflateError::Invalid)),
        // Both are wrong with it, and how far one looks beyond the limit is open.
        Inflated::Broken(_) => {
            assert!(*ours == too_big || *ours == Err(InflateError::Invalid), "{ours:?}");
        }
        Inflated::Beyond => assert_eq!(*ours, too_big),
    }
}

/// The payload as a client sends it: in fragments, and these in pieces.
fn through_the_decoder(opcode: Opcode, payload: &[u8], cuts: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut left = payload;
    for (nth, share) in cuts.iter().map(Some).chain([None]).enumerate() {
        let first = if nth == 0 { 0x40 | opcode as u8 } else { 0 };
        let len = share.map_or(left.len(), |share| left.len() * usize::from(*share) / 255);
        let (now, later) = left.split_at(len);
        wire.extend(masked(first | if share.is_none() { 0x80 } else { 0 }, now, [9, 8, 7, 6]));
        left = later;
    }
    let mut decoder = Decoder::new(DECODER_LIMITS).with_compression();
    let piece = cuts.first().map_or(wire.len(), |len| usize::from(*len).max(1));
    let mut arrived = None;
    for piece in wire.chunks_mut(piece) {
        let decoded = decoder.decode(piece).expect("the frames are in order");
        let Some(event) = decoded.event else { continue };
        let Event::Message { payload, compressed: true, .. } = event else { panic!("{event:?}") };
        assert!(decoded.rest.is_empty() && arrived.is_none(), "one message");
        arrived = Some(payload.to_vec());
    }
    arrived.expect("a whole message")
}
