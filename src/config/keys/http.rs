//! What peers may send: messages, requests, connections.

use super::{GIB, HOUR_MS, Key, Kind, int, key, number};

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    number("messages.message_bytes_max", (1, GIB), |s| int(s.messages.message_bytes_max),
        "Bytes of one message from a peer, summed over its fragments."),
    number("messages.fragments_max", (1, 1 << 20), |s| int(s.messages.fragments_max),
        "Fragments of one message."),
    number("messages.control_frames_per_10s_max", (1, 1_000_000),
        |s| int(s.messages.control_frames_per_10s_max),
        "Control frames (ping, pong) of one peer in ten seconds."),

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
    number("http.handshakes_max", (1, 100_000_000), |s| int(s.http.handshakes_max),
        "Connections at once that have not asked for anything yet; one more is refused."),
    number("http.handshakes_wait_max_ms", (1, HOUR_MS), |s| int(s.http.handshakes_wait_max_ms),
        "How long a connection may be kept in line before its handshake begins. When more come than \
         the node takes in that time, they are refused before TLS and before anything is read."),
    number("http.handshakes_lag_max_ms", (1, HOUR_MS), |s| int(s.http.handshakes_lag_max_ms),
        "Handshakes begin more slowly while the node's tasks wait longer than this for their turn: \
         what sessions that are connected feel when everybody else comes back at once."),
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
        "Bytes that the kernel keeps for one connection at most, sent and not acknowledged ones among \
         them (SO_SNDBUF): what can be on its way to a peer that is far off."),
    number("http.unsent_bytes_max", (1 << 10, GIB), |s| int(s.http.unsent_bytes_max),
        "Bytes that the kernel keeps for one connection that it cannot send yet (TCP_NOTSENT_LOWAT). \
         Beyond it a session counts as behind, and what waits for it waits here, shared with others \
         and under the channel's policy."),
    number("http.tcp_user_timeout_ms", (1_000, HOUR_MS), |s| int(s.http.tcp_user_timeout_ms),
        "How long the kernel lets sent bytes go without an acknowledgement before it ends the \
         connection (TCP_USER_TIMEOUT)."),
];
