//! Clients over TLS: rustls below, tokio-tungstenite or plain HTTP above.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Gateway, PATIENCE, within};

/// The address behind `https://` in the log, of the listener that comes at this place there.
pub async fn tls_addr(gateway: &Gateway, at: usize) -> SocketAddr {
    addr_of(gateway, "https://", at).await
}

pub async fn addr_of(gateway: &Gateway, scheme: &str, at: usize) -> SocketAddr {
    let began = Instant::now();
    loop {
        let log = gateway.log();
        if let Some((_, rest)) = log.match_indices(scheme).nth(at).map(|(at, _)| log.split_at(at)) {
            let rest = &rest[scheme.len()..];
            let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c)));
            return rest[..end.unwrap_or(rest.len())].parse().unwrap();
        }
        assert!(began.elapsed() < PATIENCE, "no {scheme} in the log:\n{log}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// Trusts one authority.
pub struct Trust(Arc<ClientConfig>);

pub type Wss = WebSocketStream<TlsStream<TcpStream>>;

impl Trust {
    pub fn new(authority: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }

    pub async fn try_stream(&self, addr: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        self.over(TcpStream::connect(addr).await?).await
    }

    pub async fn over(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let name = "localhost".try_into().unwrap();
        within("a TLS handshake", TlsConnector::from(self.0.clone()).connect(name, stream)).await
    }

    pub async fn stream(&self, addr: SocketAddr) -> TlsStream<TcpStream> {
        self.try_stream(addr).await.expect("a TLS handshake")
    }

    pub async fn websocket(&self, addr: SocketAddr, path: &str) -> Wss {
        let stream = self.stream(addr).await;
        let url = format!("wss://localhost:{}{path}", addr.port());
        within("a handshake", tokio_tungstenite::client_async(url, stream)).await.unwrap().0
    }

    /// The answer to a GET.
    pub async fn get(&self, addr: SocketAddr, path: &str) -> String {
        exchange(self.stream(addr).await, path).await
    }
}

/// A GET over any stream, and everything that comes until its end.
pub async fn exchange(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = within("the end of an answer", stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

pub async fn text(socket: &mut Wss) -> String {
    loop {
        match within("a message", socket.next()).await {
            Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
            Some(Ok(Message::Ping(_))) => {}
            other => panic!("not a text: {other:?}"),
        }
    }
}

pub async fn send(socket: &mut Wss, text: &str) {
    within("a send", socket.send(Message::text(text))).await.unwrap();
}
