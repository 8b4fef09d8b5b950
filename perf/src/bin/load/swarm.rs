//! All connections on one thread, over epoll.
//!
//! Connections whose latency must not wait behind thousands of others have an epoll of their own,
//! which is looked at after every [`EVENTS_MAX`] events.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use socket2::{Domain, Socket, Type};

use super::client::{Client, Faults, Role, State};
use super::inflate::Inflater;
use super::tracker::Tracker;
use super::wire::{self, Filler};

/// Events that are taken at once: at about 1.5 µs each, nothing urgent waits longer than 0.1 ms.
const EVENTS_MAX: usize = 64;

/// One read takes at most this much.
const BUFFER_BYTES: usize = 512 << 10;

/// Connections from one source address: there are 28,000 ports for each.
const PER_ADDRESS: usize = 20_000;

/// The receive buffer of a connection that is to stall soon.
const STALLED_BUFFER_BYTES: usize = 4_096;

/// What to connect.
#[derive(Clone, Debug)]
pub struct Plan {
    pub path: String,
    pub role: Role,
    pub channels: Vec<u16>,
    /// Read before others.
    pub urgent: bool,
}

pub struct Swarm {
    target: SocketAddr,
    all: OwnedFd,
    urgent: OwnedFd,
    clients: Vec<Client>,
    handshaking: usize,
    buffer: Vec<u8>,
    events: Vec<Event>,
    began: Instant,
    filler: Filler,
    inflater: Inflater,
    /// More request headers.
    pub headers: String,
    pub tracker: Tracker,
    pub faults: Faults,
}

impl Swarm {
    pub fn new(target: SocketAddr, tracker: Tracker, filler: Filler) -> io::Result<Self> {
        let all = epoll::create(CreateFlags::CLOEXEC)?;
        let urgent = epoll::create(CreateFlags::CLOEXEC)?;
        // Wakes the wait; what is ready in it is asked for after every round anyway.
        epoll::add(&all, &urgent, EventData::new_u64(u64::MAX), EventFlags::IN)?;
        Ok(Self {
            target,
            all,
            urgent,
            clients: Vec::new(),
            handshaking: 0,
            buffer: vec![0; BUFFER_BYTES],
            events: Vec::with_capacity(EVENTS_MAX),
            began: Instant::now(),
            filler,
            inflater: Inflater::new(),
            headers: String::new(),
            tracker,
            faults: Faults::default(),
        })
    }

    pub fn now_ns(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    pub fn handshaking(&self) -> usize {
        self.handshaking
    }

    /// Connects and sends the request; the answer comes with [`step`](Self::step).
    pub fn connect(&mut self, plan: Plan) -> io::Result<usize> {
        let index = self.clients.len();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // The ports of a run that has just ended may still be taken: each run has its addresses.
        let net = 10 + (std::process::id() % 200) as u8;
        let from = Ipv4Addr::new(127, net, 1 + (index / PER_ADDRESS) as u8, 1);
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        if plan.role == Role::Stalled {
            socket.set_recv_buffer_size(STALLED_BUFFER_BYTES)?;
        }
        socket.connect(&self.target.into())?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let mut client = Client::new(TcpStream::from(socket), plan.role, &plan.channels);
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\n{}Upgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            plan.path, self.target, self.headers
        );
        client.send(request.as_bytes())?;
        let epoll = if plan.urgent { &self.urgent } else { &self.all };
        epoll::add(epoll, &client.stream, EventData::new_u64(index as u64), EventFlags::IN)?;
        if plan.role == Role::Subscriber {
            for channel in plan.channels {
                self.tracker.add_subscriber(channel);
            }
        }
        self.handshaking += 1;
        self.clients.push(client);
        Ok(index)
    }

    /// Publishes on a connection, in one write.
    pub fn publish(&mut self, publisher: usize, messages: &[(u16, u64)]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for &(channel, due_ns) in messages {
            let number = self.tracker.send(channel, due_ns);
            wire::put_message(&mut bytes, channel, number, &self.filler);
        }
        let client = &mut self.clients[publisher];
        client.send(&bytes)?;
        if !client.unsent.is_empty() {
            let data = EventData::new_u64(publisher as u64);
            epoll::modify(&self.all, &client.stream, data, EventFlags::IN | EventFlags::OUT)?;
        }
        Ok(())
    }

    /// Waits for something to happen, this long at most, and handles it.
    pub fn step(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout =
            Timespec { tv_sec: timeout.as_secs() as _, tv_nsec: timeout.subsec_nanos() as _ };
        self.round(false, &timeout)?;
        self.round(true, &Timespec { tv_sec: 0, tv_nsec: 0 })
    }

    fn round(&mut self, urgent: bool, timeout: &Timespec) -> io::Result<()> {
        let epoll = if urgent { &self.urgent } else { &self.all };
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        let waited = epoll::wait(epoll, spare_capacity(&mut events), Some(timeout));
        if !matches!(waited, Ok(_) | Err(rustix::io::Errno::INTR)) {
            waited?;
        }
        for event in &events {
            if event.data.u64() != u64::MAX {
                let index = event.data.u64() as usize;
                self.handle(index, event.flags, urgent)?;
            }
        }
        self.events = events;
        Ok(())
    }

    fn handle(&mut self, index: usize, flags: EventFlags, urgent: bool) -> io::Result<()> {
        let began = self.began;
        let client = &mut self.clients[index];
        let epoll = if urgent { &self.urgent } else { &self.all };
        if flags.contains(EventFlags::OUT) {
            client.flush()?;
            if client.unsent.is_empty() {
                let data = EventData::new_u64(index as u64);
                epoll::modify(epoll, &client.stream, data, EventFlags::IN)?;
            }
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return Ok(());
        }
        let was = client.state;
        let now_ns = || began.elapsed().as_nanos() as u64;
        let (tracker, inflater) = (&mut self.tracker, &mut self.inflater);
        let opened = client.read(&mut self.buffer, tracker, inflater, now_ns, &mut self.faults)?;
        if opened || (was == State::Handshake && client.state == State::Closed) {
            self.handshaking -= 1;
        }
        if client.state == State::Closed || (opened && client.role == Role::Stalled) {
            epoll::delete(epoll, &client.stream)?;
        }
        Ok(())
    }

    /// Connections that agreed on permessage-deflate.
    pub fn deflating(&self) -> usize {
        self.clients.iter().filter(|client| client.deflates).count()
    }

    /// Messages that never came to those who should have them.
    pub fn missing(&self) -> u64 {
        let waited = self.clients.iter();
        let waited = waited.filter(|one| matches!(one.role, Role::Subscriber | Role::Joiner));
        waited.map(|one| one.missing(&self.tracker)).sum()
    }

    /// Ends all connections with a reset, so that no port stays taken.
    pub fn end(self) {
        for client in &self.clients {
            let _ = socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO));
        }
    }
}
