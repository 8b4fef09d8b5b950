//! Behind proxies: the PROXY protocol, and `X-Forwarded-For`.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::certificates::{Authority, Dir};
use crate::client::{Trust, addr_of, exchange, tls_addr};
use crate::steady::Steady;
use crate::support::{Gateway, within};

const LISTENER: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n";

fn v2(source: [u8; 4]) -> Vec<u8> {
    let addresses = [&source[..], &[192, 0, 2, 200], &[0x12, 0x67, 0, 80]].concat();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &addresses].concat()
}

fn v1(source: &str) -> Vec<u8> {
    format!("PROXY TCP4 {source} 192.0.2.200 4711 80\r\n").into_bytes()
}

async fn connect(addr: SocketAddr, header: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(header).await.unwrap();
    stream
}

/// A WebSocket in channel `a`; the status of the answer.
async fn upgrade(stream: &mut TcpStream, more: &str) -> String {
    let request = format!(
        "GET /ws?channel=a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: \
         websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \
         dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !read.windows(4).any(|four| four == b"\r\n\r\n") {
        assert_ne!(within("an answer", stream.read_buf(&mut read)).await.unwrap(), 0);
    }
    String::from_utf8_lossy(&read[9..12]).into_owned()
}

const LOG: &str = "[log]\nfilter = \"info,fanfare::http=debug\"\n";

/// Who has become a session, as the log names them.
async fn peers(gateway: &Gateway) -> Vec<String> {
    let lines = |log: &str| -> Vec<String> {
        let lines = log.lines().filter(|line| line.contains("\"/ws\" status=101"));
        lines.map(|line| line.rsplit("peer=").next().unwrap().to_owned()).collect()
    };
    let sessions = gateway.metric("fanfare_sessions_opened_total").await as usize;
    let all = async {
        while lines(&gateway.log()).len() < sessions {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within("the log", all).await;
    lines(&gateway.log())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_that_the_header_names_is_the_clients() {
    let (dir, authority) = (Dir::new(), Authority::new("the authority"));
    dir.install(&authority.pair());
    let over_tls = dir.listener("", "proxy_protocol = true");
    let gateway = Gateway::configured(&[LISTENER, &over_tls, LOG].concat()).await;
    let addr = addr_of(&gateway, "http://", 1).await;
    let mut held = Vec::new();
    for header in [v1("192.0.2.1"), v2([192, 0, 2, 2])] {
        let mut stream = connect(addr, &header).await;
        assert_eq!(upgrade(&mut stream, "").await, "101");
        held.push(stream);
    }
    assert_eq!(peers(&gateway).await, ["192.0.2.1:4711", "192.0.2.2:4711"]);
    // In front of TLS, and in one packet with what follows.
    let stream = connect(tls_addr(&gateway, 0).await, &v2([192, 0, 2, 3])).await;
    let stream = Trust::new(&authority.certificate).over(stream).await.unwrap();
    assert!(exchange(stream, "/health").await.starts_with("HTTP/1.1 200 "));
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut stream = connect(addr, &[&v1("192.0.2.1")[..], request].concat()).await;
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_are_none_or_drip_are_cut_and_others_notice_nothing() {
    let gateway =
        Gateway::configured(&format!("{LISTENER}[http]\nhandshake_timeout_ms = 500\n")).await;
    let addr = addr_of(&gateway, "http://", 1).await;
    let steady = Steady::start(gateway.addr).await;
    let oversize = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"[..], &[0; 70_000]].concat();
    let garbage: [&[u8]; 7] = [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80 80\r\n",
        b"PROXY TCP4 999.0.2.1 192.0.2.2 4711 80\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c123456789012",
        &[b'P'; 5_000],
        &oversize,
    ];
    for bytes in garbage {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = within("the end", stream.read_to_end(&mut answer)).await;
        assert_eq!(answer, b"", "{bytes:?}");
    }
    let refused = |reason: &str| format!("fanfare_connections_failed_total{{reason=\"{reason}\"}}");
    assert_eq!(gateway.metric(&refused("proxy_header")).await, garbage.len() as f64);
    // A line without an end, byte by byte; and one who says nothing.
    let mut silent = TcpStream::connect(addr).await.unwrap();
    let mut dripping = TcpStream::connect(addr).await.unwrap();
    let drip = async {
        for byte in b"PROXY UNKNOWN".iter().chain(&[b' '; 90]) {
            if dripping.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it is not cut");
    };
    within("the drip to be cut", drip).await;
    let mut answer = Vec::new();
    within("the end", silent.read_to_end(&mut answer)).await.unwrap();
    gateway.until_metric(&refused("proxy_timeout"), |count| count == 2.0).await;
    let stream = connect(addr, &v1("192.0.2.1")).await;
    assert!(exchange(stream, "/health").await.starts_with("HTTP/1.1 200 "));
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bounds_for_one_address_hold_for_the_one_that_is_named() {
    let text = format!(
        "{LISTENER}[http]\nconnections_per_address_max = 2\nper_address_exempt = \
         [\"198.51.100.0/24\"]\ntrusted_proxies = [\"127.0.0.0/8\"]\n{LOG}"
    );
    let gateway = Gateway::configured(&text).await;
    let (plain, proxied) = (gateway.addr, addr_of(&gateway, "http://", 1).await);
    let steady = Steady::start(plain).await;
    let mut held = Vec::new();
    for (at, status) in ["101", "101", "503", "503"].into_iter().enumerate() {
        let mut stream = connect(proxied, &v1("192.0.2.7")).await;
        assert_eq!(upgrade(&mut stream, "").await, status, "{at}");
        held.push(stream);
        let mut stream = TcpStream::connect(plain).await.unwrap();
        // What stands in front of the client's address is the client's own word.
        let forwarded = format!("X-Forwarded-For: 203.0.113.{at}, 192.0.2.8, 127.0.0.9\r\n");
        assert_eq!(upgrade(&mut stream, &forwarded).await, status, "{at}");
        held.push(stream);
    }
    let refused = "fanfare_connections_refused_total{reason=\"address_count\"}";
    assert_eq!(gateway.metric(refused).await, 4.0);
    let named = peers(&gateway).await;
    for peer in ["192.0.2.7:4711", "192.0.2.8:0"] {
        assert_eq!(named.iter().filter(|named| *named == peer).count(), 2, "{named:?}");
    }
    // One that ends makes room; requests of a client are not its connections.
    drop(held.drain(..2));
    gateway.until_metric("fanfare_sessions", |now| now == 4.0).await;
    for _ in 0..10 {
        let headers = [("X-Forwarded-For", "192.0.2.8")];
        assert_eq!(gateway.request("GET", "/health", &headers, b"").await.status, 200);
    }
    let mut again = TcpStream::connect(plain).await.unwrap();
    assert_eq!(upgrade(&mut again, "X-Forwarded-For: 192.0.2.8\r\n").await, "101");
    // A stream of events counts as well.
    let headers = [("X-Forwarded-For", "192.0.2.8")];
    assert_eq!(gateway.request("GET", "/sse?channel=a", &headers, b"").await.status, 503);
    steady.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_believed_by_default() {
    let gateway = Gateway::configured(LOG).await;
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    assert_eq!(upgrade(&mut stream, "X-Forwarded-For: 192.0.2.8\r\n").await, "101");
    let peer = stream.local_addr().unwrap().to_string();
    assert_eq!(peers(&gateway).await, [peer]);
}
