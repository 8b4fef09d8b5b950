//! A client that speaks permessage-deflate frame by frame, so that a test sees what is on the wire
//! and can send what no client would. It deflates and inflates with zlib alone.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status};

use crate::support::{Gateway, within};

pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;

/// A frame from the gateway.
#[derive(Debug)]
pub struct Frame {
    pub opcode: u8,
    pub compressed: bool,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The message: inflated, if it is compressed, with a window of these bits.
    pub fn message(&self, window_bits: u8) -> Vec<u8> {
        if !self.compressed {
            return self.payload.clone();
        }
        let mut state = Inflate::new(false, window_bits);
        let input = [&self.payload[..], &[0, 0, 0xFF, 0xFF]].concat();
        let mut message = vec![0; 1 << 20];
        let status = state.decompress(&input, &mut message, InflateFlush::SyncFlush);
        assert!(matches!(status, Ok(Status::Ok | Status::BufError)), "{status:?}");
        assert_eq!(state.total_in() as usize, input.len());
        message.truncate(state.total_out() as usize);
        message
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.message(15)).unwrap()
    }
}

pub struct Client {
    stream: TcpStream,
    read: Vec<u8>,
    /// What the gateway agreed to.
    pub extensions: Option<String>,
}

impl Client {
    /// Connects with this offer; an empty one is none.
    pub async fn connect(gateway: &Gateway, path: &str, offer: &str) -> Self {
        let (status, client) = Self::try_connect(gateway, path, offer).await;
        assert_eq!(status, 101, "{path} {offer}\n{}", gateway.log());
        client
    }

    /// The status of the answer, too.
    pub async fn try_connect(gateway: &Gateway, path: &str, offer: &str) -> (u16, Self) {
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        let offer = match offer {
            "" => String::new(),
            offer => format!("Sec-WebSocket-Extensions: {offer}\r\n"),
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n",
            gateway.addr
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        let end = loop {
            let mut piece = [0; 4096];
            let count = within("an answer", stream.read(&mut piece)).await.unwrap();
            assert_ne!(count, 0, "{:?}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&piece[..count]);
            if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = String::from_utf8(read.drain(..end).collect()).unwrap();
        let extensions = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-extensions"))
            .map(|(_, value)| value.to_owned());
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, Self { stream, read, extensions })
    }

    async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            let mut piece = [0; 16 << 10];
            let got = within("a frame", self.stream.read(&mut piece)).await.unwrap();
            assert_ne!(got, 0, "the connection ended");
            self.read.extend_from_slice(&piece[..got]);
        }
        self.read.drain(..count).collect()
    }

    pub async fn next(&mut self) -> Frame {
        let head = self.take(2).await;
        let len = match head[1] {
            126 => u64::from(u16::from_be_bytes(self.take(2).await.try_into().unwrap())),
            127 => u64::from_be_bytes(self.take(8).await.try_into().unwrap()),
            len => u64::from(len),
        };
        let payload = self.take(len as usize).await;
        assert_eq!(head[0] & 0b1011_0000, 0b1000_0000, "FIN, and no bit but RSV1");
        Frame { opcode: head[0] & 0x0F, compressed: head[0] & 0x40 != 0, payload }
    }

    /// Reads on to the close and returns its code.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            let frame = self.next().await;
            if frame.opcode == CLOSE {
                return u16::from_be_bytes(frame.payload[..2].try_into().unwrap());
            }
        }
    }

    /// Sends a frame with this first byte.
    pub async fn send_frame(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match payload.len() {
            len @ 0..=125 => frame.push(0x80 | len as u8),
            len => {
                frame.push(0x80 | 126);
                frame.extend((len as u16).to_be_bytes());
            }
        }
        let mask = [0x11, 0x22, 0x33, 0x44];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        within("a send", self.stream.write_all(&frame)).await.unwrap();
    }

    /// Sends a compressed message.
    pub async fn send_deflated(&mut self, opcode: u8, message: &[u8]) {
        self.send_frame(0xC0 | opcode, &deflated(message)).await;
    }
}

/// What a client that deflates this message puts into its frame.
pub fn deflated(message: &[u8]) -> Vec<u8> {
    let mut state = Deflate::new(9, false, 15);
    let mut payload = vec![0; message.len() + 64];
    state.compress(message, &mut payload, DeflateFlush::SyncFlush).unwrap();
    assert_eq!(state.total_in() as usize, message.len());
    payload.truncate(state.total_out() as usize);
    assert!(payload.ends_with(&[0, 0, 0xFF, 0xFF]));
    payload.truncate(payload.len() - 4);
    payload
}
