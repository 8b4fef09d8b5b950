//! Peers that are gone, code that panics.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fanfare::base::access::{Authoriser, Grant, Refusal};
use fanfare::base::disconnect::Reason;
use fanfare::connection::{Accept, upgrade};
use fanfare::hub::Hub;
use fanfare::protocol::WireFormat;
use tokio::net::TcpListener;

use crate::default_of;
use crate::raw::{PING, PONG, Raw, TEXT, frame};
use crate::steady::Steady;
use crate::support::Gateway;

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
    assert_eq!(hub.channel_count(), 1, "nothing is left behind");
    steady.finish().await;
}
