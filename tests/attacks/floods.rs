//! Too many connections, sessions, subscriptions, control frames; bodies that are too much.

use std::time::Duration;

use serde_json::json;

use crate::default_of;
use crate::raw::{PING, PONG, Raw, frame, handshake};
use crate::steady::{self, Steady};
use crate::support::Gateway;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_sessions_than_allowed_are_asked_to_come_later() {
    assert_eq!(default_of("hub", "sessions_max"), "1000000");
    let most = (steady::SESSIONS + 1).to_string();
    let gateway = Gateway::start(&[], &[("FANFARE_HUB_SESSIONS_MAX", &most)]).await;
    let steady = Steady::start(gateway.addr).await;
    let last = Raw::upgrade(gateway.addr, "/ws").await;
    for _ in 0..20 {
        let mut raw = Raw::connect(gateway.addr).await;
        raw.send(format!("{}\r\n", handshake("/ws")).as_bytes()).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 503);
        answer.assert_retry_after();
        raw.end().await;
    }
    let refused = "fanfare_upgrades_refused_total{reason=\"overloaded\"}";
    assert_eq!(gateway.metric(refused).await, 20.0);
    drop(last);
    gateway.until_metric("fanfare_sessions", |now| now == steady::SESSIONS as f64).await;
    Raw::upgrade(gateway.addr, "/ws").await;
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_allowed_are_asked_to_come_later() {
    assert_eq!(default_of("http", "connections_max"), "1000000");
    let most = (steady::SESSIONS + 3).to_string();
    let gateway = Gateway::start(&[], &[("FANFARE_HTTP_CONNECTIONS_MAX", &most)]).await;
    let steady = Steady::start(gateway.addr).await;
    // Half of them never say a word, and still count.
    let mut held = vec![Raw::upgrade(gateway.addr, "/ws").await];
    // For a moment a connection counts as what it was and as what it has become.
    tokio::time::sleep(Duration::from_millis(300)).await;
    held.push(Raw::connect(gateway.addr).await);
    held.push(Raw::connect(gateway.addr).await);
    for _ in 0..50 {
        let mut raw = Raw::connect(gateway.addr).await;
        // Before anything is asked, and although something is.
        raw.try_send(format!("{}\r\n", handshake("/ws")).as_bytes()).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 503, "{answer:?}");
        answer.assert_retry_after();
    }
    drop(held);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(gateway.metric("fanfare_connections_refused_total{reason=\"total\"}").await, 50.0);
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_subscriptions_than_allowed_are_an_error_and_nothing_more() {
    assert_eq!(default_of("hub", "subscriptions_per_session_max"), "128");
    for (most, variables) in
        [(128, vec![]), (2, vec![("FANFARE_HUB_SUBSCRIPTIONS_PER_SESSION_MAX", "2")])]
    {
        let gateway = Gateway::start(&[], &variables).await;
        let steady = Steady::start(gateway.addr).await;
        let mut client = gateway.connect("/ws?format=json&channel=c0").await;
        client.next_json().await;
        for number in 1..most + 10 {
            let channel = format!("c{number}");
            client.send_json(json!({"type": "subscribe", "id": number, "channel": channel})).await;
            let answer = client.next_json().await;
            let expected = if number < most { "subscribed" } else { "error" };
            assert_eq!(answer["type"], expected, "{answer}");
            if number >= most {
                assert_eq!(answer["code"], "too_many_subscriptions", "{answer}");
            }
        }
        client.send_json(json!({"type": "ping", "id": 0})).await;
        assert_eq!(client.next_json().await["type"], "pong", "the connection stays");
        assert_eq!(gateway.metric("fanfare_commands_refused_total").await, 10.0);
        // As many in the query are refused as a whole.
        let names: Vec<String> = (0..=most).map(|number| format!("channel=q{number}")).collect();
        let refused = gateway.try_connect(&format!("/ws?{}", names.join("&")), &[]).await;
        assert_eq!(refused.err().unwrap().status, 400);
        steady.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_none_are_an_error_and_nothing_more() {
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let mut client = gateway.connect("/ws?format=json").await;
    client.next_json().await;
    let long = "a".repeat(201);
    let bad = ["", "a b", "a\u{0}", "a\u{1b}[0m", "a\u{202e}b", "a\u{2066}b", "a\u{feff}", &long];
    for name in bad {
        client.send_json(json!({"type": "subscribe", "id": 1, "channel": name})).await;
        let answer = client.next_json().await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("bad_channel")));
        let query = form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>();
        let refused = gateway.try_connect(&format!("/ws?channel={query}"), &[]).await;
        assert_eq!(refused.err().unwrap().status, 400, "{name:?}");
        let answer = gateway.post(&format!("/publish?channel={query}"), b"x").await;
        assert_eq!(answer.status, 400, "{name:?}");
    }
    client.send_json(json!({"type": "subscribe", "id": 1, "channel": "a".repeat(200)})).await;
    assert_eq!(client.next_json().await["type"], "subscribed", "200 bytes are a name");
    assert_eq!(gateway.metric("fanfare_commands_refused_total").await, bad.len() as f64);
    steady.finish().await;
}

/// Sends control frames, and expects the answers and then the close.
async fn flood(gateway: &Gateway, first: u8, most: u8) {
    let mut raw = Raw::upgrade(gateway.addr, "/ws").await;
    let frames: Vec<u8> = (0..=most).flat_map(|number| frame(first, &[number])).collect();
    raw.send(&frames).await;
    if first == PING {
        for number in 0..most {
            assert_eq!(raw.frame().await, (PONG, vec![number]));
        }
    }
    let (code, text) = raw.close().await;
    assert_eq!((code, text.contains("control frames")), (1008, true), "{text}");
    raw.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_control_frames_than_allowed_end_the_session() {
    assert_eq!(default_of("messages", "control_frames_per_10s_max"), "20");
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    flood(&gateway, PING, 20).await;
    flood(&gateway, PONG, 20).await;
    let ended = "fanfare_disconnects_total{reason=\"policy_violation\"}";
    gateway.until_metric(ended, |count| count == 2.0).await;
    steady.finish().await;
    let variables = [("FANFARE_MESSAGES_CONTROL_FRAMES_PER_10S_MAX", "3")];
    let gateway = Gateway::start(&[], &variables).await;
    flood(&gateway, PING, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_pongs_for_a_peer_that_does_not_read_one_waits() {
    let variables = [
        ("FANFARE_MESSAGES_CONTROL_FRAMES_PER_10S_MAX", "1000000"),
        ("FANFARE_HTTP_SEND_BUFFER_BYTES", "4096"),
    ];
    const PINGS: u32 = 8_000;
    let gateway = Gateway::start(&[], &variables).await;
    let steady = Steady::start(gateway.addr).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut raw = Raw::over(socket.connect(gateway.addr).await.unwrap());
    raw.send(format!("{}\r\n", handshake("/ws")).as_bytes()).await;
    assert_eq!(raw.answer().await.status, 101);
    for number in 0..PINGS {
        let mut payload = [0; 125];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        raw.send(&frame(PING, &payload)).await;
    }
    // Until the gateway has read all of them.
    gateway.until_metric("fanfare_bytes_received_total", |n| n >= 131.0 * f64::from(PINGS)).await;
    let mut got = Vec::new();
    while got.last() != Some(&(PINGS - 1)) {
        let (first, payload) = raw.frame().await;
        assert_eq!((first, payload.len()), (PONG, 125));
        got.push(u32::from_be_bytes(*payload.first_chunk().unwrap()));
    }
    assert!(got.is_sorted_by(|a, b| a < b), "in order, once");
    // What the sockets took, and the latest; with an answer to each it would be all of them.
    assert!(got.len() < PINGS as usize / 4, "{} pongs waited", got.len());
    steady.finish().await;
}

/// A JSON array within arrays.
fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_the_api_are_bounded() {
    assert_eq!(default_of("http", "body_bytes_max"), "1048576");
    assert_eq!(default_of("http", "batch_items_max"), "1000");
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    // Declared, and refused before it comes; and in chunks that say nothing of the whole.
    let head = "POST /api/publish HTTP/1.1\r\nHost: localhost\r\n";
    let mut raw = Raw::connect(gateway.addr).await;
    raw.send(format!("{head}Content-Length: 1048577\r\n\r\n{{").as_bytes()).await;
    assert_eq!(raw.answer().await.status, 413);
    raw.end().await;
    let mut raw = Raw::connect(gateway.addr).await;
    raw.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).await;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(1 << 16));
    for _ in 0..100 {
        if !raw.try_send(chunk.as_bytes()).await {
            break;
        }
    }
    assert_eq!(raw.answer().await.status, 413, "and it arrives while the peer still sends");
    let mut raw = Raw::connect(gateway.addr).await;
    raw.send(format!("{head}Content-Length: 18446744073709551615\r\n\r\n").as_bytes()).await;
    let status = raw.answer().await.status;
    assert!([400, 413, 431].contains(&status), "{status}");

    let items = |count: usize| {
        let channels: Vec<String> = (0..count).map(|number| format!("c{number}")).collect();
        json!({"channels": channels, "data": 1}).to_string()
    };
    let answer = gateway.post("/api/broadcast", items(1_000).as_bytes()).await;
    assert_eq!(answer.json().get("error"), None, "{}", answer.text());
    let answer = gateway.post("/api/broadcast", items(1_001).as_bytes()).await;
    assert_eq!(answer.json()["error"]["code"], 106, "{}", answer.text());
    for (depth, status) in [(63, 200), (64, 400), (100_000, 400)] {
        let body = format!("{{\"channel\":\"a\",\"data\":{}}}", nested(depth));
        let answer = gateway.post("/api/publish", body.as_bytes()).await;
        assert_eq!(answer.status, status, "{depth}: {}", answer.text());
    }
    let requests = "fanfare_http_requests_total{route=\"/api/{method}\",status=\"4xx\"}";
    assert!(gateway.metric(requests).await >= 4.0);
    steady.finish().await;

    let variables = [("FANFARE_HTTP_BODY_BYTES_MAX", "100"), ("FANFARE_HTTP_BATCH_ITEMS_MAX", "2")];
    let gateway = Gateway::start(&[], &variables).await;
    assert_eq!(
        gateway.post("/api/broadcast", items(3).as_bytes()).await.json()["error"]["code"],
        106
    );
    assert_eq!(gateway.post("/api/broadcast", items(50).as_bytes()).await.status, 413);
}
