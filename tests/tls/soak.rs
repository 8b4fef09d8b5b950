//! Everything at once for a while, and nothing is left of it: sessions that come, go, break off and do not
//! read, over WebSockets, event streams and TLS.
//!
//! A minute, or as many seconds as `FANFARE_SOAK_S` says. Prints how much each figure grew, by the line that
//! fits its samples best once it is warm.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rand::RngExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::certificates::{Authority, Dir};
use crate::client::{Trust, send, tls_addr};
use crate::support::{Gateway, HELD_FOR_PEERS, within};

/// So many of each kind at any time.
const EACH: usize = 6;

const CHANNELS: u32 = 40;

/// What has to be as it was before, in the end, besides what is held for peers.
const COUNTS: [&str; 2] = ["fanfare_http_connections", "fanfare_tasks"];

const FDS: &str = "fanfare_process_open_fds";
const RESIDENT: &str = "fanfare_process_resident_memory_bytes";

/// What is sampled.
const SAMPLED: [&str; 5] = [RESIDENT, FDS, "fanfare_sessions", "fanfare_channels", "fanfare_tasks"];

/// What the allocator may keep besides: it gives pages back when it likes.
const RESIDENT_SLACK: f64 = (24 << 20) as f64;

fn below(limit: u32) -> u32 {
    rand::rng().random_range(0..limit)
}

fn some_channel() -> String {
    format!("soak.{}", below(CHANNELS))
}

fn a_moment() -> Duration {
    Duration::from_millis(u64::from(below(300)))
}

struct Soak {
    gateway: Gateway,
    tls: SocketAddr,
    trust: Trust,
    end: Instant,
}

impl Soak {
    /// Reads for a moment, and closes or breaks off.
    async fn listen(&self) {
        let mut client = self.gateway.connect(&format!("/ws?channel={}", some_channel())).await;
        let mut bytes = [0; 4_096];
        let read = async { while matches!(client.socket().read(&mut bytes).await, Ok(1..)) {} };
        let _ = tokio::time::timeout(a_moment(), read).await;
    }

    /// Joins and leaves channels and publishes to them.
    async fn talk(&self) {
        let mut client = self.gateway.connect("/ws?format=json").await;
        for _ in 0..below(20) {
            let (kind, channel) =
                (["subscribe", "unsubscribe", "publish"][below(3) as usize], some_channel());
            client
                .send_json(json!({"type": kind, "channel": channel, "data": "x".repeat(100)}))
                .await;
        }
        client.send_json(json!({"type": "ping", "id": 1})).await;
        while client.next_json().await["type"] != "pong" {}
        if below(2) == 0 {
            client.close().await;
        }
    }

    /// Does not read what it gets, and is killed or kept up by its policy.
    async fn stall(&self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        let mut stream = socket.connect(self.gateway.addr).await.unwrap();
        let request = format!(
            "GET /ws?channel={} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            some_channel()
        );
        let _ = stream.write_all(request.as_bytes()).await;
        tokio::time::sleep(a_moment() * 8).await;
    }

    async fn stream(&self) {
        let mut stream = TcpStream::connect(self.gateway.addr).await.unwrap();
        let path = format!("/sse?channel={}&channel={}", some_channel(), some_channel());
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = [0; 4_096];
        let read = async { while matches!(stream.read(&mut bytes).await, Ok(1..)) {} };
        let _ = tokio::time::timeout(a_moment(), read).await;
    }

    async fn over_tls(&self) {
        let mut client =
            self.trust.websocket(self.tls, &format!("/ws?channel={}", some_channel())).await;
        for _ in 0..below(5) {
            send(&mut client, "over TLS").await;
        }
        let read = async { while let Some(Ok(_)) = client.next().await {} };
        let _ = tokio::time::timeout(a_moment(), read).await;
        if below(2) == 0 {
            let _ = client.close(None).await;
        }
    }

    async fn publish(&self) {
        let body = "x".repeat(1 + below(8_000) as usize);
        let path = format!("/publish?channel={}", some_channel());
        let answer = self.gateway.post(&path, body.as_bytes()).await;
        assert!([200, 503].contains(&answer.status), "{}", answer.text());
    }

    /// Begins something, and is gone.
    async fn break_off(&self) {
        let begun: [&[u8]; 4] =
            [b"", b"GET /ws HT", b"\x16\x03\x01\x02\0", b"POST /publish HTTP/1.1\r\n\r\n"];
        let addr = if below(2) == 0 { self.gateway.addr } else { self.tls };
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let _ = stream.write_all(begun[below(4) as usize]).await;
        tokio::time::sleep(a_moment()).await;
    }

    async fn work(self: Arc<Self>, kind: usize) {
        while Instant::now() < self.end {
            match kind {
                0 => self.listen().await,
                1 => self.talk().await,
                2 => self.stall().await,
                3 => self.stream().await,
                4 => self.over_tls().await,
                5 => self.publish().await,
                _ => self.break_off().await,
            }
        }
    }
}

/// The figures of one moment, by [`SAMPLED`].
#[derive(Clone, Copy)]
struct Sample {
    at_s: f64,
    values: [f64; SAMPLED.len()],
}

fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

/// How much grew a second, by least squares.
fn slope(points: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let count = points.clone().count() as f64;
    let sum = points.clone().fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x, sum.1 + y));
    let (mean_x, mean_y) = (sum.0 / count, sum.1 / count);
    let (mut over, mut under) = (0.0, 0.0);
    for (x, y) in points {
        over += (x - mean_x) * (y - mean_y);
        under += (x - mean_x) * (x - mean_x);
    }
    over / under
}

fn report(samples: &[Sample]) -> String {
    let mut text = String::new();
    for (at, name) in SAMPLED.iter().enumerate() {
        let grew = slope(samples.iter().map(|sample| (sample.at_s, sample.values[at])));
        let (first, last) = (samples[0].values[at], samples[samples.len() - 1].values[at]);
        let _ = writeln!(text, "{name}: {first} to {last}, {:+.1} a minute", grew * 60.0);
    }
    text
}

async fn sample(soak: &Soak) -> Vec<Sample> {
    let began = Instant::now();
    let total = soak.end.duration_since(began);
    let mut samples = Vec::new();
    while Instant::now() < soak.end {
        tokio::time::sleep((total / 100).max(Duration::from_millis(200))).await;
        let metrics = soak.gateway.get("/metrics").await.text();
        let at_s = began.elapsed().as_secs_f64();
        samples.push(Sample { at_s, values: SAMPLED.map(|name| value(&metrics, name)) });
    }
    // The first third is for growing to the size that the load needs.
    samples.split_off(samples.len() / 3)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute; .ci/run runs it"]
async fn after_a_while_of_everything_nothing_is_left() {
    let seconds =
        std::env::var("FANFARE_SOAK_S").map_or(60, |text| text.parse().expect("a number"));
    let (dir, authority) = (Dir::new(), Authority::new("the authority"));
    dir.install(&authority.pair());
    let text = format!(
        "{}[[channels.rules]]\nmatch = 'soak.1*'\nhistory_publications_max = 50\n\
         history_age_max_ms = 2000\npresence = true\njoin_leave = true\n\
         [[channels.rules]]\nmatch = 'soak.2*'\npolicy = 'drop_oldest'\n[hub]\nlanes = 2\n",
        dir.listener("", "")
    );
    let gateway = Gateway::configured(&text).await;
    let tls = tls_addr(&gateway, 0).await;
    let trust = Trust::new(&authority.certificate);
    // Both listeners are there, and nothing of this is left.
    trust.get(tls, "/health").await;
    gateway.until_metric("fanfare_http_connections", |now| now == 1.0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = gateway.get("/metrics").await.text();
    let end = Instant::now() + Duration::from_secs(seconds);
    let soak = Arc::new(Soak { gateway, tls, trust, end });
    let mut workers = JoinSet::new();
    for kind in 0..7 * EACH {
        workers.spawn(soak.clone().work(kind % 7));
    }
    let samples = sample(&soak).await;
    within("the last workers", workers.join_all()).await;
    let report = report(&samples);
    println!("{} samples over {seconds} s, the first third left out\n{report}", samples.len());
    let gateway = &soak.gateway;
    assert!(gateway.metric("fanfare_sessions_opened_total").await > 100.0);
    for name in HELD_FOR_PEERS.into_iter().chain(COUNTS).chain([FDS]) {
        let baseline = value(&before, name);
        gateway.until_metric(name, |now| now == baseline).await;
    }
    let (warm, now) = (samples[0].values[0], gateway.metric(RESIDENT).await);
    assert!(now < warm * 1.25 + RESIDENT_SLACK, "{warm} bytes grew to {now}\n{report}");
}

#[test]
fn a_slope_is_that_of_the_line_that_fits() {
    let line = (0..10).map(|x| (f64::from(x), 3.0 * f64::from(x) + 7.0));
    assert!((slope(line) - 3.0).abs() < 1e-9);
    let flat = [(0.0, 1.0), (1.0, 3.0), (2.0, 1.0)].into_iter();
    assert!(slope(flat).abs() < 1e-9);
}
