//! A whole hub under any sequence of joins, leaves, publications, stalls and ends: each session gets
//! exactly what was published between its joins and leaves, in order, once; or, when it was ended or
//! its channel's policy drops, that with what is missing accounted for: in the counters, and for a
//! session that can be told, in the gaps that it was told of.
//!
//! The hub is the real one on a runtime of one thread; sessions have real socket pairs with the
//! smallest buffers that Linux gives, so that direct writes, partial writes and writer tasks all
//! happen. There is no reader: what a client says is the affair of other targets.

use std::collections::VecDeque;
use std::io::Read as _;
use std::os::unix::net::UnixStream;

use arbitrary::{Arbitrary, Unstructured};
use fanfare::base::disconnect::{Disconnect, Reason};
use fanfare::base::ids::ChannelName;
use fanfare::base::limits::SlowConsumerPolicy;
use fanfare::base::loss::DropCause;
use fanfare::base::message::Message;
use fanfare::frame::{Opcode, encode};
use fanfare::fuzzing::Peer;
use fanfare::hub::{Hub, PublishOptions, SessionOptions};
use fanfare::protocol::{Form, WireFormat};
use tokio::runtime::{Builder, Runtime};

const CLIENTS: usize = 4;
const CHANNELS: usize = 3;
const NAMES: [&str; CHANNELS] = ["a", "bb", "c.c"];
const OPERATIONS_MAX: usize = 80;
/// Turns of the runtime without anything new after which nothing more will come.
const QUIET_TURNS: usize = 50;

#[derive(Arbitrary, Debug)]
struct Input {
    lanes: u8,
    writes_per_turn: u8,
    pass_bytes_max: u16,
    small_outbox: bool,
    drops_newest: bool,
    few_pending: bool,
    operations: Vec<Operation>,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    Open {
        client: u8,
        json: bool,
    },
    Attach {
        client: u8,
    },
    Join {
        client: u8,
        channel: u8,
    },
    Part {
        client: u8,
        channel: u8,
    },
    Publish {
        channel: u8,
        len: u16,
        not_to: Option<u8>,
    },
    /// The lanes and writers run for so many turns.
    Run {
        turns: u8,
    },
    /// A client reads so many bytes, in 64ths of a KiB.
    Read {
        client: u8,
        len: u8,
    },
    /// A client's session is ended by the hub, with a close frame.
    Kick {
        client: u8,
    },
    /// A client is gone.
    Drop {
        client: u8,
    },
}

/// More than two ticks of the hub.
const TICKS: std::time::Duration = std::time::Duration::from_secs(1);

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    // Looks for what is ready after each task, as a worker of a busy gateway would not.
    let runtime = Builder::new_current_thread().event_interval(1).enable_all().build().unwrap();
    let guard = runtime.enter();
    let mut world = World::new(&runtime, &input);
    for operation in input.operations.iter().take(OPERATIONS_MAX) {
        world.step(operation);
    }
    world.finish();
    drop(guard);
}

/// What a client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Joined,
    Parted,
    Message(u32),
    /// So many messages were dropped.
    Gap(u64),
}

struct World<'a> {
    runtime: &'a Runtime,
    hub: Hub,
    policy: SlowConsumerPolicy,
    may_overflow: bool,
    clients: [Option<Client>; CLIENTS],
    names: [ChannelName; CHANNELS],
    published: u32,
    /// Messages that clients which stayed were to get and did not.
    missing: u64,
    /// Whether a client ended or left, so that what it missed on the way is not in the count.
    is_unsure: bool,
}

struct Client {
    peer: Peer,
    near: Option<UnixStream>,
    far: UnixStream,
    is_told_of_gaps: bool,
    received: Vec<u8>,
    is_in: [bool; CHANNELS],
    /// What is due from each channel.
    expected: [VecDeque<Item>; CHANNELS],
    was_kicked: bool,
    has_parted: bool,
}

impl<'a> World<'a> {
    fn new(runtime: &'a Runtime, input: &Input) -> Self {
        let policy = match input.drops_newest {
            true => SlowConsumerPolicy::DropNewest,
            false => SlowConsumerPolicy::Disconnect,
        };
        let hub = Hub::builder()
            .lanes(usize::from(input.lanes % 3) + 1)
            .writes_per_turn(usize::from(input.writes_per_turn % 8) + 1)
            .pass_bytes_max(usize::from(input.pass_bytes_max))
            .slow_consumer_policy(policy)
            .outbox_bytes_max(if input.small_outbox { 6_000 } else { 64 << 20 })
            .publications_pending_max(if input.few_pending { 4 } else { 1_024 })
            .build();
        Self {
            runtime,
            hub,
            policy,
            may_overflow: input.small_outbox,
            clients: [const { None }; CLIENTS],
            names: NAMES.map(|name| ChannelName::new(name).unwrap()),
            published: 0,
            missing: 0,
            is_unsure: false,
        }
    }

    fn step(&mut self, operation: &Operation) {
        let client = |client: &u8| usize::from(*client) % CLIENTS;
        let channel = |channel: &u8| usize::from(*channel) % CHANNELS;
        match operation {
            Operation::Open { client: at, json } => self.open(client(at), *json),
            Operation::Attach { client: at } => self.attach(client(at)),
            Operation::Join { client: at, channel: of } => self.join(client(at), channel(of)),
            Operation::Part { client: at, channel: of } => self.part(client(at), channel(of)),
            Operation::Publish { channel: of, len, not_to } => {
                self.publish(channel(of), *len, not_to.as_ref().map(client));
            }
            Operation::Run { turns } => self.run(usize::from(*turns % 16) + 1),
            Operation::Read { client: at, len } => {
                if let Some(client) = &mut self.clients[client(at)] {
                    client.read(usize::from(*len) * 16);
                }
            }
            Operation::Kick { client: at } => {
                if let Some(client) = &mut self.clients[client(at)] {
                    client.was_kicked = true;
                    self.hub.disconnect(client.peer.id(), Disconnect::new(Reason::Shutdown));
                }
            }
            Operation::Drop { client: at } => {
                if let Some(mut client) = self.clients[client(at)].take() {
                    self.is_unsure = true;
                    client.read(usize::MAX);
                    let Client { peer, far, received, expected, .. } = client;
                    drop((peer, far));
                    let _ = check(&received, expected, Loose::Cut, self.policy);
                }
            }
        }
    }

    fn open(&mut self, at: usize, json: bool) {
        if self.clients[at].is_some() {
            return;
        }
        let format = if json { WireFormat::Json } else { WireFormat::Raw };
        let options = SessionOptions { form: Form::plain(format), ..SessionOptions::default() };
        let peer = Peer::open(&self.hub, options).expect("there is room");
        let (near, far) = UnixStream::pair().unwrap();
        socket2::SockRef::from(&near).set_send_buffer_size(1).unwrap();
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        self.clients[at] = Some(Client {
            peer,
            near: Some(near),
            far,
            is_told_of_gaps: json,
            received: Vec::new(),
            is_in: [false; CHANNELS],
            expected: Default::default(),
            was_kicked: false,
            has_parted: false,
        });
    }

    fn attach(&mut self, at: usize) {
        let Some(client) = &mut self.clients[at] else { return };
        if let Some(near) = client.near.take() {
            client.peer.attach(tokio::net::UnixStream::from_std(near).unwrap());
        }
    }

    fn join(&mut self, at: usize, of: usize) {
        let Some(client) = &mut self.clients[at] else { return };
        let reply = encode(Opcode::Text, format!("+{of}").as_bytes());
        let joined = client.peer.join(&self.names[of], reply);
        assert_eq!(joined, !client.is_in[of], "join");
        if joined {
            client.is_in[of] = true;
            client.expected[of].push_back(Item::Joined);
        }
    }

    fn part(&mut self, at: usize, of: usize) {
        let Some(client) = &mut self.clients[at] else { return };
        let reply = encode(Opcode::Text, format!("-{of}").as_bytes());
        let parted = client.peer.part(&self.names[of], reply);
        assert_eq!(parted, client.is_in[of], "part");
        if parted {
            self.is_unsure = true;
            client.has_parted = true;
            client.is_in[of] = false;
            client.expected[of].push_back(Item::Parted);
        }
    }

    fn publish(&mut self, of: usize, len: u16, not_to: Option<usize>) {
        self.published += 1;
        let number = self.published;
        let filler = "x".repeat(usize::from(len % 4_096));
        let except = not_to.and_then(|at| self.clients[at].as_ref()).map(|client| client.peer.id());
        let message = Message::text(format!("{of} {number} {filler}"));
        let options = PublishOptions { except, ..PublishOptions::default() };
        let Ok(published) = self.hub.publish_with(&self.names[of], message, options) else {
            return;
        };
        let mut subscribers = 0;
        for client in self.clients.iter_mut().flatten().filter(|client| client.is_in[of]) {
            subscribers += 1;
            if Some(client.peer.id()) != except {
                client.expected[of].push_back(Item::Message(number));
            }
        }
        assert_eq!(published.subscribers, subscribers);
    }

    fn run(&mut self, turns: usize) {
        for _ in 0..turns {
            self.runtime.block_on(tokio::task::yield_now());
        }
    }

    fn received(&self) -> usize {
        self.clients.iter().flatten().map(|client| client.received.len()).sum()
    }

    /// Everybody reads until nothing more comes; then the books are closed.
    fn finish(mut self) {
        (0..CLIENTS).for_each(|at| self.attach(at));
        let mut quiet = 0;
        while quiet < QUIET_TURNS {
            self.run(4);
            let before = self.received();
            self.clients.iter_mut().flatten().for_each(|client| client.read(usize::MAX));
            quiet = if self.received() == before { quiet + 1 } else { 0 };
        }
        let pending = self.hub.counters().publication_bytes_pending.get();
        assert_eq!(pending, 0, "a publication is still held");
        for client in self.clients.iter_mut().filter_map(Option::take) {
            let is_open = client.peer.is_open();
            assert!(is_open || client.was_kicked || self.may_overflow, "ended for no reason");
            self.is_unsure |= !is_open;
            let loose = if is_open { Loose::No } else { Loose::Closed };
            let Client { received, expected, is_told_of_gaps, has_parted, .. } = client;
            let lost = check(&received, expected, loose, self.policy);
            // What was dropped for one that leaves is told, what it missed by leaving is not.
            self.missing += lost.missing;
            let is_told = is_open && is_told_of_gaps;
            let Lost { missing, told } = lost;
            assert!(told <= missing, "told of {told} lost, {missing} are missing");
            assert!(!is_told || has_parted || told == missing, "told of {told} of {missing} lost");
        }
        let dropped = self.hub.counters().over_lanes(|lane| lane.dropped(DropCause::Newest));
        assert!(self.is_unsure || dropped == self.missing, "{dropped} of {} counted", self.missing);
        self.run(4);
        assert_eq!(self.hub.session_count(), 0);
        // A channel of which a lane still had something when its last member left goes with a tick.
        let began = std::time::Instant::now();
        while self.hub.channel_count() > 0 && began.elapsed() < TICKS {
            self.runtime.block_on(tokio::time::sleep(std::time::Duration::from_millis(5)));
        }
        assert_eq!(self.hub.channel_count(), 0, "a channel without members stays");
    }
}

impl Client {
    /// Reads at most `len` bytes.
    fn read(&mut self, len: usize) {
        let before = self.received.len();
        let mut buffer = [0; 4_096];
        while self.received.len() - before < len {
            let room = buffer.len().min(len - (self.received.len() - before));
            match self.far.read(&mut buffer[..room]) {
                Ok(0) | Err(_) => break,
                Ok(count) => self.received.extend(&buffer[..count]),
            }
        }
    }
}

/// How a client's stream may end before what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loose {
    /// It may not.
    No,
    /// With a close frame.
    Closed,
    /// Anywhere, in a frame too.
    Cut,
}

#[derive(Default)]
struct Lost {
    missing: u64,
    /// How many the gaps speak of.
    told: u64,
}

/// Holds what a client received against what was due.
fn check(
    received: &[u8],
    mut expected: [VecDeque<Item>; CHANNELS],
    loose: Loose,
    policy: SlowConsumerPolicy,
) -> Lost {
    let (mut lost, mut is_closed) = (Lost::default(), false);
    let may_miss = policy == SlowConsumerPolicy::DropNewest;
    for frame in frames(received, loose == Loose::Cut) {
        assert!(!is_closed, "something after the close");
        let (channel, item) = match frame {
            Frame::Close => {
                is_closed = true;
                continue;
            }
            Frame::Text(text) => parse(&text),
        };
        if let Item::Gap(count) = item {
            assert!(count > 0 && may_miss, "a gap of {count} where nothing may be dropped");
            lost.told += count;
            continue;
        }
        loop {
            let due = expected[channel].pop_front();
            if due == Some(item) {
                break;
            }
            let is_message = matches!(due, Some(Item::Message(_)));
            // Whoever leaves may miss the last ones, those that were not yet written then.
            assert!(
                is_message && (may_miss || item == Item::Parted),
                "channel {channel}: {item:?} came when {due:?} was due"
            );
            lost.missing += 1;
        }
    }
    for due in expected.into_iter().flatten() {
        let is_dropped = may_miss && matches!(due, Item::Message(_));
        assert!(loose != Loose::No || is_dropped, "{due:?} never came");
        lost.missing += 1;
    }
    assert!(is_closed || loose != Loose::Closed, "ended without a close frame");
    lost
}

enum Frame {
    Text(String),
    Close,
}

/// The frames of a server, whole unless the stream may be cut.
fn frames(mut bytes: &[u8], may_be_cut: bool) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (len, payload) = match (second, rest) {
            (126, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            (len @ 0..=125, rest) => (usize::from(*len), rest),
            (126, _) => break,
            (other, _) => panic!("length {other}: frames are mixed up"),
        };
        let Some((payload, rest)) = payload.split_at_checked(len) else { break };
        frames.push(match first {
            0x81 => Frame::Text(String::from_utf8(payload.to_vec()).expect("text is UTF-8")),
            0x88 => Frame::Close,
            other => panic!("first byte {other:#x}: frames are mixed up"),
        });
        bytes = rest;
    }
    assert!(may_be_cut || bytes.is_empty(), "a frame was begun and not finished");
    frames
}

fn parse(text: &str) -> (usize, Item) {
    if let Some(channel) = text.strip_prefix('+') {
        return (channel.parse().unwrap(), Item::Joined);
    }
    if let Some(channel) = text.strip_prefix('-') {
        return (channel.parse().unwrap(), Item::Parted);
    }
    let envelope: Option<serde_json::Value> =
        text.starts_with('{').then(|| serde_json::from_str(text).expect("the envelope is JSON"));
    if let Some(gap) = envelope.as_ref().filter(|envelope| envelope["type"] == "gap") {
        let [lost, from, to] = ["lost", "from", "to"].map(|field| gap[field].as_u64().unwrap());
        assert!(from <= to && lost <= to - from + 1, "{text}");
        let channel = NAMES.iter().position(|name| gap["channel"] == *name).unwrap();
        return (channel, Item::Gap(lost));
    }
    let text = envelope.as_ref().map_or(text, |envelope| envelope["text"].as_str().unwrap());
    let mut words = text.split(' ');
    let mut number = || words.next().unwrap().parse::<u32>().unwrap();
    (number() as usize, Item::Message(number()))
}
