//! What can be typed behind `fanfare bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};

use crate::bench::options::{Options, PublishBy, Scenario, Small};
use crate::bench::sources::Sources;
use crate::bench::tls::TlsOptions;

pub(crate) const HELP: &str = "\
Any WebSocket server will do: what is published is a line of letters, and a subscriber looks for it
in the first 256 bytes of each message, so the server may wrap it, one in each WebSocket message.
{channel} in URLs, bodies and messages becomes the name of a channel: bench-0, bench-1, ...

Examples:
  Ours, published to over a WebSocket, with the server's CPU and memory
    fanfare bench fanout --url 'ws://127.0.0.1:8000/ws?channel=bench' \\
      --subscribers 2000 --rate 10 --duration 10s --pid $(pidof -s fanfare) --html out.html

  The same, published by HTTP requests
    fanfare bench fanout --url 'ws://127.0.0.1:8000/ws?channel={channel}' --publish http \\
      --publish-url 'http://127.0.0.1:8000/publish?channel={channel}'

  Sessions in 10 of 1,000 channels each: the parameter of the channel is repeated
    fanfare bench channels --url 'ws://127.0.0.1:8000/ws?format=json&channel={channel}' \\
      --channels 1000 --per-session 10 --rate 100 \\
      --publish-url 'ws://127.0.0.1:8000/ws?format=json' \\
      --publish-body '{\"type\":\"publish\",\"channel\":\"{channel}\",\"text\":\"{message}\"}'

  As much as goes, 32 messages on their way at a time
    fanfare bench burst --window 32 --url 'ws://127.0.0.1:8000/ws?channel=bench'

  A channel of 10 beside one of 10,000 that has all it can take
    fanfare bench beside --url 'ws://127.0.0.1:8000/ws?channel={channel}' --subscribers 10000

  nginx with nchan, all its workers
    fanfare bench fanout --url ws://127.0.0.1/sub/x --publish http \\
      --publish-url http://127.0.0.1/pub/x --pid 101 --pid 102

  Over TLS, with a certificate of an authority of one's own (or --tls-insecure for any)
    fanfare bench storm --url 'wss://gateway.test:8443/ws?channel={channel}' --tls-ca ca.pem

  Several runs on one page
    fanfare bench report a.json b.json --html all.html

Latency counts from the time that a message was meant to be sent. SIGINT ends the measurement and
shows what was measured until then.

Exit codes:
  0  ok: everything arrived once and in order (of subscribers that read)
  1  lost, doubled, out of order, disconnected, not connected; or it could not run. What was
     measured is written all the same
  2  the arguments are not understood, or ask for what cannot be done";

/// Arguments of `fanfare bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) scenario: Scenarios,
}

#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Scenarios {
    /// One channel, many subscribers, messages at a fixed rate
    #[command(after_help = HELP)]
    Fanout {
        #[command(flatten)]
        rate: Rate,
        #[command(flatten)]
        common: Box<Common>,
    },
    /// So many messages on their way
    #[command(after_help = HELP)]
    Burst {
        #[command(flatten)]
        window: Window,
        /// How many channels; the window is theirs together
        #[arg(long, default_value_t = 1)]
        channels: usize,
        /// Of how many each subscriber is one
        #[arg(long, default_value_t = 1)]
        per_session: usize,
        #[command(flatten)]
        common: Box<Common>,
    },
    /// Like burst, and a small channel beside: what it waits for the big one
    #[command(after_help = HELP)]
    Beside {
        #[command(flatten)]
        window: Window,
        /// Subscribers of the small channel
        #[arg(long, default_value_t = 10, value_name = "N")]
        small_subscribers: usize,
        /// Messages a second in the small channel, whatever the server does
        #[arg(long, default_value_t = 200.0, value_name = "RATE")]
        small_rate: f64,
        #[command(flatten)]
        common: Box<Common>,
    },
    /// Many channels, each subscriber in several
    #[command(after_help = HELP)]
    Channels {
        /// How many channels
        #[arg(long, default_value_t = 1_000)]
        channels: usize,
        /// Of how many each subscriber is one
        #[arg(long, default_value_t = 10)]
        per_session: usize,
        #[command(flatten)]
        rate: Rate,
        #[command(flatten)]
        common: Box<Common>,
    },
    /// Like fanout, while some have stopped reading; those may be disconnected
    #[command(after_help = HELP)]
    Stalled {
        /// How many of the subscribers, in percent
        #[arg(long, default_value_t = 10.0)]
        stalled_percent: f64,
        #[command(flatten)]
        rate: Rate,
        #[command(flatten)]
        common: Box<Common>,
    },
    /// Like fanout; in the middle everybody is gone and comes back at once, which ten in a channel of their
    /// own watch if the URL has {channel}
    #[command(after_help = HELP)]
    Storm {
        #[command(flatten)]
        rate: Rate,
        #[command(flatten)]
        common: Box<Common>,
    },
    /// Connections, and nothing else: time to connect, memory
    #[command(after_help = HELP)]
    Idle {
        #[command(flatten)]
        common: Box<Common>,
    },
    /// Put the JSON of several runs on one page
    Report {
        /// What --json wrote
        #[arg(required = true, value_name = "JSON")]
        files: Vec<PathBuf>,
        /// The page
        #[arg(long, value_name = "FILE")]
        html: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rate {
    /// Messages a second, over all channels, whatever the server does
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Window {
    /// Messages that have not reached everybody; filled again when half of them have
    #[arg(long, default_value_t = 32)]
    window: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum By {
    Ws,
    Http,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kind {
    Text,
    Binary,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Where subscribers connect: ws:// or wss://
    #[arg(long)]
    url: String,
    /// Authorities in PEM to trust besides the machine's, for wss:// and https://
    #[arg(long, value_name = "FILE", conflicts_with = "tls_insecure")]
    tls_ca: Option<PathBuf>,
    /// Take any certificate without looking at it: only for servers under test
    #[arg(long)]
    tls_insecure: bool,
    /// How many
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    subscribers: usize,
    /// How long is measured, in ms, s or m
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = duration)]
    duration: Duration,
    /// How long messages are sent before that
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = duration)]
    warmup: Duration,
    /// How long everything is left alone after the last handshake
    #[arg(long, default_value = "500ms", value_name = "TIME", value_parser = duration)]
    settle: Duration,
    /// How long to wait for what is missing
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = duration)]
    grace: Duration,
    /// The length of a message, without what --publish-body puts around it
    #[arg(long, default_value_t = 128, value_name = "BYTES")]
    message_bytes: usize,
    /// What published WebSocket messages are
    #[arg(long, default_value = "text", value_name = "KIND")]
    message_kind: Kind,
    /// How to publish
    #[arg(long, default_value = "ws", value_name = "HOW")]
    publish: By,
    /// Where to publish [default: --url]; if it has {channel}, a WebSocket for each
    #[arg(long, value_name = "URL")]
    publish_url: Option<String>,
    /// The method of a publishing request
    #[arg(long, default_value = "POST", value_name = "METHOD")]
    publish_method: String,
    /// A header of it, or of the publisher's handshake in place of --header (can be repeated)
    #[arg(long, value_name = "NAME: VALUE")]
    publish_header: Vec<String>,
    /// What is published, with {message} and {channel}
    #[arg(long, default_value = "{message}", value_name = "TEMPLATE")]
    publish_body: String,
    /// A header of every handshake (can be repeated)
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Offer permessage-deflate, without context takeover
    #[arg(long)]
    deflate: bool,
    /// What a subscriber sends for each of its channels, with {channel}
    #[arg(long, value_name = "TEMPLATE")]
    subscribe_message: Option<String>,
    /// What the names of channels begin with
    #[arg(long, default_value = "bench-", value_name = "TEXT")]
    channel_prefix: String,
    /// New connections a second [default: as fast as it goes]
    #[arg(long, value_name = "N")]
    connect_rate: Option<f64>,
    /// Handshakes at a time
    #[arg(long, default_value_t = 512, value_name = "N")]
    connect_parallel: usize,
    /// How long a connection with its handshake may take
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = duration)]
    connect_timeout: Duration,
    /// Addresses that connections come from: 127.0.0.0/8 when ports run out
    #[arg(long, value_name = "ADDRESSES")]
    sources: Option<Sources>,
    /// A process of the server, for its CPU and memory (can be repeated)
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
    /// What the run is called in reports
    #[arg(long, default_value = "", value_name = "TEXT")]
    label: String,
    /// Write the figures as JSON; - for stdout, in place of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Do not tell how far it is
    #[arg(long)]
    quiet: bool,
}

/// A run, and where it goes.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) options: Options,
    pub(crate) json: Option<PathBuf>,
    pub(crate) html: Option<PathBuf>,
    pub(crate) is_quiet: bool,
}

impl Scenarios {
    pub(crate) fn into_run(self) -> Result<Run, String> {
        let fixed = |rate: Rate| rate.rate;
        match self {
            Self::Fanout { rate, common } => {
                common.run(Scenario::Fanout { rate_per_s: fixed(rate) }, 1, 1)
            }
            Self::Burst { window, channels, per_session, common } => {
                common.run(Scenario::Burst { window: window.window }, channels, per_session)
            }
            Self::Beside { window, small_subscribers, small_rate, common } => {
                let small = Small { subscribers: small_subscribers, rate_per_s: small_rate };
                common.run(Scenario::Beside { window: window.window, small }, 1, 1)
            }
            Self::Channels { channels, per_session, rate, common } => {
                let scenario = Scenario::Channels { rate_per_s: fixed(rate) };
                common.run(scenario, channels, per_session)
            }
            Self::Stalled { stalled_percent, rate, common } => {
                let rate_per_s = fixed(rate);
                common.run(Scenario::Stalled { rate_per_s, percent: stalled_percent }, 1, 1)
            }
            Self::Storm { rate, common } => {
                common.run(Scenario::Storm { rate_per_s: fixed(rate) }, 1, 1)
            }
            Self::Idle { common } => common.run(Scenario::Idle, 1, 1),
            Self::Report { .. } => Err("report runs nothing".to_owned()),
        }
    }
}

impl Common {
    fn run(
        self,
        scenario: Scenario,
        channels: usize,
        channels_per_session: usize,
    ) -> Result<Run, String> {
        let options = Options {
            subscribers: self.subscribers,
            channels,
            channels_per_session,
            channel_prefix: self.channel_prefix,
            headers: headers(&self.header, "--header")?,
            deflate: self.deflate,
            subscribe_message: self.subscribe_message,
            publish_by: match self.publish {
                By::Ws => PublishBy::WebSocket,
                By::Http => PublishBy::Http,
            },
            publish_url: self.publish_url,
            tls: TlsOptions { ca_file: self.tls_ca, is_insecure: self.tls_insecure },
            publish_method: self.publish_method,
            publish_headers: headers(&self.publish_header, "--publish-header")?,
            publish_body: self.publish_body,
            is_binary: matches!(self.message_kind, Kind::Binary),
            message_bytes: self.message_bytes,
            duration: self.duration,
            warmup: self.warmup,
            settle: self.settle,
            grace: self.grace,
            connect_timeout: self.connect_timeout,
            connect_rate_per_s: self.connect_rate,
            connect_parallel: self.connect_parallel,
            sources: self.sources,
            pids: self.pid,
            label: self.label,
            ..Options::new(scenario, self.url)
        };
        Ok(Run { options, json: self.json, html: self.html, is_quiet: self.quiet })
    }
}

fn duration(typed: &str) -> Result<Duration, String> {
    let unit = [("ms", 1), ("s", 1_000), ("m", 60_000)];
    let read = |(letters, ms): &(&str, u64)| {
        let number = typed.strip_suffix(letters)?;
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse::<u64>().ok().filter(|_| is_plain)?.checked_mul(*ms)
    };
    let ms = unit.iter().find_map(read).filter(|ms| *ms <= 86_400_000);
    ms.map(Duration::from_millis).ok_or_else(|| "write a number and ms, s or m: 500ms".to_owned())
}

/// Not by clap, whose errors show what was typed: it may be a key.
fn headers(typed: &[String], option: &str) -> Result<Vec<(String, String)>, String> {
    let split = |text: &String| {
        let (name, value) = text.split_once(':')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    let all = typed.iter().map(split).collect::<Option<_>>();
    all.ok_or_else(|| format!("{option}: write 'Name: value'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for typed in ["", "10", "s", "1.5s", "-1s", "+1s", "2h", "99999m"] {
            assert!(duration(typed).is_err(), "{typed}");
        }
    }
}
