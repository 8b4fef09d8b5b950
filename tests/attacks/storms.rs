//! More handshakes at once than a node takes: those that drip, and those of everybody coming back.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::default_of;
use crate::raw::{Raw, handshake};
use crate::steady::{self, Steady};
use crate::support::{Gateway, raise_descriptor_limit, within};

fn refused(reason: &str) -> String {
    format!("fanfare_connections_refused_total{{reason=\"{reason}\"}}")
}

/// What became of one that drips, and when.
#[derive(Debug, PartialEq, Eq)]
enum Dripped {
    Cut,
    /// Turned away at once, which is as good.
    Refused,
}

/// A byte now and then, until the gateway has had enough.
async fn drip(addr: SocketAddr) -> (Dripped, Duration) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let began = Instant::now();
    let mut answer = Vec::new();
    for byte in handshake("/ws").bytes().cycle() {
        let read = tokio::time::timeout(Duration::from_millis(400), stream.read_buf(&mut answer));
        match read.await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(_)) => continue,
            Err(_) => {
                let _ = stream.write_all(&[byte]).await;
            }
        }
    }
    let became = if answer.starts_with(b"HTTP/1.1 503") { Dripped::Refused } else { Dripped::Cut };
    (became, began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_handshakes_that_drip_are_cut_and_others_get_in_meanwhile() {
    const DRIPS: usize = 5_000;
    const TIMEOUT: Duration = Duration::from_secs(5);
    assert_eq!(default_of("http", "handshake_timeout_ms"), "5000");
    raise_descriptor_limit();
    let gateway = Gateway::open().await;
    let steady = Steady::start(gateway.addr).await;
    let (over, is_over) = watch::channel(false);
    let addr = gateway.addr;
    let drips = tokio::spawn(async move {
        let dripped = join_all((0..DRIPS).map(|_| tokio::spawn(drip(addr)))).await;
        over.send_replace(true);
        dripped
    });
    gateway.until_metric("fanfare_handshakes", |now| now >= DRIPS as f64 / 2.0).await;
    let mut got_in = 0;
    while !*is_over.borrow() {
        // Each within the time that the drips have.
        let upgrade = tokio::time::timeout(TIMEOUT, Raw::upgrade(gateway.addr, "/ws?channel=good"));
        drop(upgrade.await.expect("a good connection gets in beside those that drip"));
        got_in += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(got_in >= 10, "{got_in}");
    let mut cut = 0;
    for dripped in within("the drips", drips).await.unwrap() {
        let (became, after) = dripped.unwrap();
        assert!(after < TIMEOUT + Duration::from_secs(5), "{became:?} after {after:?}");
        cut += usize::from(became == Dripped::Cut);
    }
    assert!(cut >= DRIPS / 2, "{cut}");
    let timeout = "fanfare_http_heads_refused_total{reason=\"timeout\"}";
    assert_eq!(gateway.metric(timeout).await, cut as f64);
    gateway.until_metric("fanfare_handshakes", |now| now == 0.0).await;
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_handshakes_at_once_than_allowed_are_asked_to_come_later() {
    assert_eq!(default_of("http", "handshakes_max"), "8192");
    let variables =
        [("FANFARE_HTTP_HANDSHAKES_MAX", "20"), ("FANFARE_HTTP_HANDSHAKE_TIMEOUT_MS", "2000")];
    let gateway = Gateway::start(&[], &variables).await;
    let steady = Steady::start(gateway.addr).await;
    // Sessions and requests that were answered are none of them.
    let mut quiet = Vec::new();
    for _ in 0..40 {
        quiet.push(Raw::upgrade(gateway.addr, "/ws").await);
    }
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(Raw::connect(gateway.addr).await);
    }
    for _ in 0..5 {
        let mut raw = Raw::connect(gateway.addr).await;
        raw.try_send(format!("{}\r\n", handshake("/ws")).as_bytes()).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 503);
        assert!(answer.body.contains("in their handshake"), "{answer:?}");
        answer.assert_retry_after();
    }
    for raw in &mut silent {
        raw.any_end().await;
    }
    drop(Raw::upgrade(gateway.addr, "/ws").await);
    assert_eq!(gateway.metric(&refused("handshakes")).await, 5.0);
    gateway.until_metric("fanfare_handshakes", |now| now == 0.0).await;
    steady.finish().await;
}

/// Connects and asks, while the gateway stands still.
async fn ask(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("{}\r\n", handshake("/ws?channel=back")).as_bytes()).await.unwrap();
    stream
}

/// The answer's status, and how long to stay away if it is no.
async fn heard(stream: &mut TcpStream) -> (u16, u64) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") && !answer.ends_with(b"}") {
        match stream.read_buf(&mut answer).await {
            Ok(1..) => {}
            // Beyond those that the gateway waits for, some are cut off without a word.
            Ok(0) => return (0, 1),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                return (0, 1);
            }
        }
    }
    let text = String::from_utf8(answer).unwrap();
    let status = text[9..12].parse().unwrap();
    let retry = text.lines().find_map(|line| line.strip_prefix("Retry-After: "));
    (status, retry.map_or(0, |seconds| seconds.parse().unwrap()))
}

/// Comes back until it is in, each time after as long as it was told. Returns the refusals.
async fn come_back(addr: SocketAddr, mut stream: TcpStream) -> (TcpStream, usize) {
    for refusals in 0.. {
        let (status, retry_after_s) = heard(&mut stream).await;
        if status == 101 {
            return (stream, refusals);
        }
        assert!(matches!(status, 0 | 503) && (1..=4).contains(&retry_after_s), "{status}");
        tokio::time::sleep(Duration::from_secs(retry_after_s)).await;
        stream = ask(addr).await;
    }
    unreachable!()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_everybody_comes_at_once_some_are_asked_to_come_later_and_all_get_in() {
    const COMERS: usize = 3_000;
    assert_eq!(default_of("http", "handshakes_wait_max_ms"), "2500");
    assert_eq!(default_of("http", "handshakes_lag_max_ms"), "10");
    raise_descriptor_limit();
    // As slow as it gets, and hardly anybody may wait.
    let variables =
        [("FANFARE_HTTP_HANDSHAKES_WAIT_MAX_MS", "1"), ("FANFARE_HTTP_HANDSHAKES_LAG_MAX_MS", "1")];
    let gateway = Gateway::start(&[], &variables).await;
    let steady = Steady::start(gateway.addr).await;
    // They are all there when it looks.
    gateway.signal("STOP");
    let comers = join_all((0..COMERS).map(|_| ask(gateway.addr))).await;
    gateway.signal("CONT");
    let back = join_all(comers.into_iter().map(|stream| come_back(gateway.addr, stream)));
    let back = tokio::time::timeout(Duration::from_secs(60), back).await.expect("all are back");
    let refusals: usize = back.iter().map(|(_, refusals)| refusals).sum();
    assert!(refusals > 500, "{refusals}");
    let sessions = (COMERS + steady::SESSIONS) as f64;
    assert_eq!(gateway.metric("fanfare_sessions").await, sessions);
    assert_eq!(gateway.metric(&refused("pace")).await, refusals as f64);
    assert_eq!(gateway.metric("fanfare_handshakes_waiting").await, 0.0);
    steady.finish().await;
}
