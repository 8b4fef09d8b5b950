//! The hub's own parts, over real sockets and through the public door only.
//!
//! A hub on a single-threaded runtime with one lane; sessions are TCP connections on loopback that
//! came through hyper and [`fanfare::connection::upgrade`]. What is timed is the hub's side: from a
//! publication until the lane has counted its last delivery. The other ends are read afterwards.
//!
//! | group | what it shows |
//! |---|---|
//! | `mailbox` | posting and draining: publications to a channel nobody is in (with traces on as well), and to one member |
//! | `pass` | one pass of a lane; by members and by publications that wait together |
//! | `encode` | one message of 16 KiB for 100 members: plain, and in a JSON envelope made once |
//! | `outbox` | what is queued for members whose sockets take nothing |
//! | `storm` | joins alone, whose cost each must not grow, and with a publication after each 16 |
//!
//! A publication that finds the snapshot dirty copies it, so with publications in between the time
//! of `storm` grows with the members: 20 ns a member and publication where this was written, beside
//! about 4.5 µs for the delivery to that member, which is not in it.
//!
//! Run it with: cargo bench --bench core -- --warm-up-time 0.5 --measurement-time 1

use std::convert::Infallible;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use fanfare::base::access::Grant;
use fanfare::base::ids::{ChannelName, SessionId, UserId};
use fanfare::base::message::Message;
use fanfare::base::trace::{TraceOptions, Tracer};
use fanfare::connection::{Accept, upgrade};
use fanfare::hub::{Hub, HubBuilder};
use fanfare::protocol::WireFormat;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Socket, Type};
use tokio::runtime::Runtime;

const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The user that all sessions belong to: the way to their ids.
const USER: &str = "bench";

/// The least that the kernel gives, or a little more; and a message that it does not fit in.
const SMALL_BUFFER_BYTES: usize = 4 << 10;
const STALLING_BYTES: usize = 64 << 10;

/// A hub, the runtime it lives on, and the far ends of its sessions.
struct Rig {
    runtime: Runtime,
    hub: Hub,
    channel: ChannelName,
    far: Vec<TcpStream>,
    buffer: Vec<u8>,
}

impl Rig {
    fn new(sessions: usize, format: WireFormat, subscribed: bool) -> Self {
        Self::with_buffers(sessions, format, subscribed, None)
    }

    /// With traces turned on, and nothing sampled by chance.
    fn traced(sessions: usize) -> Self {
        let (sample_per_million, sampled_per_s_max, queue_spans_max) = (0, 100, 8_192);
        let options = TraceOptions { sample_per_million, sampled_per_s_max, queue_spans_max };
        let tracer = Some(Tracer::new(options));
        Self::of(Hub::builder().tracer(tracer), sessions, WireFormat::Raw, true, None)
    }

    /// With so many bytes of the kernel's on each side of a connection, or as many as it likes.
    fn with_buffers(
        sessions: usize,
        format: WireFormat,
        subscribed: bool,
        buffer: Option<usize>,
    ) -> Self {
        Self::of(Hub::builder(), sessions, format, subscribed, buffer)
    }

    fn of(
        builder: HubBuilder,
        sessions: usize,
        format: WireFormat,
        subscribed: bool,
        buffer: Option<usize>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let channel: ChannelName = "a".try_into().unwrap();
        let (hub, far) = runtime.block_on(async {
            let builder = builder.lanes(1).outbox_frames_max(1 << 16);
            let hub = builder.outbox_bytes_max(64 << 20).outbox_age_max_ms(600_000).build();
            let mut accept =
                Accept::new(Grant { user: Some(UserId::new(USER).unwrap()), ..Grant::anyone() });
            accept = accept.format(format);
            if let Some(bytes) = buffer {
                accept = accept.send_buffer_bytes(bytes);
            }
            if subscribed {
                accept = accept.channel(channel.clone());
            }
            let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let addr = listener.local_addr().unwrap();
            let mut far = Vec::new();
            for _ in 0..sessions {
                far.push(connect(&hub, &listener, addr, accept.clone(), buffer).await);
            }
            while hub.session_count() < sessions {
                tokio::task::yield_now().await;
            }
            (hub, far)
        });
        Self { runtime, hub, channel, far, buffer: vec![0; 1 << 20] }
    }

    fn delivered(&self) -> u64 {
        self.hub.counters().over_lanes(|lane| &lane.deliveries)
    }

    /// Publishes and runs the lane until everybody was served; the time that took.
    fn pass(&mut self, messages: u64, text: &str) -> Duration {
        let took = self.serve(messages, text);
        self.drain();
        took
    }

    /// Has everybody fall behind, then publishes until everything is queued; the time that took.
    fn queue(&mut self, messages: u64, text: &str) -> Duration {
        self.serve(1, &"x".repeat(STALLING_BYTES));
        let took = self.serve(messages, text);
        assert_eq!(self.hub.counters().writers.get(), self.far.len() as i64, "all are behind");
        self.drain();
        took
    }

    fn serve(&mut self, messages: u64, text: &str) -> Duration {
        let target = self.delivered() + messages * self.far.len() as u64;
        let message = Message::text(text.to_owned());
        let began = Instant::now();
        self.runtime.block_on(async {
            for _ in 0..messages {
                self.hub.publish(&self.channel, message.clone()).unwrap();
            }
            while self.hub.counters().over_lanes(|lane| &lane.deliveries) < target {
                tokio::task::yield_now().await;
            }
        });
        began.elapsed()
    }

    /// Empties the far ends, and lets writers finish.
    fn drain(&mut self) {
        loop {
            for far in &mut self.far {
                while matches!(far.read(&mut self.buffer), Ok(read) if read > 0) {}
            }
            if self.hub.counters().writers.get() == 0 {
                return;
            }
            self.runtime.block_on(tokio::task::yield_now());
        }
    }

    fn sessions(&self) -> Vec<SessionId> {
        self.hub.sessions_of_user(&UserId::new(USER).unwrap())
    }
}

/// One session; its far end does not block.
async fn connect(
    hub: &Hub,
    listener: &tokio::net::TcpListener,
    addr: SocketAddr,
    accept: Accept,
    buffer: Option<usize>,
) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    if let Some(bytes) = buffer {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    socket.connect(&addr.into()).unwrap();
    let mut far = TcpStream::from(socket);
    far.write_all(REQUEST).unwrap();
    far.set_nonblocking(true).unwrap();
    let (near, _) = listener.accept().await.unwrap();
    let hub = hub.clone();
    tokio::spawn(async move {
        let service = hyper::service::service_fn(move |request| {
            let answer = upgrade(&hub, request, accept.clone()).expect("a good handshake");
            async move { Ok::<_, Infallible>(answer) }
        });
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(near), service)
            .with_upgrades()
            .await;
    });
    let mut answer = Vec::new();
    let mut part = [0; 1_024];
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        match far.read(&mut part) {
            Ok(read) => answer.extend_from_slice(&part[..read]),
            Err(_) => tokio::task::yield_now().await,
        }
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    far
}

fn mailbox(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mailbox");
    let nobody = Rig::new(0, WireFormat::Raw, true);
    let message = Message::text("x".repeat(128));
    group.throughput(Throughput::Elements(1));
    group.bench_function("publish to nobody", |bencher| {
        bencher.iter(|| nobody.hub.publish(&nobody.channel, black_box(message.clone())));
    });
    let traced = Rig::traced(0);
    group.bench_function("publish to nobody, traces on and not sampled", |bencher| {
        bencher.iter(|| traced.hub.publish(&traced.channel, black_box(message.clone())));
    });
    let mut one = Rig::new(1, WireFormat::Raw, true);
    for waiting in [1, 16, 256] {
        group.throughput(Throughput::Elements(waiting));
        let id = BenchmarkId::new("to one member, waiting together", waiting);
        group.bench_function(id, |bencher| {
            bencher
                .iter_custom(|times| (0..times).map(|_| one.pass(waiting, &"x".repeat(128))).sum());
        });
    }
    group.finish();
}

fn pass(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pass");
    for members in [10_u64, 100, 1_000] {
        let mut rig = Rig::new(members as usize, WireFormat::Raw, true);
        for messages in [1, 32] {
            group.throughput(Throughput::Elements(members * messages));
            let id = BenchmarkId::new(format!("{members} members, messages"), messages);
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|times| {
                    (0..times).map(|_| rig.pass(messages, &"x".repeat(128))).sum()
                });
            });
        }
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let text = "x".repeat(16 << 10);
    for (name, format) in [("raw", WireFormat::Raw), ("JSON", WireFormat::Json)] {
        let mut rig = Rig::new(100, format, true);
        group.throughput(Throughput::Elements(100));
        group.bench_function(BenchmarkId::new("16 KiB to 100 members", name), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| rig.pass(1, &text)).sum());
        });
    }
    group.finish();
}

fn outbox(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbox");
    const MEMBERS: usize = 100;
    let mut rig = Rig::with_buffers(MEMBERS, WireFormat::Raw, true, Some(SMALL_BUFFER_BYTES));
    for messages in [1, 32] {
        group.throughput(Throughput::Elements(MEMBERS as u64 * messages));
        let id = BenchmarkId::new(format!("queued for {MEMBERS} members, messages"), messages);
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|times| {
                (0..times).map(|_| rig.queue(messages, &"x".repeat(128))).sum()
            });
        });
    }
    group.finish();
}

fn storm(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("storm");
    for joins in [100_usize, 1_000, 4_000] {
        let mut rig = Rig::new(joins, WireFormat::Raw, false);
        let sessions = rig.sessions();
        group.throughput(Throughput::Elements(joins as u64));
        for (name, publishes) in [("joins alone", false), ("joins and publications", true)] {
            group.bench_function(BenchmarkId::new(name, joins), |bencher| {
                bencher.iter_custom(|times| {
                    (0..times).map(|_| join_all(&mut rig, &sessions, publishes)).sum()
                });
            });
        }
    }
    group.finish();
}

/// Every session joins, with a publication after each 16 joins or without any. The deliveries and
/// the leaving are not timed.
fn join_all(rig: &mut Rig, sessions: &[SessionId], publishes: bool) -> Duration {
    let message = Message::text("x");
    let before = rig.delivered();
    let mut expected = 0;
    let mut took = Duration::ZERO;
    for (done, some) in sessions.chunks(16).enumerate() {
        let began = Instant::now();
        for id in some {
            rig.hub.subscribe(*id, &rig.channel).unwrap();
        }
        if publishes {
            rig.hub.publish(&rig.channel, message.clone()).unwrap();
            expected += (done * 16 + some.len()) as u64;
        }
        took += began.elapsed();
        // A full mailbox would refuse the next one.
        if done % 64 == 63 {
            settle(rig, before + expected);
        }
    }
    settle(rig, before + expected);
    for id in sessions {
        rig.hub.unsubscribe(*id, &rig.channel);
    }
    took
}

fn settle(rig: &mut Rig, delivered: u64) {
    while rig.delivered() < delivered {
        rig.runtime.block_on(tokio::task::yield_now());
        rig.drain();
    }
}

fn main() {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    mailbox(&mut criterion);
    pass(&mut criterion);
    encode(&mut criterion);
    outbox(&mut criterion);
    storm(&mut criterion);
    criterion.final_summary();
}
