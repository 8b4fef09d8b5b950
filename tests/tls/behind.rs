//! Behind nginx and HAProxy as Debian has them, with the configurations of `deploy/`.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio_tungstenite::WebSocketStream;

use crate::certificates::Dir;
use crate::client::{addr_of, exchange};
use crate::support::{Gateway, PATIENCE, within};

/// Where the client is, so that it is not where the proxy is.
const CLIENT: &str = "127.0.0.2";

/// A gateway, and a proxy in front of it. Gone with it, both.
struct Behind {
    gateway: Gateway,
    proxy: SocketAddr,
    name: &'static str,
    _child: Child,
    _dir: Dir,
}

/// Free a moment ago.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn replaced(text: &str, pairs: &[(&str, String)]) -> String {
    pairs.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the configuration");
        text.replace(from, to)
    })
}

impl Behind {
    async fn both() -> [Self; 2] {
        [Self::nginx().await, Self::haproxy().await]
    }

    async fn gateway() -> Gateway {
        let text = "[[listeners]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n\
                    [http]\ntrusted_proxies = [\"127.0.0.1\"]\n\
                    [drain]\nready_wait_ms = 3000\nwindow_ms = 500\n\
                    [log]\nfilter = \"info,fanfare::http=debug\"\n";
        Gateway::configured(text).await
    }

    async fn nginx() -> Self {
        let (gateway, dir, proxy) = (Self::gateway().await, Dir::new(), free());
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|of| format!("{of}_temp_path {};\n", dir.path(of)))
            .concat();
        let text = replaced(
            include_str!("../../deploy/nginx.conf"),
            &[
                ("127.0.0.1:8000;", format!("{};", gateway.addr)),
                ("listen 80;", format!("listen {proxy};")),
                ("/run/nginx.pid", dir.path("nginx.pid")),
                ("/var/log/nginx/error.log", dir.path("error.log")),
                ("worker_rlimit_nofile 65536;", String::new()),
                ("worker_connections 32768;", "worker_connections 512;".into()),
                ("worker_processes auto;", "worker_processes 1;\ndaemon off;".into()),
                ("access_log off;", format!("access_log off;\n{temporary}")),
            ],
        );
        let config = dir.write("nginx.conf", &text);
        let mut command = Command::new("/usr/sbin/nginx");
        command.args(["-p", &dir.path(""), "-e", &dir.path("error.log"), "-c", &config]);
        Self::start("nginx", command, gateway, proxy, dir).await
    }

    async fn haproxy() -> Self {
        let (gateway, dir, proxy) = (Self::gateway().await, Dir::new(), free());
        let server = addr_of(&gateway, "http://", 1).await;
        let text = replaced(
            include_str!("../../deploy/haproxy.cfg"),
            &[
                ("server one 127.0.0.1:8001", format!("server one {server}")),
                ("bind :80", format!("bind {proxy}")),
                ("maxconn 30000", "maxconn 500".into()),
                ("inter 2s", "inter 100ms".into()),
            ],
        );
        let config = dir.write("haproxy.cfg", &text);
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-db", "-f", &config]);
        Self::start("haproxy", command, gateway, proxy, dir).await
    }

    async fn start(
        name: &'static str,
        mut command: Command,
        gateway: Gateway,
        proxy: SocketAddr,
        dir: Dir,
    ) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it is installed");
        let behind = Self { gateway, proxy, name, _child: child, _dir: dir };
        let began = Instant::now();
        while !behind.ready().await {
            assert!(began.elapsed() < PATIENCE, "{name} does not serve");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        behind
    }

    async fn ready(&self) -> bool {
        match TcpStream::connect(self.proxy).await {
            Ok(stream) => exchange(stream, "/ready").await.starts_with("HTTP/1.1 200"),
            Err(_) => false,
        }
    }

    async fn connect(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{CLIENT}:0").parse().unwrap()).unwrap();
        within("a connection", socket.connect(self.proxy)).await.unwrap()
    }

    async fn websocket(&self, path: &str) -> WebSocketStream<TcpStream> {
        let (stream, url) = (self.connect().await, format!("ws://{}{path}", self.proxy));
        within("a handshake", tokio_tungstenite::client_async(url, stream)).await.unwrap().0
    }

    /// Waits for a line of the log that has all of these.
    async fn until_logged(&self, parts: &[&str]) {
        let began = Instant::now();
        let has = |line: &str| parts.iter().all(|part| line.contains(part));
        while !self.gateway.log().lines().any(has) {
            assert!(
                began.elapsed() < PATIENCE,
                "{}: {parts:?} in\n{}",
                self.name,
                self.gateway.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Everything that comes back for these bytes within a while.
    async fn answer(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // Some are refused before all of it is sent.
        let _ = stream.write_all(bytes).await;
        let mut read = Vec::new();
        let all = async { while !matches!(stream.read_buf(&mut read).await, Ok(0) | Err(_)) {} };
        let _ = tokio::time::timeout(Duration::from_millis(400), all).await;
        String::from_utf8_lossy(&read).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx and haproxy; .ci/run installs them"]
async fn upgrades_get_through_with_the_address_of_the_client() {
    for behind in Behind::both().await {
        let mut client = behind.websocket("/ws?channel=a").await;
        let peer = format!("peer={CLIENT}:");
        behind.until_logged(&["\"/ws\" status=101", &peer]).await;
        for text in ["one", "two"] {
            behind.gateway.post("/publish?channel=a", text.as_bytes()).await;
            let got = within("a message", client.next()).await.unwrap().unwrap();
            assert_eq!(got.into_text().unwrap(), text, "{}", behind.name);
        }
        // What a client says of its own address is not believed.
        let lie = "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n";
        assert!(behind.answer(lie.as_bytes()).await.starts_with("HTTP/1.1 200"));
        behind.until_logged(&["\"/health\" status=200", &peer]).await;
        assert!(!behind.gateway.log().contains("203.0.113.9"), "{}", behind.gateway.log());
        // A drain's close gets through as well, and the proxy notices that nobody new is wanted.
        behind.gateway.signal("TERM");
        let close = within("the close", client.next()).await.unwrap().unwrap();
        let tokio_tungstenite::tungstenite::Message::Close(Some(frame)) = close else {
            panic!("{close:?}")
        };
        assert_eq!(u16::from(frame.code), 1001, "{}", behind.name);
        assert!(!behind.ready().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx and haproxy; .ci/run installs them"]
async fn events_are_not_held_back() {
    for behind in Behind::both().await {
        let mut stream = behind.connect().await;
        let request = "GET /sse?channel=a HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut read = String::new();
        let mut until = async |text: &str| {
            while !read.contains(text) {
                let mut bytes = [0; 4_096];
                let what = format!("{text} through {}", behind.name);
                let count = within(&what, stream.read(&mut bytes)).await.unwrap();
                assert!(count > 0, "{what}: {read}");
                read.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            }
        };
        until("subscribed").await;
        // Each arrives before the next one is published: none waits for a buffer to fill.
        for number in 0..20 {
            let text = format!("event-{number}-");
            behind.gateway.post("/publish?channel=a", text.as_bytes()).await;
            until(&text).await;
        }
    }
}

/// What a request looks like that must not come out behind the proxy: to a path that it refuses.
const HIDDEN: &str = "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: \
    application/json\r\nContent-Length: 40\r\n\r\n{\"channel\":\"smuggled\",\"data\":\"smuggled\"}";

/// Bytes that two parsers may cut in different places, with [`HIDDEN`] where one would find a second
/// request.
fn smuggled() -> Vec<(&'static str, String)> {
    let length = HIDDEN.len();
    let chunk = format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
    let post = "POST /health HTTP/1.1\r\nHost: localhost\r\n";
    let get = "GET /health HTTP/1.1\r\nHost: localhost\r\n";
    let upgrade = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    let mut cases = vec![
        (
            "CL.TE",
            format!("{post}Content-Length: {}\r\n{chunked}\r\n0\r\n\r\n{HIDDEN}", length + 5),
        ),
        ("TE.CL", format!("{post}Content-Length: 4\r\n{chunked}\r\n{chunk}")),
        ("CL.CL", format!("{post}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{HIDDEN}")),
        ("a list of lengths", format!("{post}Content-Length: 0, {length}\r\n\r\n{HIDDEN}")),
        ("a signed length", format!("{post}Content-Length: +{length}\r\n\r\n{HIDDEN}")),
        ("a body of a GET", format!("{get}Content-Length: {length}\r\n\r\n{HIDDEN}")),
        ("bare LF", format!("{}X: a\n\n{HIDDEN}", get.replace("\r\n", "\n"))),
        ("bare LF in a header", format!("{get}X: a\nContent-Length: {length}\r\n\r\n{HIDDEN}")),
        ("bare CR in a header", format!("{get}X: a\r\rContent-Length: 0\r\n\r\n{HIDDEN}")),
        ("a folded header", format!("{post}X: a\r\n Content-Length: {length}\r\n\r\n{HIDDEN}")),
        ("two hosts", format!("{get}Host: evil.example\r\n\r\n{HIDDEN}")),
        ("a space before the colon", format!("{post}Content-Length : {length}\r\n\r\n{HIDDEN}")),
        ("NUL", format!("{get}X: a\0b\r\n\r\n{HIDDEN}")),
        ("a bad chunk size", format!("{post}{chunked}\r\n0x{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n")),
        ("LF in chunks", format!("{post}{chunked}\r\n0\n\n{HIDDEN}")),
        (
            "a chunk extension",
            format!("{post}{chunked}\r\n1;a\n{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n"),
        ),
        ("HTTP/1.0 and chunked", format!("{}{chunked}\r\n{chunk}", post.replace("1.1", "1.0"))),
        (
            "a body on an upgrade",
            format!("{upgrade}{version}Content-Length: {length}\r\n\r\n{HIDDEN}"),
        ),
        ("chunks on an upgrade", format!("{upgrade}{version}{chunked}\r\n{chunk}")),
        (
            "behind a refused upgrade",
            format!("{upgrade}Sec-WebSocket-Version: 777\r\n\r\n{HIDDEN}"),
        ),
        ("behind a refused key", format!("{}{version}\r\n{HIDDEN}", upgrade.replace("dGhl", ""))),
        ("behind an upgrade to h2c", {
            let h2c = upgrade.replace("Upgrade: websocket", "Upgrade: h2c");
            format!("{h2c}HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n{HIDDEN}")
        }),
    ];
    for encoding in [
        "xchunked",
        "chunked, identity",
        "identity, chunked",
        "chunked, chunked",
        "\x0bchunked",
        "\"chunked\"",
        "CHUNKED ",
    ] {
        let text =
            format!("{post}Content-Length: {length}\r\nTransfer-Encoding: {encoding}\r\n\r\n");
        cases.push(("an odd encoding", format!("{text}0\r\n\r\n{HIDDEN}")));
        let text = format!("{post}Transfer-Encoding: {encoding}\r\n\r\n0\r\n\r\n{HIDDEN}");
        cases.push(("only an odd encoding", text));
    }
    let text = format!("{post}Transfer-Encoding : chunked\r\nContent-Length: {length}\r\n\r\n");
    cases.push(("an encoding with a space", format!("{text}0\r\n\r\n{HIDDEN}")));
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx and haproxy; .ci/run installs them"]
async fn nothing_is_smuggled_past_a_proxy() {
    for behind in Behind::both().await {
        let of_api = "route=\"/api/{method}\"";
        for (case, bytes) in smuggled() {
            behind.answer(bytes.as_bytes()).await;
            // And with the connection to the gateway that this may have left behind.
            let next = behind.answer(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            assert!(next.starts_with("HTTP/1.1 200"), "{}, {case}: {next}", behind.name);
            let metrics = behind.gateway.get("/metrics").await.text();
            assert!(!metrics.contains(of_api), "{}, {case}: it came through\n{bytes}", behind.name);
        }
        assert_eq!(behind.gateway.metric("fanfare_publications_total").await, 0.0);
        // It would be seen: this is what it does where nothing is in front.
        let mut direct = TcpStream::connect(behind.gateway.addr).await.unwrap();
        direct.write_all(HIDDEN.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        within("an answer", direct.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        assert!(behind.gateway.get("/metrics").await.text().contains(of_api));
    }
}
