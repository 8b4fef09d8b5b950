//! Frames that can be told apart, and what a socket took of them.

use bytes::Bytes;
use fanfare::base::limits::SlowConsumerPolicy;
use fanfare::fuzzing::{Frame, Gap};

/// The kinds of frame, and what is promised of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In order within its stream.
    Data = 1,
    /// In order among themselves.
    Control = 2,
    /// In order with the data of each stream.
    Behind = 3,
    /// The last.
    Close = 4,
    /// What the session is told about losses; the id is how many.
    Gap = 5,
}

/// One stream for each policy, without a label for the one that drops nothing.
pub const STREAMS: usize = SlowConsumerPolicy::ALL.len();

/// Bytes before the filling.
pub const HEAD: usize = 7;

/// `id` is filled in by its last byte; `stream` is what data belongs to.
pub fn encode(kind: Kind, stream: u8, id: u32, len: u8) -> Bytes {
    let mut bytes = vec![kind as u8, stream];
    bytes.extend(id.to_be_bytes());
    bytes.push(len);
    bytes.extend(std::iter::repeat_n(id as u8, len.into()));
    Bytes::from(bytes)
}

/// A publication: `len` decides about key and time to live as well.
pub fn data(stream: u8, id: u32, len: u8, now_ms: u64) -> Frame {
    let policy = SlowConsumerPolicy::ALL[usize::from(stream)];
    let keeps = policy == SlowConsumerPolicy::Disconnect;
    Frame {
        bytes: encode(Kind::Data, stream, id, len),
        stream: stream.into(),
        offset: id.into(),
        key: (!len.is_multiple_of(4)).then_some(len % 4),
        expires_ms: len.is_multiple_of(7).then_some(now_ms + u64::from(len / 7)),
        policy: (!keeps).then_some(policy),
    }
}

/// What tells of a loss.
pub fn gap(gap: Gap) -> Option<Bytes> {
    assert!(gap.count > 0 && gap.count <= gap.to_offset - gap.from_offset + 1, "{gap:?}");
    Some(encode(Kind::Gap, gap.stream as u8, gap.count as u32, 0))
}

/// A frame that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub kind: Kind,
    pub stream: u8,
    pub id: u32,
}

/// The frames that the socket took; only a killed session's may be cut off.
pub fn parse(mut bytes: &[u8], may_be_cut: bool) -> Vec<Seen> {
    let mut seen = Vec::new();
    while !bytes.is_empty() {
        let len = bytes.get(HEAD - 1).map(|len| HEAD + usize::from(*len));
        let Some(len) = len.filter(|len| bytes.len() >= *len) else {
            assert!(may_be_cut, "a frame was begun and not finished");
            break;
        };
        let (frame, rest) = bytes.split_at(len);
        let kind = match frame[0] {
            1 => Kind::Data,
            2 => Kind::Control,
            3 => Kind::Behind,
            4 => Kind::Close,
            5 => Kind::Gap,
            other => panic!("no frame begins with {other}: frames are mixed up"),
        };
        let id = u32::from_be_bytes([frame[2], frame[3], frame[4], frame[5]]);
        assert!(frame[HEAD..].iter().all(|byte| *byte == id as u8), "frames are mixed up");
        seen.push(Seen { kind, stream: frame[1], id });
        bytes = rest;
    }
    seen
}

/// Whether each stream, with the replies among its data, is in order.
pub fn check_order(seen: &[Seen]) {
    for stream in 0..STREAMS as u8 {
        let of = |s: &&Seen| s.kind == Kind::Behind || (s.kind == Kind::Data && s.stream == stream);
        let ids: Vec<u32> = seen.iter().filter(of).map(|seen| seen.id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "doubled or out of order: {ids:?}");
    }
}

/// The ids of one kind.
pub fn ids(seen: &[Seen], kind: Kind) -> Vec<u32> {
    seen.iter().filter(|seen| seen.kind == kind).map(|seen| seen.id).collect()
}

/// How many messages the session was told that it lost.
pub fn told(seen: &[Seen]) -> u64 {
    ids(seen, Kind::Gap).into_iter().map(u64::from).sum()
}
