//! That the close frame arrives, whatever the peer does, and that the end follows.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::default_of;
use crate::raw::{BINARY, CLOSE, Raw, TEXT, frame, header};
use crate::steady::Steady;
use crate::support::{Gateway, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_is_answered_with_its_code_and_the_end() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    for (body, expected) in [(&b""[..], 1000_u16), (b"\x03\xe8bye", 1000), (b"\x0f\xa0own", 4000)] {
        let mut raw = Raw::upgrade(gateway.addr, "/ws?channel=a").await;
        // What comes behind a close is nothing.
        raw.send(&[frame(CLOSE, body), frame(TEXT, b"stray")].concat()).await;
        assert_eq!(raw.close().await.0, expected);
        raw.end().await;
    }
    let closed = "fanfare_disconnects_total{reason=\"client_closed\"}";
    gateway.until_metric(closed, |count| count == 3.0).await;
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_close_arrives_although_the_peer_goes_on_sending_and_never_ends() {
    assert_eq!(default_of("hub", "close_timeout_ms"), "5000");
    let variables = [("FANFARE_HUB_CLOSE_TIMEOUT_MS", "1000")];
    let gateway = Gateway::start(&[], &variables).await;
    let steady = Steady::start(gateway.addr).await;
    let too_big = header(BINARY, 1 << 40);
    let unmasked = vec![TEXT, 5, b's', b't', b'r', b'a', b'y'];
    for (violation, expected) in [(too_big, 1009_u16), (unmasked, 1002)] {
        let raw = Raw::upgrade(gateway.addr, "/ws?channel=a").await;
        let (mut reader, mut writer) = raw.stream.into_split();
        let began = Instant::now();
        let sending = tokio::spawn(async move {
            writer.write_all(&violation).await.unwrap();
            let noise = vec![0x55; 64 << 10];
            while writer.write_all(&noise).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            began.elapsed()
        });
        // Late, so that all of it is in flight.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut bytes = Vec::new();
        within("the end", reader.read_to_end(&mut bytes)).await.expect("a proper end, no reset");
        assert!(began.elapsed() < Duration::from_millis(1_000), "nothing more comes: said at once");
        let code = u16::from_be_bytes([bytes[2], bytes[3]]);
        assert_eq!((bytes[0], code), (CLOSE, expected));
        assert_eq!(bytes.len(), 2 + usize::from(bytes[1]), "nothing behind it");
        let took = within("the cut", sending).await.unwrap();
        let allowed = Duration::from_millis(950)..Duration::from_millis(4_500);
        assert!(allowed.contains(&took), "cut after {took:?}");
    }
    gateway.until_metric("fanfare_sessions", |now| now == 2.0).await;
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_close_arrives_although_the_peer_has_ended_its_side() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    for _ in 0..100 {
        for (bytes, code) in [
            (frame(0x83, b""), 1002),
            (frame(TEXT, b"\xff"), 1007),
            (frame(CLOSE, b"\x03\xe9"), 1001),
        ] {
            let mut raw = Raw::upgrade(gateway.addr, "/ws?channel=a").await;
            raw.send(&bytes).await;
            raw.stream.shutdown().await.unwrap();
            assert_eq!(raw.close().await.0, code);
            raw.end().await;
        }
    }
    gateway.until_metric("fanfare_sessions", |now| now == 2.0).await;
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_closed_and_says_nothing_is_waited_for_and_then_cut() {
    let variables = [("FANFARE_HUB_CLOSE_TIMEOUT_MS", "1000")];
    let gateway = Gateway::start(&[], &variables).await;
    let steady = Steady::start(gateway.addr).await;
    let mut raw = Raw::upgrade(gateway.addr, "/ws?channel=a&format=json").await;
    let (_, welcome) = raw.frame().await;
    let welcome: serde_json::Value = serde_json::from_slice(&welcome).unwrap();
    let began = Instant::now();
    let body = serde_json::json!({ "client": welcome["session"] }).to_string();
    let answer = gateway.post("/api/disconnect", body.as_bytes()).await;
    assert_eq!(answer.json(), serde_json::json!({ "result": {} }), "{answer:?}");
    assert_eq!(raw.close().await.0, 4403);
    raw.end().await;
    gateway.until_metric("fanfare_sessions", |now| now == 2.0).await;
    let took = began.elapsed();
    let allowed = Duration::from_millis(950)..Duration::from_millis(4_500);
    assert!(allowed.contains(&took), "gone after {took:?}");
    steady.finish().await;
}
