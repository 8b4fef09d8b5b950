//! What can be asked for.

use std::net::SocketAddr;

/// How messages come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many are under way at any time.
    Window(u64),
    /// So many a second, whatever happened to the ones before.
    Rate(f64),
}

#[derive(Clone, Debug)]
pub struct Options {
    pub target: SocketAddr,
    /// Paths, with `{channels}` where `channel=NAME` goes, joined by `&` if there are several.
    pub subscribe: String,
    pub publish: String,
    /// The server's processes.
    pub pids: Vec<u32>,
    pub subscribers: usize,
    pub channels: usize,
    /// Channels of each subscriber.
    pub each: usize,
    pub pace: Pace,
    pub seconds: f64,
    /// Length of a message.
    pub bytes: usize,
    pub stalled: usize,
    /// Subscribers of a small channel beside the others, which gets messages at `small_rate`.
    pub small: usize,
    pub small_rate: f64,
    /// Subscribers that come, all at once, while messages flow.
    pub joiners: usize,
    /// Whether messages are JSON, and whether connections offer permessage-deflate.
    pub json: bool,
    pub deflate: bool,
    /// Handshakes under way at once.
    pub connecting: usize,
}

const USAGE: &str = "load --target IP:PORT --subscribe PATH --publish PATH --pids PID,PID \
    --subscribers N [--channels N] [--each N] [--window N | --rate R] [--seconds S] [--bytes N] \
    [--stalled N] [--small N --small-rate R] [--joiners N] [--connecting N] \
    [--json yes] [--deflate yes]";

impl Options {
    /// From the arguments, without the program's name.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            target: SocketAddr::from(([127, 0, 0, 1], 0)),
            subscribe: "/ws?{channels}".into(),
            publish: "/pub?{channels}".into(),
            pids: Vec::new(),
            subscribers: 0,
            channels: 1,
            each: 1,
            pace: Pace::Window(1),
            seconds: 0.0,
            bytes: 128,
            stalled: 0,
            small: 0,
            small_rate: 100.0,
            joiners: 0,
            json: false,
            deflate: false,
            connecting: 1,
        };
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} wants a value\n{USAGE}"))?;
            options.set(&name, value)?;
        }
        if options.target.port() == 0 || options.pids.is_empty() {
            return Err(format!("--target and --pids are needed\n{USAGE}"));
        }
        if options.each > options.channels || options.channels > 65_000 {
            return Err("--each is at most --channels, and that at most 65000".into());
        }
        if options.bytes < super::wire::MARK_BYTES {
            return Err(format!("--bytes is at least {}", super::wire::MARK_BYTES));
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
            value.parse().map_err(|_| format!("{name} wants a number, not {value:?}"))
        }
        match name {
            "--target" => {
                self.target = value.parse().map_err(|_| "--target wants IP:PORT".to_owned())?;
            }
            "--subscribe" => self.subscribe = value,
            "--publish" => self.publish = value,
            "--pids" => {
                self.pids =
                    value.split(',').map(|pid| number(name, pid)).collect::<Result<_, _>>()?;
            }
            "--subscribers" => self.subscribers = number(name, &value)?,
            "--channels" => self.channels = number::<usize>(name, &value)?.max(1),
            "--each" => self.each = number::<usize>(name, &value)?.max(1),
            "--window" => self.pace = Pace::Window(number::<u64>(name, &value)?.max(1)),
            "--rate" => self.pace = Pace::Rate(number::<f64>(name, &value)?.max(0.1)),
            "--seconds" => self.seconds = number(name, &value)?,
            "--bytes" => self.bytes = number(name, &value)?,
            "--stalled" => self.stalled = number(name, &value)?,
            "--small" => self.small = number(name, &value)?,
            "--small-rate" => self.small_rate = number(name, &value)?,
            "--joiners" => self.joiners = number(name, &value)?,
            "--json" => self.json = value == "yes",
            "--deflate" => self.deflate = value == "yes",
            "--connecting" => self.connecting = number::<usize>(name, &value)?.max(1),
            _ => return Err(format!("{name} is not known\n{USAGE}")),
        }
        Ok(())
    }
}
