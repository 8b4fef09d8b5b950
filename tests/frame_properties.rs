//! The codec under random streams and random cuts: what was sent comes out, a cut changes nothing,
//! and a decoder written the slow way agrees about right and wrong.

use std::ops::Range;

use bytes::Bytes;
use fanfare::frame::{
    DataKind, Decoded, Decoder, DecoderLimits, Event, Opcode, Violation, encode, encode_close,
    header_len,
};
use proptest::{prelude::*, sample::Index};

const LIMITS: DecoderLimits = DecoderLimits { message_bytes_max: 2_000, fragments_max: 6 };

#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Message(DataKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

/// One frame as a client would send it, its fields free to be wrong.
#[derive(Clone, Debug)]
struct Frame {
    first: u8,
    /// `None` sends it unmasked.
    key: Option<[u8; 4]>,
    /// Which of the three forms the length takes at least.
    length_form: u8,
    payload: Vec<u8>,
}

impl Frame {
    fn new(first: u8, key: [u8; 4], payload: Vec<u8>) -> Self {
        Self { first, key: Some(key), length_form: 0, payload }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let masked = if self.key.is_some() { 0x80 } else { 0 };
        let len = self.payload.len();
        bytes.push(self.first);
        match (len, self.length_form) {
            (0..=125, 0) => bytes.push(masked | len as u8),
            (0..=0xFFFF, 0 | 1) => {
                bytes.push(masked | 126);
                bytes.extend((len as u16).to_be_bytes());
            }
            _ => {
                bytes.push(masked | 127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        bytes.extend(self.key.iter().flatten());
        let key = self.key.unwrap_or_default();
        bytes.extend(self.payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
    }
}

fn wire(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| frame.write(&mut bytes));
    bytes
}

/// Feeds `bytes` cut at `cuts`; checks on its way that the memory held is at most twice what
/// arrived, and a constant.
fn outcome(bytes: &[u8], cuts: &[usize]) -> (Vec<Seen>, Option<Violation>, Decoder) {
    let mut decoder = Decoder::new(LIMITS);
    let mut events = Vec::new();
    let mut from = 0;
    for &cut in cuts.iter().chain([&bytes.len()]) {
        let mut piece = bytes[from..cut].to_vec();
        let mut rest = &mut piece[..];
        loop {
            let (event, behind) = match decoder.decode(rest) {
                Ok(Decoded { event, rest }) => (event, rest),
                Err(violation) => return (events, Some(violation), decoder),
            };
            let Some(event) = event else { break };
            events.push(match event {
                Event::Message { kind, payload, .. } => Seen::Message(kind, payload.to_vec()),
                Event::Ping(payload) => Seen::Ping(payload.to_vec()),
                Event::Pong(payload) => Seen::Pong(payload.to_vec()),
                Event::Close(body) => Seen::Close(body),
            });
            if let Some(Seen::Close(_)) = events.last() {
                return (events, None, decoder);
            }
            rest = behind;
        }
        assert!(decoder.bytes_held() <= 2 * cut + 512);
        assert!(decoder.bytes_held() <= LIMITS.message_bytes_max * 2 + 512);
        from = cut;
    }
    (events, None, decoder)
}

fn sorted(cuts: &[Index], len: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(len + 1)).collect();
    cuts.sort_unstable();
    cuts
}

/// The rules once more, the slow way: over the whole stream, one rule after the other, copying at
/// will. Says what comes out and the close code; `None` as code if nothing is wrong so far.
fn reference(bytes: &[u8]) -> (Vec<Seen>, Option<u16>) {
    let mut events = Vec::new();
    let mut message: Option<(DataKind, usize, Vec<u8>)> = None;
    let mut at = 0;
    let need = |range: Range<usize>| bytes.get(range).map(<[u8]>::to_vec);
    loop {
        let Some(first) = bytes.get(at).copied() else { return (events, None) };
        let (fin, opcode) = (first >= 0x80, first & 0xF);
        let control = opcode >= 8;
        let bad_opcode = !matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10);
        if first & 0x70 != 0 || bad_opcode || (control && !fin) {
            return (events, Some(1002));
        }
        match (&message, opcode) {
            (None, 0) | (Some(_), 1 | 2) => return (events, Some(1002)),
            (Some((_, count, _)), 0) if *count == LIMITS.fragments_max => {
                return (events, Some(1008));
            }
            _ => {}
        }
        let Some(second) = bytes.get(at + 1).copied() else { return (events, None) };
        let short = second & 0x7F;
        if second < 0x80 || (control && short > 125) || (opcode == 8 && short == 1) {
            return (events, Some(1002));
        }
        let width = [0, 2, 8][usize::from(short.saturating_sub(125))];
        let Some(wide) = need(at + 2..at + 2 + width) else { return (events, None) };
        let len = match width {
            0 => u128::from(short),
            _ => wide.iter().fold(0, |len, &byte| len << 8 | u128::from(byte)),
        };
        if len >= 1 << 63 || (width == 2 && len < 126) || (width == 8 && len < 65_536) {
            return (events, Some(1002));
        }
        let so_far = message.as_ref().map_or(0, |(_, _, bytes)| bytes.len());
        if !control && so_far as u128 + len > LIMITS.message_bytes_max as u128 {
            return (events, Some(1009));
        }
        let start = at + 2 + width + 4;
        let Some(key) = need(start - 4..start) else { return (events, None) };
        let end = start + len as usize;
        let mut payload = bytes[start..end.min(bytes.len())].to_vec();
        payload.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= key[at % 4]);
        let complete = end <= bytes.len();
        at = end;
        if control {
            match opcode {
                _ if !complete => return (events, None),
                9 => events.push(Seen::Ping(payload)),
                10 => events.push(Seen::Pong(payload)),
                _ => return reference_close(events, &payload),
            }
            continue;
        }
        let kind = if opcode == 1 { DataKind::Text } else { DataKind::Binary };
        let (kind, count, mut all) = message.take().unwrap_or((kind, 0, Vec::new()));
        all.extend(payload);
        if kind == DataKind::Text && !reference_text(&all, fin && complete) {
            return (events, Some(1007));
        }
        match (complete, fin) {
            (false, _) => return (events, None),
            (true, true) => events.push(Seen::Message(kind, all)),
            (true, false) => message = Some((kind, count + 1, all)),
        }
    }
}

/// Whether text is right so far, or as a whole if it is `over`.
fn reference_text(text: &[u8], over: bool) -> bool {
    match std::str::from_utf8(text) {
        Ok(_) => true,
        Err(error) => !over && error.error_len().is_none(),
    }
}

fn reference_close(mut events: Vec<Seen>, body: &[u8]) -> (Vec<Seen>, Option<u16>) {
    if body.is_empty() {
        events.push(Seen::Close(None));
        return (events, None);
    }
    let code = u16::from(body[0]) * 256 + u16::from(body[1]);
    let never = !(1000..5000).contains(&code) || (1015..3000).contains(&code);
    if never || [1004, 1005, 1006].contains(&code) {
        return (events, Some(1002));
    }
    let Ok(text) = String::from_utf8(body[2..].to_vec()) else { return (events, Some(1007)) };
    events.push(Seen::Close(Some((code, text))));
    (events, None)
}

/// A message, how it is cut into fragments, and the control frames between them.
#[derive(Clone, Debug)]
struct Sent {
    text: bool,
    payload: Vec<u8>,
    cuts: Vec<Index>,
    controls: Vec<(bool, Vec<u8>)>,
    key: [u8; 4],
}

fn sent() -> impl Strategy<Value = Sent> {
    let payload = prop_oneof![
        "\\PC{0,60}".prop_map(|text| (true, text.into_bytes())),
        "[ -~]{100,300}".prop_map(|text| (true, text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..1_500).prop_map(|bytes| (false, bytes)),
    ];
    let control = (any::<bool>(), prop::collection::vec(any::<u8>(), 0..=125));
    let controls = prop::collection::vec(control, 0..3);
    let cuts = prop::collection::vec(any::<Index>(), 0..6);
    (payload, cuts, controls, any::<[u8; 4]>()).prop_map(
        |((text, payload), cuts, controls, key)| Sent { text, payload, cuts, controls, key },
    )
}

impl Sent {
    /// Its frames, and the events in the order in which they are due.
    fn frames(&self, frames: &mut Vec<Frame>, events: &mut Vec<Seen>) {
        let cuts = sorted(&self.cuts, self.payload.len());
        let mut controls = self.controls.iter();
        let mut from = 0;
        for (nth, &cut) in cuts.iter().chain([&self.payload.len()]).enumerate() {
            let fin = if nth == cuts.len() { 0x80 } else { 0 };
            let opcode = match (nth, self.text) {
                (0, true) => 1,
                (0, false) => 2,
                _ => 0,
            };
            frames.push(Frame::new(fin | opcode, self.key, self.payload[from..cut].to_vec()));
            from = cut;
            if fin == 0
                && let Some((ping, payload)) = controls.next()
            {
                frames.push(Frame::new(if *ping { 0x89 } else { 0x8A }, self.key, payload.clone()));
                let seen = if *ping { Seen::Ping } else { Seen::Pong };
                events.push(seen(payload.clone()));
            }
        }
        let kind = if self.text { DataKind::Text } else { DataKind::Binary };
        events.push(Seen::Message(kind, self.payload.clone()));
    }
}

/// A frame that is right nine times out of ten in each of its fields.
fn flawed() -> impl Strategy<Value = Frame> {
    let first = prop_oneof![
        12 => prop::sample::select(vec![0x81u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A]),
        1 => Just(0x88u8),
        1 => any::<u8>(),
    ];
    let key = prop_oneof![20 => any::<[u8; 4]>().prop_map(Some), 1 => Just(None)];
    let length_form = prop_oneof![20 => Just(0u8), 1 => 1..3u8];
    let payload = prop_oneof![
        4 => "\\PC{0,20}".prop_map(String::into_bytes),
        1 => "[ -~]{0,900}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..10),
        1 => "\\PC{1,8}".prop_map(|text| text.into_bytes().split_off(1)),
        1 => (900..5_100u16, "\\PC{0,9}").prop_map(|(code, text)| {
            [&code.to_be_bytes()[..], text.as_bytes()].concat()
        }),
    ];
    (first, key, length_form, payload).prop_map(|(first, key, length_form, payload)| Frame {
        first,
        key,
        length_form,
        payload,
    })
}

/// A server's frame turned into a client's: the same with a mask.
fn masked(frame: &Bytes, payload_len: usize, key: [u8; 4]) -> Vec<u8> {
    let (header, payload) = frame.split_at(header_len(payload_len));
    let mut bytes = header.to_vec();
    bytes[1] |= 0x80;
    bytes.extend(key);
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
    bytes
}

fn cuts() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 0..12)
}

proptest! {
    #[test]
    fn what_was_sent_comes_out_however_it_is_cut(
        sent in prop::collection::vec(sent(), 0..5),
        cuts in cuts(),
    ) {
        let (mut frames, mut expected) = (Vec::new(), Vec::new());
        sent.iter().for_each(|sent| sent.frames(&mut frames, &mut expected));
        let bytes = wire(&frames);
        let (events, violation, decoder) = outcome(&bytes, &sorted(&cuts, bytes.len()));
        prop_assert_eq!(violation, None);
        prop_assert_eq!(events, expected);
        prop_assert!(decoder.is_idle());
        prop_assert_eq!(decoder.bytes_held(), 0);
    }

    #[test]
    fn the_encoder_writes_what_the_decoder_reads(
        payload in prop::collection::vec(any::<u8>(), 0..1_000),
        code in prop_oneof![1000..=1003u16, 1007..=1014u16, 3000..=4999u16],
        text in "\\PC{0,80}",
        key in any::<[u8; 4]>(),
        cuts in cuts(),
    ) {
        let short = &payload[..payload.len().min(125)];
        let close = encode_close(code, &text);
        let bytes = [
            masked(&encode(Opcode::Binary, &payload), payload.len(), key),
            masked(&encode(Opcode::Text, text.as_bytes()), text.len(), key),
            masked(&encode(Opcode::Ping, &payload), short.len(), key),
            masked(&encode(Opcode::Pong, short), short.len(), key),
            masked(&close, close.len() - 2, key),
        ]
        .concat();
        let (events, violation, _) = outcome(&bytes, &sorted(&cuts, bytes.len()));
        prop_assert_eq!(violation, None);
        let Some((Seen::Close(Some((got, cut))), before)) = events.split_last() else {
            panic!("no close in {events:?}");
        };
        prop_assert_eq!(*got, code);
        prop_assert!(text.starts_with(cut.as_str()));
        prop_assert!(cut.len() == text.len() || (120..=123).contains(&cut.len()));
        prop_assert_eq!(before, [
            Seen::Message(DataKind::Binary, payload.clone()),
            Seen::Message(DataKind::Text, text.clone().into_bytes()),
            Seen::Ping(short.to_vec()),
            Seen::Pong(short.to_vec()),
        ]);
    }

    #[test]
    fn the_slow_decoder_agrees_about_flawed_streams_however_they_are_cut(
        frames in prop::collection::vec(flawed(), 1..9),
        keep in any::<Index>(),
        cut_short in any::<bool>(),
        cuts in cuts(),
    ) {
        let mut bytes = wire(&frames);
        if cut_short {
            bytes.truncate(keep.index(bytes.len() + 1));
        }
        let (events, violation, _) = outcome(&bytes, &sorted(&cuts, bytes.len()));
        let code = violation.map(|violation| violation.reason().code());
        prop_assert_eq!((&events, code), (&reference(&bytes).0, reference(&bytes).1));
        let (whole, same, _) = outcome(&bytes, &[]);
        prop_assert_eq!((events, violation), (whole, same));
    }

    #[test]
    fn any_bytes_at_all(bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in cuts()) {
        let (events, violation, _) = outcome(&bytes, &sorted(&cuts, bytes.len()));
        let code = violation.map(|violation| violation.reason().code());
        prop_assert_eq!((events, code), reference(&bytes));
    }
}
