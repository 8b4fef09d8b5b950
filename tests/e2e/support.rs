//! A running gateway, and clients for it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

/// How long anything may take before a test says what it waited for.
/// Metrics of what is held for peers: 0 when there are none.
pub const HELD_FOR_PEERS: [&str; 7] = [
    "fanfare_sessions",
    "fanfare_subscriptions",
    "fanfare_channels",
    "fanfare_writers",
    "fanfare_history_bytes",
    "fanfare_publication_bytes_pending",
    "fanfare_memory_bytes",
];

pub const PATIENCE: Duration = Duration::from_secs(20);

/// Raises this process's limit of open files to what the system allows: shells commonly start
/// programs with 1,024.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// The program, running. Killed when dropped.
pub struct Gateway {
    child: Child,
    pub addr: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Gateway {
    /// Starts it on a free port with these flags and variables.
    pub async fn start(flags: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::launch(Command::new(env!("CARGO_BIN_EXE_fanfare")), flags, variables).await
    }

    /// The same with at most so many open files.
    #[allow(dead_code)]
    pub async fn start_with_files(files: u32, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new("/usr/bin/prlimit");
        command.args([&format!("--nofile={files}"), env!("CARGO_BIN_EXE_fanfare")]);
        Self::launch(command, &[], variables).await
    }

    async fn launch(mut command: Command, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(flags)
            .env_clear()
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let (found, addr) = tokio::sync::oneshot::channel();
        let seen = log.clone();
        tokio::spawn(async move {
            let mut found = Some(found);
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(addr) = address_in(&line)
                    && let Some(found) = found.take()
                {
                    let _ = found.send(addr);
                }
                let mut log = seen.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let addr = match tokio::time::timeout(PATIENCE, addr).await {
            Ok(Ok(addr)) => addr,
            _ => panic!("no address in the log:\n{}", log.lock().unwrap()),
        };
        Self { child, addr, log }
    }

    /// With a configuration file of this text.
    #[allow(dead_code)]
    pub async fn configured(text: &str) -> Self {
        static FILES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = FILES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("fanfare-{}-{number}.toml", std::process::id());
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, text).unwrap();
        let gateway = Self::start(&["--config", path.to_str().unwrap()], &[]).await;
        let _ = std::fs::remove_file(path);
        gateway
    }

    /// In open mode, with the defaults.
    pub async fn open() -> Self {
        Self::start(&[], &[]).await
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The log, once it has this: lines are written a moment after what they tell of.
    #[allow(dead_code)]
    pub async fn log_with(&self, text: &str) -> String {
        self.log_with_many(text, 1).await
    }

    /// The same, so often.
    pub async fn log_with_many(&self, text: &str, count: usize) -> String {
        let began = Instant::now();
        loop {
            let log = self.log();
            if log.matches(text).count() >= count {
                return log;
            }
            assert!(began.elapsed() < PATIENCE, "{text} is not in\n{log}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub fn signal(&self, name: &str) {
        let done = std::process::Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status();
        assert!(done.unwrap().success());
    }

    /// Waits for its exit and returns the code.
    pub async fn exit_code(&mut self) -> i32 {
        let status = within("the exit of the gateway", self.child.wait()).await;
        status.unwrap().code().expect("not killed by a signal")
    }

    /// Open file descriptors of the process.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Resident memory of the process, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }

    pub async fn connect(&self, path: &str) -> Client {
        match self.try_connect(path, &[]).await {
            Ok(client) => client,
            Err(refusal) => panic!("{path}: {refusal:?}\n{}", self.log()),
        }
    }

    pub async fn try_connect(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Client, Refused> {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        self.connect_over(stream, path, headers).await
    }

    /// The same over a connection that is there.
    pub async fn connect_over(
        &self,
        stream: TcpStream,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Client, Refused> {
        let mut request = format!("ws://{}{path}", self.addr).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match within("a handshake", tokio_tungstenite::client_async(request, stream)).await {
            Ok((stream, response)) => {
                let protocol = response.headers().get("sec-websocket-protocol");
                let protocol = protocol.map(|value| value.to_str().unwrap().to_owned());
                Ok(Client { stream, protocol })
            }
            Err(Error::Http(response)) => Err(Refused {
                status: response.status().as_u16(),
                body: String::from_utf8_lossy(response.body().as_deref().unwrap_or_default())
                    .into_owned(),
            }),
            Err(error) => panic!("{path}: {error}\n{}", self.log()),
        }
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[], b"").await
    }

    pub async fn post(&self, path: &str, body: &[u8]) -> Response {
        self.request("POST", path, &[], body).await
    }

    /// One HTTP request on a connection of its own.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n",
            self.addr,
            body.len()
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        within("an HTTP answer", stream.read_to_end(&mut answer)).await.unwrap();
        Response::parse(&answer)
    }

    /// A metric: one sample if the labels are given too, otherwise the sum over all of them.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.text();
        let samples = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        let values: Vec<f64> =
            samples.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert!(!values.is_empty(), "no metric {name} in\n{text}");
        values.iter().sum()
    }

    /// Waits until a metric has a value.
    pub async fn until_metric(&self, name: &str, is_it: impl Fn(f64) -> bool) {
        let began = Instant::now();
        loop {
            let value = self.metric(name).await;
            if is_it(value) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{name} is still {value}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c)));
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

/// Fails with a text that says what took too long.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Why a handshake was refused.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub body: String,
}

/// An answer to an HTTP request.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Response {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| {
            panic!("not an answer: {:?}", String::from_utf8_lossy(bytes));
        });
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { status, headers, body: bytes[end + 4..].to_vec() }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{error} in {:?}", String::from_utf8_lossy(&self.body));
        })
    }
}

/// A WebSocket client: tokio-tungstenite.
pub struct Client {
    stream: WebSocketStream<TcpStream>,
    /// The subprotocol that the gateway selected.
    pub protocol: Option<String>,
}

impl Client {
    /// Its two halves, which know nothing of patience.
    #[allow(dead_code)]
    pub fn split(
        self,
    ) -> (
        futures_util::stream::SplitSink<WebSocketStream<TcpStream>, Message>,
        futures_util::stream::SplitStream<WebSocketStream<TcpStream>>,
    ) {
        self.stream.split()
    }

    /// The socket underneath, for tests that misbehave.
    pub fn socket(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }

    pub async fn send(&mut self, message: Message) {
        within("a send", self.stream.send(message)).await.unwrap();
    }

    pub async fn send_text(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    pub async fn send_json(&mut self, value: serde_json::Value) {
        self.send(Message::text(value.to_string())).await;
    }

    /// The next text or binary message.
    pub async fn next(&mut self) -> Message {
        loop {
            match within("a message", self.stream.next()).await {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => panic!("closed: {frame:?}"),
                Some(Ok(message)) => return message,
                Some(Err(error)) => panic!("{error}"),
                None => panic!("the connection ended"),
            }
        }
    }

    pub async fn next_text(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("not a text: {other:?}"),
        }
    }

    pub async fn next_json(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.next_text().await).unwrap()
    }

    /// Nothing comes for a while.
    pub async fn assert_silent(&mut self) {
        let next = tokio::time::timeout(Duration::from_millis(300), self.stream.next()).await;
        assert!(next.is_err(), "unexpected: {next:?}");
    }

    /// Reads on until the close; its code and text. 1006 for an end without one.
    pub async fn close_code(&mut self) -> (u16, String) {
        let all = async {
            while let Some(next) = self.stream.next().await {
                match next {
                    Ok(Message::Close(Some(frame))) => {
                        let code = (u16::from(frame.code), frame.reason.to_string());
                        // Answers the close and waits for the end.
                        while let Some(Ok(_)) = self.stream.next().await {}
                        return code;
                    }
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
            (1006, String::new())
        };
        within("a close", all).await
    }

    /// Closes properly and waits for the end.
    pub async fn close(mut self) {
        let _ = self.stream.close(None).await;
        let end = async { while let Some(Ok(_)) = self.stream.next().await {} };
        within("the answer to a close", end).await;
    }
}
