//! A graceful end in full traffic: SIGTERM, real sockets, everything that was acknowledged.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Gateway, PATIENCE, within};

const WINDOW: Duration = Duration::from_secs(3);

/// Between an answer to a publisher and the moment at which the gateway decides to close a session
/// nothing orders the two but the clock of this test: what was acknowledged by then has to be there.
const SLACK: Duration = Duration::from_millis(250);

/// Two listeners: one for everybody, one for backends, which goes on until the end.
fn config(ready_wait_ms: u64, window: Duration) -> String {
    format!(
        "[drain]\nready_wait_ms = {ready_wait_ms}\nwindow_ms = {}\ntimeout_ms = 60000\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\nserves = [\"api\", \"metrics\"]\n",
        window.as_millis()
    )
}

/// What one subscriber saw.
#[derive(Debug, Default)]
struct Seen {
    numbers: Vec<u64>,
    closed: Option<(Instant, u16)>,
}

/// When each publication was acknowledged, by its number.
type Acknowledged = Arc<Mutex<Vec<Instant>>>;

/// The second address in the log.
async fn backend_addr(gateway: &Gateway) -> SocketAddr {
    let began = Instant::now();
    loop {
        let log = gateway.log();
        if let Some((at, _)) = log.match_indices("http://").nth(1) {
            let rest = &log[at + "http://".len()..];
            let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c)));
            return rest[..end.unwrap_or(rest.len())].parse().unwrap();
        }
        assert!(began.elapsed() < PATIENCE, "{log}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Status and body; `None` if nobody is there.
async fn ask(addr: SocketAddr, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(addr).await.ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

/// Reads a plain WebSocket to its close.
async fn read_plain(gateway: &Gateway) -> impl Future<Output = Seen> + use<> {
    let (_, mut stream) = gateway.connect("/ws?channel=a").await.split();
    async move {
        let mut seen = Seen::default();
        while let Some(Ok(message)) = stream.next().await {
            match message {
                Message::Text(text) => seen.numbers.push(text.parse().unwrap()),
                Message::Close(frame) => {
                    seen.closed = Some((Instant::now(), frame.unwrap().code.into()));
                }
                _ => {}
            }
        }
        seen
    }
}

/// What was published, as JSON or as a text.
fn number(message: &Value) -> u64 {
    let (data, text) = (&message["data"], &message["text"]);
    data.as_u64().or_else(|| text.as_str()?.parse().ok()).expect("a number")
}

/// Reads server-sent events to the end.
async fn read_events(addr: SocketAddr) -> impl Future<Output = Seen> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = format!("GET /sse?channel=a HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    while !within("to be in", lines.next_line()).await.unwrap().unwrap().contains("subscribed") {}
    async move {
        let (mut seen, mut is_last) = (Seen::default(), false);
        while let Ok(Some(line)) = lines.next_line().await {
            is_last |= line == "event: disconnect";
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let data: Value = serde_json::from_str(data).unwrap();
            if is_last {
                assert_eq!(data["reconnect"], true);
                seen.closed = Some((Instant::now(), data["code"].as_u64().unwrap() as u16));
            } else if data["type"] == "message" {
                seen.numbers.push(number(&data));
            }
        }
        seen
    }
}

/// A session of three channels that publishes to one of its own and gets that back: whatever it was
/// told is accepted came to it before its close. Strictly: it is one connection.
async fn publish_to_itself(gateway: &Gateway, place: usize) -> impl Future<Output = Seen> + use<> {
    let mut client = gateway.connect("/ws?format=json").await;
    let own = format!("own-{place}");
    for channel in ["a", "b", &own] {
        client.send_json(json!({"type": "subscribe", "channel": channel, "id": 0})).await;
        while client.next_json().await["type"] != "subscribed" {}
    }
    async move {
        let (mut seen, mut accepted, mut back) = (Seen::default(), 0, 0);
        let (mut to, mut from) = client.split();
        let mut id = 0;
        loop {
            id += 1;
            let command = json!({"type": "publish", "channel": own, "data": id, "id": id});
            let _ = to.send(Message::text(command.to_string())).await;
            // One at a time; and on to the next without waiting for what it published to come.
            let is_answered = loop {
                let Some(Ok(message)) = from.next().await else { break false };
                let text = match message {
                    Message::Text(text) => text,
                    Message::Close(frame) => {
                        seen.closed = Some((Instant::now(), frame.unwrap().code.into()));
                        assert!(back >= accepted, "accepted {accepted}, came back {back}");
                        continue;
                    }
                    _ => continue,
                };
                let message: Value = serde_json::from_str(text.as_str()).unwrap();
                match message["type"].as_str().unwrap() {
                    "published" => {
                        accepted = message["id"].as_u64().unwrap();
                        break true;
                    }
                    "message" if message["channel"] == own => {
                        back = number(&message);
                    }
                    "message" if message["channel"] == "a" => {
                        seen.numbers.push(number(&message));
                    }
                    "message" => {}
                    other => panic!("{other}"),
                }
            };
            if !is_answered {
                return seen;
            }
        }
    }
}

/// Publishes 0, 1, 2 … to a channel through the listener for backends, until that is gone.
async fn publish(addr: SocketAddr, channel: &str, acknowledged: Acknowledged) {
    for number in 0_u64.. {
        let path = format!("/publish?channel={channel}");
        match ask(addr, "POST", &path, &number.to_string()).await {
            Some((200, _)) => acknowledged.lock().unwrap().push(Instant::now()),
            // The last phase: nobody is left, and nothing is accepted.
            Some((503, _)) | None => return,
            Some(other) => panic!("{other:?}"),
        }
    }
}

/// Each number once, in order and without a gap; and all that were acknowledged before its close.
fn assert_complete(who: &str, seen: &Seen, acknowledged: &[Instant]) {
    let (closed, code) = seen.closed.unwrap_or_else(|| panic!("{who}: no close: {seen:?}"));
    assert_eq!(code, 1001, "{who}");
    assert!(seen.numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{who}: {seen:?}");
    let due = acknowledged.partition_point(|at| *at + SLACK < closed) as u64;
    let got = seen.numbers.last().map_or(0, |last| last + 1);
    assert!(got >= due, "{who}: got {got} of {due} that were acknowledged before the close");
    assert!(due > 0, "{who}: nothing was acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_full_traffic_everybody_gets_what_was_acknowledged_and_a_close_of_their_own() {
    let mut gateway = Gateway::configured(&config(600, WINDOW)).await;
    let (addr, backend) = (gateway.addr, backend_addr(&gateway).await);
    let mut readers: JoinSet<(String, Seen)> = JoinSet::new();
    for number in 0..30 {
        let reading = read_plain(&gateway).await;
        readers.spawn(async move { (format!("plain {number}"), reading.await) });
    }
    for number in 0..15 {
        let reading = read_events(addr).await;
        readers.spawn(async move { (format!("stream {number}"), reading.await) });
    }
    for number in 0..15 {
        let reading = publish_to_itself(&gateway, number).await;
        readers.spawn(async move { (format!("json {number}"), reading.await) });
    }
    let acknowledged = Acknowledged::default();
    let publishing = tokio::spawn(publish(backend, "a", acknowledged.clone()));
    let publishing_more = tokio::spawn(publish(backend, "b", Acknowledged::default()));
    tokio::time::sleep(Duration::from_millis(700)).await;
    gateway.signal("TERM");
    let signalled = Instant::now();
    // Phase 1: it says so, and serves all the same.
    until_phase(backend, 1).await;
    assert_eq!(ask(addr, "GET", "/ready", "").await.unwrap().0, 503);
    assert_eq!(ask(addr, "GET", "/health", "").await.unwrap().0, 200);
    let reading = read_plain(&gateway).await;
    readers.spawn(async move { ("plain, late".to_owned(), reading.await) });
    // Phase 3: closed to clients, and open to backends.
    until_phase(backend, 3).await;
    assert!(signalled.elapsed() >= Duration::from_millis(600));
    assert!(TcpStream::connect(addr).await.is_err());
    assert_eq!(ask(backend, "GET", "/ready", "").await.unwrap().0, 503);
    let seen = within("everybody's close", readers.join_all()).await;
    within("the publishers' end", publishing).await.unwrap();
    within("the publishers' end", publishing_more).await.unwrap();
    assert_eq!(gateway.exit_code().await, 0, "{}", gateway.log());
    let acknowledged = acknowledged.lock().unwrap().clone();
    for (who, seen) in &seen {
        assert_complete(who, seen, &acknowledged);
    }
    let closes = || seen.iter().map(|(_, seen)| seen.closed.unwrap().0);
    let spread = closes().max().unwrap() - closes().min().unwrap();
    assert!(spread >= WINDOW.mul_f64(0.8), "the closes came within {spread:?}");
    assert!(spread <= WINDOW + Duration::from_secs(2), "the closes took {spread:?}");
    assert_log(&gateway.log_with("drain, phase 5 of 5").await);
}

/// Each phase has its line, and while sessions are closed the log says how many are left.
fn assert_log(log: &str) {
    let mut rest = log;
    for phase in 1..=5 {
        let line = format!("drain, phase {phase} of 5");
        let (_, behind) = rest.split_once(&line).unwrap_or_else(|| panic!("no {line}:\n{log}"));
        rest = behind;
    }
    let left =
        log.lines().filter(|line| line.contains("sessions_left") && line.contains("phase=3"));
    assert!(left.count() >= 2, "{log}");
    assert!(log.contains("killed=0 undelivered_bytes=0"), "{log}");
}

async fn until_phase(addr: SocketAddr, phase: u32) {
    let began = Instant::now();
    loop {
        let (_, text) = ask(addr, "GET", "/metrics", "").await.expect("the listener goes on");
        if text.contains(&format!("\nfanfare_drain_phase {phase}\n")) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_skips_the_rest_of_the_window() {
    for ready_wait_ms in [0, 30_000] {
        let mut gateway =
            Gateway::configured(&config(ready_wait_ms, Duration::from_secs(30))).await;
        let closed = Arc::new(AtomicU64::new(0));
        let mut readers = JoinSet::new();
        for _ in 0..40 {
            let (reading, closed) = (read_plain(&gateway).await, closed.clone());
            readers.spawn(async move {
                let seen = reading.await;
                closed.fetch_add(1, Ordering::Relaxed);
                seen
            });
        }
        gateway.post("/publish?channel=a", b"0").await;
        gateway.signal("TERM");
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert!(closed.load(Ordering::Relaxed) < 10, "the window is 30 s");
        let began = Instant::now();
        gateway.signal("TERM");
        for seen in within("everybody's close", readers.join_all()).await {
            assert_eq!((seen.numbers, seen.closed.unwrap().1), (vec![0], 1001));
        }
        assert_eq!(gateway.exit_code().await, 0, "{}", gateway.log());
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_window_all_closes_come_at_once() {
    let mut gateway = Gateway::configured(&config(0, Duration::ZERO)).await;
    let mut readers = JoinSet::new();
    for _ in 0..40 {
        readers.spawn(read_plain(&gateway).await);
    }
    gateway.signal("TERM");
    let seen = within("everybody's close", readers.join_all()).await;
    let closes = || seen.iter().map(|seen| seen.closed.unwrap().0);
    let spread = closes().max().unwrap() - closes().min().unwrap();
    assert!(spread < Duration::from_secs(1), "{spread:?}");
    assert_eq!(gateway.exit_code().await, 0);
}
