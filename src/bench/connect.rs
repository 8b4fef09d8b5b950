//! From an address to an open WebSocket: the socket, and the client's half of the handshake
//! (RFC 6455 section 4.1).

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sha1::{Digest as _, Sha1};
use socket2::{Domain, Protocol, Socket, Type};

use super::stream::Stream;
use super::target::Target;
use super::{inflate, tls};

/// RFC 6455 section 1.3.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The example of RFC 6455 section 1.3.
const NONCE: &[u8; 16] = b"the sample nonce";

/// The longest head of an answer.
pub(crate) const HEAD_BYTES_MAX: usize = 16 << 10;

/// What the kernel keeps of a connection that is not going to be read, at least (Linux doubles it):
/// little, so that the server notices in seconds and not in minutes.
const STALLED_RECEIVE_BUFFER_BYTES: usize = 4_096;

/// What a server answered to a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The length of its head.
    pub(crate) bytes: usize,
    /// Whether it agreed to permessage-deflate.
    pub(crate) deflates: bool,
}

/// Why there is no open WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotOpen {
    pub(crate) text: String,
    /// When the server said to come back.
    pub(crate) retry_after: Option<Duration>,
}

impl<T: Into<String>> From<T> for NotOpen {
    fn from(text: T) -> Self {
        Self { text: text.into(), retry_after: None }
    }
}

/// The handshakes of a run, all with one key: nobody between is to be fooled here. And it is the same
/// in every run, so that a server without SHA-1 can be measured, to see what the least is.
#[derive(Debug)]
pub(crate) struct Handshake {
    key: String,
    accept: String,
}

impl Handshake {
    pub(crate) fn new() -> Self {
        let key = STANDARD.encode(NONCE);
        let accept =
            STANDARD.encode(Sha1::new().chain_update(&key).chain_update(ACCEPT_GUID).finalize());
        Self { key, accept }
    }

    pub(crate) fn request(&self, host: &str, path: &str, headers: &[(String, String)]) -> Vec<u8> {
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n",
            self.key
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        request.into_bytes()
    }

    /// What the answer says, once its head is there.
    ///
    /// # Errors
    /// Why this is not an open WebSocket.
    pub(crate) fn answer(&self, bytes: &[u8]) -> Result<Option<Answer>, NotOpen> {
        if tls::is_alert(bytes) {
            return Err("the server speaks TLS; write wss:// for ws://".into());
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            let is_long = bytes.len() >= HEAD_BYTES_MAX;
            return if is_long { Err("the answer has no end".into()) } else { Ok(None) };
        };
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        if status != "101" {
            let status: String = status.chars().filter(char::is_ascii_digit).take(3).collect();
            let text = format!("the server answered {status}, not 101");
            return Err(NotOpen { text, retry_after: retry_after(lines) });
        }
        let (mut is_accepted, mut deflates) = (false, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            match name.to_ascii_lowercase().as_str() {
                "sec-websocket-accept" => is_accepted = value.trim() == self.accept,
                "sec-websocket-extensions" => deflates = inflate::is_agreed_on(value)?,
                _ => {}
            }
        }
        match is_accepted {
            true => Ok(Some(Answer { bytes: end + 4, deflates })),
            false => Err("the answer has the wrong Sec-WebSocket-Accept".into()),
        }
    }
}

/// RFC 9110 section 10.2.3; a date is not read.
fn retry_after<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<Duration> {
    let header = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("retry-after").then_some(value.trim())
    });
    header?.parse().ok().map(Duration::from_secs)
}

/// Starts a connection; whether it comes about is known when the socket is writable.
pub(crate) fn start(
    addr: SocketAddr,
    source: Option<IpAddr>,
    is_to_stall: bool,
) -> io::Result<mio::net::TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if is_to_stall {
        socket.set_recv_buffer_size(STALLED_RECEIVE_BUFFER_BYTES)?;
    }
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect(&addr.into()) {
        Err(error)
            if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
        {
            Err(error)
        }
        _ => Ok(mio::net::TcpStream::from_std(socket.into())),
    }
}

/// Connects, and waits until it can be written to: with TLS, until that is agreed on.
pub(crate) fn connect(target: &Target, timeout: Duration) -> io::Result<Stream> {
    let end = Instant::now() + timeout;
    let stream = std::net::TcpStream::connect_timeout(&target.addr, timeout)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut stream = Stream::new(mio::net::TcpStream::from_std(stream), target)?;
    while !stream.shake_hands()? {
        wait_to_read(&mut stream, end)?;
    }
    Ok(stream)
}

/// Connects and shakes hands, and waits for it. Also returns what came behind the answer.
///
/// # Errors
/// Why not.
pub(crate) fn open(
    target: &Target,
    handshake: &Handshake,
    path: &str,
    headers: &[(String, String)],
    timeout: Duration,
) -> Result<(Stream, Vec<u8>), String> {
    let told = |error: io::Error| error_text(&error);
    let end = Instant::now() + timeout;
    let mut stream = connect(target, timeout).map_err(told)?;
    let request = handshake.request(&target.host, path, headers);
    // An empty send buffer takes a request of a few hundred bytes.
    if stream.write(&request).map_err(told)? < request.len() {
        return Err("the request for the handshake is too long".to_owned());
    }
    let mut bytes = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let read = match stream.read(&mut piece) {
            Ok(0) => return Err(stream.closed_text().to_owned()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_to_read(&mut stream, end).map_err(told)?;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(told(error)),
        };
        bytes.extend_from_slice(&piece[..read]);
        if let Some(answer) = handshake.answer(&bytes).map_err(|why| why.text)? {
            return Ok((stream, bytes.split_off(answer.bytes)));
        }
    }
}

fn wait_to_read(stream: &mut Stream, end: Instant) -> io::Result<()> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    let mut waited = [PollFd::new(stream.tcp(), PollFlags::IN)];
    // Interrupted is as good as ready: whoever waits looks again.
    let _ = poll(&mut waited, Some(&left));
    Ok(())
}

/// What went wrong, and what helps where that is known.
pub(crate) fn error_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            "no port is left for another connection; give more addresses with --sources 127.0.0.0/8"
                .to_owned()
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it took too long".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_standard() {
        let handshake = Handshake::new();
        assert_eq!(handshake.key, "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let request = handshake.request("h:1", "/ws", &[("A".to_owned(), "b".to_owned())]);
        let text = String::from_utf8(request).unwrap();
        assert!(text.starts_with("GET /ws HTTP/1.1\r\nHost: h:1\r\n"));
        assert!(text.ends_with("\r\nA: b\r\n\r\n"), "{text}");
    }

    #[test]
    fn an_answer_is_judged_when_it_is_there() {
        let good =
            b"HTTP/1.1 101 X\r\nsec-websocket-ACCEPT: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nrest";
        let handshake = Handshake::new();
        for cut in 0..good.len() - 4 {
            assert_eq!(handshake.answer(&good[..cut]), Ok(None));
        }
        let bytes = good.len() - 4;
        assert_eq!(handshake.answer(good), Ok(Some(Answer { bytes, deflates: false })));
        let text = handshake.answer(b"HTTP/1.1 403 Forbidden\r\n\r\n").unwrap_err();
        assert!(text.text.contains("403") && text.retry_after.is_none(), "{text:?}");
        let later = b"HTTP/1.1 503 X\r\nA: b\r\nRETRY-after: 3\r\n\r\n";
        let later = handshake.answer(later).unwrap_err();
        assert_eq!(later.retry_after, Some(Duration::from_secs(3)));
        assert!(handshake.answer(b"HTTP/1.1 101 X\r\nSec-WebSocket-Accept: x\r\n\r\n").is_err());
        assert!(handshake.answer(&[b'x'; HEAD_BYTES_MAX]).is_err());
        let alert = handshake.answer(&[0x15, 3, 1, 0, 2, 2, 70]).unwrap_err();
        assert!(alert.text.contains("wss://"), "{alert:?}");
    }
}
