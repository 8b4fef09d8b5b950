//! One address with too many connections, or that opens them too fast: it is refused, and no other is.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::net::TcpSocket;

use crate::default_of;
use crate::raw::{Raw, handshake};
use crate::steady::Steady;
use crate::support::{Gateway, within};

/// All of this machine's addresses are exempt by default.
const NOBODY_EXEMPT: (&str, &str) = ("FANFARE_HTTP_PER_ADDRESS_EXEMPT", "192.0.2.0/24");

/// The subscriber that notices nothing is 127.0.0.1.
const ATTACKER: &str = "127.0.0.2:0";
const ANOTHER: &str = "127.0.0.3:0";

async fn connect_from(from: &str, to: SocketAddr) -> Raw {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(from.parse().unwrap()).unwrap();
    Raw::over(within("a connection", socket.connect(to)).await.unwrap())
}

/// The status of a handshake.
async fn upgrade(raw: &mut Raw) -> u16 {
    raw.try_send(format!("{}\r\n", handshake("/ws")).as_bytes()).await;
    let answer = raw.answer().await;
    if answer.status == 503 {
        answer.assert_retry_after();
        assert!(answer.body.contains("your address"), "{}", answer.body);
    }
    answer.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_has_its_share_is_refused_and_no_other_is() {
    assert_eq!(default_of("http", "connections_per_address_max"), "4096");
    let most = ("FANFARE_HTTP_CONNECTIONS_PER_ADDRESS_MAX", "4");
    let gateway = Gateway::start(&[], &[most, NOBODY_EXEMPT]).await;
    // With its publisher it has two, and asking for metrics takes a third.
    let steady = Steady::start(gateway.addr).await;
    let mut held = Vec::new();
    for number in 0..4 {
        let mut raw = connect_from(ATTACKER, gateway.addr).await;
        // Half of them never say a word, and still count.
        if number % 2 == 0 {
            assert_eq!(upgrade(&mut raw).await, 101);
        }
        held.push(raw);
    }
    for _ in 0..50 {
        assert_eq!(upgrade(&mut connect_from(ATTACKER, gateway.addr).await).await, 503);
    }
    let refused = "fanfare_connections_refused_total{reason=\"address_count\"}";
    assert_eq!(gateway.metric(refused).await, 50.0);
    assert!(gateway.log().contains("address=127.0.0.2"), "{}", gateway.log());
    assert_eq!(upgrade(&mut connect_from(ANOTHER, gateway.addr).await).await, 101);
    // A WebSocket of its own that ends makes room for one, and for one only.
    drop(held.remove(0));
    gateway.until_metric("fanfare_sessions", |now| now == 3.0).await;
    held.push(within("room", room(gateway.addr)).await);
    assert_eq!(upgrade(&mut connect_from(ATTACKER, gateway.addr).await).await, 503);
    steady.finish().await;
}

async fn room(to: SocketAddr) -> Raw {
    loop {
        let mut raw = connect_from(ATTACKER, to).await;
        if upgrade(&mut raw).await == 101 {
            return raw;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_connects_too_fast_is_refused_and_no_other_is() {
    assert_eq!(default_of("http", "connects_per_address_per_s_max"), "100");
    let most = ("FANFARE_HTTP_CONNECTS_PER_ADDRESS_PER_S_MAX", "1");
    let gateway = Gateway::start(&[], &[most, NOBODY_EXEMPT]).await;
    let steady = Steady::start(gateway.addr).await;
    let (began, mut taken, mut refused) = (Instant::now(), 0, 0);
    for _ in 0..100 {
        // Each ends before the next one comes, so there is never more than one.
        match upgrade(&mut connect_from(ATTACKER, gateway.addr).await).await {
            101 => taken += 1,
            status => {
                assert_eq!(status, 503);
                refused += 1;
            }
        }
    }
    assert!(taken >= 10, "ten seconds' worth may come at once: {taken}");
    assert!(taken <= 11 + began.elapsed().as_secs(), "{taken} in {:?}", began.elapsed());
    let reason = "fanfare_connections_refused_total{reason=\"address_rate\"}";
    assert_eq!(gateway.metric(reason).await, f64::from(refused));
    assert_eq!(upgrade(&mut connect_from(ANOTHER, gateway.addr).await).await, 101);
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_behind_which_there_are_many_is_not_held_to_it() {
    let variables = [
        ("FANFARE_HTTP_CONNECTIONS_PER_ADDRESS_MAX", "1"),
        ("FANFARE_HTTP_CONNECTS_PER_ADDRESS_PER_S_MAX", "1"),
    ];
    let gateway = Gateway::start(&[], &variables).await;
    let mut held = Vec::new();
    for _ in 0..50 {
        let mut raw = connect_from(ATTACKER, gateway.addr).await;
        assert_eq!(upgrade(&mut raw).await, 101);
        held.push(raw);
    }
}
