//! Peers that are gone, code that panics.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fanfare::base::access::{Authoriser, Grant, Refusal};
use fanfare::base::disconnect::Reason;
use fanfare::base::message::Message;
use fanfare::base::panics::Culprit;
use fanfare::connection::{Accept, upgrade};
use fanfare::hub::Hub;
use fanfare::protocol::WireFormat;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite;

use crate::default_of;
use crate::raw::{PING, PONG, Raw, TEXT, frame};
use crate::steady::Steady;
use crate::support::{Gateway, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_answer_pings_is_ended() {
    assert_eq!(default_of("hub", "ping_interval_ms"), "25000");
    assert_eq!(default_of("hub", "pong_timeout_ms"), "10000");
    assert_eq!(default_of("http", "tcp_user_timeout_ms"), "35000");
    let variables = [
        ("FANFARE_HUB_PING_INTERVAL_MS", "500"),
        ("FANFARE_HUB_PONG_TIMEOUT_MS", "500"),
        ("FANFARE_HUB_CLOSE_TIMEOUT_MS", "500"),
    ];
    let gateway = Gateway::start(&[], &variables).await;
    let steady = Steady::start(gateway.addr).await;
    let mut dead = Raw::upgrade(gateway.addr, "/ws").await;
    let mut quiet = Raw::upgrade(gateway.addr, "/ws").await;
    let answering = tokio::spawn(async move {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            let (first, payload) = quiet.frame().await;
            assert_eq!(first, PING);
            quiet.send(&frame(PONG, &payload)).await;
        }
    });
    let began = Instant::now();
    assert_eq!(dead.frame().await.0, PING);
    assert_eq!(dead.close().await.0, 4407);
    dead.end().await;
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let ended = "fanfare_disconnects_total{reason=\"ping_timeout\"}";
    gateway.until_metric(ended, |count| count == 1.0).await;
    answering.await.expect("who answers stays");
    steady.finish().await;
}

/// Lets everybody in, and has a fault.
#[derive(Debug)]
struct Faulty;

impl Authoriser for Faulty {
    fn authorise(&self, token: Option<&str>, _: SystemTime) -> Result<Grant, Refusal> {
        match token {
            Some("fault") => panic!("a fault in somebody's authoriser"),
            _ => Ok(Grant::anyone()),
        }
    }
}

async fn feed(State(hub): State<Hub>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let mut accept = Accept::new(Grant::anyone()).authoriser(Arc::new(Faulty));
    accept = match query.contains("format=json") {
        true => accept.format(WireFormat::Json).channel("json".try_into().unwrap()),
        false => accept.channel("steady".try_into().unwrap()).echo(!query.contains("echo=false")),
    };
    match upgrade(&hub, request, accept) {
        Ok(response) => response.into_response(),
        Err(refusal) => refusal.response().into_response(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_one_connection_ends_that_one_with_1011() {
    let hub = Hub::builder().lanes(2).build();
    let app = Router::new().route("/ws", get(feed)).with_state(hub.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let steady = Steady::start(addr).await;
    for _ in 0..20 {
        let mut raw = Raw::upgrade(addr, "/ws?format=json").await;
        assert_eq!(raw.frame().await.0, TEXT, "the welcome");
        raw.send(&frame(TEXT, br#"{"type":"refresh","id":1,"token":"fault"}"#)).await;
        assert_eq!(raw.close().await.0, 1011);
        raw.end().await;
    }
    let began = Instant::now();
    while hub.session_count() > 2 {
        assert!(began.elapsed() < Duration::from_secs(5), "{} are left", hub.session_count());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(hub.counters().disconnects(Reason::InternalError).get(), 20);
    assert_eq!(hub.counters().panics.of(Culprit::Connection).get(), 20);
    assert_eq!(hub.counters().subscriptions.get(), 2);
    assert_eq!(hub.counters().writers.get(), 0);
    assert_eq!(hub.channel_count(), 1, "nothing is left behind");
    steady.finish().await;
}

/// Which half of a stream has a fault.
const READING: u8 = 1;
const WRITING: u8 = 2;

/// Somebody's stream, which has a fault as soon as it is told to.
struct Faulting {
    inner: DuplexStream,
    fault: Arc<AtomicU8>,
}

impl Faulting {
    fn check(&self, half: u8) {
        assert_ne!(self.fault.load(Ordering::SeqCst), half, "a fault in somebody's stream");
    }
}

impl AsyncRead for Faulting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(READING);
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Faulting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(WRITING);
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

type Client = tokio_tungstenite::WebSocketStream<DuplexStream>;

/// A WebSocket over a stream that will have a fault.
async fn over_faulting(hub: &Hub, fault: &Arc<AtomicU8>) -> Client {
    let (inner, far) = tokio::io::duplex(1 << 10);
    let near = Faulting { inner, fault: fault.clone() };
    let hub = hub.clone();
    tokio::spawn(async move {
        let service = hyper::service::service_fn(move |request| {
            let accept = Accept::new(Grant::anyone()).channel("all".try_into().unwrap());
            let answer = upgrade(&hub, request, accept).expect("a good handshake");
            async move { Ok::<_, std::convert::Infallible>(answer) }
        });
        let io = hyper_util::rt::TokioIo::new(near);
        let served = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
        served.with_upgrades().await
    });
    tokio_tungstenite::client_async("ws://localhost/", far).await.unwrap().0
}

async fn next_text(client: &mut Client) -> Option<String> {
    let next = within("a message", client.next()).await;
    Some(next?.ok()?.into_text().ok()?.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_somebodys_stream_ends_its_session_and_leaves_nothing_behind() {
    for (half, culprit) in [(READING, Culprit::Connection), (WRITING, Culprit::Writer)] {
        // One lane: what is beside it is beside it in everything.
        let hub = Hub::builder().lanes(1).build();
        let (none, fault) = (Arc::default(), Arc::default());
        let mut healthy = over_faulting(&hub, &none).await;
        for round in 1..=5 {
            let mut faulting = over_faulting(&hub, &fault).await;
            let all = "all".try_into().unwrap();
            hub.publish(&all, Message::text("before")).unwrap();
            for client in [&mut healthy, &mut faulting] {
                assert_eq!(next_text(client).await.as_deref(), Some("before"));
            }
            fault.store(half, Ordering::SeqCst);
            // Both halves have something to do.
            let _ = faulting.send(tungstenite::Message::text("from the faulting")).await;
            hub.publish(&all, Message::text("after")).unwrap();
            loop {
                match next_text(&mut healthy).await.expect("it stays").as_str() {
                    "after" => break,
                    text => assert_eq!(text, "from the faulting"),
                }
            }
            let began = Instant::now();
            while hub.session_count() > 1 {
                assert!(began.elapsed() < Duration::from_secs(20), "it is not ended");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            fault.store(0, Ordering::SeqCst);
            assert_eq!(hub.counters().panics.of(culprit).get(), round);
            let left = |counters: &fanfare::base::counters::Counters| {
                [counters.sessions.get(), counters.subscriptions.get(), counters.writers.get()]
            };
            while left(hub.counters()) != [1, 1, 0] {
                assert!(began.elapsed() < Duration::from_secs(20), "{:?}", left(hub.counters()));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // What was published before the fault may have come back to the healthy one after it.
            hub.publish(&all, Message::text("end of the round")).unwrap();
            while next_text(&mut healthy).await.expect("it stays") != "end of the round" {}
        }
        assert!(hub.counters().disconnects(Reason::InternalError).get() >= 5);
        drop(healthy);
        let began = Instant::now();
        while hub.session_count() > 0 || hub.memory().used() > 0 {
            let (sessions, bytes) = (hub.session_count(), hub.memory().used());
            assert!(began.elapsed() < Duration::from_secs(20), "{sessions}, {bytes} bytes");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
