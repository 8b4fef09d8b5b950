//! Sessions over TLS are sessions like all others: up to their end.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::certificates::{Authority, Dir};
use crate::client::{Trust, send, text, tls_addr};
use crate::steady::Steady;
use crate::support::{Gateway, within};

struct World {
    _dir: Dir,
    trust: Trust,
    gateway: Gateway,
    addr: std::net::SocketAddr,
}

impl World {
    async fn new(text: &str) -> Self {
        let (dir, authority) = (Dir::new(), Authority::new("the authority"));
        dir.install(&authority.pair());
        let gateway = Gateway::configured(&[&dir.listener("", ""), text].concat()).await;
        let addr = tls_addr(&gateway, 0).await;
        Self { _dir: dir, trust: Trust::new(&authority.certificate), gateway, addr }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_both_ways_in_order_and_large_ones_too() {
    let world = World::new("").await;
    let mut one = world.trust.websocket(world.addr, "/ws?channel=a").await;
    let mut two = world.trust.websocket(world.addr, "/ws?channel=a&echo=false").await;
    let mut plain = world.gateway.connect("/ws?channel=a").await;
    for number in 0..500 {
        send(&mut two, &number.to_string()).await;
    }
    // More than one record holds, and than the sockets take at once.
    let large = "x".repeat(60_000);
    for _ in 0..3 {
        send(&mut two, &large).await;
    }
    for number in 0..500 {
        assert_eq!(text(&mut one).await, number.to_string());
        assert_eq!(plain.next_text().await, number.to_string());
    }
    for _ in 0..3 {
        assert!(text(&mut one).await == large && plain.next_text().await == large);
    }
    let published = world.gateway.post("/publish?channel=a", b"to all").await;
    assert_eq!(published.text(), "{\"subscribers\":3}\n");
    assert_eq!(text(&mut one).await, "to all");
    assert_eq!(text(&mut two).await, "to all");
    // Closed by the client, and answered.
    within("a close", one.close(None)).await.unwrap();
    while let Some(Ok(message)) = within("the answer to a close", one.next()).await {
        assert!(matches!(message, Message::Close(_)), "{message:?}");
    }
    world.gateway.until_metric("fanfare_sessions", |now| now == 2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_events_takes_over_the_whole_of_tls() {
    let world = World::new("").await;
    let mut stream = world.trust.stream(world.addr).await;
    stream.write_all(b"GET /sse?channel=a HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut read = Vec::new();
    let mut until = async |stream: &mut tokio_rustls::client::TlsStream<_>, what: &str| {
        while !String::from_utf8_lossy(&read).contains(what) {
            assert_ne!(within(what, stream.read_buf(&mut read)).await.unwrap(), 0, "before {what}");
        }
    };
    until(&mut stream, "\"welcome\"").await;
    for number in 0..50 {
        let body = format!("event-{number}");
        world.gateway.post("/publish?channel=a", body.as_bytes()).await;
    }
    until(&mut stream, "event-49").await;
    drop(stream);
    world.gateway.until_metric("fanfare_sessions", |now| now == 0.0).await;
    world.gateway.until_metric("fanfare_http_connections", |now| now <= 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_closes_them_with_its_code_and_what_was_acknowledged_comes_first() {
    let mut world = World::new("").await;
    let mut socket = world.trust.websocket(world.addr, "/ws?channel=a").await;
    for number in 0..200 {
        let body = number.to_string();
        assert_eq!(world.gateway.post("/publish?channel=a", body.as_bytes()).await.status, 200);
    }
    world.gateway.signal("TERM");
    for number in 0..200 {
        assert_eq!(text(&mut socket).await, number.to_string());
    }
    match within("a close", socket.next()).await {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1001),
        other => panic!("{other:?}"),
    }
    assert!(matches!(within("the end", socket.next()).await, None | Some(Err(_))));
    assert_eq!(world.gateway.exit_code().await, 0);
    assert!(world.gateway.log().contains("killed=0"), "{}", world.gateway.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_silent_or_does_not_read_is_ended() {
    let limits = "[hub]\nping_interval_ms = 200\npong_timeout_ms = 200\noutbox_bytes_max = 65536\n\
                  close_timeout_ms = 500\n[messages]\ncontrol_frames_per_10s_max = 1000\n[http]\n\
                  send_buffer_bytes = 4096\n";
    let world = World::new(limits).await;
    // Answers its pings while it is read, and so lives on.
    let mut alive = world.trust.websocket(world.addr, "/ws?channel=quiet").await;
    let reading = tokio::spawn(async move { while let Some(Ok(_)) = alive.next().await {} });
    let _silent = world.trust.websocket(world.addr, "/ws?channel=quiet").await;
    let ended = |reason: &str| format!("fanfare_disconnects_total{{reason=\"{reason}\"}}");
    world.gateway.until_metric(&ended("ping_timeout"), |count| count == 1.0).await;
    let _stuck = world.trust.websocket(world.addr, "/ws?channel=a").await;
    let body = "x".repeat(60_000);
    for _ in 0..200 {
        world.gateway.post("/publish?channel=a", body.as_bytes()).await;
    }
    world.gateway.until_metric(&ended("slow_consumer"), |count| count == 1.0).await;
    world.gateway.until_metric("fanfare_sessions", |now| now == 1.0).await;
    assert!(!reading.is_finished());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_drip_or_are_none_are_cut_in_time_and_others_notice_nothing() {
    let world = World::new("[http]\nhandshake_timeout_ms = 700\n").await;
    let steady = Steady::start(world.gateway.addr).await;
    let mut silent = TcpStream::connect(world.addr).await.unwrap();
    let mut dripping = TcpStream::connect(world.addr).await.unwrap();
    let mut speaking_http = TcpStream::connect(world.addr).await.unwrap();
    speaking_http.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    // A record that would be long, byte by byte.
    let drip = async {
        for byte in [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3].into_iter().chain([0; 600]) {
            if dripping.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it is not cut");
    };
    within("the drip to be cut", drip).await;
    let mut rest = Vec::new();
    within("the silent one's end", silent.read_to_end(&mut rest)).await.unwrap();
    // An alert (21), and nothing in plain text.
    let _ = within("the end", speaking_http.read_to_end(&mut rest)).await;
    assert!(rest.first().is_none_or(|&first| first == 21), "{rest:?}");
    // TLS in time, and then nothing: within the same time from being accepted.
    let mut stream = world.trust.stream(world.addr).await;
    let mut rest = Vec::new();
    let _ = within("the end", stream.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"");
    let failed = |reason: &str| format!("fanfare_connections_failed_total{{reason=\"{reason}\"}}");
    world.gateway.until_metric(&failed("tls_timeout"), |count| count == 2.0).await;
    world.gateway.until_metric(&failed("tls"), |count| count == 1.0).await;
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_handshakes_that_drip_or_stand_still_are_cut_and_leave_nothing() {
    crate::support::raise_descriptor_limit();
    let world = World::new("[http]\nhandshake_timeout_ms = 3000\n").await;
    let steady = Steady::start(world.gateway.addr).await;
    let before = world.gateway.descriptors();
    let mut standing = Vec::new();
    for at in 0..1_000 {
        let (reader, mut writer) = TcpStream::connect(world.addr).await.unwrap().into_split();
        // The head of a record of 512 bytes, which it will not be whole before the time is over.
        writer.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
        let drip = async move {
            while at % 2 == 0 && writer.write_all(&[0]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            writer
        };
        standing.push((reader, tokio::spawn(drip)));
    }
    // Those who mean it come in meanwhile.
    for _ in 0..10 {
        let mut one = world.trust.websocket(world.addr, "/ws?channel=a").await;
        send(&mut one, "still here").await;
        assert_eq!(text(&mut one).await, "still here");
    }
    for (mut reader, drip) in standing {
        let mut rest = Vec::new();
        // A reset, where a drop came behind the end.
        let _ = within("the end", reader.read_to_end(&mut rest)).await;
        assert_eq!(rest, b"");
        drop(within("the end of it", drip).await);
    }
    let timeouts = "fanfare_connections_failed_total{reason=\"tls_timeout\"}";
    assert_eq!(world.gateway.metric(timeouts).await, 1_000.0);
    world.gateway.until_metric("fanfare_sessions", |now| now == 2.0).await;
    world.gateway.until_metric("fanfare_http_connections", |now| now <= 1.0).await;
    assert!(world.gateway.descriptors() <= before + 2, "{before}");
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_too_many_connections_is_refused_before_tls() {
    let limits =
        "[http]\nconnections_per_address_max = 2\nper_address_exempt = [\"192.0.2.0/24\"]\n";
    let world = World::new(limits).await;
    let from = async |address: &str| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
        world.trust.over(socket.connect(world.addr).await.unwrap()).await
    };
    let _held = [from("127.0.0.2").await.unwrap(), from("127.0.0.2").await.unwrap()];
    // An end in order, and not a word in plain text.
    let refused = from("127.0.0.2").await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::UnexpectedEof, "{refused}");
    assert!(from("127.0.0.3").await.is_ok());
    let count = "fanfare_connections_refused_total{reason=\"address_count\"}";
    assert_eq!(world.gateway.metric(count).await, 1.0);
}
