//! A peer that says exactly what it is told to.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::within;

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CONTINUATION: u8 = 0x80;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8A;
/// Takes the last-fragment bit off.
pub const MORE: u8 = 0x7F;

const MASK: [u8; 4] = [0x11, 0xA2, 0x33, 0xC4];

/// The lines of a proper handshake, without the empty one.
pub fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
}

/// A client's frame: masked, its length in the shortest form.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64);
    bytes.extend(masked(payload));
    bytes
}

/// The header of one, whatever length it declares.
pub fn header(first: u8, len: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match len {
        0..=125 => bytes.push(0x80 | len as u8),
        126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(len.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes
}

/// A payload from its first byte on.
pub fn masked(payload: &[u8]) -> Vec<u8> {
    payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}

/// An answer with its body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    /// For whoever reads a failed test.
    #[allow(dead_code)]
    pub body: String,
}

impl Answer {
    /// It says when to come back: spread, so that not all do at once.
    pub fn assert_retry_after(&self) {
        let seconds = self.headers.get("retry-after").and_then(|value| value.parse().ok());
        assert!(seconds.is_some_and(|seconds: u32| (1..=4).contains(&seconds)), "{self:?}");
    }
}

pub struct Raw {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(addr)).await.unwrap();
        Self::over(stream)
    }

    /// Over a socket of one's own making.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    /// A WebSocket.
    pub async fn upgrade(addr: SocketAddr, path: &str) -> Self {
        let mut raw = Self::connect(addr).await;
        raw.send(format!("{}\r\n", handshake(path)).as_bytes()).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 101, "{answer:?}");
        raw
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        within("a send", self.stream.write_all(bytes)).await.unwrap();
    }

    /// Sends, or not: the gateway may have closed by now.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        within("a send", self.stream.write_all(bytes)).await.is_ok()
    }

    async fn more(&mut self, what: &str) {
        match within(what, self.stream.read_buf(&mut self.read)).await {
            Ok(0) => panic!("the connection ended before {what}; read {:?}", self.shown()),
            Ok(_) => {}
            Err(error) => panic!("{error} before {what}; read {:?}", self.shown()),
        }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// The next answer to a request.
    pub async fn answer(&mut self) -> Answer {
        let end = loop {
            match self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(at) => break at,
                None => self.more("an answer").await,
            }
        };
        let head = String::from_utf8(self.read[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: HashMap<String, String> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let len = headers.get("content-length").map_or(0, |len| len.parse().unwrap());
        while self.read.len() < end + 4 + len {
            self.more("a body").await;
        }
        let body = String::from_utf8(self.read[end + 4..end + 4 + len].to_vec()).unwrap();
        self.read.drain(..end + 4 + len);
        Answer { status, headers, body }
    }

    /// The next frame: its first byte and its payload.
    pub async fn frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Some(end) = self.frame_end() {
                let at = end.0;
                let frame = (self.read[0], self.read[at..at + end.1].to_vec());
                self.read.drain(..at + end.1);
                return frame;
            }
            self.more("a frame").await;
        }
    }

    /// Where the payload of the first frame begins, and how long it is, if all of it is there.
    fn frame_end(&self) -> Option<(usize, usize)> {
        let bytes = &self.read;
        let second = *bytes.get(1)?;
        assert!(second < 0x80, "a server's frame is not masked");
        let (at, len) = match second {
            126 => (4, u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
            127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
            len => (2, len as usize),
        };
        (bytes.len() >= at + len).then_some((at, len))
    }

    /// Reads on to the close frame; its code and text.
    pub async fn close(&mut self) -> (u16, String) {
        loop {
            let (first, payload) = self.frame().await;
            if first == CLOSE {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                return (code, String::from_utf8(payload[2..].to_vec()).unwrap());
            }
        }
    }

    /// Waits for the end, which has to be a proper one with nothing before it.
    pub async fn end(&mut self) {
        let read = within("the end", self.stream.read_to_end(&mut self.read)).await;
        assert!(read.is_ok(), "{read:?} in place of an end");
        assert_eq!(self.shown(), "", "nothing comes before the end");
    }

    /// Waits for the end, be it a reset.
    pub async fn any_end(&mut self) {
        let read = within("the end", self.stream.read_to_end(&mut self.read)).await;
        if let Err(error) = read {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    }
}

impl Raw {
    /// A WebSocket, or the answer in place of one.
    pub async fn upgrade_or_answer(addr: SocketAddr) -> (Self, Option<Answer>) {
        let mut raw = Self::connect(addr).await;
        raw.try_send(format!("{}\r\n", handshake("/ws")).as_bytes()).await;
        let answer = raw.answer().await;
        let refused = (answer.status != 101).then_some(answer);
        (raw, refused)
    }
}
