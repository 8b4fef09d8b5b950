//! The floor: a bare `send()` loop, without a runtime, a queue or a check.
//!
//! `floor PORT each` sends every message to every subscriber with a call of its own; `floor PORT
//! coalesce` sends everything that one read of the publisher brought with one call per subscriber.
//! It waits for a subscriber that does not read, knows no ping and no close, and answers any request
//! with the same 101: whatever a real server costs beyond it is the price of being one.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use socket2::{Domain, Socket, Type};

const HELLO: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The listener's token; publishers have their place in the list.
const LISTENER: u64 = u64::MAX;

struct Publisher {
    stream: TcpStream,
    channel: String,
    /// What was read and is not a whole frame yet.
    rest: Vec<u8>,
}

struct Floor {
    coalesce: bool,
    channels: HashMap<String, Vec<Rc<TcpStream>>>,
    publishers: Vec<Option<Publisher>>,
    buffer: Vec<u8>,
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (port, mode) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    let (Ok(port), true) = (port.parse::<u16>(), ["each", "coalesce"].contains(&mode.as_str()))
    else {
        eprintln!("floor PORT each|coalesce");
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let listener = listen(port)?;
    let ready = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&ready, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut floor = Floor {
        coalesce: mode == "coalesce",
        channels: HashMap::new(),
        publishers: Vec::new(),
        buffer: vec![0; 256 << 10],
    };
    let mut events = Vec::with_capacity(64);
    loop {
        events.clear();
        match epoll::wait(&ready, spare_capacity(&mut events), None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        for event in &events {
            match event.data.u64() {
                LISTENER => floor.accept(&listener, &ready)?,
                index => floor.pass(index as usize)?,
            }
        }
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(4_096)?;
    Ok(socket.into())
}

impl Floor {
    /// The trivial handshake: one read, one write.
    fn accept(&mut self, listener: &TcpListener, ready: &impl rustix::fd::AsFd) -> io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let read = stream.read(&mut self.buffer)?;
        let request = String::from_utf8_lossy(&self.buffer[..read]);
        let target = request.split(' ').nth(1).unwrap_or_default();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let named = query.split('&').filter_map(|pair| pair.strip_prefix("channel="));
        let named: Vec<String> = named.map(str::to_owned).collect();
        let publishes = target.starts_with("/pub");
        stream.write_all(HELLO)?;
        if publishes {
            let data = EventData::new_u64(self.publishers.len() as u64);
            epoll::add(ready, &stream, data, EventFlags::IN)?;
            let channel = named.into_iter().next().unwrap_or_default();
            self.publishers.push(Some(Publisher { stream, channel, rest: Vec::new() }));
        } else {
            let stream = Rc::new(stream);
            for channel in named {
                self.channels.entry(channel).or_default().push(stream.clone());
            }
        }
        Ok(())
    }

    /// Reads a publisher once and sends what came.
    fn pass(&mut self, index: usize) -> io::Result<()> {
        let Some(publisher) = &mut self.publishers[index] else { return Ok(()) };
        let read = publisher.stream.read(&mut self.buffer).unwrap_or(0);
        if read == 0 {
            self.publishers[index] = None;
            return Ok(());
        }
        publisher.rest.extend_from_slice(&self.buffer[..read]);
        let mut out = Vec::new();
        let mut ends = Vec::new();
        let mut taken = 0;
        while let Some(used) = reframe(&publisher.rest[taken..], &mut out) {
            taken += used;
            ends.push(out.len());
        }
        publisher.rest.drain(..taken);
        let Some(subscribers) = self.channels.get(&publisher.channel) else { return Ok(()) };
        if self.coalesce {
            ends = vec![out.len()];
        }
        let mut from = 0;
        for end in ends {
            for subscriber in subscribers {
                // One that has gone away is no matter: this measures sending.
                let _ = (&**subscriber).write_all(&out[from..end]);
            }
            from = end;
        }
        Ok(())
    }
}

/// Turns a client's frame into a server's, and says how long the client's was.
fn reframe(bytes: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let (head, length) = match *bytes.get(1)? & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        length => (2, usize::from(length)),
    };
    let payload = bytes.get(head + 4..head + 4 + length)?;
    let key = &bytes[head..head + 4];
    out.push(bytes[0]);
    out.push(bytes[1] & 0x7f);
    out.extend_from_slice(&bytes[2..head]);
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
    Some(head + 4 + length)
}
