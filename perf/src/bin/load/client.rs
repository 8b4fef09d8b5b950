//! One connection of the swarm, and what it holds against the server.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::inflate::Inflater;
use super::tracker::Tracker;
use super::wire::{self, Event};

/// What one subscription expects next.
#[derive(Clone, Debug)]
struct Expected {
    channel: u16,
    next: u32,
    /// Joined while messages were under way: the first one says where it starts.
    is_open: bool,
    /// Numbers that were passed over, to tell a late message from a doubled one.
    gaps: Vec<u32>,
}

/// What was wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub lost: u64,
    pub doubled: u64,
    pub reordered: u64,
    pub closed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Handshake,
    Open,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Subscriber,
    /// A subscriber that came in a storm: messages do not wait for it.
    Joiner,
    /// Stops reading once it is connected.
    Stalled,
    Publisher,
}

#[derive(Debug)]
pub struct Client {
    pub stream: TcpStream,
    pub state: State,
    pub role: Role,
    expected: Vec<Expected>,
    /// Whether permessage-deflate was agreed on.
    pub deflates: bool,
    /// Bytes of an incomplete frame.
    rest: Vec<u8>,
    /// What the socket did not take yet.
    pub unsent: Vec<u8>,
}

impl Client {
    pub fn new(stream: TcpStream, role: Role, channels: &[u16]) -> Self {
        let expected = channels
            .iter()
            .map(|&channel| Expected { channel, next: 0, is_open: false, gaps: Vec::new() })
            .collect();
        let (rest, unsent) = (Vec::new(), Vec::new());
        Self { stream, state: State::Handshake, role, expected, deflates: false, rest, unsent }
    }

    /// Reads once. Says whether the handshake is over because of it.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        tracker: &mut Tracker,
        inflater: &mut Inflater,
        now_ns: impl Fn() -> u64,
        faults: &mut Faults,
    ) -> io::Result<bool> {
        let kept = self.rest.len();
        buffer[..kept].copy_from_slice(&self.rest);
        let read = match self.stream.read(&mut buffer[kept..]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            // A reset is an end like any other; what is missing shows in the count.
            Err(_) => 0,
        };
        if read == 0 {
            self.close(faults);
            return Ok(false);
        }
        let mut bytes = &buffer[..kept + read];
        let mut opened = false;
        if self.state == State::Handshake {
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                self.rest = bytes.to_vec();
                return Ok(false);
            };
            if !bytes.starts_with(b"HTTP/1.1 101") {
                let text = String::from_utf8_lossy(bytes).into_owned();
                return Err(io::Error::other(format!("the server refused an upgrade: {text}")));
            }
            let head = &bytes[..end];
            self.deflates = head.windows(18).any(|part| part == b"permessage-deflate");
            bytes = &bytes[end + 4..];
            self.state = State::Open;
            opened = true;
            for expected in &mut self.expected {
                // Everything published from here on has to come.
                expected.next = tracker.next_number(expected.channel);
                expected.is_open = self.role == Role::Joiner && expected.next > 0;
            }
        }
        let now_ns = now_ns();
        while let Some((event, length)) = wire::frame(bytes, inflater) {
            bytes = &bytes[length..];
            match event {
                Event::Message { channel, number } if self.role != Role::Publisher => {
                    tracker.delivered(channel, number, now_ns);
                    self.check(channel, number, faults);
                }
                Event::Message { .. } | Event::Other => {}
                Event::Ping => self.send(wire::PONG)?,
                Event::Close => {
                    self.close(faults);
                    return Ok(opened);
                }
            }
        }
        if self.rest.len() != bytes.len() || !bytes.is_empty() {
            self.rest.clear();
            self.rest.extend_from_slice(bytes);
        }
        Ok(opened)
    }

    #[inline]
    fn check(&mut self, channel: u16, number: u32, faults: &mut Faults) {
        let Some(expected) = self.expected.iter_mut().find(|one| one.channel == channel) else {
            // Not subscribed to it: as wrong as a message twice.
            faults.doubled += 1;
            return;
        };
        if expected.is_open {
            expected.is_open = false;
            // Earlier than promised is fine, later is a loss.
            expected.next = expected.next.min(number);
        }
        if number == expected.next {
            expected.next += 1;
        } else if number > expected.next {
            faults.lost += u64::from(number - expected.next);
            expected.gaps.extend(expected.next..number);
            expected.next = number + 1;
        } else if let Some(at) = expected.gaps.iter().position(|gap| *gap == number) {
            expected.gaps.swap_remove(at);
            faults.lost -= 1;
            faults.reordered += 1;
        } else {
            faults.doubled += 1;
        }
    }

    /// What never came.
    pub fn missing(&self, tracker: &Tracker) -> u64 {
        let missing = self
            .expected
            .iter()
            .map(|one| tracker.next_number(one.channel).saturating_sub(one.next));
        missing.map(u64::from).sum()
    }

    fn close(&mut self, faults: &mut Faults) {
        if self.state != State::Closed {
            self.state = State::Closed;
            faults.closed += 1;
        }
    }

    /// Sends, and keeps what the socket does not take.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return self.flush();
        }
        let taken = match self.stream.write(bytes) {
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.unsent.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    /// Sends what was kept.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(taken) => drop(self.unsent.drain(..taken)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
