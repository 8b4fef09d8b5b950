//! The hub: its bounds, and what channels keep and do.

use super::{DAY_MS, GIB, HOUR_MS, Key, Kind, TableKind, int, key, number, text};
use crate::base::limits::SlowConsumerPolicy;

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
        ("authorize_subscribe", Kind::Switch),
        ("authorize_publish", Kind::Switch),
        ("subscribers_max", Kind::Number { min: 1, max: 100_000_000 }),
    ],
    example: "[{ match = \"news.*\", policy = \"disconnect\", history_publications_max = 100 }]",
    is_secret: false,
};

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    number("hub.lanes", (1, 1_024), |s| int(s.hub.lanes),
        "Workers of the fan-out, and threads of the runtime. One for each core by default. \
         Memory: about 300 KiB each.")
        .example("4"),
    number("hub.sessions_max", (1, 100_000_000), |s| int(s.hub.sessions_max),
        "Sessions at once. Memory: about 1.5 KiB for an idle one, and 8 KiB more over TLS."),
    number("hub.sessions_per_user_max", (1, 100_000_000), |s| int(s.hub.sessions_per_user_max),
        "Sessions of one user (the token's sub) at once. One more is refused with 429; nobody is \
         thrown out for it."),
    number("hub.channels_max", (1, 100_000_000), |s| int(s.hub.channels_max),
        "Channels at once. Memory: about 1 KiB for one that was published to."),
    number("hub.subscriptions_per_session_max", (1, 1_000_000),
        |s| int(s.hub.subscriptions_per_session_max),
        "Subscriptions of one session. Memory: 40 bytes each."),
    number("hub.subscribers_per_channel_max", (1, 100_000_000),
        |s| int(s.hub.subscribers_per_channel_max),
        "Subscribers of one channel; subscribers_max in channels.rules sets another bound. One more \
         is told channel_full, or refused with 503 if it asks for a WebSocket or events."),
    number("hub.publishes_per_session_per_s_max", (1, 1_000_000),
        |s| int(s.hub.publishes_per_session_per_s_max),
        "Publications of one session a second; ten seconds' worth may come at once. A JSON session \
         is told rate_limited for what is too much; a plain one is not read until it is not too \
         much any more, and loses nothing."),
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
         join_leave lets them be told who comes and goes. subscribers_max is how many may be in, \
         hub.subscribers_per_channel_max by default. With authorize_subscribe and \
         authorize_publish the application is asked first (hooks.subscribe_url, hooks.publish_url).")
        .example("[{ match = \"news.*\", history_publications_max = 100, cache = true }]"),

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
];
