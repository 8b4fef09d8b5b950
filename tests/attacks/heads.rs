//! Heads that are long, or slow.

use std::time::{Duration, Instant};

use crate::default_of;
use crate::raw::{Raw, handshake};
use crate::steady::Steady;
use crate::support::Gateway;

const TIMEOUT: &str = "fanfare_http_heads_refused_total{reason=\"timeout\"}";
const TOO_BIG: &str = "fanfare_http_heads_refused_total{reason=\"too_big\"}";

/// Sends a byte each 20 ms until the gateway has had enough; how long that took.
async fn drip(mut raw: Raw, bytes: String) -> Duration {
    let began = Instant::now();
    for byte in bytes.as_bytes().iter().cycle() {
        if !raw.try_send(&[*byte]).await {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(8), "nobody ends the dripping");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_drips_is_cut() {
    assert_eq!(default_of("http", "handshake_timeout_ms"), "5000");
    let variables = [("FANFARE_HTTP_HANDSHAKE_TIMEOUT_MS", "700")];
    let gateway = Gateway::start(&[], &variables).await;
    let steady = Steady::start(gateway.addr).await;
    let mut silent = Raw::connect(gateway.addr).await;
    let began = Instant::now();
    let first = drip(Raw::connect(gateway.addr).await, format!("{}X-A: b", handshake("/ws")));
    // The first request is fine and the connection may be idle then; the second one drips.
    let mut second = Raw::connect(gateway.addr).await;
    second.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(second.answer().await.status, 200);
    let second = async {
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        drip(second, "GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: b".into()).await
    };
    let silent = async {
        silent.end().await;
        began.elapsed()
    };
    let (first, second, silent) = tokio::join!(first, second, silent);
    for (what, took) in [("first", first), ("second", second), ("silent", silent)] {
        let expected = Duration::from_millis(690)..Duration::from_millis(2_500);
        assert!(expected.contains(&took), "{what}: {took:?}");
    }
    gateway.until_metric(TIMEOUT, |count| count == 3.0).await;
    steady.finish().await;
}

fn with_headers(count: usize, bytes: usize) -> String {
    let mut head = handshake("/ws");
    let own = head.matches("\r\n").count() - 1;
    for number in own + 1..count {
        head.push_str(&format!("X-{number}: a\r\n"));
    }
    let fill = bytes.saturating_sub(head.len() + "X-F: \r\n\r\n".len());
    format!("{head}X-F: {}\r\n\r\n", "f".repeat(fill))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn big_heads_are_refused_and_the_refusal_arrives() {
    assert_eq!(default_of("http", "header_bytes_max"), "8192");
    assert_eq!(default_of("http", "headers_max"), "64");
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    for (head, status) in [
        (with_headers(64, 0), 101),
        (with_headers(65, 0), 431),
        (with_headers(10, 8_100), 101),
        (with_headers(10, 8_193), 431),
        // Far more than any buffer holds: the peer is still sending when the answer comes.
        (with_headers(10, 2 << 20), 431),
    ] {
        let mut raw = Raw::connect(gateway.addr).await;
        raw.try_send(head.as_bytes()).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, status, "{} bytes", head.len());
    }
    gateway.until_metric(TOO_BIG, |count| count == 3.0).await;
    steady.finish().await;

    let variables =
        [("FANFARE_HTTP_HEADER_BYTES_MAX", "20000"), ("FANFARE_HTTP_HEADERS_MAX", "70")];
    let gateway = Gateway::start(&[], &variables).await;
    for (head, status) in [
        (with_headers(70, 0), 101),
        (with_headers(71, 0), 431),
        (with_headers(10, 19_000), 101),
        (with_headers(10, 20_001), 431),
    ] {
        let mut raw = Raw::connect(gateway.addr).await;
        raw.send(head.as_bytes()).await;
        assert_eq!(raw.answer().await.status, status);
    }
}
