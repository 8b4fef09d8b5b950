//! Against a server of rustls, which sends what it is told in the pieces that it is told.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::*;
use crate::bench::connect::connect;
use crate::bench::tls::TlsOptions;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A connection, and a server that does this with its side of it once the handshake is done.
fn connected<T: Send + 'static>(
    version: &'static SupportedProtocolVersion,
    serve: impl FnOnce(ServerConnection, TcpStream) -> T + Send + 'static,
) -> (Stream, JoinHandle<T>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        tcp.set_nodelay(true).unwrap();
        let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
        // Not `complete_io`: what is sent last is for the test.
        while tls.is_handshaking() {
            tls.read_tls(&mut tcp).unwrap();
            tls.process_new_packets().unwrap();
            while tls.is_handshaking() && tls.wants_write() {
                tls.write_tls(&mut tcp).unwrap();
            }
        }
        serve(tls, tcp)
    });
    let options = TlsOptions { ca_file: None, is_insecure: true };
    let target = Target::new(&url, "--url", "ws", &options).unwrap();
    (connect(&target, TIMEOUT).unwrap(), server)
}

/// Everything until the end, and what that was.
fn read_all(stream: &mut Stream, piece: usize) -> (Vec<u8>, io::Result<()>) {
    let (mut all, mut piece) = (Vec::new(), vec![0; piece]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return (all, Ok(())),
            Ok(read) => all.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                assert!(!stream.has_more(), "it had more and did not give it");
                std::thread::yield_now();
            }
            Err(error) => return (all, Err(error)),
        }
    }
}

fn letters(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 31 % 251) as u8).collect()
}

/// What the server's side sends of these letters, with the tickets that wait before it.
fn records(tls: &mut ServerConnection, text: &[u8]) -> Vec<u8> {
    tls.set_buffer_limit(None);
    tls.writer().write_all(text).unwrap();
    let mut records = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut records).unwrap();
    }
    records
}

#[test]
fn text_arrives_whole_however_records_and_readers_cut_it() {
    for (version, count, sent_in, read_in) in [
        (&TLS13, 300_000, usize::MAX, 1_000),
        (&TLS13, 300_000, 7_001, 256 << 10),
        (&TLS13, 2_000, 1, 100),
        (&TLS13, 0, 1, 1),
        (&TLS12, 300_000, usize::MAX, 1_000),
        (&TLS12, 2_000, 1, 100),
    ] {
        let (mut stream, server) = connected(version, move |mut tls, mut tcp| {
            let mut all = records(&mut tls, &letters(count));
            tls.send_close_notify();
            tls.write_tls(&mut all).unwrap();
            for piece in all.chunks(sent_in.min(all.len())) {
                tcp.write_all(piece).unwrap();
            }
            // Open until the other side has seen its end: that is not the socket's.
            let _ = tcp.read(&mut [0]);
        });
        let (text, end) = read_all(&mut stream, read_in);
        assert!(text == letters(count), "{} of {count}", text.len());
        assert!(end.is_ok() && stream.has_more());
        let shown = if version == &TLS12 { "TLS 1.2" } else { "TLS 1.3" };
        assert_eq!(stream.agreed().unwrap().version, shown);
        drop(stream);
        server.join().unwrap();
    }
}

#[test]
fn an_end_without_a_word_is_an_error_after_all_that_came() {
    let (mut stream, server) = connected(&TLS13, |mut tls, mut tcp| {
        tcp.write_all(&records(&mut tls, &letters(50_000))).unwrap();
    });
    let (text, end) = read_all(&mut stream, 4_096);
    assert!(text == letters(50_000));
    let error = end.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(error.to_string().contains("close_notify"), "{error}");
    server.join().unwrap();
}

#[test]
fn garbage_between_records_is_an_error() {
    let (mut stream, server) = connected(&TLS13, |mut tls, mut tcp| {
        let mut all = records(&mut tls, &letters(100));
        all.extend_from_slice(b"\x17\x03\x03\x00\x20this is no record of anybody's.!");
        tcp.write_all(&all).unwrap();
        let _ = tcp.read(&mut [0; 100]);
    });
    let (text, end) = read_all(&mut stream, 4_096);
    assert_eq!((text, end.unwrap_err().kind()), (letters(100), io::ErrorKind::InvalidData));
    drop(stream);
    server.join().unwrap();
}

#[test]
fn what_is_not_taken_at_once_is_not_lost_and_nothing_is_kept_of_it() {
    const BYTES: usize = 24 << 20;
    let (go, wait) = std::sync::mpsc::sync_channel(1);
    let (mut stream, server) = connected(&TLS13, move |mut tls, mut tcp| {
        wait.recv().unwrap();
        let (mut text, mut piece) = (Vec::new(), vec![0; 64 << 10]);
        while text.len() < BYTES {
            assert_ne!(tls.read_tls(&mut tcp).unwrap(), 0, "after {}", text.len());
            tls.process_new_packets().unwrap();
            while let Ok(read) = tls.reader().read(&mut piece) {
                text.extend_from_slice(&piece[..read]);
            }
        }
        let all = records(&mut tls, b"thanks");
        tcp.write_all(&all).unwrap();
        let _ = tcp.read(&mut [0; 100]);
        text
    });
    let text = letters(BYTES);
    let mut sent = 0;
    while sent < BYTES {
        match stream.write(&text[sent..]) {
            Ok(count) => sent += count,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                let _ = go.try_send(());
                std::thread::yield_now();
            }
        }
    }
    // Reading is what flushes, as with an event of the socket.
    let mut thanks = [0; 10];
    let read = loop {
        match stream.read(&mut thanks) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
            read => break read.unwrap(),
        }
    };
    assert_eq!(&thanks[..read], b"thanks");
    let Stream::Tls(tls) = &stream else { unreachable!() };
    assert_eq!(tls.kept_bytes(), 0);
    let agreed = stream.agreed().unwrap();
    assert_eq!((agreed.version, agreed.is_resumed), ("TLS 1.3", false));
    drop(stream);
    assert!(server.join().unwrap() == text);
}
