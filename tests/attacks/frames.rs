//! Frames and messages that break a rule or a limit.

use std::time::{Duration, Instant};

use crate::default_of;
use crate::raw::{BINARY, CLOSE, CONTINUATION, MORE, PING, PONG, Raw, TEXT, frame, header, masked};
use crate::steady::{CHANNEL, Steady};
use crate::support::Gateway;

fn disconnects(reason: &str) -> String {
    format!("fanfare_disconnects_total{{reason=\"{reason}\"}}")
}

/// Sends bytes as a WebSocket of the healthy channel; the code of the close, which a proper end
/// follows.
async fn code_for(gateway: &Gateway, bytes: &[u8]) -> u16 {
    let mut raw = Raw::upgrade(gateway.addr, &format!("/ws?channel={CHANNEL}")).await;
    raw.send(bytes).await;
    let (code, text) = raw.close().await;
    assert!(!text.is_empty(), "{code} says why");
    raw.end().await;
    code
}

/// What breaks RFC 6455, and how; the payload would show if it were delivered.
fn violations() -> Vec<(&'static str, Vec<u8>)> {
    let started = |then: Vec<u8>| [frame(TEXT & MORE, b"stray"), then].concat();
    let mut unmasked = vec![TEXT, 5];
    unmasked.extend(b"stray");
    let with_len = |bytes: &[u8]| [&[BINARY], bytes, &[0; 4]].concat();
    vec![
        ("unmasked", unmasked),
        ("unmasked and empty", vec![TEXT, 0]),
        ("RSV1", frame(TEXT | 0x40, b"stray")),
        ("RSV2", frame(TEXT | 0x20, b"stray")),
        ("RSV3", frame(TEXT | 0x10, b"stray")),
        ("RSV1 on a control frame", frame(PING | 0x40, b"")),
        ("opcode 3", frame(0x83, b"stray")),
        ("opcode 7", frame(0x87, b"stray")),
        ("opcode 11", frame(0x8B, b"")),
        ("opcode 15", frame(0x8F, b"")),
        ("5 in two bytes", with_len(&[0xFE, 0, 5])),
        ("125 in two bytes", with_len(&[0xFE, 0, 125])),
        ("65,535 in eight bytes", with_len(&[0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF])),
        ("top bit of the length", with_len(&[0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0])),
        ("all bits of the length", with_len(&[0xFF; 9])),
        ("ping of 126 bytes", frame(PING, &[0; 126])),
        ("close of 126 bytes", frame(CLOSE, &[3; 126])),
        ("fragmented ping", frame(PING & MORE, b"")),
        ("continuation of nothing", frame(CONTINUATION, b"stray")),
        ("unfinished continuation of nothing", frame(CONTINUATION & MORE, b"stray")),
        ("text in a text", started(frame(TEXT, b"stray"))),
        ("binary in a text", started(frame(BINARY & MORE, b"stray"))),
        ("close with one byte", frame(CLOSE, &[3])),
        ("close with 1005", frame(CLOSE, &1005_u16.to_be_bytes())),
        ("close with 999", frame(CLOSE, &999_u16.to_be_bytes())),
        ("close with 5000", frame(CLOSE, &5000_u16.to_be_bytes())),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_the_protocol_is_answered_with_1002_and_never_delivered() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let violations = violations();
    for (what, bytes) in &violations {
        assert_eq!(code_for(&gateway, bytes).await, 1002, "{what}");
        // With the same again in the same packet, and a good message behind it: all of it noise.
        let more = [bytes.as_slice(), bytes.as_slice(), &frame(TEXT, b"stray")].concat();
        assert_eq!(code_for(&gateway, &more).await, 1002, "{what}, with more behind it");
    }
    let expected = 2.0 * violations.len() as f64;
    gateway.until_metric(&disconnects("protocol_error"), |count| count == expected).await;
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_utf_8_fails_at_once_wherever_it_is_cut() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let bad: [&[u8]; 7] = [
        b"\xff",
        b"a\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x28\xa1",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80",
        b"\xf8\x88\x80\x80\x80",
    ];
    let mut count = 0;
    for text in bad {
        assert_eq!(code_for(&gateway, &frame(TEXT, text)).await, 1007, "{text:x?}");
        // The rest of the frame never comes, and nobody waits for it.
        let unfinished = [header(TEXT, 10_000), masked(text)].concat();
        assert_eq!(code_for(&gateway, &unfinished).await, 1007, "{text:x?}, unfinished");
        count += 2;
        for cut in 1..text.len() {
            let (one, two) = text.split_at(cut);
            let pieces = [frame(TEXT & MORE, one), frame(CONTINUATION & MORE, two)].concat();
            assert_eq!(code_for(&gateway, &pieces).await, 1007, "{text:x?} cut at {cut}");
            count += 1;
        }
    }
    // The end of a message inside of a character, and the text of a close.
    assert_eq!(code_for(&gateway, &frame(TEXT, "κ".as_bytes()[..1].as_ref())).await, 1007);
    assert_eq!(code_for(&gateway, &frame(CLOSE, b"\x03\xe8\xff")).await, 1007);
    let expected = f64::from(count + 2);
    gateway.until_metric(&disconnects("invalid_utf8"), |count| count == expected).await;

    // A character may be cut by a fragment, with a ping in between.
    let mut raw = Raw::upgrade(gateway.addr, "/ws?channel=cut").await;
    let bytes = "κόσμε".as_bytes();
    raw.send(&frame(TEXT & MORE, &bytes[..1])).await;
    raw.send(&frame(PING, b"p")).await;
    raw.send(&frame(CONTINUATION, &bytes[1..])).await;
    assert_eq!(raw.frame().await, (PONG, b"p".to_vec()));
    assert_eq!(raw.frame().await, (TEXT, bytes.to_vec()));
    steady.finish().await;
}

/// A message of so many bytes in so many fragments.
fn fragmented(bytes: usize, fragments: usize) -> Vec<u8> {
    let payload = vec![b'a'; bytes];
    let size = bytes.div_ceil(fragments).max(1);
    let mut pieces: Vec<&[u8]> = payload.chunks(size).collect();
    pieces.resize(fragments, &[]);
    let mut out = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let opcode = if at == 0 { BINARY } else { CONTINUATION };
        let fin = if at + 1 == fragments { 0xFF } else { MORE };
        out.extend(frame(opcode & fin, piece));
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn big_messages_are_refused_however_many_fragments_they_come_in() {
    assert_eq!(default_of("messages", "message_bytes_max"), "65536");
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let mut raw = Raw::upgrade(gateway.addr, "/ws?channel=big").await;
    for fragments in [1, 2, 64] {
        raw.send(&fragmented(65_536, fragments)).await;
        assert_eq!(raw.frame().await.1.len(), 65_536, "{fragments} fragments");
    }
    for fragments in [1, 2, 64] {
        let mut raw = Raw::upgrade(gateway.addr, "/ws?channel=big2").await;
        // The peer is refused before it has sent all of it: what it sends then may fail.
        raw.try_send(&fragmented(65_537, fragments)).await;
        assert_eq!(raw.close().await.0, 1009, "{fragments} fragments");
        raw.end().await;
    }
    gateway.until_metric(&disconnects("message_too_big"), |count| count == 3.0).await;
    steady.finish().await;

    let variables = [("FANFARE_MESSAGES_MESSAGE_BYTES_MAX", "1000")];
    let gateway = Gateway::start(&[], &variables).await;
    let mut raw = Raw::upgrade(gateway.addr, "/ws?channel=big").await;
    raw.send(&fragmented(1_000, 3)).await;
    assert_eq!(raw.frame().await.1.len(), 1_000);
    assert_eq!(code_for(&gateway, &fragmented(1_001, 3)).await, 1009);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_fragments_than_allowed_are_refused() {
    assert_eq!(default_of("messages", "fragments_max"), "64");
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let mut raw = Raw::upgrade(gateway.addr, "/ws?channel=few").await;
    raw.send(&fragmented(64, 64)).await;
    assert_eq!(raw.frame().await.1.len(), 64);
    assert_eq!(code_for(&gateway, &fragmented(65, 65)).await, 1008);
    gateway.until_metric(&disconnects("policy_violation"), |count| count == 1.0).await;
    steady.finish().await;

    let variables = [("FANFARE_MESSAGES_FRAGMENTS_MAX", "3")];
    let gateway = Gateway::start(&[], &variables).await;
    let mut raw = Raw::upgrade(gateway.addr, "/ws?channel=few").await;
    raw.send(&fragmented(3, 3)).await;
    assert_eq!(raw.frame().await.1.len(), 3);
    assert_eq!(code_for(&gateway, &fragmented(4, 4)).await, 1008);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_or_a_message_that_drips_is_ended() {
    assert_eq!(default_of("hub", "frame_timeout_ms"), "10000");
    let variables = [
        ("FANFARE_HUB_FRAME_TIMEOUT_MS", "600"),
        // Or the pings between two fragments would be what is too much.
        ("FANFARE_MESSAGES_CONTROL_FRAMES_PER_10S_MAX", "1000"),
    ];
    let gateway = Gateway::start(&[], &variables).await;
    let steady = Steady::start(gateway.addr).await;
    let drip = async |begin: Vec<u8>, again: Vec<u8>| {
        let mut raw = Raw::upgrade(gateway.addr, &format!("/ws?channel={CHANNEL}")).await;
        let began = Instant::now();
        raw.send(&begin).await;
        let (mut reader, mut writer) = raw.stream.split();
        let close = async {
            let mut bytes = Vec::new();
            loop {
                tokio::io::AsyncReadExt::read_buf(&mut reader, &mut bytes).await.unwrap();
                // Past the numbers of the healthy channel.
                if let Some(at) = bytes.windows(2).position(|two| two[0] == CLOSE && two[1] > 1)
                    && let Some(code) = bytes.get(at + 2..at + 4)
                {
                    return u16::from_be_bytes([code[0], code[1]]);
                }
            }
        };
        let send = async {
            loop {
                tokio::time::sleep(Duration::from_millis(150)).await;
                let _ = tokio::io::AsyncWriteExt::write_all(&mut writer, &again).await;
            }
        };
        let code = tokio::select! {
            code = close => code,
            () = send => unreachable!(),
            () = tokio::time::sleep(Duration::from_secs(6)) => panic!("nobody ends the dripping"),
        };
        (code, began.elapsed())
    };
    let (payload, head, message) = tokio::join!(
        drip(header(BINARY, 60_000), b"a".to_vec()),
        drip(vec![BINARY], Vec::new()),
        drip(frame(BINARY & MORE, b"a"), frame(PING, b"")),
    );
    for (what, (code, took)) in [("payload", payload), ("header", head), ("message", message)] {
        assert_eq!(code, 1008, "{what}");
        // The sweep looks at a session once a second.
        let expected = Duration::from_millis(590)..Duration::from_millis(3_500);
        assert!(expected.contains(&took), "{what}: {took:?}");
    }
    gateway.until_metric(&disconnects("policy_violation"), |count| count == 3.0).await;
    steady.finish().await;
}
