//! One subscriber.

use std::io::{self, Read as _, Write as _};
use std::time::Instant;

use mio::Registry;

use crate::bench::client::{FrameReader, Piece, masked_frame};
use crate::bench::connect::{Answer, Handshake, NotOpen, error_text};
use crate::bench::options::Options;
use crate::bench::stream::{Agreed, Stream};
use crate::bench::tally::{Account, Tally};

/// Reads of one connection before the others have their turn.
const READS_PER_TURN: usize = 8;
/// What is read at the end of a connection that was not read, to see whether it was closed.
const LEFTOVERS_BYTES_MAX: usize = 16 << 20;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PONG: u8 = 10;
/// Of frames with nothing worth hiding.
const MASK: [u8; 4] = [0x5b, 0x1e, 0xc4, 0x72];

pub(crate) struct Session {
    pub(crate) state: State,
    reader: FrameReader,
    pub(crate) account: Account,
    pub(crate) channels: Vec<u16>,
    /// Which attempt to connect this is.
    pub(crate) attempt: u32,
    /// Attempts that came to nothing since it was connected.
    pub(crate) in_vain: u32,
    /// Whether it stops reading when the measurement begins.
    pub(crate) is_to_stall: bool,
}

pub(crate) enum State {
    Absent,
    Opening(Box<Opening>),
    Open(Stream),
    /// The server ended it.
    Ended,
}

pub(crate) struct Opening {
    stream: Stream,
    began: Instant,
    is_connected: bool,
    is_sent: bool,
    head: Vec<u8>,
}

/// Whether a connection has more to read.
pub(crate) enum Ready {
    No,
    More,
    Ended,
}

impl State {
    pub(crate) fn opening(stream: Stream, began: Instant) -> Self {
        Self::Opening(Box::new(Opening {
            stream,
            began,
            is_connected: false,
            is_sent: false,
            head: Vec::new(),
        }))
    }
}

impl Opening {
    /// Goes on as far as the socket lets it; what came behind the answer once that is there.
    pub(crate) fn advance(
        &mut self,
        handshake: &Handshake,
        request: impl FnOnce() -> Vec<u8>,
    ) -> Result<Option<(Answer, Vec<u8>)>, NotOpen> {
        if !self.is_connected {
            let tcp = self.stream.tcp();
            if let Some(error) = tcp.take_error().ok().flatten() {
                return Err(error_text(&error).into());
            }
            if tcp.peer_addr().is_err() {
                return Ok(None);
            }
            self.is_connected = true;
        }
        if !self.is_sent {
            if !self.stream.shake_hands().map_err(|error| error_text(&error))? {
                return Ok(None);
            }
            let request = request();
            // An empty send buffer takes a request of a few hundred bytes.
            let written = self.stream.write(&request).map_err(|error| error_text(&error))?;
            if written < request.len() {
                return Err("the request for the handshake is too long".into());
            }
            self.is_sent = true;
        }
        let mut piece = [0; 2_048];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(self.stream.closed_text().into()),
                Ok(read) => self.head.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error_text(&error).into()),
            }
            if let Some(answer) = handshake.answer(&self.head)? {
                return Ok(Some((answer, self.head.split_off(answer.bytes))));
            }
        }
    }
}

impl Session {
    pub(crate) fn new(channels: Vec<u16>, is_to_stall: bool) -> Self {
        Self {
            state: State::Absent,
            reader: FrameReader::default(),
            account: Account::fresh(&channels),
            channels,
            attempt: 0,
            in_vain: 0,
            is_to_stall,
        }
    }

    pub(crate) fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening(_))
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// The handshake is done; when it began, and what TLS was agreed on.
    pub(super) fn open(&mut self, may_deflate: bool) -> (Instant, Option<Agreed>) {
        match std::mem::replace(&mut self.state, State::Absent) {
            State::Opening(opening) => {
                let agreed = opening.stream.agreed();
                self.state = State::Open(opening.stream);
                self.reader = FrameReader::new(may_deflate);
                self.in_vain = 0;
                (opening.began, agreed)
            }
            other => {
                self.state = other;
                (Instant::now(), None)
            }
        }
    }

    pub(super) fn subscribe(&mut self, template: &str, options: &Options) {
        let State::Open(stream) = &mut self.state else { return };
        let name = |channel: &u16| options.channel_name(usize::from(*channel));
        let frames: Vec<u8> = self
            .channels
            .iter()
            .map(|channel| template.replace("{channel}", &name(channel)))
            .flat_map(|text| masked_frame(TEXT, text.as_bytes(), MASK))
            .collect();
        // What does not fit is a subscription that is missing, and shows as lost.
        let _ = stream.write(&frames);
    }

    pub(super) fn take_early(&mut self, early: &[u8], tally: &mut Tally, now_ns: u64) {
        let account = &mut self.account;
        // A fault is found again with the next frame.
        let _ = self.reader.feed(early, |piece| tally.arrive(account, piece, now_ns));
    }

    /// Reads what is there, for so many reads. `is_to_end`: until the end, which is known to be near.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        tally: &mut Tally,
        now_ns: u64,
        is_to_end: bool,
    ) -> Ready {
        let State::Open(stream) = &mut self.state else { return Ready::No };
        let mut now_ns = now_ns;
        for _ in 0..READS_PER_TURN {
            let start = self.reader.restore(buffer);
            let read = match stream.read(&mut buffer[start..]) {
                Ok(read) => read,
                Err(error) if is_passing(&error) => {
                    // Takes back what was restored: too little to be a fault or a frame.
                    let _ = self.reader.feed(&buffer[..start], |_| {});
                    if error.kind() == io::ErrorKind::WouldBlock {
                        return Ready::No;
                    }
                    continue;
                }
                Err(_) => return self.end(),
            };
            if read == 0 {
                return self.end();
            }
            let end = start + read;
            let is_full = end == buffer.len();
            let mut reply = None;
            let mut is_closed = false;
            let account = &mut self.account;
            let fed = self.reader.feed(&buffer[..end], |piece| match piece {
                Piece::Message(_) | Piece::Deflated(_) => tally.arrive(account, piece, now_ns),
                Piece::Ping(payload) => reply = Some(masked_frame(PONG, payload, MASK)),
                Piece::Close(code) => {
                    is_closed = true;
                    let body = if code == 1005 { Vec::new() } else { code.to_be_bytes().into() };
                    reply = Some(masked_frame(CLOSE, &body, MASK));
                }
            });
            if let Some(reply) = reply {
                // Only replies are ever written, and there is room for the first of them.
                let _ = stream.write(&reply);
            }
            if is_closed || fed.is_err() {
                return self.end();
            }
            // A read that did not fill the buffer took all there was (epoll(7)), and more rings again.
            if !is_full && !is_to_end && !stream.has_more() {
                return Ready::No;
            }
            now_ns = now_ns.max(tally.now_ns());
        }
        Ready::More
    }

    fn end(&mut self) -> Ready {
        self.state = State::Ended;
        Ready::Ended
    }

    /// Ends it from this side, and forgets what it had.
    pub(super) fn cut(&mut self) -> Account {
        self.state = State::Absent;
        std::mem::replace(&mut self.account, Account::fresh(&self.channels))
    }

    /// Nothing of it is read any more.
    pub(crate) fn unwatch(&mut self, registry: &Registry) {
        if let State::Open(stream) = &mut self.state {
            // It is watched, or it would not be open.
            let _ = registry.deregister(stream.tcp());
        }
    }

    /// Of one that was not read for a while: whether the server has ended it.
    pub(crate) fn was_ended(&mut self) -> bool {
        let State::Open(stream) = &mut self.state else { return true };
        let mut buffer = vec![0; 64 << 10];
        let mut left = LEFTOVERS_BYTES_MAX;
        let mut is_closed = false;
        while left > 0 && !is_closed {
            let start = self.reader.restore(&mut buffer);
            match stream.read(&mut buffer[start..]) {
                Ok(0) => return true,
                Ok(read) => {
                    left = left.saturating_sub(read);
                    let fed = self.reader.feed(&buffer[..start + read], |piece| {
                        is_closed |= matches!(piece, Piece::Close(_));
                    });
                    is_closed |= fed.is_err();
                }
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        is_closed
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}
