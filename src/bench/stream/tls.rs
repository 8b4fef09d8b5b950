//! TLS over a socket that does not block.
//!
//! rustls holds the keys and no buffers: what comes is read into a buffer of the thread, as much as
//! there is in one call. Of a connection nothing is kept while nothing happens but its keys (4.9 KiB of
//! resident memory each, with TLS 1.3 and 2,000 of them); a record that has not arrived whole, text
//! that did not fit and a record that the kernel did not take are kept until that is over.

use std::cell::RefCell;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use mio::net::TcpStream;
use tokio_rustls::rustls::client::UnbufferedClientConnection;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use tokio_rustls::rustls::{ClientConfig, Error};

use crate::bench::tls::error_text;

/// One read. At least twice what may be kept of what is not whole: one message of a handshake, of
/// which rustls takes 64 KiB.
const RECORDS_BYTES: usize = 160 << 10;
/// What is encrypted in one piece: the longest text of a record (RFC 8446 section 5.1).
const TEXT_BYTES_MAX: usize = 16 << 10;
/// What a record adds to its text at most (RFC 8446 section 5.2).
const RECORD_BYTES_BESIDE_MAX: usize = 5 + 256;

const TRUNCATED: &str = "the server ended the connection without TLS's close_notify";
const CLOSED_IN_HANDSHAKE: &str = "the server closed the connection in the TLS handshake; if it does not \
     speak TLS, write ws:// for wss://, http:// for https://";

thread_local! {
    static RECORDS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(crate) struct Tls {
    pub(super) tcp: TcpStream,
    pub(super) client: UnbufferedClientConnection,
    /// The beginning of what has not arrived whole, encrypted.
    carried: Vec<u8>,
    /// Text that the last reader had no room for.
    text: Vec<u8>,
    /// Records that the kernel did not take.
    unsent: Vec<u8>,
    end: Option<End>,
}

/// Nothing comes any more.
enum End {
    /// The server said so.
    Closed,
    Broken(io::ErrorKind, String),
}

/// Where text goes: to whoever reads, and what has no room there aside.
struct Sink<'t> {
    buffer: &'t mut [u8],
    filled: usize,
    aside: &'t mut Vec<u8>,
}

impl Sink<'_> {
    fn put(&mut self, text: &[u8]) {
        let count = text.len().min(self.buffer.len() - self.filled);
        self.buffer[self.filled..self.filled + count].copy_from_slice(&text[..count]);
        self.filled += count;
        self.aside.extend_from_slice(&text[count..]);
    }
}

impl Tls {
    pub(super) fn new(
        tcp: TcpStream,
        config: &Arc<ClientConfig>,
        name: &ServerName<'static>,
    ) -> io::Result<Self> {
        let client = UnbufferedClientConnection::new(config.clone(), name.clone()).map_err(told)?;
        let [carried, text, unsent] = [const { Vec::new() }; 3];
        Ok(Self { tcp, client, carried, text, unsent, end: None })
    }

    pub(super) fn shake_hands(&mut self) -> io::Result<bool> {
        // The first time there is nothing to look at, and that makes the first message.
        let Self { client, unsent, end, carried, text, .. } = self;
        let mut sink = Sink { buffer: &mut [], filled: 0, aside: text };
        let used = advance(client, carried, unsent, end, &mut sink, &[])?;
        carried.drain(..used);
        loop {
            match self.flush() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                flushed => flushed.map_err(in_handshake)?,
            }
            if !self.client.is_handshaking() {
                return Ok(true);
            }
            match self.receive(&mut []) {
                Ok(_) if self.client.is_handshaking() => self.check_end()?,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(in_handshake(error)),
            }
        }
    }

    /// Whether the handshake can still come to something.
    fn check_end(&self) -> io::Result<()> {
        let eof = io::ErrorKind::UnexpectedEof;
        match &self.end {
            None => Ok(()),
            Some(End::Broken(kind, text)) if *kind != eof => {
                Err(io::Error::new(*kind, text.clone()))
            }
            Some(_) => Err(io::Error::new(eof, CLOSED_IN_HANDSHAKE)),
        }
    }

    pub(super) fn has_more(&self) -> bool {
        !self.text.is_empty() || self.end.is_some()
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        let mut filled = self.text.len().min(buffer.len());
        buffer[..filled].copy_from_slice(&self.text[..filled]);
        self.text.drain(..filled);
        if self.text.is_empty() {
            self.text = Vec::new();
        }
        while filled < buffer.len() && self.end.is_none() {
            match self.receive(&mut buffer[filled..]) {
                Ok((count, is_all)) => {
                    filled += count;
                    if is_all {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.end = Some(End::Broken(error.kind(), error.to_string())),
            }
        }
        match &self.end {
            _ if filled > 0 => Ok(filled),
            Some(End::Closed) => Ok(0),
            Some(End::Broken(kind, text)) => Err(io::Error::new(*kind, text.clone())),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// One read of the socket: how much text it gave to this buffer, and whether it took all there was
    /// (epoll(7): it did if it was not filled).
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
        RECORDS.with_borrow_mut(|records| {
            records.resize(RECORDS_BYTES, 0);
            let start = self.carried.len();
            if start >= RECORDS_BYTES / 2 {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "TLS: a message is too long",
                ));
            }
            records[..start].copy_from_slice(&self.carried);
            let read = self.tcp.read(&mut records[start..])?;
            if read == 0 {
                let kind = io::ErrorKind::UnexpectedEof;
                self.end = Some(End::Broken(kind, TRUNCATED.to_owned()));
                return Ok((0, true));
            }
            let end = start + read;
            let Self { client, unsent, end: is_ended, text, .. } = self;
            let mut sink = Sink { buffer, filled: 0, aside: text };
            let advanced = advance(client, &mut records[..end], unsent, is_ended, &mut sink, &[]);
            let filled = sink.filled;
            // What came before it is there.
            let used = advanced.unwrap_or_else(|error| {
                self.end = Some(End::Broken(error.kind(), error.to_string()));
                end
            });
            self.carried.clear();
            self.carried.extend_from_slice(&records[used..end]);
            if self.carried.is_empty() {
                self.carried = Vec::new();
            }
            Ok((filled, end < records.len()))
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let mut taken = 0;
        while taken < bytes.len() && self.unsent.is_empty() {
            let piece = &bytes[taken..bytes.len().min(taken + TEXT_BYTES_MAX)];
            let Self { client, unsent, end, carried, text, .. } = self;
            let mut sink = Sink { buffer: &mut [], filled: 0, aside: text };
            let used = advance(client, carried, unsent, end, &mut sink, piece)?;
            carried.drain(..used);
            taken += piece.len();
            match self.flush() {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        Ok(taken)
    }

    /// Writes the records that wait for it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let mut written = 0;
        let flushed = loop {
            if written == self.unsent.len() {
                break Ok(());
            }
            match self.tcp.write(&self.unsent[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.unsent.drain(..written);
        if self.unsent.is_empty() && written > 0 {
            self.unsent = Vec::new();
        }
        flushed
    }
}

/// Has rustls look at what came, until it needs more, and encrypts `piece` if there is one; returns how
/// much of `records` is done with. What is to be sent is put to the end of `unsent`, in its order.
fn advance(
    client: &mut UnbufferedClientConnection,
    records: &mut [u8],
    unsent: &mut Vec<u8>,
    end: &mut Option<End>,
    sink: &mut Sink<'_>,
    piece: &[u8],
) -> io::Result<usize> {
    let mut used = 0;
    let mut piece = Some(piece).filter(|piece| !piece.is_empty());
    loop {
        let UnbufferedStatus { mut discard, state } =
            client.process_tls_records(&mut records[used..]);
        let mut is_done = false;
        match state.map_err(told)? {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(told)?;
                    discard += record.discard;
                    sink.put(record.payload);
                }
            }
            ConnectionState::EncodeTlsData(mut data) => {
                let encode = |out: &mut [u8]| data.encode(out);
                append(unsent, TEXT_BYTES_MAX, encode).map_err(io::Error::other)?;
            }
            // It is, in the order in which it was encoded.
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::PeerClosed => *end = Some(End::Closed),
            ConnectionState::WriteTraffic(mut traffic) => match piece.take() {
                // Looked at again: it may have asked for new keys.
                Some(piece) => {
                    let encrypt = |out: &mut [u8]| traffic.encrypt(piece, out);
                    append(unsent, piece.len(), encrypt).map_err(io::Error::other)?;
                }
                None => is_done = true,
            },
            _ => is_done = true,
        }
        used += discard;
        if is_done {
            break;
        }
    }
    match piece {
        Some(_) => Err(io::ErrorKind::NotConnected.into()),
        None => Ok(used),
    }
}

/// Puts a record with so much text at most to the end.
fn append<E>(
    out: &mut Vec<u8>,
    text_bytes_max: usize,
    encode: impl FnOnce(&mut [u8]) -> Result<usize, E>,
) -> Result<(), E> {
    let before = out.len();
    out.resize(before + text_bytes_max + RECORD_BYTES_BESIDE_MAX, 0);
    let encoded = encode(&mut out[before..]);
    out.truncate(before + encoded.as_ref().map_or(0, |bytes| *bytes));
    encoded.map(|_| ())
}

fn told(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error_text(&error))
}

/// A server that does not understand what it gets may just hang up.
fn in_handshake(error: io::Error) -> io::Error {
    match error.kind() {
        kind @ (io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            io::Error::new(kind, CLOSED_IN_HANDSHAKE)
        }
        _ => error,
    }
}

#[cfg(test)]
impl Tls {
    /// What is allocated for what is under way.
    pub(super) fn kept_bytes(&self) -> usize {
        self.carried.capacity() + self.text.capacity() + self.unsent.capacity()
    }
}
