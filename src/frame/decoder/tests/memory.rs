//! What a decoder holds: nothing when idle, what arrived while it waits, nothing after the end.

use super::*;

#[test]
fn an_idle_decoder_is_small() {
    assert!(size_of::<Decoder>() <= 64, "{} bytes", size_of::<Decoder>());
    assert_eq!(size_of::<Decoder>(), 48, "the documentation says 48");
    let decoder = Decoder::new(DecoderLimits::default());
    assert!(decoder.is_idle() && !decoder.has_started_frame() && decoder.bytes_held() == 0);
}

#[test]
fn a_whole_frame_is_handed_on_from_where_it_lies() {
    let mut input = [frame(TEXT, b"one"), frame(BINARY, b"two"), frame(PING, b"x")].concat();
    let range = input.as_ptr_range();
    let mut decoder = Decoder::new(LIMITS);
    let mut rest = &mut input[..];
    for _ in 0..2 {
        let decoded = decoder.decode(rest).unwrap();
        let Some(Event::Message { payload: Payload::Borrowed(bytes), .. }) = decoded.event else {
            panic!("{:?}", decoded.event);
        };
        assert!(range.contains(&bytes.as_ptr()));
        assert_eq!((decoder.bytes_held(), decoder.is_idle()), (0, true));
        rest = decoded.rest;
    }
    assert!(matches!(decoder.decode(rest), Ok(Decoded { event: Some(Event::Ping(_)), .. })));
    assert_eq!((decoder.bytes_held(), decoder.is_idle()), (0, true));
}

#[test]
fn memory_follows_what_arrived_and_not_what_was_declared() {
    let limits = DecoderLimits { message_bytes_max: usize::MAX, fragments_max: 4 };
    let mut decoder = Decoder::new(limits);
    let mut declared = vec![BINARY, 0xFF];
    declared.extend((1u64 << 62).to_be_bytes());
    declared.extend(KEY);
    let (header, fixed) = (declared.len(), size_of::<Partial>());
    for (at, byte) in declared.into_iter().enumerate() {
        assert!(decoder.decode(&mut [byte]).unwrap().event.is_none());
        assert!(decoder.has_started_frame());
        let held = decoder.bytes_held();
        assert!(if at + 1 < header { held == 0 } else { held == fixed }, "{held} at {at}");
    }
    for arrived in (100..10_000).step_by(100) {
        assert!(decoder.decode(&mut [7; 100]).unwrap().event.is_none());
        assert!(decoder.bytes_held() <= fixed + 2 * arrived);
    }
}

#[test]
fn memory_is_gone_when_the_message_is_there() {
    let mut decoder = Decoder::new(LIMITS);
    let long = frame(BINARY, &[7; 900]);
    let (mut first, mut second) = (long[..100].to_vec(), long[100..].to_vec());
    assert!(decoder.decode(&mut first).unwrap().event.is_none());
    assert!(decoder.bytes_held() >= 92 && decoder.has_started_frame() && !decoder.is_idle());
    let Some(Event::Message { payload: Payload::Owned(bytes), .. }) =
        decoder.decode(&mut second).unwrap().event
    else {
        panic!("no message");
    };
    assert_eq!((bytes.len(), bytes.capacity()), (900, 900));
    assert_eq!((decoder.bytes_held(), decoder.is_idle()), (0, true));

    // Between two fragments a message is started, but no frame.
    assert!(decoder.decode(&mut frame(FIRST_TEXT, b"a")).unwrap().event.is_none());
    assert!(!decoder.has_started_frame() && !decoder.is_idle() && decoder.bytes_held() > 0);
    assert!(decoder.decode(&mut frame(LAST, b"b")).unwrap().event.is_some());
    assert_eq!((decoder.bytes_held(), decoder.is_idle()), (0, true));
}

#[test]
fn nothing_is_taken_after_the_end() {
    for end in [frame(CLOSE, b""), vec![0x83]] {
        let mut decoder = Decoder::new(LIMITS);
        let _ = decoder.decode(&mut frame(FIRST_TEXT, b"half"));
        let _ = decoder.decode(&mut end.clone());
        assert_eq!(decoder.bytes_held(), 0);
        for mut more in [frame(TEXT, b"late"), frame(CLOSE, b""), Vec::new()] {
            assert_eq!(decoder.decode(&mut more).unwrap_err(), Violation::AfterEnd);
        }
    }
}

#[test]
fn a_close_leaves_what_is_behind_it() {
    let mut input = [frame(CLOSE, b""), frame(TEXT, b"late")].concat();
    let decoded = Decoder::new(LIMITS).decode(&mut input).unwrap();
    assert_eq!(decoded.event, Some(Event::Close(None)));
    assert_eq!(decoded.rest.len(), 10);
}
