//! Compressed messages that inflate to too much or to nothing that is whole, and offers of compression
//! that are not in order.

use fanfare::frame::{Opcode, WindowBits, encode_deflated};

use crate::default_of;
use crate::handshakes::only_answer;
use crate::raw::{BINARY, CONTINUATION, MORE, Raw, TEXT, frame, handshake};
use crate::steady::Steady;
use crate::support::Gateway;

/// Says that the message is compressed.
const COMPRESSED: u8 = 0x40;

fn offering(offer: &str) -> String {
    format!("{}Sec-WebSocket-Extensions: {offer}\r\n\r\n", handshake("/ws?channel=deflated"))
}

async fn upgrade(gateway: &Gateway) -> Raw {
    let mut raw = Raw::connect(gateway.addr).await;
    raw.send(offering("permessage-deflate").as_bytes()).await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 101, "{answer:?}");
    assert!(answer.headers["sec-websocket-extensions"].starts_with("permessage-deflate"));
    raw
}

/// So many zeros, deflated.
fn zeros(bytes: usize) -> Vec<u8> {
    let frame = encode_deflated(Opcode::Binary, &vec![0; bytes], WindowBits::Fifteen, 9).unwrap();
    let header = if frame[1] < 126 { 2 } else { 4 };
    frame[header..].to_vec()
}

/// 50 MiB in as many KiB: whole blocks, one behind the other.
fn bomb() -> Vec<u8> {
    let block = [zeros(1 << 20), vec![0, 0, 0xFF, 0xFF]].concat();
    let mut bomb = block.repeat(50);
    bomb.truncate(bomb.len() - 4);
    bomb
}

async fn code_for(gateway: &Gateway, bytes: &[u8]) -> u16 {
    let mut raw = upgrade(gateway).await;
    raw.try_send(bytes).await;
    let (code, _) = raw.close().await;
    raw.end().await;
    code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bomb_bursts_at_the_limit_however_many_fragments_it_comes_in() {
    assert_eq!(default_of("messages", "message_bytes_max"), "65536");
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let bomb = bomb();
    assert!(bomb.len() < 64 << 10, "{}", bomb.len());
    // What inflating takes once is not what a bomb takes.
    assert_eq!(code_for(&gateway, &frame(BINARY | COMPRESSED, &zeros(65_537))).await, 1009);
    let before = gateway.resident_bytes();
    let (first, rest) = bomb.split_at(bomb.len() / 2);
    for _ in 0..20 {
        let whole = frame(BINARY | COMPRESSED, &bomb);
        assert_eq!(code_for(&gateway, &whole).await, 1009);
        let begin = frame((BINARY | COMPRESSED) & MORE, first);
        let fragments = [begin, frame(CONTINUATION, rest)].concat();
        assert_eq!(code_for(&gateway, &fragments).await, 1009);
    }
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "{} KiB", grown >> 10);
    let ended = "fanfare_disconnects_total{reason=\"message_too_big\"}";
    gateway.until_metric(ended, |count| count == 41.0).await;
    assert_eq!(gateway.metric("fanfare_inflate_messages_total").await, 41.0);
    steady.finish().await;

    let variables = [("FANFARE_MESSAGES_MESSAGE_BYTES_MAX", "1000")];
    let gateway = Gateway::start(&[], &variables).await;
    let mut raw = upgrade(&gateway).await;
    raw.send(&frame(BINARY | COMPRESSED, &zeros(1_000))).await;
    assert_eq!(raw.frame().await.0, BINARY | COMPRESSED, "back, as it is subscribed as well");
    assert_eq!(code_for(&gateway, &frame(BINARY | COMPRESSED, &zeros(1_001))).await, 1009);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_whole_deflated_data_ends_the_session() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let whole = zeros(5_000);
    let noise: Vec<u8> = (0..200_u8).map(|number| number.wrapping_mul(151)).collect();
    let not_text = encode_deflated(Opcode::Text, &[0xFF; 500], WindowBits::Nine, 1).unwrap();
    for (what, bytes) in [
        ("cut short", frame(BINARY | COMPRESSED, &whole[..whole.len() - 1])),
        ("noise", frame(BINARY | COMPRESSED, &noise)),
        ("text that is none", frame(TEXT | COMPRESSED, &not_text[2..])),
    ] {
        assert_eq!(code_for(&gateway, &bytes).await, 1007, "{what}");
    }
    // The bit belongs to the first fragment of a message (RFC 7692 section 6.1).
    let later = [frame(BINARY & MORE, b"a"), frame(CONTINUATION | COMPRESSED, b"b")].concat();
    assert_eq!(code_for(&gateway, &later).await, 1002);
    gateway.until_metric("fanfare_sessions", |now| now == 2.0).await;
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_that_is_not_in_order_is_refused_or_declined() {
    assert_eq!(default_of("deflate", "enabled"), "true");
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    for broken in ["permessage-deflate;", "permessage-deflate; a=\"", "=", "a b", "p; a=\"\u{e9}\""]
    {
        let answer = only_answer(&gateway, offering(broken).as_bytes()).await;
        assert_eq!(answer.status, 400, "{broken}: {answer:?}");
    }
    let refused = "fanfare_upgrades_refused_total{reason=\"handshake\"}";
    assert_eq!(gateway.metric(refused).await, 5.0);
    let many = "permessage-deflate; server_max_window_bits=8, ".repeat(150);
    for declined in [
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=08",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; mystery",
        &many,
    ] {
        let mut raw = Raw::connect(gateway.addr).await;
        raw.send(offering(declined).as_bytes()).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 101, "{declined}: {answer:?}");
        assert_eq!(answer.headers.get("sec-websocket-extensions"), None, "{declined}");
        raw.send(&frame(BINARY | COMPRESSED, &zeros(1_000))).await;
        assert_eq!(raw.close().await.0, 1002, "{declined}: nothing was agreed on");
    }
    steady.finish().await;

    let gateway = Gateway::start(&[], &[("FANFARE_DEFLATE_ENABLED", "false")]).await;
    let mut raw = Raw::connect(gateway.addr).await;
    raw.send(offering("permessage-deflate").as_bytes()).await;
    assert_eq!(raw.answer().await.headers.get("sec-websocket-extensions"), None);
}
