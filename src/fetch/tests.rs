//! Against servers that say what they are told to, byte by byte.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn limits() -> FetchLimits {
    FetchLimits {
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(10),
        body_bytes_max: 64,
        in_flight_max: 2,
        ca_file: None,
    }
}

/// A server that answers every connection with these pieces, with a pause before each but the first.
async fn server(pieces: &'static [&'static str], pause: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                for (at, piece) in pieces.iter().enumerate() {
                    if at > 0 {
                        tokio::time::sleep(pause).await;
                    }
                    let _ = stream.write_all(piece.as_bytes()).await;
                }
            });
        }
    });
    format!("http://{address}/")
}

async fn get(limits: FetchLimits, url: &str) -> Result<Reply, FetchError> {
    let url: Url = url.parse().unwrap();
    let request = Request::get(url.uri()).body(Full::default()).unwrap();
    Client::new(limits).unwrap().send(request).await
}

#[tokio::test]
async fn an_answer_comes_whole_and_a_redirect_is_not_followed() {
    let url = server(
        &[
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 5\r\n\r\nhe",
            "llo",
        ],
        Duration::from_millis(1),
    );
    let reply = get(limits(), &url.await).await.unwrap();
    assert_eq!((reply.status, &*reply.body), (StatusCode::FOUND, &b"hello"[..]));
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused_however_it_is_declared() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
    ] {
        let long = "x".repeat(65).leak();
        let url = server(vec![head, long].leak(), Duration::ZERO).await;
        assert_eq!(get(limits(), &url).await.unwrap_err(), FetchError::TooBig(64));
    }
}

#[tokio::test]
async fn a_drip_ends_at_the_time_for_everything() {
    let dripping = vec!["HTTP/1.1 200 OK\r\n", "a: b\r\n", "\r\n", "x", "x", "x", "x", "x"].leak();
    let url = server(dripping, Duration::from_millis(40)).await;
    let timeout = Duration::from_millis(100);
    let dripped = get(FetchLimits { timeout, ..limits() }, &url).await;
    assert_eq!(dripped.unwrap_err(), FetchError::Timeout(timeout));
}

#[tokio::test]
async fn what_is_no_answer_and_nobody_are_told_apart() {
    let garbage = server(&["hello, this is not HTTP\r\n\r\n"], Duration::ZERO).await;
    assert!(matches!(get(limits(), &garbage).await.unwrap_err(), FetchError::Failed(_)));
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(2 * HEAD_BYTES_MAX)).leak();
    let big_head = server(vec![&*head].leak(), Duration::ZERO).await;
    assert!(matches!(get(limits(), &big_head).await.unwrap_err(), FetchError::Failed(_)));
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", nobody.local_addr().unwrap());
    drop(nobody);
    assert!(matches!(get(limits(), &url).await.unwrap_err(), FetchError::Connect(_)));
}

#[tokio::test]
async fn one_request_too_many_does_not_wait() {
    let url: Url = server(&[], Duration::ZERO).await.parse().unwrap();
    // Accepts and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let held: Url = format!("http://{}/", silent.local_addr().unwrap()).parse().unwrap();
    let client = std::sync::Arc::new(Client::new(limits()).unwrap());
    let get = |url: &Url| Request::get(url.uri()).body(Full::default()).unwrap();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let (client, request) = (client.clone(), get(&held));
            tokio::spawn(async move { client.send(request).await })
        })
        .collect();
    while client.in_flight() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(client.send(get(&url)).await.unwrap_err(), FetchError::Busy);
    waiting.iter().for_each(|task| task.abort());
    while client.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_file_of_authorities_that_is_none_is_named() {
    let ca_file = Some(PathBuf::from("/nowhere/ca.pem"));
    let error = Client::new(FetchLimits { ca_file, ..limits() }).unwrap_err();
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}

/// A server with a certificate of its own making. Returns its address and the certificate in PEM.
async fn tls_server() -> (String, String) {
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(std::sync::Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            let _ = stream.write_all(answer).await;
        }
    });
    (format!("https://localhost:{port}/"), made.cert.pem())
}

#[tokio::test]
async fn a_server_needs_a_certificate_of_an_authority_that_is_trusted() {
    let (url, pem) = tls_server().await;
    let stranger = get(limits(), &url).await.unwrap_err();
    assert!(
        matches!(&stranger, FetchError::Connect(why) if why.contains("certificate")),
        "{stranger}"
    );
    let name = format!("fanfare-fetch-{}.pem", std::process::id());
    let ca_file = std::env::temp_dir().join(name);
    std::fs::write(&ca_file, pem).unwrap();
    let known = FetchLimits { ca_file: Some(ca_file.clone()), ..limits() };
    let reply = get(known.clone(), &url).await;
    // The certificate is for that name and for no other.
    let other = get(known, &url.replace("localhost", "127.0.0.1")).await.unwrap_err();
    std::fs::remove_file(ca_file).unwrap();
    assert_eq!(&*reply.unwrap().body, b"ok");
    assert!(matches!(other, FetchError::Connect(_)), "{other}");
}
