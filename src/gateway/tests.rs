//! A gateway on a port of its own, and bytes to it. What a WebSocket does behind the upgrade is
//! tested elsewhere.

use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::auth::origin::OriginList;
use crate::base::access::{Grant, Refusal};
use crate::base::limits::{HttpLimits, HubLimits, MessageLimits};
use crate::base::panics::Culprit;
use crate::config::{ApiSettings, DrainSettings, LogFormat, LogSettings, TraceSettings};

fn settings() -> Settings {
    Settings {
        listeners: vec![ListenerSettings::plain("127.0.0.1:0".parse().unwrap())],
        open_mode: true,
        insecure: false,
        api: ApiSettings::default(),
        admin: Default::default(),
        auth: None,
        jwks: Default::default(),
        hooks: Default::default(),
        auth_cookie: "fanfare_token".into(),
        origins: OriginList::default(),
        hub: HubLimits::default(),
        channels: Default::default(),
        messages: MessageLimits::default(),
        http: HttpLimits::default(),
        per_address_exempt: vec!["127.0.0.0/8".parse().unwrap()],
        trusted_proxies: Default::default(),
        tls_reload_interval_ms: 5_000,
        drain: DrainSettings { timeout: Duration::from_secs(1), ..DrainSettings::default() },
        log: LogSettings { format: LogFormat::Text, filter: "info".into(), queue_lines_max: 64 },
        traces: TraceSettings::default(),
    }
}

struct Running {
    address: SocketAddr,
    hub: Hub,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<DrainReport>,
}

impl Running {
    fn start(settings: Settings) -> Self {
        Self::of(Gateway::bind(settings, Inherited::default()).unwrap())
    }

    fn of(gateway: Gateway) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (address, hub) = (gateway.local_addr().unwrap(), gateway.hub().clone());
        let stopped = async { stopped.await.unwrap_or_default() };
        Self { address, hub, stop, ended: tokio::spawn(gateway.serve(stopped)) }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the end of the connection.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("an end").ok();
    String::from_utf8(answer).unwrap()
}

/// Reads until `end` has come.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        let read = stream.read_buf(&mut answer);
        let read = tokio::time::timeout(Duration::from_secs(10), read).await.expect("bytes");
        assert_ne!(read.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8(answer).unwrap()
}

const HEAD: &str = "Host: localhost\r\nConnection: close\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_and_ends() {
    let running = Running::start(settings());
    for (request, status, inside) in [
        ("GET / HTTP/1.1", "200 OK", "content-security-policy: default-src 'none';"),
        ("HEAD /health HTTP/1.1", "200 OK", "content-length:"),
        ("GET /health HTTP/1.1", "200 OK", "\"status\":\"ok\""),
        ("GET /metrics HTTP/1.1", "200 OK", "# TYPE fanfare_sessions gauge"),
        ("GET /nope HTTP/1.1", "404 Not Found", "there is nothing at this path"),
        ("GET /publish HTTP/1.1", "405 Method Not Allowed", "allow: POST"),
        ("GET /ws HTTP/1.1", "400 Bad Request", "Upgrade"),
        ("GET /channel?name=a HTTP/1.1", "200 OK", "{\"channel\":\"a\",\"subscribers\":0}"),
    ] {
        let answer = running.exchange(&format!("{request}\r\n{HEAD}\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {answer}");
        assert!(answer.contains(inside), "{request}: {answer}");
    }
    let body = "POST /publish?channel=a HTTP/1.1\r\nContent-Length: 5\r\n";
    let answer = running.exchange(&format!("{body}{HEAD}\r\nhello")).await;
    assert!(answer.ends_with("{\"subscribers\":0}\n"), "{answer}");
    let body = "POST /api/publish HTTP/1.1\r\nContent-Length: 24\r\n";
    let answer =
        running.exchange(&format!("{body}{HEAD}\r\n{{\"channel\":\"a\",\"data\":1}}")).await;
    assert!(answer.ends_with("{\"result\":{}}\n"), "{answer}");
    running.stop.send(()).unwrap();
    let report = running.ended.await.unwrap();
    assert_eq!(report, DrainReport { sessions: 0, killed: 0, undelivered_bytes: 0 });
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_outlives_its_http_connection_and_is_closed_at_the_end() {
    let running = Running::start(settings());
    let mut stream = running.connect().await;
    let request = "GET /ws?channel=a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let request = "POST /publish?channel=a HTTP/1.1\r\nContent-Length: 5\r\n";
    let published = running.exchange(&format!("{request}{HEAD}\r\nhello")).await;
    assert!(published.ends_with("{\"subscribers\":1}\n"));
    let mut frame = [0; 7];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(&frame, b"\x81\x05hello");
    running.stop.send(()).unwrap();
    let mut close = [0; 4];
    stream.read_exact(&mut close).await.unwrap();
    assert_eq!((close[0], u16::from_be_bytes([close[2], close[3]])), (0x88, 1001));
    drop(stream);
    let report = running.ended.await.unwrap();
    assert_eq!((report.sessions, report.killed), (1, 0));
    assert_eq!(running.hub.session_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_drips_or_is_too_big_ends_the_connection() {
    let mut settings = settings();
    settings.http.handshake_timeout_ms = 200;
    let running = Running::start(settings);
    let mut silent = running.connect().await;
    let mut idle = running.connect().await;
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut idle, "}\n").await;
    let mut dripping = running.connect().await;
    let drip = async {
        loop {
            if dripping.write_all(b"G").await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), drip).await.expect("the drip is cut off");
    assert_eq!(read_all(&mut silent).await, "");
    // A connection that had its first request in time may be idle for longer.
    idle.write_all(format!("GET /health HTTP/1.1\r\n{HEAD}\r\n").as_bytes()).await.unwrap();
    assert!(read_all(&mut idle).await.starts_with("HTTP/1.1 200 "));
    for big in [format!("X: {}\r\n", "x".repeat(9_000)), "X: x\r\n".repeat(65)] {
        let answer = running.exchange(&format!("GET / HTTP/1.1\r\n{HEAD}{big}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

/// Lets everybody in, and has a fault.
#[derive(Debug)]
struct Faulty;

impl Authoriser for Faulty {
    fn authorise(&self, token: Option<&str>, _: SystemTime) -> Result<Grant, Refusal> {
        match token {
            Some("fault") => panic!("a fault in an authoriser"),
            _ => Ok(Grant::anyone()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_request_ends_its_connection_and_leaves_nothing_behind() {
    let mut settings = settings();
    settings.per_address_exempt.clear();
    settings.http.connections_per_address_max = 3;
    let gateway = Gateway::bind(settings, Inherited::default()).unwrap();
    let state = gateway.state.clone();
    let mut options = (*state.options()).clone();
    options.authoriser = Arc::new(Faulty);
    state.set_options(options);
    let running = Running::of(gateway);
    for _ in 0..10 {
        let ask = "GET /ws?token=fault HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        assert_eq!(running.exchange(ask).await, "");
        let answer = running.exchange(&format!("GET /health HTTP/1.1\r\n{HEAD}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "its place is free again: {answer}");
    }
    assert_eq!(state.hub().counters().panics.of(Culprit::Connection).get(), 10);
    let gauges = || [state.tally().connections.get(), state.tally().handshakes.get()];
    while gauges() != [0; 2] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(state.hub().session_count(), 0);
    running.stop.send(()).unwrap();
    running.ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_most_connections_the_answer_is_503() {
    let mut settings = settings();
    settings.http.connections_max = 1;
    let running = Running::start(settings);
    let mut first = running.connect().await;
    first.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut first, "}\n").await;
    let refused = running.exchange("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("Retry-After: "), "{refused}");
    drop(first);
    for _ in 0..100 {
        let answer = running.exchange(&format!("GET /health HTTP/1.1\r\n{HEAD}\r\n")).await;
        if answer.starts_with("HTTP/1.1 200 ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there is room again and nobody is let in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_ends_does_not_hold_up_the_end() {
    let running = Running::start(settings());
    let mut stuck = running.connect().await;
    let request = format!("POST /publish?channel=a HTTP/1.1\r\nContent-Length: 5\r\n{HEAD}\r\nhel");
    stuck.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    running.stop.send(()).unwrap();
    running.ended.await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    assert_eq!(read_all(&mut stuck).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn hurried_it_ends_at_once() {
    let mut settings = settings();
    settings.drain.timeout = Duration::from_secs(60);
    let gateway = Gateway::bind(settings, Inherited::default()).unwrap();
    let hub = gateway.hub().clone();
    // A session that nobody ends, so that the drain waits for it.
    let session = hub.open(Default::default()).unwrap();
    let began = Instant::now();
    let hurry = tokio::time::sleep(Duration::from_millis(100));
    let report = gateway.serve_hurried(async {}, hurry).await;
    assert_eq!((report.sessions, report.killed), (1, 1));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    hub.end(&session);
}

#[tokio::test]
async fn an_address_in_use_is_told_with_what_to_do() {
    let first = Gateway::bind(settings(), Inherited::default()).unwrap();
    let mut second = settings();
    second.listeners = vec![ListenerSettings::plain(first.local_addr().unwrap())];
    let error = Gateway::bind(second, Inherited::default()).unwrap_err().to_string();
    assert!(error.contains("choose another port"), "{error}");
}
