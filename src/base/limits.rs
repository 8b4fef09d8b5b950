//! Every bound of a hub and its sessions, with its default and its reason.
//!
//! A bound is a plain number here. What checks that they make sense together is the
//! configuration; what holds them is the part that each names.

/// What happens to data that does not fit into the outbox of a session that is behind.
///
/// All but the first keep the session connected. It misses messages then; every one is counted
/// ([`DropCause`](super::loss::DropCause)) and told to the session where its protocol can say so. What
/// the socket already has, or the writer has in hand, is never taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlowConsumerPolicy {
    /// The session ends with [`Reason::SlowConsumer`](super::disconnect::Reason::SlowConsumer):
    /// whoever stays connected has missed nothing.
    #[default]
    Disconnect,
    /// The new message is dropped; what is queued stays. For a log whose beginning matters most.
    DropNewest,
    /// The oldest queued messages of the channel make way. For a feed whose end matters most.
    DropOldest,
    /// The newest value of each key: a queued one of the same key is replaced, whether or not there
    /// is room. A message without a key is treated as by `DropOldest`. For a table of prices.
    Conflate,
    /// The newest message of the channel alone: a queued one is replaced, whether or not there is
    /// room. For a single state, where the last one says it all.
    Latest,
}

impl SlowConsumerPolicy {
    /// Every policy, in order.
    pub const ALL: [SlowConsumerPolicy; 5] =
        [Self::Disconnect, Self::DropNewest, Self::DropOldest, Self::Conflate, Self::Latest];

    /// Their names in the configuration.
    pub const NAMES: &'static [&'static str] =
        &["disconnect", "drop_newest", "drop_oldest", "conflate", "latest"];

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The policy of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// The longest idempotency key, conflation key and version epoch that an API takes, in bytes.
pub const PUBLISH_KEY_BYTES_MAX: usize = 128;

/// The longest time to live that an API takes, in milliseconds: a day.
pub const TTL_MS_MAX: u64 = 86_400_000;

/// The bounds of a hub.
#[derive(Clone, Debug)]
pub struct HubLimits {
    /// Workers of the fan-out. Default: the runtime's worker threads. Memory: about 300 KiB a lane.
    pub lanes: usize,
    /// Sessions at once, default 1,000,000. Memory: about 1.5 KiB for an idle one.
    pub sessions_max: usize,
    /// Sessions of one user at once, default 1,024: more than the devices and pages of anybody, fewer
    /// than would make a list of them slow. Memory: 8 bytes each.
    pub sessions_per_user_max: usize,
    /// Channels at once, default 1,000,000. Memory: about 1 KiB for one that was published to.
    pub channels_max: usize,
    /// Subscriptions of one session, default 128. Memory: 40 bytes each.
    pub subscriptions_per_session_max: usize,
    /// Subscribers of one channel, default 1,000,000; a channel's rule may set another bound. Memory:
    /// 40 bytes each.
    pub subscribers_per_channel_max: usize,
    /// Publications of one session a second, default 10,000, over ten seconds: so 100,000 may come at
    /// once. Far more than anybody types or measures; a program that feeds the hub through one
    /// connection does well to use the HTTP API. Memory: none.
    pub publishes_per_session_per_s_max: u32,
    /// Publications of one channel that are accepted and not yet written by every lane,
    /// default 1,024. Beyond it publishers are told that the hub is overloaded.
    pub publications_pending_max: usize,
    /// Bytes of all such publications, default 64 MiB, payload and bookkeeping. This is the most
    /// that publishers can make the hub hold, besides the outboxes.
    pub publication_bytes_pending_max: usize,
    /// Bytes queued for one session that is behind, default 256 KiB. Memory: what is queued is
    /// shared between sessions; in the worst case `sessions × this`.
    pub outbox_bytes_max: usize,
    /// Messages queued for one session that is behind, default 1,024. Memory: 64 bytes each.
    pub outbox_frames_max: usize,
    /// How long a message may wait in the outbox, in milliseconds, default 5,000. One whose policy is
    /// `Disconnect` ends the session then; one that may be dropped is dropped, unless it is the newest
    /// value that its policy promises. A session that takes longer than this for one batch of what it
    /// reads is a slow consumer whatever the policy.
    pub outbox_age_max_ms: u64,
    /// What happens when data does not fit, default `Disconnect`.
    pub slow_consumer_policy: SlowConsumerPolicy,
    /// How long a session may take to answer our close, in milliseconds, default 5,000.
    pub close_timeout_ms: u64,
    /// Silence after which a session is pinged, in milliseconds, default 25,000.
    pub ping_interval_ms: u64,
    /// How long it may take to answer, in milliseconds, default 10,000.
    pub pong_timeout_ms: u64,
    /// How long a started frame may take to arrive, in milliseconds, default 10,000.
    pub frame_timeout_ms: u64,
    /// Writes of one lane before it yields, each 2 KiB of a write counted as one, default 256: about
    /// a millisecond's worth. Fewer cost an `epoll_wait` more often, more delay the small channels.
    pub writes_per_turn: usize,
    /// Bytes joined into one write of a pass, default 256 KiB. Memory: this, per lane and wire
    /// format, while a pass runs.
    pub pass_bytes_max: usize,
    /// Bytes that peers can make the hub hold in all, default 1 GiB: see
    /// [`Pressure`](super::memory::Pressure) for what is done to stay within it.
    pub memory_bytes_max: usize,
    /// Bytes of all histories together, default 64 MiB, messages and bookkeeping. A channel that finds
    /// it full makes room among what it keeps itself.
    pub history_bytes_max: usize,
    /// Idempotency keys that one channel remembers, for five minutes, default 1,000. Memory: about
    /// 200 bytes each.
    pub idempotency_keys_max: usize,
    /// Compression of what goes out. Memory: at most 370 KiB a worker for each of the three windows
    /// that a peer has agreed on, and 64 KiB for inflating what comes in.
    pub deflate: DeflateSettings,
}

impl Default for HubLimits {
    fn default() -> Self {
        Self {
            lanes: 1,
            sessions_max: 1_000_000,
            sessions_per_user_max: 1_024,
            channels_max: 1_000_000,
            subscriptions_per_session_max: 128,
            subscribers_per_channel_max: 1_000_000,
            publishes_per_session_per_s_max: 10_000,
            publications_pending_max: 1_024,
            publication_bytes_pending_max: 64 << 20,
            outbox_bytes_max: 256 << 10,
            outbox_frames_max: 1_024,
            outbox_age_max_ms: 5_000,
            slow_consumer_policy: SlowConsumerPolicy::Disconnect,
            close_timeout_ms: 5_000,
            ping_interval_ms: 25_000,
            pong_timeout_ms: 10_000,
            frame_timeout_ms: 10_000,
            writes_per_turn: 256,
            pass_bytes_max: 256 << 10,
            memory_bytes_max: 1 << 30,
            history_bytes_max: 64 << 20,
            idempotency_keys_max: 1_000,
            deflate: DeflateSettings::default(),
        }
    }
}

impl HubLimits {
    /// These, where those that hold for new work alone are `new`'s: what a hub can take up while it
    /// runs. The others are built into lanes, outboxes and sweeps.
    #[must_use]
    pub fn taking_up(&self, new: &HubLimits) -> HubLimits {
        HubLimits {
            sessions_max: new.sessions_max,
            sessions_per_user_max: new.sessions_per_user_max,
            channels_max: new.channels_max,
            subscriptions_per_session_max: new.subscriptions_per_session_max,
            subscribers_per_channel_max: new.subscribers_per_channel_max,
            publishes_per_session_per_s_max: new.publishes_per_session_per_s_max,
            slow_consumer_policy: new.slow_consumer_policy,
            ..self.clone()
        }
    }
}

/// How messages are compressed for peers that offer permessage-deflate (RFC 7692).
///
/// The defaults were measured on JSON of changing prices and names, on one core. A write costs 3.3 µs
/// beside it, and a publication is deflated once for all subscribers that agreed on the same window.
///
/// | message | level 1 | level 2 | level 6 | level 9 |
/// |---|---|---|---|---|
/// | 128 B | 2.5 µs, 95 % | 6.5 µs, 88 % | 8.7 µs, 88 % | 9.0 µs, 90 % |
/// | 256 B | 4.9 µs, 70 % | 9.6 µs, 62 % | 9.8 µs, 62 % | 12 µs, 63 % |
/// | 1 KiB | 6.1 µs, 47 % | 15 µs, 37 % | 18 µs, 35 % | 20 µs, 35 % |
/// | 16 KiB | 36 µs, 35 % | 100 µs, 24 % | 216 µs, 21 % | 330 µs, 21 % |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateSettings {
    /// Whether an offer is accepted, default yes: a message of 1 KiB costs about two writes once,
    /// whoever subscribes, and saves half of every copy.
    pub enabled: bool,
    /// Messages with fewer bytes go out as they are, default 256: below, little or nothing is saved.
    pub min_bytes: usize,
    /// Messages with more bytes go out as they are, default 1 MiB: a lane deflates a message in one
    /// go and serves nobody meanwhile, and a MiB of JSON takes 4 ms at level 1 and 58 at level 9 (two
    /// shared cores, `cargo bench --bench codec deflate`).
    pub max_bytes: usize,
    /// From 1 (fast) to 9 (small), default 1: the next one costs more than twice the time, which
    /// a channel with few subscribers never gets back.
    pub level: u8,
}

impl Default for DeflateSettings {
    fn default() -> Self {
        Self { enabled: true, min_bytes: 256, max_bytes: 1 << 20, level: 1 }
    }
}

/// The bounds of what one peer may send.
#[derive(Clone, Copy, Debug)]
pub struct MessageLimits {
    /// Bytes of one message, summed over its fragments, default 64 KiB.
    pub message_bytes_max: usize,
    /// Fragments of one message, default 64.
    pub fragments_max: usize,
    /// Control frames in ten seconds, default 20.
    pub control_frames_per_10s_max: u32,
}

impl Default for MessageLimits {
    fn default() -> Self {
        Self { message_bytes_max: 64 << 10, fragments_max: 64, control_frames_per_10s_max: 20 }
    }
}

/// The bounds of the HTTP side: handshakes, requests, connections.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Bytes of a request's line and headers together, default 8 KiB. Never below 8,192, the
    /// smallest read buffer that hyper takes.
    pub header_bytes_max: usize,
    /// Headers of one request, default 64.
    pub headers_max: usize,
    /// How long a connection may take from being accepted to the end of its request or handshake,
    /// TLS and authentication included, in milliseconds, default 5,000.
    pub handshake_timeout_ms: u64,
    /// Bytes of a request's body, default 1 MiB. Memory: this, per request that is being answered.
    pub body_bytes_max: usize,
    /// Items of one batch request, default 1,000.
    pub batch_items_max: usize,
    /// Connections at once, default 1,000,000; never more than the process may open files, less a
    /// reserve. Memory: about 1.5 KiB for an idle WebSocket.
    pub connections_max: usize,
    /// Connections of one address at once, default 4,096; never more than half of those there is room
    /// for. Room for everybody behind an office's or a carrier's address; and one address alone costs
    /// the node 6 MiB at most.
    pub connections_per_address_max: usize,
    /// Connections that one address may open a second, default 100, over ten seconds: so a thousand
    /// may come at once, as after a restart.
    pub connects_per_address_per_s_max: u32,
    /// Connections at once that have not asked for anything yet, in line or in their handshake, default
    /// 8,192. Beyond it the next one is refused. Memory: about 12 KiB each, 40 KiB with TLS.
    pub handshakes_max: usize,
    /// How long a connection may be kept in line before its handshake begins, in milliseconds, default
    /// 2,500: half of what a handshake may take in all. Whoever would have to wait longer at the present
    /// pace is refused at once, before TLS and before anything is read.
    pub handshakes_wait_max_ms: u64,
    /// The wait for a turn of the node's own tasks, in milliseconds, from which on handshakes begin more
    /// slowly, default 10: what sessions that are connected feel of a storm, at most.
    pub handshakes_lag_max_ms: u64,
    /// Bytes that the kernel keeps for one connection (`SO_SNDBUF`), default 256 KiB: what can be on its
    /// way to a peer that is far off. Memory: the kernel's, and only until the peer acknowledges.
    pub send_buffer_bytes: usize,
    /// Those of them that it cannot send yet (`TCP_NOTSENT_LOWAT`; a Unix socket has no such bound),
    /// default 64 KiB. What does not fit waits in the outbox, where it is shared with others, counted,
    /// and subject to policies. In the kernel it would be a copy for each who is behind: with a
    /// tenth of 2,000 sessions stalled, at 50 messages of 1 KiB a second, making those copies took a
    /// fifth of all time.
    pub unsent_bytes_max: u32,
    /// How long the kernel lets sent bytes go without an acknowledgement before it ends the
    /// connection (`TCP_USER_TIMEOUT`), in milliseconds, default 35,000: as long as a ping and its
    /// answer take.
    pub tcp_user_timeout_ms: u64,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_bytes_max: 8 << 10,
            headers_max: 64,
            handshake_timeout_ms: 5_000,
            body_bytes_max: 1 << 20,
            batch_items_max: 1_000,
            connections_max: 1_000_000,
            connections_per_address_max: 4_096,
            connects_per_address_per_s_max: 100,
            handshakes_max: 8_192,
            handshakes_wait_max_ms: 2_500,
            handshakes_lag_max_ms: 10,
            send_buffer_bytes: 256 << 10,
            unsent_bytes_max: 64 << 10,
            tcp_user_timeout_ms: 35_000,
        }
    }
}
