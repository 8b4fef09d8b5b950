//! Which messages are on their way, and how long they took.

use hdrhistogram::Histogram;

/// A minute in µs: what takes longer counts as that.
const LONGEST_US: u64 = 60_000_000;

/// One message, from its publication to its last subscriber.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// When it was due, in ns. Not when it was written: a generator that is late must not hide it.
    due_ns: u64,
    first_ns: u64,
    remaining: u32,
    measured: bool,
}

#[derive(Debug, Default)]
struct Channel {
    sent: Vec<Sent>,
    subscribers: u32,
    group: usize,
}

/// Times of one group of channels, in µs.
#[derive(Debug)]
pub struct Times {
    /// From when a message was due to each subscriber.
    pub each: Histogram<u64>,
    /// To the last one.
    pub last: Histogram<u64>,
    /// From the first subscriber to the last.
    pub pass: Histogram<u64>,
}

impl Times {
    fn new() -> Self {
        let new = || Histogram::new_with_max(LONGEST_US, 3).expect("3 digits up to a minute");
        Self { each: new(), last: new(), pass: new() }
    }
}

#[derive(Debug)]
pub struct Tracker {
    channels: Vec<Channel>,
    pub groups: Vec<Times>,
    pub sent: u64,
    pub completed: u64,
    pub deliveries: u64,
    /// Whether what is sent now is measured.
    pub measuring: bool,
}

impl Tracker {
    pub fn new(channels: usize, groups: usize) -> Self {
        Self {
            channels: (0..channels).map(|_| Channel::default()).collect(),
            groups: (0..groups).map(|_| Times::new()).collect(),
            sent: 0,
            completed: 0,
            deliveries: 0,
            measuring: false,
        }
    }

    /// A subscriber that is waited for.
    pub fn add_subscriber(&mut self, channel: u16) {
        self.channels[usize::from(channel)].subscribers += 1;
    }

    pub fn set_group(&mut self, channel: u16, group: usize) {
        self.channels[usize::from(channel)].group = group;
    }

    /// How many messages the channel had so far: the number of its next one.
    pub fn next_number(&self, channel: u16) -> u32 {
        self.channels[usize::from(channel)].sent.len() as u32
    }

    pub fn outstanding(&self) -> u64 {
        self.sent - self.completed
    }

    /// Notes a message and gives its number.
    pub fn send(&mut self, channel: u16, due_ns: u64) -> u32 {
        let channel = &mut self.channels[usize::from(channel)];
        let number = channel.sent.len() as u32;
        let (remaining, measured) = (channel.subscribers, self.measuring);
        channel.sent.push(Sent { due_ns, first_ns: 0, remaining, measured });
        self.sent += 1;
        if remaining == 0 {
            self.completed += 1;
        }
        number
    }

    /// Notes that a subscriber has a message.
    #[inline]
    pub fn delivered(&mut self, channel: u16, number: u32, now_ns: u64) {
        self.deliveries += 1;
        let Some(channel) = self.channels.get_mut(usize::from(channel)) else { return };
        let Some(sent) = channel.sent.get_mut(number as usize) else { return };
        let group = &mut self.groups[channel.group];
        let took_us = (now_ns.saturating_sub(sent.due_ns) / 1_000).min(LONGEST_US);
        if sent.measured {
            group.each.saturating_record(took_us);
        }
        if sent.first_ns == 0 {
            sent.first_ns = now_ns;
        }
        if sent.remaining > 0 {
            sent.remaining -= 1;
            if sent.remaining == 0 {
                self.completed += 1;
                if sent.measured {
                    group.last.saturating_record(took_us);
                    let pass = now_ns.saturating_sub(sent.first_ns) / 1_000;
                    group.pass.saturating_record(pass.min(LONGEST_US));
                }
            }
        }
    }
}
