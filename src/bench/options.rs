//! What a run is asked to do, and whether that can be done.

use std::net::IpAddr;
use std::time::Duration;

use super::BenchError;
use super::sources::Sources;
use super::stamp::STAMP_BYTES;
use super::tls::TlsOptions;

/// The most channels: a stamp has 16 bits for one.
pub const CHANNELS_MAX: usize = 1 << 16;
/// The longest message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// The longest part of a run.
pub const DURATION_MAX: Duration = Duration::from_secs(86_400);

/// What happens in a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scenario {
    /// Messages at fixed times, whatever the server does: an open loop.
    Fanout {
        /// Messages a second, over all channels.
        rate_per_s: f64,
    },
    /// So many messages on their way, over all channels: a closed loop.
    Burst {
        /// How many.
        window: usize,
    },
    /// Like burst, and at the same time a small channel with messages at fixed times, in a thread of
    /// its own.
    Beside {
        /// Messages on their way in the big channel.
        window: usize,
        /// The small channel.
        small: Small,
    },
    /// Like fanout, over many channels.
    Channels {
        /// Messages a second, over all channels.
        rate_per_s: f64,
    },
    /// Like fanout, while some subscribers have stopped reading.
    Stalled {
        /// Messages a second.
        rate_per_s: f64,
        /// Which part of the subscribers, in percent.
        percent: f64,
    },
    /// Like fanout; in the middle everybody is gone and comes back at once. If the target names its
    /// channel, a small channel beside stays connected, to see what its sessions feel of it.
    Storm {
        /// Messages a second.
        rate_per_s: f64,
    },
    /// Connections, and nothing else.
    Idle,
}

/// Those that stay connected in a storm: a small channel of their own, so that what they feel of it can be
/// told from what they feel of the messages.
const STEADY: Small = Small { subscribers: 10, rate_per_s: 100.0 };

/// A small channel beside a big one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Small {
    /// Its subscribers.
    pub subscribers: usize,
    /// Its messages a second.
    pub rate_per_s: f64,
}

impl Scenario {
    /// As it is called on the command line and in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fanout { .. } => "fanout",
            Self::Burst { .. } => "burst",
            Self::Beside { .. } => "beside",
            Self::Channels { .. } => "channels",
            Self::Stalled { .. } => "stalled",
            Self::Storm { .. } => "storm",
            Self::Idle => "idle",
        }
    }

    /// Messages a second, if they come at fixed times.
    pub fn rate_per_s(&self) -> Option<f64> {
        match self {
            Self::Fanout { rate_per_s }
            | Self::Channels { rate_per_s }
            | Self::Stalled { rate_per_s, .. }
            | Self::Storm { rate_per_s } => Some(*rate_per_s),
            Self::Burst { .. } | Self::Beside { .. } | Self::Idle => None,
        }
    }

    /// Messages on their way at most, if that decides when the next are sent.
    pub fn window(&self) -> Option<usize> {
        match self {
            Self::Burst { window } | Self::Beside { window, .. } => Some(*window),
            _ => None,
        }
    }

    /// The small channel beside, where that is what is measured.
    pub fn beside(&self) -> Option<Small> {
        if let Self::Beside { small, .. } = self { Some(*small) } else { None }
    }

    /// Subscribers that stop reading, in percent.
    pub fn stalled_percent(&self) -> f64 {
        if let Self::Stalled { percent, .. } = self { *percent } else { 0.0 }
    }
}

/// How messages get to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishBy {
    /// A message over a WebSocket of its own.
    WebSocket,
    /// An HTTP request.
    Http,
}

/// What is spoken inside of the WebSocket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// Templates: what is sent to subscribe and to publish is what the options say; what comes is
    /// looked through for a stamp.
    #[default]
    Plain,
}

/// Everything that a run is told. Made with the defaults of the command line by
/// [`Options::new`].
#[derive(Clone, Debug)]
pub struct Options {
    /// What happens.
    pub scenario: Scenario,
    /// Where subscribers connect: `ws://` or `wss://`, with `{channel}` for the name of a channel.
    pub url: String,
    /// How TLS is spoken.
    pub tls: TlsOptions,
    /// How many.
    pub subscribers: usize,
    /// How many channels there are.
    pub channels: usize,
    /// Of how many of them each subscriber is one.
    pub channels_per_session: usize,
    /// What the names of channels begin with; a number follows.
    pub channel_prefix: String,
    /// Whether subscribers offer permessage-deflate.
    pub deflate: bool,
    /// Headers of every handshake. They are in no report.
    pub headers: Vec<(String, String)>,
    /// Sent over each subscriber's WebSocket, for each of its channels, if there is one.
    pub subscribe_message: Option<String>,
    /// How messages get to the server.
    pub publish_by: PublishBy,
    /// Where to publish; `url` if there is none.
    pub publish_url: Option<String>,
    /// The method of a publishing request.
    pub publish_method: String,
    /// The headers of a publishing request, or of the publisher's handshake instead of `headers`.
    pub publish_headers: Vec<(String, String)>,
    /// What is published, with `{message}` and `{channel}`.
    pub publish_body: String,
    /// Whether WebSocket messages are published as binary, not as text.
    pub is_binary: bool,
    /// How long each message is, in bytes, without what the template puts around it.
    pub message_bytes: usize,
    /// How long is measured.
    pub duration: Duration,
    /// How long messages are sent before that.
    pub warmup: Duration,
    /// How long everything is left alone after the last handshake.
    pub settle: Duration,
    /// How long to wait for what is missing, from the last message that came.
    pub grace: Duration,
    /// How long a connection may take, with its handshake.
    pub connect_timeout: Duration,
    /// New connections a second; as fast as it goes if there is none.
    pub connect_rate_per_s: Option<f64>,
    /// Handshakes at a time.
    pub connect_parallel: usize,
    /// The addresses that connections come from, in turn.
    pub sources: Option<Sources>,
    /// Processes of the server.
    pub pids: Vec<u32>,
    /// What the run is called in reports.
    pub label: String,
    /// What is spoken.
    pub dialect: Dialect,
}

impl Options {
    /// With the defaults for everything else.
    pub fn new(scenario: Scenario, url: impl Into<String>) -> Self {
        Self {
            scenario,
            url: url.into(),
            tls: TlsOptions::default(),
            subscribers: 1_000,
            channels: 1,
            channels_per_session: 1,
            channel_prefix: "bench-".to_owned(),
            deflate: false,
            headers: Vec::new(),
            subscribe_message: None,
            publish_by: PublishBy::WebSocket,
            publish_url: None,
            publish_method: "POST".to_owned(),
            publish_headers: Vec::new(),
            publish_body: "{message}".to_owned(),
            is_binary: false,
            message_bytes: 128,
            duration: Duration::from_secs(10),
            warmup: Duration::from_secs(1),
            settle: Duration::from_millis(500),
            grace: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            connect_rate_per_s: None,
            connect_parallel: 512,
            sources: None,
            pids: Vec::new(),
            label: String::new(),
            dialect: Dialect::Plain,
        }
    }

    /// The name of a channel.
    pub(crate) fn channel_name(&self, channel: usize) -> String {
        format!("{}{channel}", self.channel_prefix)
    }

    /// Finds what cannot be done.
    ///
    /// # Errors
    /// The first that is found.
    pub fn check(&self) -> Result<(), BenchError> {
        let wrong = |text: String| Err(BenchError::Options(text));
        for (name, value, max) in [
            ("--subscribers", self.subscribers, 10_000_000),
            ("--channels", self.channels, CHANNELS_MAX),
            ("--per-session", self.channels_per_session, self.channels),
            ("--connect-parallel", self.connect_parallel, 1_000_000),
        ] {
            if !(1..=max).contains(&value) {
                return wrong(format!("{name} is {value}; it is from 1 to {max}"));
            }
        }
        if !(STAMP_BYTES..=MESSAGE_BYTES_MAX).contains(&self.message_bytes) {
            return wrong(format!(
                "--message-bytes is {}; it is from {STAMP_BYTES}, what a stamp needs, to {MESSAGE_BYTES_MAX}",
                self.message_bytes
            ));
        }
        for (name, time) in [
            ("--duration", self.duration),
            ("--warmup", self.warmup),
            ("--settle", self.settle),
            ("--grace", self.grace),
            ("--connect-timeout", self.connect_timeout),
        ] {
            if time > DURATION_MAX {
                return wrong(format!("{name} is longer than a day"));
            }
        }
        self.check_tls()?;
        self.check_traffic()?;
        self.check_names()
    }

    fn check_traffic(&self) -> Result<(), BenchError> {
        let wrong = |text: String| Err(BenchError::Options(text));
        let beside = self.scenario.beside();
        if beside.is_some_and(|small| !(1..=100_000).contains(&small.subscribers)) {
            return wrong("--small-subscribers is from 1 to 100000".to_owned());
        }
        let rate = self.scenario.rate_per_s().or(beside.map(|small| small.rate_per_s));
        if let Some(rate) = rate {
            if !(rate > 0.0 && rate <= 1e6) {
                return wrong("--rate is more than 0 and at most 1000000 a second".to_owned());
            }
            let messages = rate * (self.duration + self.warmup).as_secs_f64();
            if messages > 1e9 {
                return wrong("--rate and --duration make more than a billion messages".to_owned());
            }
        }
        if self.connect_rate_per_s.is_some_and(|rate| !(rate > 0.0 && rate <= 1e6)) {
            return wrong("--connect-rate is more than 0 and at most 1000000 a second".to_owned());
        }
        if self.scenario.window().is_some_and(|window| !(1..=65_536).contains(&window)) {
            return wrong("--window is from 1 to 65536".to_owned());
        }
        match self.scenario {
            Scenario::Stalled { percent, .. } if !(0.0..100.0).contains(&percent) => {
                wrong("--stalled-percent is from 0 to less than 100".to_owned())
            }
            _ if self.duration.is_zero() => wrong("--duration is 0".to_owned()),
            _ => Ok(()),
        }
    }

    /// Whether a subscriber and a publisher choose their channel.
    fn names_channels(&self) -> (bool, bool) {
        let names = |text: &str| text.contains("{channel}");
        let is_chosen = names(&self.url) || self.subscribe_message.as_deref().is_some_and(names);
        let is_published_to =
            names(&self.publish_body) || names(self.publish_url.as_deref().unwrap_or(&self.url));
        (is_chosen, is_published_to)
    }

    /// The small channel beside: where that is what is measured, and in a storm if there can be one.
    pub(crate) fn beside(&self) -> Option<Small> {
        let is_storm = matches!(self.scenario, Scenario::Storm { .. });
        let steady = (is_storm && self.names_channels() == (true, true)).then_some(STEADY);
        self.scenario.beside().or(steady)
    }

    fn check_names(&self) -> Result<(), BenchError> {
        let wrong = |text: &str| Err(BenchError::Options(text.to_owned()));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if !self.channel_prefix.chars().all(is_plain) || self.channel_prefix.len() > 100 {
            return wrong("--channel-prefix is letters, digits and -_.: up to 100 of them");
        }
        if !self.publish_body.contains("{message}") && self.scenario != Scenario::Idle {
            return wrong("--publish-body has no {message} in it");
        }
        let (is_chosen, is_published_to) = self.names_channels();
        let has_several = self.channels > 1 || self.scenario.beside().is_some();
        if has_several && !is_chosen {
            return wrong(
                "there are several channels and neither --url nor --subscribe-message has {channel}",
            );
        }
        if has_several && !is_published_to && self.scenario != Scenario::Idle {
            return wrong(
                "there are several channels and neither --publish-url nor --publish-body has {channel}",
            );
        }
        if self.publish_by == PublishBy::Http && self.publish_url.is_none() {
            return wrong("--publish http needs --publish-url");
        }
        let is_head = |text: &str| !text.bytes().any(|byte| byte < b' ' || byte == 127);
        let headers = self.headers.iter().chain(&self.publish_headers);
        let is_token = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        if headers.clone().any(|(name, value)| !is_token(name) || !is_head(value)) {
            return wrong("a header is 'Name: value' in one line");
        }
        if !is_token(&self.publish_method) {
            return wrong("--publish-method is a word like POST");
        }
        Ok(())
    }

    /// The source of the connection with this number.
    pub(crate) fn source(&self, number: usize) -> Option<IpAddr> {
        self.sources.as_ref().map(|sources| sources.address(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options::new(Scenario::Fanout { rate_per_s: 10.0 }, "ws://127.0.0.1:1/ws?channel={channel}")
    }

    fn refused(change: impl FnOnce(&mut Options)) -> String {
        let mut options = options();
        change(&mut options);
        options.check().expect_err("is refused").to_string()
    }

    #[test]
    fn the_defaults_are_good() {
        options().check().unwrap();
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        assert!(refused(|o| o.subscribers = 0).contains("--subscribers is 0"));
        assert!(refused(|o| o.channels_per_session = 2).contains("--per-session is 2"));
        assert!(refused(|o| o.message_bytes = 31).contains("from 32"));
        assert!(refused(|o| o.duration = Duration::ZERO).contains("--duration"));
        assert!(refused(|o| o.duration = DURATION_MAX * 2).contains("a day"));
        assert!(refused(|o| o.publish_body = "x".into()).contains("{message}"));
        assert!(refused(|o| o.publish_by = PublishBy::Http).contains("--publish-url"));
        assert!(refused(|o| o.channel_prefix = "a b".into()).contains("--channel-prefix"));
        assert!(refused(|o| o.headers.push(("a".into(), "b\r\nc".into()))).contains("header"));
        let fanout = |rate_per_s| Scenario::Fanout { rate_per_s };
        assert!(refused(|o| o.scenario = fanout(0.0)).contains("--rate"));
        assert!(refused(|o| o.scenario = fanout(f64::NAN)).contains("--rate"));
        assert!(refused(|o| o.scenario = Scenario::Burst { window: 0 }).contains("--window"));
    }

    #[test]
    fn several_channels_have_to_be_told_apart() {
        let text = refused(|o| {
            o.channels = 3;
            o.url = "ws://127.0.0.1:1/".into();
        });
        assert!(text.contains("--subscribe-message"), "{text}");
        let text = refused(|o| {
            o.channels = 3;
            o.publish_url = Some("ws://127.0.0.1:1/".into());
        });
        assert!(text.contains("--publish-body"), "{text}");
    }
}
