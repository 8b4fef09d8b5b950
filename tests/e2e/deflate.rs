//! permessage-deflate (RFC 7692) on the wire.

#[path = "deflate/client.rs"]
mod client;

use crate::support::Gateway;
use client::{BINARY, Client, TEXT, deflated};

const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// JSON of about a KiB.
fn prices(number: usize) -> String {
    let rows = (0..12).map(|row| {
        format!(
            r#"{{"symbol":"S{row}","price":{}.5,"side":"buy","number":{number}}}"#,
            row * number
        )
    });
    format!(r#"{{"rows":[{}]}}"#, rows.collect::<Vec<_>>().join(","))
}

async fn publish(gateway: &Gateway, channel: &str, text: &str) {
    let answer = gateway.post(&format!("/publish?channel={channel}"), text.as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_is_deflated_once_for_all_who_agreed_on_the_same() {
    const EACH: usize = 8;
    const MESSAGES: usize = 20;
    let gateway = Gateway::open().await;
    let mut clients = Vec::new();
    for _ in 0..EACH {
        for (offer, bits) in [(OFFER, 15), ("permessage-deflate; server_max_window_bits=9", 9)] {
            clients.push((Client::connect(&gateway, "/ws?channel=a", offer).await, bits));
        }
        clients.push((Client::connect(&gateway, "/ws?channel=a", "").await, 0));
    }
    for number in 0..MESSAGES {
        let text = prices(number);
        publish(&gateway, "a", &text).await;
        for (client, bits) in &mut clients {
            let frame = client.next().await;
            assert_eq!((frame.opcode, frame.compressed), (TEXT, *bits > 0));
            assert_eq!(frame.message((*bits).max(9)), text.as_bytes());
            assert!(!frame.compressed || frame.payload.len() < text.len() / 2);
        }
    }
    assert_eq!(gateway.metric("fanfare_deflate_messages_total").await, (2 * MESSAGES) as f64);
    let input = gateway.metric("fanfare_deflate_input_bytes_total").await;
    let output = gateway.metric("fanfare_deflate_output_bytes_total").await;
    assert!(output > 0.0 && output < input / 2.0, "{output} of {input}");
    assert!(gateway.metric("fanfare_deflate_seconds_total").await > 0.0);
}

#[tokio::test]
async fn the_json_protocol_is_deflated_and_its_replies_and_small_messages_are_plain() {
    let gateway = Gateway::open().await;
    let mut client = Client::connect(&gateway, "/ws?channel=a&format=json", OFFER).await;
    let welcome = client.next().await;
    assert!(!welcome.compressed && welcome.text().contains("welcome"), "{}", welcome.text());
    publish(&gateway, "a", "short").await;
    let short = client.next().await;
    assert!(!short.compressed && short.text().contains("short"));
    publish(&gateway, "a", &prices(7)).await;
    let long = client.next().await;
    let envelope: serde_json::Value = serde_json::from_str(&long.text()).unwrap();
    assert!(long.compressed && envelope.to_string().contains("S11"), "{envelope}");
}

#[tokio::test]
async fn what_does_not_get_shorter_goes_out_as_it_is() {
    let gateway = Gateway::open().await;
    let mut client = Client::connect(&gateway, "/ws?channel=a", OFFER).await;
    // Bytes without a pattern that deflate could use.
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(2_000)
    .collect();
    client.send_frame(0x80 | BINARY, &noise).await;
    let frame = client.next().await;
    assert!(!frame.compressed && frame.payload == noise);
    assert_eq!(gateway.metric("fanfare_deflate_messages_total").await, 1.0);
}

#[tokio::test]
async fn what_is_too_short_or_too_long_goes_out_as_it_is() {
    let bounds = [("FANFARE_DEFLATE_MIN_BYTES", "100"), ("FANFARE_DEFLATE_MAX_BYTES", "1000")];
    let gateway = Gateway::start(&[], &bounds).await;
    let mut client = Client::connect(&gateway, "/ws?channel=a", OFFER).await;
    for (bytes, compressed) in [(99, false), (100, true), (1_000, true), (1_001, false)] {
        publish(&gateway, "a", &"a".repeat(bytes)).await;
        let frame = client.next().await;
        assert_eq!((frame.compressed, frame.text().len()), (compressed, bytes));
    }
    assert_eq!(gateway.metric("fanfare_deflate_messages_total").await, 2.0);
}

#[tokio::test]
async fn what_a_client_deflates_comes_back_in_one_piece_or_many() {
    let gateway = Gateway::open().await;
    let mut client = Client::connect(&gateway, "/ws?channel=a", OFFER).await;
    let answer = client.extensions.as_deref().unwrap();
    assert!(answer.contains("server_no_context_takeover; client_no_context_takeover"), "{answer}");
    for (opcode, message) in [
        (TEXT, prices(3).into_bytes()),
        (TEXT, "\u{e4}\u{1f600}".repeat(100).into_bytes()),
        (BINARY, vec![7; 60_000]),
        (BINARY, Vec::new()),
    ] {
        client.send_deflated(opcode, &message).await;
        let frame = client.next().await;
        assert_eq!((frame.opcode, frame.message(15)), (opcode, message.clone()));
        let payload = deflated(&message);
        let (first, rest) = payload.split_at(payload.len() / 2);
        client.send_frame(0x40 | opcode, first).await;
        client.send_frame(0x89, b"between").await;
        client.send_frame(0x00, b"").await;
        client.send_frame(0x80, rest).await;
        let (pong, frame) = (client.next().await, client.next().await);
        assert_eq!((pong.opcode, pong.compressed), (0xA, false));
        assert_eq!((frame.opcode, frame.message(15)), (opcode, message));
    }
    assert_eq!(gateway.metric("fanfare_inflate_messages_total").await, 8.0);
    assert!(gateway.metric("fanfare_inflate_output_bytes_total").await > 120_000.0);
}

#[tokio::test]
async fn what_is_no_compressed_message_ends_the_session_with_a_code() {
    let gateway = Gateway::open().await;
    let payload = deflated(prices(1).as_bytes());
    for (what, first, payload, code) in [
        ("not deflated", 0xC1, &b"hello"[..], 1007),
        ("cut short", 0xC1, &payload[..payload.len() - 3], 1007),
        ("empty", 0xC2, b"", 1007),
        ("of an earlier window", 0xC1, b"\xf2\x00\x11\x00\x00", 1007),
        ("not UTF-8", 0xC1, &deflated(&[0xFF; 40]), 1007),
        ("RSV1 on a control frame", 0xC9, b"", 1002),
        ("RSV2", 0xA1, b"", 1002),
    ] {
        let mut client = Client::connect(&gateway, "/ws?channel=a", OFFER).await;
        client.send_frame(first, payload).await;
        assert_eq!(client.close_code().await, code, "{what}");
    }
    let mut client = Client::connect(&gateway, "/ws?channel=a", OFFER).await;
    client.send_frame(0x41, &payload[..9]).await;
    client.send_frame(0xC0, &payload[9..]).await;
    assert_eq!(client.close_code().await, 1002, "RSV1 on a further fragment");
}

#[tokio::test]
async fn without_an_agreement_nothing_is_deflated() {
    let off = Gateway::start(&[], &[("FANFARE_DEFLATE_ENABLED", "false")]).await;
    let on = Gateway::open().await;
    for (gateway, offer) in [
        (&off, OFFER),
        (&on, ""),
        (&on, "permessage-bzip2"),
        (&on, "permessage-deflate; server_max_window_bits=8"),
    ] {
        let mut client = Client::connect(gateway, "/ws?channel=a", offer).await;
        assert_eq!(client.extensions, None, "{offer}");
        publish(gateway, "a", &prices(1)).await;
        assert!(!client.next().await.compressed, "{offer}");
        client.send_deflated(TEXT, b"x").await;
        assert_eq!(client.close_code().await, 1002, "{offer}");
    }
    let (status, _) = Client::try_connect(&on, "/ws?channel=a", "permessage-deflate; =").await;
    assert_eq!(status, 400);
}

/// 64 KiB on the wire that inflate to 60 MiB, again and again; beside them somebody who wants to
/// read the news.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compression_bomb_bursts_at_the_limit_and_the_others_notice_nothing() {
    const BOMBS: usize = 40;
    let gateway = Gateway::open().await;
    let mut healthy = gateway.connect("/ws?channel=news").await;
    let bomb = deflated(&vec![0; 60 << 20]);
    assert!(bomb.len() < 64 << 10);
    // What inflating takes once is not what a bomb takes.
    let mut first = Client::connect(&gateway, "/ws?channel=a", OFFER).await;
    first.send_deflated(TEXT, prices(1).as_bytes()).await;
    first.next().await;
    let before = gateway.resident_bytes();
    for number in 0..BOMBS {
        let mut attacker = Client::connect(&gateway, "/ws?channel=a", OFFER).await;
        attacker.send_frame(0xC2, &bomb).await;
        publish(&gateway, "news", &format!("news {number}")).await;
        assert_eq!(healthy.next_text().await, format!("news {number}"));
        assert_eq!(attacker.close_code().await, 1009);
        let grown = gateway.resident_bytes().saturating_sub(before);
        assert!(grown < 8 << 20, "{grown} bytes after {number} bombs");
    }
    assert_eq!(gateway.metric("fanfare_inflate_messages_total").await, (BOMBS + 1) as f64);
    let ended = "fanfare_disconnects_total{reason=\"message_too_big\"}";
    gateway.until_metric(ended, |count| count == BOMBS as f64).await;
}
