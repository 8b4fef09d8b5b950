//! Thousands that never read beside thousands that do.
//!
//! Bare sockets and a parser of a dozen lines: a full client each would take longer than the gateway.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::net::TcpStream;

use crate::support::{Gateway, raise_descriptor_limit, within};

/// A JSON session of one channel.
struct Session {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What was read of the buffer.
    at: usize,
    channel: String,
}

/// What came in.
enum Frame {
    Text(Value),
    Close(u16),
    /// The end of the connection.
    End,
}

impl Session {
    /// Opens one; with `is_small` the kernel keeps little for it.
    async fn open(gateway: &Gateway, channel: &str, is_small: bool) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        if is_small {
            socket.set_recv_buffer_size(4 << 10).unwrap();
        }
        let mut stream = socket.connect(gateway.addr).await.unwrap();
        let request = format!(
            "GET /ws?format=json&channel={channel} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            gateway.addr
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut session = Self { stream, buffer: Vec::new(), at: 0, channel: channel.to_owned() };
        let head = loop {
            if let Some(end) = session.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(session.more().await, "an answer");
        };
        assert!(session.buffer.starts_with(b"HTTP/1.1 101"), "{channel}");
        session.at = head;
        session
    }

    async fn more(&mut self) -> bool {
        self.buffer.drain(..self.at);
        self.at = 0;
        let what = format!("bytes of {}", self.channel);
        let read = within(&what, self.stream.read_buf(&mut self.buffer)).await;
        matches!(read, Ok(1..))
    }

    async fn next(&mut self) -> Frame {
        loop {
            if let Some((frame, len)) = parse(&self.buffer[self.at..]) {
                self.at += len;
                if let Some(frame) = frame {
                    return frame;
                }
            } else if !self.more().await {
                return Frame::End;
            }
        }
    }

    /// The next message or gap.
    async fn news(&mut self) -> Frame {
        loop {
            match self.next().await {
                Frame::Text(text) if text["type"] == "welcome" || text["type"] == "subscribed" => {}
                frame => return frame,
            }
        }
    }
}

/// A frame of a server, and its length; no frame for a ping.
fn parse(bytes: &[u8]) -> Option<(Option<Frame>, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (len, head) = match second {
        126 => (u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()).into(), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()) as usize, 10),
        len => (len.into(), 2),
    };
    let payload = bytes.get(head..head + len)?;
    let frame = match first & 0xF {
        1 => Some(Frame::Text(serde_json::from_slice(payload).unwrap())),
        8 => Some(Frame::Close(u16::from_be_bytes(payload[..2].try_into().unwrap()))),
        _ => None,
    };
    Some((frame, head + len))
}

async fn publish(gateway: &Gateway, channel: &str, body: Value) -> u16 {
    let mut body = body;
    body["channel"] = json!(channel);
    gateway.post("/api/publish", body.to_string().as_bytes()).await.status
}

/// Opens so many, a few at a time.
async fn open_many(gateway: &Gateway, channel: &str, count: usize, is_small: bool) -> Vec<Session> {
    let mut sessions = Vec::with_capacity(count);
    while sessions.len() < count {
        let some = (count - sessions.len()).min(50);
        let opening = (0..some).map(|_| Session::open(gateway, channel, is_small));
        sessions.extend(futures_util::future::join_all(opening).await);
    }
    sessions
}

const POLICIES: [&str; 5] = ["disconnect", "drop_newest", "drop_oldest", "conflate", "latest"];
const EACH: usize = 1_000;
const MESSAGES: u64 = 40;
const KEYS: u64 = 4;
const PADDING: usize = 4 << 10;

fn rules() -> String {
    let rules = POLICIES
        .map(|policy| format!("[[channels.rules]]\nmatch = '{policy}'\npolicy = '{policy}'\n"));
    format!(
        "[hub]\noutbox_bytes_max = 65536\noutbox_age_max_ms = 120000\nmemory_bytes_max = 67108864\n\
         ping_interval_ms = 120000\nclose_timeout_ms = 120000\n\
         [http]\nsend_buffer_bytes = 4096\n{}",
        rules.concat()
    )
}

/// What one session got, in order, and what it was told that it lost.
#[derive(Default)]
struct Seen {
    offsets: Vec<u64>,
    newest: BTreeMap<u64, u64>,
    lost: u64,
    close: Option<u16>,
}

impl Seen {
    fn note(&mut self, text: &Value) {
        if text["type"] == "gap" {
            self.lost += text["lost"].as_u64().unwrap();
            return;
        }
        let number = text["data"][0].as_u64().unwrap_or_else(|| panic!("{text}"));
        // A channel that loses nothing has no offsets: the number is the same.
        self.offsets.push(number);
        self.newest.insert(number % KEYS, number);
    }

    /// Holds what a session that was behind got against the contract of its policy.
    fn assert_as_agreed(&self, policy: &str) {
        let all: Vec<u64> = (0..MESSAGES).collect();
        let got = self.offsets.len() as u64;
        assert!(self.offsets.is_sorted_by(|a, b| a < b), "{policy}: {:?}", self.offsets);
        if policy == "disconnect" {
            assert_eq!((self.close, self.lost), (Some(4408), 0), "{policy}");
            assert!(got < MESSAGES && self.offsets == all[..got as usize], "{policy}");
            return;
        }
        assert_eq!((got + self.lost, self.close), (MESSAGES, None), "{policy}");
        assert!(self.lost > 0, "{policy}: it was not behind");
        match policy {
            "drop_newest" => assert_eq!(self.offsets, all[..got as usize], "{policy}"),
            "conflate" => {
                let newest: Vec<u64> = self.newest.values().copied().collect();
                assert_eq!(newest, (MESSAGES - KEYS..MESSAGES).collect::<Vec<_>>(), "{policy}");
            }
            _ => assert_eq!(self.offsets.last(), Some(&(MESSAGES - 1)), "{policy}"),
        }
    }

    /// Reads until everything is accounted for, or the session was ended.
    async fn read(mut session: Session, heard: Arc<AtomicU64>) -> Self {
        let mut seen = Self::default();
        while (seen.offsets.len() as u64) + seen.lost < MESSAGES {
            match session.news().await {
                Frame::Text(text) => {
                    seen.note(&text);
                    heard.fetch_add(1, Ordering::Relaxed);
                }
                Frame::Close(code) => {
                    seen.close = Some(code);
                    break;
                }
                Frame::End => break,
            }
        }
        seen
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_that_never_read_beside_five_thousand_that_do() {
    raise_descriptor_limit();
    let gateway = Gateway::configured(&rules()).await;
    let (mut stalled, mut healthy) = (Vec::new(), Vec::new());
    for policy in POLICIES {
        stalled.push(open_many(&gateway, policy, EACH, true).await);
        healthy.extend(open_many(&gateway, policy, EACH, false).await);
    }
    let heard = Arc::new(AtomicU64::new(0));
    let read = |session| tokio::spawn(Seen::read(session, heard.clone()));
    let healthy: Vec<_> = healthy.into_iter().map(read).collect();
    let before = gateway.resident_bytes();
    let mut most = before;
    for number in 0..MESSAGES {
        for policy in POLICIES {
            let padding = "x".repeat(PADDING);
            let key = format!("k{}", number % KEYS);
            let body = json!({"data": [number, padding], "key": key});
            while publish(&gateway, policy, body.clone()).await != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        most = most.max(gateway.resident_bytes());
        // Whoever reads as fast as this test can is not behind.
        let due = (number + 1) * (EACH * POLICIES.len()) as u64;
        let all_heard = async {
            while heard.load(Ordering::Relaxed) < due {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("the healthy ones", all_heard).await;
    }
    // The healthy ones have everything, once and in order.
    let all: Vec<u64> = (0..MESSAGES).collect();
    for reader in healthy {
        let seen = reader.await.unwrap();
        assert_eq!((&seen.offsets, seen.lost), (&all, 0));
    }
    gateway.until_metric("fanfare_publication_bytes_pending", |bytes| bytes == 0.0).await;
    // Besides the budget: the kernel's sockets are not the process's, and an allocator keeps some.
    let grown = most.saturating_sub(before);
    assert!(grown < (64 + 48) << 20, "grew by {} MiB", grown >> 20);
    assert_eq!(gateway.metric("fanfare_disconnects_total{reason=\"shed\"}").await, 0.0);
    let behind = gateway.get("/api/slow?top=3").await.json();
    assert_eq!(behind["sessions"].as_array().unwrap().len(), 3, "{behind}");
    assert!(behind["sessions"][0]["messages"].as_u64().unwrap() > 0, "{behind}");

    // Now the stalled ones read: what they get and what they are told is all there was.
    let mut told = 0;
    for (policy, sessions) in POLICIES.into_iter().zip(stalled) {
        for session in sessions {
            let seen = Seen::read(session, Arc::default()).await;
            told += seen.lost;
            seen.assert_as_agreed(policy);
        }
    }
    let text = gateway.get("/metrics").await.text();
    let dropped: f64 = text
        .lines()
        .filter(|line| {
            line.starts_with("fanfare_dropped_total{") && !line.contains("session_ended")
        })
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert_eq!(dropped, told as f64, "counted and told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tight_budget_is_kept_and_the_healthy_lose_nothing() {
    raise_descriptor_limit();
    const BUDGET: u64 = 16 << 20;
    const STALLED: usize = 2_000;
    let config = format!(
        "[hub]\nmemory_bytes_max = {BUDGET}\noutbox_frames_max = 100000\noutbox_bytes_max = 16777216\n\
         outbox_age_max_ms = 120000\nping_interval_ms = 120000\nclose_timeout_ms = 1000\n\
         [http]\nsend_buffer_bytes = 4096\n"
    );
    let gateway = Gateway::configured(&config).await;
    // They never read what the first of these publications fill the kernel's buffers with.
    let stalled = open_many(&gateway, "news", STALLED, true).await;
    let mut healthy = open_many(&gateway, "news", 5, false).await;
    let before = gateway.resident_bytes();
    let (mut most, mut used, mut accepted) = (before, 0.0_f64, 0_u64);
    let began = Instant::now();
    let reading = healthy.drain(..).map(|mut session| {
        tokio::spawn(async move {
            let mut numbers = Vec::new();
            loop {
                match session.news().await {
                    Frame::Text(text) if text["data"][0] == "end" => return numbers,
                    Frame::Text(text) => numbers.push(text["data"][0].as_u64().unwrap()),
                    Frame::Close(code) => panic!("closed with {code}"),
                    Frame::End => panic!("ended"),
                }
            }
        })
    });
    let readers: Vec<_> = reading.collect();
    while accepted < 1_500 {
        let body = json!({"data": [accepted, "x".repeat(200)]});
        match publish(&gateway, "news", body).await {
            200 => accepted += 1,
            503 => tokio::time::sleep(Duration::from_millis(50)).await,
            other => panic!("{other}"),
        }
        if accepted % 20 == 0 {
            used = used.max(gateway.metric("fanfare_memory_bytes").await);
            most = most.max(gateway.resident_bytes());
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{accepted} accepted");
    }
    while publish(&gateway, "news", json!({"data": ["end"]})).await != 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for reader in readers {
        assert_eq!(reader.await.unwrap(), (0..accepted).collect::<Vec<_>>());
    }
    assert!(used <= BUDGET as f64 && used > BUDGET as f64 / 2.0, "{used} of {BUDGET}");
    let shed = gateway.metric("fanfare_disconnects_total{reason=\"shed\"}").await;
    let slow = gateway.metric("fanfare_disconnects_total{reason=\"slow_consumer\"}").await;
    assert!(shed > 0.0, "{shed} shed, {slow} slow");
    let grown = most.saturating_sub(before);
    assert!(grown < BUDGET + (24 << 20), "grew by {} MiB", grown >> 20);
    drop(stalled);
    // When they are gone, so is what they held.
    gateway.until_metric("fanfare_memory_bytes", |bytes| bytes < 1_000_000.0).await;
}
