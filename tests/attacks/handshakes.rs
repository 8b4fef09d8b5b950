//! Requests for a WebSocket that are not in order, and what comes behind them.

use std::time::Duration;

use crate::raw::{Answer, Raw, handshake};
use crate::steady::{CHANNEL, Steady};
use crate::support::Gateway;

/// What would show if it were read as a request.
pub fn behind() -> String {
    format!(
        "POST /publish?channel={CHANNEL} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\n\
         smuggled"
    )
}

/// Sends a request with another one behind it: the answer to the first, which must be the only one.
pub async fn only_answer(gateway: &Gateway, request: &[u8]) -> Answer {
    let mut raw = Raw::connect(gateway.addr).await;
    let mut bytes = request.to_vec();
    bytes.extend(behind().as_bytes());
    raw.send(&bytes).await;
    let answer = raw.answer().await;
    // The same once more, later.
    raw.try_send(behind().as_bytes()).await;
    raw.end().await;
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_sites_are_refused() {
    let variables = [("FANFARE_ORIGINS_ALLOW", "https://listed.example")];
    let gateway = Gateway::start(&[], &variables).await;
    let steady = Steady::start(gateway.addr).await;
    for origin in ["https://evil.example", "null", "http://listed.example", "http://localhost:1"] {
        let request = format!("{}Origin: {origin}\r\n\r\n", handshake("/ws"));
        let answer = only_answer(&gateway, request.as_bytes()).await;
        assert_eq!(answer.status, 403, "{origin}: {answer:?}");
    }
    for line in ["", "Origin: http://localhost\r\n", "Origin: https://listed.example\r\n"] {
        let mut raw = Raw::connect(gateway.addr).await;
        raw.send(format!("{}{line}\r\n", handshake("/ws")).as_bytes()).await;
        assert_eq!(raw.answer().await.status, 101, "{line}");
    }
    let refused = "fanfare_upgrades_refused_total{reason=\"origin\"}";
    assert_eq!(gateway.metric(refused).await, 4.0);
    steady.finish().await;
}

/// A handshake with one thing changed.
fn changed(from: &str, to: &str) -> Vec<u8> {
    let proper = format!("{}\r\n", handshake("/ws"));
    assert!(proper.contains(from), "{from}");
    proper.replacen(from, to, 1).into_bytes()
}

/// What is wrong with it, the request, and the status of the answer.
fn sloppy() -> Vec<(&'static str, Vec<u8>, u16)> {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let host = "Host: localhost\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    let both = format!("{host}Content-Length: 5\r\n{chunked}");
    let both_reversed = format!("{host}{chunked}Content-Length: 5\r\n");
    vec![
        ("POST", changed("GET", "POST"), 400),
        ("HEAD", changed("GET", "HEAD"), 400),
        ("HTTP/1.0", changed("HTTP/1.1", "HTTP/1.0"), 400),
        ("two keys", changed(key, &format!("{key}{key}")), 400),
        ("no key", changed(key, ""), 400),
        ("short key", changed("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), 400),
        ("no host", changed(host, ""), 400),
        ("two hosts", changed(host, &format!("{host}{host}")), 400),
        ("a body", changed(host, &format!("{host}Content-Length: 5\r\n")), 400),
        ("chunks", changed(host, &format!("{host}{chunked}")), 400),
        ("both lengths", changed(host, &both), 400),
        ("both lengths, reversed", changed(host, &both_reversed), 400),
        (
            "two lengths",
            changed(host, &format!("{host}Content-Length: 0\r\nContent-Length: 0\r\n")),
            400,
        ),
        ("bare LF behind the first line", changed("HTTP/1.1\r\n", "HTTP/1.1\n"), 400),
        ("bare LF behind a header", changed(host, "Host: localhost\n"), 400),
        ("bare LF at the end", changed("==\r\n\r\n", "==\r\n\n"), 400),
        ("bare LFs at the end", changed("==\r\n\r\n", "==\n\n"), 400),
        ("bare CR", changed(host, "Host: local\rhost\r\n"), 400),
        ("NUL", changed(host, "Host: local\0host\r\n"), 400),
        ("space before the colon", changed("Host:", "Host :"), 400),
        ("folded line", changed(host, "Host: localhost\r\n folded\r\n"), 400),
        ("no Upgrade", changed("Upgrade: websocket\r\n", ""), 400),
        ("no Connection", changed("Connection: Upgrade\r\n", ""), 400),
        ("version 12", changed(version, "Sec-WebSocket-Version: 12\r\n"), 426),
        ("no version", changed(version, ""), 426),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sloppy_handshake_is_refused_and_nothing_behind_it_is_read() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let cases = sloppy();
    for (what, request, status) in &cases {
        let mut raw = Raw::connect(gateway.addr).await;
        let mut bytes = request.clone();
        bytes.extend(behind().as_bytes());
        raw.send(&bytes).await;
        // hyper leaves out the body of an answer to HEAD, but not its length.
        if *what == "HEAD" {
            let mut text = String::new();
            tokio::io::AsyncReadExt::read_to_string(&mut raw.stream, &mut text).await.unwrap();
            assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
            assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
            continue;
        }
        let answer = raw.answer().await;
        assert_eq!(answer.status, *status, "{what}: {answer:?}");
        assert_eq!(answer.headers["connection"], "close", "{what}");
        if *status == 426 {
            assert_eq!(answer.headers["sec-websocket-version"], "13");
        }
        raw.try_send(behind().as_bytes()).await;
        raw.end().await;
    }
    // Each is counted once.
    let refused = gateway.metric("fanfare_upgrades_refused_total{reason=\"handshake\"}").await;
    let left = cases.len() as f64 - refused;
    let malformed = "fanfare_http_heads_refused_total{reason=\"malformed\"}";
    gateway.until_metric(malformed, |count| count == left).await;
    assert_eq!(gateway.metric("fanfare_sessions_opened_total").await, 2.0);
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_request_of_a_connection_is_held_to_the_same() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let fine = "POST /publish?channel=x HTTP/1.1\r\nHost: localhost\r\n";
    let bodies = [
        // What is in a body is nobody's business.
        format!("{fine}Content-Length: 8\r\n\r\na\nb\r\n\r\nc"),
        format!(
            "{fine}Transfer-Encoding: chunked\r\n\r\n4\r\na\n\nb\r\n3;x\r\n\n\n\n\r\n0\r\n\r\n"
        ),
    ];
    for at_once in [true, false] {
        let mut raw = Raw::connect(gateway.addr).await;
        let sloppy = changed("HTTP/1.1\r\n", "HTTP/1.1\n");
        if at_once {
            raw.send(&[bodies[0].as_bytes(), bodies[1].as_bytes(), &sloppy].concat()).await;
        }
        for body in &bodies {
            if !at_once {
                raw.send(body.as_bytes()).await;
            }
            let answer = raw.answer().await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_ne!(answer.headers.get("connection").map(String::as_str), Some("close"));
        }
        if !at_once {
            raw.send(&sloppy).await;
        }
        assert_eq!(raw.answer().await.status, 400);
        raw.try_send(behind().as_bytes()).await;
        raw.end().await;
    }
    // And one that is in order is a WebSocket, also as a later one: proxies reuse connections.
    let mut raw = Raw::connect(gateway.addr).await;
    raw.send(bodies[1].as_bytes()).await;
    assert_eq!(raw.answer().await.status, 200);
    raw.send(format!("{}\r\n", handshake("/ws")).as_bytes()).await;
    assert_eq!(raw.answer().await.status, 101);
    let malformed = "fanfare_http_heads_refused_total{reason=\"malformed\"}";
    gateway.until_metric(malformed, |count| count == 2.0).await;
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_an_upgrade_that_nobody_was_asked_to_accept_nothing_is_read() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    for (path, status) in [("/health", 200), ("/nothing", 404), ("/publish?channel=x", 405)] {
        let request = format!("{}\r\n", handshake(path));
        let answer = only_answer(&gateway, request.as_bytes()).await;
        assert_eq!((answer.status, answer.headers["connection"].as_str()), (status, "close"));
    }
    // Whoever refuses goes on listening for a moment, or a reset could overtake the answer; and not
    // longer.
    let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(9_000));
    let upgrade = format!("{}\r\n", handshake("/health"));
    let version = upgrade.replace("/health", "/ws").replace(": 13", ": 12");
    for request in [upgrade.as_str(), &version, "GET / HTTP/1.1\r\nA : b\r\n\r\n", "\n", &long] {
        let mut raw = Raw::connect(gateway.addr).await;
        raw.send(request.as_bytes()).await;
        if request != "\n" {
            raw.answer().await;
            raw.end().await;
        }
        for _ in 0..3 {
            assert!(raw.try_send(b"more").await, "{request:.40}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    gateway.until_metric("fanfare_http_connections", |now| now == 1.0).await;
    steady.finish().await;
}
