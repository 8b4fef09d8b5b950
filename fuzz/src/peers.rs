//! Other implementations, as servers, over a stream in memory that is all there and then ends.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use fanfare::frame::Violation;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::ours::{self, End, LIMITS, Outcome, Seen};

/// What another implementation made of a stream.
pub struct Verdict {
    pub name: &'static str,
    pub events: Vec<Seen>,
    pub end: End,
    /// Whether it is known to let this pass, in whatever way.
    pub lets_pass: fn(&Refused) -> bool,
    /// Whether it is known to refuse an event that is in order.
    pub refuses: fn(&Seen) -> bool,
}

/// The frame that we refused.
#[derive(Debug)]
pub struct Refused {
    pub violation: Violation,
    /// Whether it is all there: others look at a frame only then.
    pub is_whole: bool,
    /// Whether its length is in its shortest form.
    pub is_minimal: bool,
}

impl Refused {
    /// The frame in which `ours` ended, of those in `stream`.
    pub fn find(ours: &Outcome, stream: &[u8]) -> Option<Self> {
        let violation = ours.violation?;
        let (lengths, is_last_whole) = ours::frames(stream);
        let at = lengths[..ours.ended_in].iter().sum();
        let is_whole = is_last_whole || ours.ended_in + 1 < lengths.len();
        Some(Self { violation, is_whole, is_minimal: ours::is_minimal(&stream[at..]) })
    }
}

impl Verdict {
    /// Holds the peer's verdict against ours.
    pub fn compare(&self, ours: &Outcome, refused: Option<&Refused>) {
        let name = self.name;
        if let Some(refused) = ours.events.iter().position(self.refuses) {
            assert_eq!(self.events, ours.events[..refused], "{name} before what it refuses");
            assert_eq!(self.end, End::Refused, "{name} is expected to refuse");
            return;
        }
        let Some(refused) = refused else {
            assert_eq!(self.events, ours.events, "{name} disagrees about the events");
            assert_eq!(self.end, ours.end, "{name} disagrees about the end");
            return;
        };
        let before = self.events.get(..ours.events.len());
        assert_eq!(before, Some(&ours.events[..]), "{name} disagrees about what came before");
        if (self.lets_pass)(refused) {
            return;
        }
        let more = &self.events[ours.events.len()..];
        assert!(more.is_empty(), "{name} takes what we refuse ({refused:?}): {more:?}");
        let may_wait = !refused.is_whole && self.end == End::Open;
        assert!(self.end == End::Refused || may_wait, "{name} does not refuse ({refused:?})");
    }
}

/// The input, and nowhere for the answers.
struct Wire<'a>(&'a [u8]);

impl Read for Wire<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = buf.remaining().min(self.0.len());
        let (now, later) = self.0.split_at(len);
        buf.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// tungstenite 0.30. What it does otherwise:
/// - it does not ask that a length is in its shortest form (RFC 6455 section 5.2);
/// - it counts no fragments, which the RFC leaves open;
/// - it knows the close codes up to 1013 and answers 1014, which IANA has given out since
///   ("Bad Gateway"), as it answers a wrong one: it reports a close with 1002.
pub fn tungstenite(bytes: &[u8]) -> Verdict {
    use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
    use tungstenite::{Error, Message, error::ProtocolError};

    let config = WebSocketConfig::default()
        .read_buffer_size(1_024)
        .max_message_size(Some(LIMITS.message_bytes_max))
        .max_frame_size(Some(LIMITS.message_bytes_max));
    let mut socket = WebSocket::from_raw_socket(Wire(bytes), Role::Server, Some(config));
    let mut events = Vec::new();
    let end = loop {
        events.push(match socket.read() {
            Ok(Message::Text(text)) => Seen::Text(text.as_str().into()),
            Ok(Message::Binary(bytes)) => Seen::Binary(bytes.into()),
            Ok(Message::Ping(bytes)) => Seen::Ping(bytes.into()),
            Ok(Message::Pong(bytes)) => Seen::Pong(bytes.into()),
            // Its way to refuse a close code.
            Ok(Message::Close(Some(close))) if close.reason.as_str() == "Protocol violation" => {
                break End::Refused;
            }
            Ok(Message::Close(close)) => {
                let close = close.map(|close| (close.code.into(), close.reason.as_str().into()));
                events.push(Seen::Close(close));
                break End::Closed;
            }
            Ok(Message::Frame(_)) => unreachable!("only for writing"),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => break End::Open,
            Err(_) => break End::Refused,
        });
    };
    Verdict {
        name: "tungstenite",
        events,
        end,
        lets_pass: |refused| {
            !refused.is_minimal || matches!(refused.violation, Violation::TooManyFragments { .. })
        },
        refuses: |event| matches!(event, Seen::Close(Some((1014, _)))),
    }
}

/// fastwebsockets 0.10.0. What it does otherwise:
/// - it takes frames that are not masked (section 5.1);
/// - it bounds a frame and not the sum over the fragments of a message, and counts no fragments;
/// - it takes the start of a message inside of another and loses the first (section 5.4);
/// - it takes pongs and closes over 125 bytes (section 5.5);
/// - it does not ask that a length is in its shortest form (section 5.2);
/// - text that ends within a character in its last fragment it hands on without the rest of that
///   character (section 8.1);
/// - it refuses the close code 1014.
pub fn fastwebsockets(bytes: &[u8]) -> Verdict {
    use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket, WebSocketError};

    let mut socket = WebSocket::after_handshake(Wire(bytes), Role::Server);
    socket.set_auto_pong(false);
    // It refuses what is as long as the limit.
    socket.set_max_message_size(LIMITS.message_bytes_max + 1);
    let mut socket = FragmentCollector::new(socket);
    let mut events = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    let end = loop {
        let mut reading = Box::pin(socket.read_frame());
        let Poll::Ready(read) = reading.as_mut().poll(&mut cx) else {
            unreachable!("the wire is always ready")
        };
        events.push(match read {
            Ok(frame) => match frame.opcode {
                OpCode::Text => Seen::Text(frame.payload.to_vec()),
                OpCode::Binary => Seen::Binary(frame.payload.to_vec()),
                OpCode::Ping => Seen::Ping(frame.payload.to_vec()),
                OpCode::Pong => Seen::Pong(frame.payload.to_vec()),
                OpCode::Close => {
                    let close = frame.payload.split_first_chunk::<2>().map(|(code, text)| {
                        (u16::from_be_bytes(*code), String::from_utf8_lossy(text).into_owned())
                    });
                    events.push(Seen::Close(close));
                    break End::Closed;
                }
                OpCode::Continuation => unreachable!("it collects fragments"),
            },
            Err(WebSocketError::UnexpectedEOF) => break End::Open,
            Err(_) => break End::Refused,
        });
    };
    Verdict {
        name: "fastwebsockets",
        events,
        end,
        lets_pass: |refused| {
            !refused.is_minimal
                || matches!(
                    refused.violation,
                    Violation::Unmasked
                        | Violation::MessageTooBig { .. }
                        | Violation::TooManyFragments { .. }
                        | Violation::MessageInsideMessage
                        | Violation::ControlTooLong
                        | Violation::TextNotUtf8
                )
        },
        refuses: |event| matches!(event, Seen::Close(Some((1014, _)))),
    }
}

/// sockudo-ws 3.1. What it does otherwise:
/// - it counts no fragments.
pub fn sockudo(bytes: &[u8]) -> Verdict {
    use sockudo_ws::protocol::{Message, Protocol, Role};

    let max = LIMITS.message_bytes_max;
    let mut protocol = Protocol::new(Role::Server, max, max);
    let mut messages = Vec::new();
    let result = protocol.process_into(&mut BytesMut::from(bytes), &mut messages);
    let mut end = if result.is_err() { End::Refused } else { End::Open };
    let mut events = Vec::new();
    for message in messages {
        events.push(match message {
            Message::Text(bytes) => Seen::Text(bytes.into()),
            Message::Binary(bytes) => Seen::Binary(bytes.into()),
            Message::Ping(bytes) => Seen::Ping(bytes.into()),
            Message::Pong(bytes) => Seen::Pong(bytes.into()),
            Message::Close(close) => Seen::Close(close.map(|close| (close.code, close.reason))),
        });
        // What it reads behind a close is its caller's to ignore.
        if let Some(Seen::Close(_)) = events.last() {
            end = End::Closed;
            break;
        }
    }
    Verdict {
        name: "sockudo-ws",
        events,
        end,
        lets_pass: |refused| matches!(refused.violation, Violation::TooManyFragments { .. }),
        refuses: |_| false,
    }
}
