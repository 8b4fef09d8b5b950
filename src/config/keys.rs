//! The table of keys: one row for each thing that can be configured.
//!
//! The file, the environment, `--set`, the suggestions for unknown names and `fanfare config` all
//! work from it, so none of them can forget a key.

use toml::Value;

use super::settings::{LogFormat, Settings};
use crate::auth::jwt::LEEWAY_S_MAX;
use crate::base::limits::SlowConsumerPolicy;

/// One key.
pub(crate) struct Key {
    /// Its name, with its section: `hub.lanes`.
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    /// What is used, as it would be typed; `None` if that is nothing, or is not shown.
    pub(crate) get: fn(&Settings) -> Option<Value>,
    /// What could be typed, for a key without a default to show.
    pub(crate) example: Option<&'static str>,
    pub(crate) meaning: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Switch,
    Number {
        min: i64,
        max: i64,
    },
    Text,
    Choice(&'static [&'static str]),
    List,
    Secret,
    SecretList,
    /// A list of tables, each with these entries: in the file only.
    Tables(&'static TableKind),
    /// A table in one of those, with these entries.
    Table(&'static TableKind),
}

/// What each table of a list may hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TableKind {
    /// What one of them is called, for an error.
    pub(crate) one: &'static str,
    pub(crate) entries: &'static [(&'static str, Kind)],
    pub(crate) example: &'static str,
    pub(crate) is_secret: bool,
}

impl Kind {
    /// Whether what was typed must not be repeated, nor stand in the arguments of a process.
    pub(crate) fn is_secret(self) -> bool {
        match self {
            Self::Secret | Self::SecretList => true,
            Self::Tables(table) | Self::Table(table) => table.is_secret,
            _ => false,
        }
    }

    /// What to write, for an error.
    pub(crate) fn wanted(self) -> String {
        match self {
            Self::Switch => "true or false".into(),
            Self::Number { min, max } => format!("a plain number from {min} to {max}"),
            Self::Text | Self::Secret => "a text in double quotes".into(),
            Self::Choice(names) => format!("one of {}", names.join(", ")),
            Self::List | Self::SecretList => "a list of texts: [\"...\", \"...\"]".into(),
            Self::Tables(tables) => format!("a list of tables: {}", tables.example),
            Self::Table(table) => format!("a table: {}", table.example),
        }
    }
}

/// `auth.keys`.
const AUTH_KEYS: TableKind = TableKind {
    one: "a key",
    entries: &[
        ("kid", Kind::Text),
        ("algorithm", Kind::Text),
        ("secret", Kind::Text),
        ("secret_file", Kind::Text),
        ("public_key", Kind::Text),
        ("public_key_file", Kind::Text),
    ],
    example: "[{ kid = \"a\", algorithm = \"HS256\", secret = \"...\" }]",
    is_secret: true,
};

/// `listeners`.
const LISTENERS: TableKind = TableKind {
    one: "a listener",
    entries: &[
        ("address", Kind::Text),
        ("tls", Kind::Table(&LISTENER_TLS)),
        ("proxy_protocol", Kind::Switch),
        ("serves", Kind::List),
    ],
    example: "[{ address = \"0.0.0.0:8000\", serves = [\"clients\"] }]",
    is_secret: false,
};

/// `tls` of one of them.
const LISTENER_TLS: TableKind = TableKind {
    one: "tls",
    entries: &[
        ("certificate_file", Kind::Text),
        ("key_file", Kind::Text),
        ("client_ca_file", Kind::Text),
        ("version_min", Kind::Choice(&["1.2", "1.3"])),
    ],
    example: "{ certificate_file = \"a.pem\", key_file = \"a.key\" }",
    is_secret: false,
};

/// `channels.rules`.
const CHANNEL_RULES: TableKind = TableKind {
    one: "a rule",
    entries: &[
        ("match", Kind::Text),
        ("policy", Kind::Choice(SlowConsumerPolicy::NAMES)),
        ("key_pointer", Kind::Text),
        ("history_publications_max", Kind::Number { min: 0, max: 1 << 20 }),
        ("history_bytes_max", Kind::Number { min: 1 << 10, max: GIB }),
        ("history_age_max_ms", Kind::Number { min: 1, max: 30 * DAY_MS }),
        ("cache", Kind::Switch),
        ("presence", Kind::Switch),
        ("join_leave", Kind::Switch),
    ],
    example: "[{ match = \"news.*\", policy = \"disconnect\", history_publications_max = 100 }]",
    is_secret: false,
};

/// The names of [`Algorithm`](crate::auth::keys::Algorithm); a test compares.
pub(crate) const ALGORITHMS: &[&str] =
    &["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"];

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const GIB: i64 = 1 << 30;

impl Key {
    /// The environment variable.
    pub(crate) fn variable(&self) -> String {
        format!("FANFARE_{}", self.path.replace('.', "_").to_uppercase())
    }

    /// The section, empty at the top, and the name in it.
    pub(crate) fn split(&self) -> (&'static str, &'static str) {
        self.path.split_once('.').unwrap_or(("", self.path))
    }

    pub(crate) fn find(path: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.path == path)
    }

    const fn example(mut self, example: &'static str) -> Self {
        self.example = Some(example);
        self
    }
}

const fn key(
    path: &'static str,
    kind: Kind,
    get: fn(&Settings) -> Option<Value>,
    meaning: &'static str,
) -> Key {
    Key { path, kind, get, example: None, meaning }
}

const fn number(
    path: &'static str,
    (min, max): (i64, i64),
    get: fn(&Settings) -> Option<Value>,
    meaning: &'static str,
) -> Key {
    key(path, Kind::Number { min, max }, get, meaning)
}

/// A number that came through a check, and so fits.
fn int(number: impl TryInto<i64>) -> Option<Value> {
    number.try_into().ok().map(Value::Integer)
}

fn text(text: &str) -> Option<Value> {
    Some(text.into())
}

/// Every key, section by section.
#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    key("listen", Kind::Text, |s| text(&s.listen()?.to_string()),
        "The IP address and port to listen on, without TLS, for everything. Only with this default \
         where there are no listeners."),
    key("listeners", Kind::Tables(&LISTENERS), |_| None,
        "More to listen on. Each has an address: an IP address and port, unix:/PATH for a socket that is \
         made there with the permissions that the umask leaves, fd:NAME for a \
         socket of that name that systemd handed over (FileDescriptorName=), or systemd for all \
         others it did. tls has certificate_file and key_file, in PEM, both read again when they \
         change; with client_ca_file clients need a certificate of one of those authorities; \
         version_min is 1.2 or 1.3. With proxy_protocol every connection has to begin with a header \
         of the PROXY protocol, version 1 or 2, and whoever reaches the listener can claim any \
         address with it. serves is a list of clients, api and metrics, by default all of them.")
        .example("[{ address = \"unix:/run/fanfare.sock\", serves = [\"api\", \"metrics\"] }]"),
    key("insecure", Kind::Switch, |s| Some(s.insecure.into()),
        "Allows what is refused otherwise: an address that others can reach without keys for the \
         API and for sessions, and sessions without tokens beside an API with keys."),

    key("api.keys", Kind::SecretList, |_| None,
        "The keys of the HTTP API: what X-API-Key must hold, at least 16 characters each.")
        .example("[\"(openssl rand -hex 32)\"]"),
    key("api.keys_file", Kind::Text, |_| None,
        "A file with such keys, one a line; they count beside those of api.keys. Relative to this \
         file.")
        .example("\"/run/secrets/fanfare-api-keys\""),

    key("auth.keys", Kind::Tables(&AUTH_KEYS), |_| None,
        "Several keys that tokens are signed with. Each has an algorithm and one of secret, \
         secret_file, public_key (PEM) and public_key_file, and a kid if tokens name it.")
        .example("[{ kid = \"a\", algorithm = \"RS256\", public_key_file = \"a.pem\" }]"),
    key("auth.algorithm", Kind::Choice(ALGORITHMS), |_| None,
        "The short way for a single key: what it is for. HS256 if there is a secret.")
        .example("\"HS256\""),
    key("auth.secret", Kind::Secret, |_| None,
        "The short way: the secret, for HS256 at least 32 bytes.")
        .example("\"(openssl rand -hex 32)\""),
    key("auth.secret_file", Kind::Text, |_| None,
        "The short way: a file with the secret. A line break at its end does not count.")
        .example("\"/run/secrets/fanfare-auth-secret\""),
    key("auth.public_key", Kind::Text, |_| None,
        "The short way: a public key in PEM, for every algorithm but the HS ones.")
        .example("\"-----BEGIN PUBLIC KEY-----\\n...\""),
    key("auth.public_key_file", Kind::Text, |_| None,
        "The short way: a file with it.")
        .example("\"/etc/fanfare/public.pem\""),
    key("auth.issuer", Kind::Text, |s| text(s.auth.as_ref()?.issuer.as_ref()?),
        "What the claim iss of a token must be. Not looked at by default.")
        .example("\"https://id.example.com\""),
    key("auth.audience", Kind::Text, |s| text(s.auth.as_ref()?.audience.as_ref()?),
        "What the claim aud of a token must hold. Not looked at by default.")
        .example("\"fanfare\""),
    key("auth.cookie", Kind::Text, |s| text(&s.auth_cookie),
        "The cookie that a token is looked for in, behind the header and the query."),
    key("auth.require_exp", Kind::Switch,
        |s| Some(s.auth.clone().unwrap_or_default().require_exp.into()),
        "Whether a token must expire. One that never does cannot be taken back."),
    number("auth.leeway_s", (0, LEEWAY_S_MAX as i64),
        |s| int(s.auth.clone().unwrap_or_default().leeway_s),
        "How far the issuer's clock may be ahead."),
    key("auth.default_subscribe", Kind::List, |_| None,
        "Channels that a token without a claim subscribe may subscribe to: names, prefixes as in \
         news.*, or *. Nothing by default.")
        .example("[\"news.*\"]"),
    key("auth.default_publish", Kind::List, |_| None,
        "Channels that a token without a claim publish may publish to. Nothing by default.")
        .example("[\"chat.*\"]"),

    key("origins.allow", Kind::List, |_| None,
        "Origins whose pages may connect besides the gateway's own; * for all.")
        .example("[\"https://app.example.com\"]"),

    number("hub.lanes", (1, 1_024), |s| int(s.hub.lanes),
        "Workers of the fan-out, and threads of the runtime. One for each core by default. \
         Memory: about 300 KiB each.")
        .example("4"),
    number("hub.sessions_max", (1, 100_000_000), |s| int(s.hub.sessions_max),
        "Sessions at once. Memory: about 1.5 KiB for an idle one, and 8 KiB more over TLS."),
    number("hub.channels_max", (1, 100_000_000), |s| int(s.hub.channels_max),
        "Channels at once. Memory: about 1 KiB for one that was published to."),
    number("hub.subscriptions_per_session_max", (1, 1_000_000),
        |s| int(s.hub.subscriptions_per_session_max),
        "Subscriptions of one session. Memory: 40 bytes each."),
    number("hub.publications_pending_max", (1, 1 << 20), |s| int(s.hub.publications_pending_max),
        "Publications of one channel that are accepted and not yet written by every lane. Beyond \
         it publishers are told that the hub is overloaded."),
    number("hub.publication_bytes_pending_max", (1 << 16, 1 << 40),
        |s| int(s.hub.publication_bytes_pending_max),
        "The same for all channels, in bytes: the most that publishers can make the hub hold, \
         besides the outboxes."),
    number("hub.outbox_bytes_max", (1 << 10, GIB), |s| int(s.hub.outbox_bytes_max),
        "Bytes queued for one session that is behind; at least messages.message_bytes_max. What is \
         queued is shared; in the worst case the memory is sessions times this."),
    number("hub.outbox_frames_max", (1, 1 << 20), |s| int(s.hub.outbox_frames_max),
        "Messages queued for one session that is behind. Memory: 64 bytes each."),
    number("hub.outbox_age_max_ms", (1, HOUR_MS), |s| int(s.hub.outbox_age_max_ms),
        "How long a message may wait. With disconnect the session ends then, with drop_newest and \
         drop_oldest the message is dropped. A session that takes longer for what is being written \
         to it is a slow consumer whatever the policy."),
    key("hub.slow_consumer_policy", Kind::Choice(SlowConsumerPolicy::NAMES),
        |s| text(s.hub.slow_consumer_policy.name()),
        "What happens when data does not fit: the session ends; the new message is dropped; the \
         oldest of its channel are; the queued one of its key is replaced (conflate), or that of its \
         channel (latest). What is dropped is counted, and told to a JSON session."),
    number("hub.close_timeout_ms", (1, HOUR_MS), |s| int(s.hub.close_timeout_ms),
        "How long a session may take to answer our close."),
    number("hub.ping_interval_ms", (100, DAY_MS), |s| int(s.hub.ping_interval_ms),
        "Silence after which a session is pinged."),
    number("hub.pong_timeout_ms", (100, HOUR_MS), |s| int(s.hub.pong_timeout_ms),
        "How long it may take to answer."),
    number("hub.frame_timeout_ms", (100, HOUR_MS), |s| int(s.hub.frame_timeout_ms),
        "How long a started frame may take to arrive."),
    number("hub.writes_per_turn", (1, 1 << 16), |s| int(s.hub.writes_per_turn),
        "Writes of one lane before it yields, each 2 KiB of a write counted as one; 256 are about a \
         millisecond's worth. Fewer cost more system calls, more delay the small channels."),
    number("hub.pass_bytes_max", (1 << 12, 1 << 26), |s| int(s.hub.pass_bytes_max),
        "Bytes joined into one write of a pass. Memory: this, per lane and wire format, while a \
         pass runs."),

    number("hub.memory_bytes_max", (1 << 22, 1 << 44), |s| int(s.hub.memory_bytes_max),
        "Bytes that peers can make the node hold: publications (once, whoever holds them), outboxes, \
         histories, messages and requests that are not whole yet. From 50 % on outboxes hold less of \
         what policies may drop, from 65 % nothing of it; from 80 % on those who hold most are ended; \
         from 90 % on nobody new gets in; from 95 % on publications are refused."),
    number("hub.history_bytes_max", (1 << 10, 1 << 40), |s| int(s.hub.history_bytes_max),
        "Bytes of all histories together. A channel that finds it full makes room among what it \
         keeps itself."),
    number("hub.idempotency_keys_max", (1, 1 << 20), |s| int(s.hub.idempotency_keys_max),
        "Idempotency keys that one channel remembers, for five minutes. Memory: about 200 bytes \
         each."),

    key("channels.rules", Kind::Tables(&CHANNEL_RULES), |_| None,
        "What channels keep and do, by name (news), prefix (news.*) or for all (*); the most exact \
         one counts, whole. policy is what happens to data that does not fit into the outbox of a \
         session that is behind, hub.slow_consumer_policy by default; key_pointer (as /symbol) is \
         where conflate finds the key of a JSON message whose publisher gave none. history_publications_max \
         turns on a history for sessions that come back, up to history_bytes_max (1 MiB) of \
         messages no older than history_age_max_ms (60,000). With cache a session gets the newest \
         message when it subscribes. presence lets its sessions and the API ask who is in it, \
         join_leave lets them be told who comes and goes.")
        .example("[{ match = \"news.*\", history_publications_max = 100, cache = true }]"),

    number("messages.message_bytes_max", (1, GIB), |s| int(s.messages.message_bytes_max),
        "Bytes of one message from a peer, summed over its fragments."),
    number("messages.fragments_max", (1, 1 << 20), |s| int(s.messages.fragments_max),
        "Fragments of one message."),
    number("messages.control_frames_per_10s_max", (1, 1_000_000),
        |s| int(s.messages.control_frames_per_10s_max),
        "Control frames (ping, pong) of one peer in ten seconds."),

    key("deflate.enabled", Kind::Switch, |s| Some(s.hub.deflate.enabled.into()),
        "Whether messages are compressed for peers that offer permessage-deflate (RFC 7692). Each \
         is compressed once, whoever subscribes; no connection keeps a window."),
    number("deflate.min_bytes", (0, GIB), |s| int(s.hub.deflate.min_bytes),
        "Messages with fewer bytes go out as they are: below the default little is saved."),
    number("deflate.max_bytes", (0, GIB), |s| int(s.hub.deflate.max_bytes),
        "Messages with more bytes go out as they are: a lane that deflates serves nobody \
         meanwhile. 1 MiB takes 4 milliseconds at level 1, and 58 at level 9."),
    number("deflate.level", (1, 9), |s| int(s.hub.deflate.level),
        "From fast to small. 1 KiB of JSON: level 1 takes 6 microseconds and leaves 47 %, level 2 \
         takes 15 and leaves 37 %, level 9 takes 20 and leaves 35 %."),

    number("http.header_bytes_max", (8_192, 1 << 20), |s| int(s.http.header_bytes_max),
        "Bytes of a request's line and headers together."),
    number("http.headers_max", (1, 1_000), |s| int(s.http.headers_max),
        "Headers of one request."),
    number("http.handshake_timeout_ms", (100, HOUR_MS), |s| int(s.http.handshake_timeout_ms),
        "How long a connection may take from being accepted to the end of its request or \
         handshake."),
    number("http.body_bytes_max", (1, GIB), |s| int(s.http.body_bytes_max),
        "Bytes of a request's body. Memory: this, per request that is being answered."),
    number("http.batch_items_max", (1, 1_000_000), |s| int(s.http.batch_items_max),
        "Items of one batch request."),
    number("http.connections_max", (1, 100_000_000), |s| int(s.http.connections_max),
        "Connections at once; never more than the process may open files."),
    number("http.connections_per_address_max", (1, 100_000_000),
        |s| int(s.http.connections_per_address_max),
        "Connections of one address at once; never more than half of those there is room for. An \
         address of version 6 is its first 64 bits."),
    number("http.connects_per_address_per_s_max", (1, 1_000_000),
        |s| int(s.http.connects_per_address_per_s_max),
        "Connections that one address may open a second; ten seconds' worth may come at once."),
    key("http.per_address_exempt", Kind::List, |_| None,
        "Networks whose addresses the bounds for one address do not hold for, because a load \
         balancer or a proxy there stands for many clients. By default those that the Internet \
         does not route: 127.0.0.0/8, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, \
         ::1 and fc00::/7. Given, it stands instead of them; http.connections_max holds for all.")
        .example("[\"127.0.0.0/8\", \"203.0.113.7\"]"),
    key("http.trusted_proxies", Kind::List, |_| None,
        "Networks of reverse proxies whose X-Forwarded-For is believed, and unix for whoever comes \
         through a Unix socket: the last address in it that is no trusted proxy counts as that of \
         the client, in the API, in logs and for the bounds for one address. By default nobody is.")
        .example("[\"10.0.0.0/8\", \"unix\"]"),
    number("http.send_buffer_bytes", (1 << 12, GIB), |s| int(s.http.send_buffer_bytes),
        "Bytes that the kernel keeps for one connection that does not read (SO_SNDBUF)."),
    number("http.tcp_user_timeout_ms", (1_000, HOUR_MS), |s| int(s.http.tcp_user_timeout_ms),
        "How long the kernel lets sent bytes go without an acknowledgement before it ends the \
         connection (TCP_USER_TIMEOUT)."),

    number("tls.reload_interval_ms", (100, DAY_MS), |s| int(s.tls_reload_interval_ms),
        "How often the files of certificates and keys are looked at. If they have changed they are \
         read again, as they are at SIGHUP; connections are not touched. What is no good is logged, \
         and the old ones stay."),

    number("drain.timeout_ms", (0, HOUR_MS), |s| int(s.drain_timeout_ms),
        "How long a graceful end may take before what is left is cut off."),

    key("log.format", Kind::Choice(&["text", "json"]),
        |s| text(match s.log.format { LogFormat::Text => "text", LogFormat::Json => "json" }),
        "The form of a log line on stderr: for people, or one JSON object."),
    key("log.filter", Kind::Text, |s| text(&s.log.filter),
        "Which events: a level (error, warn, info, debug, trace), and others for parts of the \
         program: info,fanfare::http=debug."),
];
