//! Fanfare: one message in, as many copies out as there are subscribers, each on time, with memory
//! that stays bounded when some of them cannot keep up.
//!
//! It is a library (the [`Hub`](hub::Hub)), a gateway (`fanfare serve`) and the tests and models
//! that hold both to their promises.
//!
//! # A hub in your own program
//!
//! From any hyper or axum request to a session of the hub: [`connection::upgrade`], whose example is
//! a whole program. Then:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use fanfare::base::message::Message;
//! use fanfare::hub::Hub;
//!
//! let hub = Hub::builder().outbox_bytes_max(64 << 10).build();
//! let news = "news".try_into().unwrap();
//! let published = hub.publish(&news, Message::text("extra, extra")).unwrap();
//! assert_eq!(published.subscribers, 0); // nobody is connected yet
//! # }
//! ```
//!
//! Longer guides: [`docs`].
//!
//! # What is promised
//!
//! * **Order**: one total order per channel, the same for every subscriber. A publisher's own order
//!   is kept.
//! * **Delivery**: at most once to a live session, and without a gap from its subscription to its
//!   end, unless its channel's policy says otherwise ([`SlowConsumerPolicy`]); every message dropped
//!   by policy is counted, and told where the protocol has a word for it.
//! * **Recovery**: at least once within the history window. A session that is told `recovered` is true
//!   has missed nothing, ever; otherwise it is told false, and gets no part.
//! * **Subscribed means subscribed**: a client that sees the 101 of its upgrade, or the reply to its
//!   `subscribe`, gets everything published from then on. After the reply to its `unsubscribe` it
//!   gets nothing more of that channel.
//! * **Bounded**: every queue has a bound, a default and a place in [`HubLimits`]. A publisher that
//!   finds the hub full is told so; the hub does not grow.
//!
//! # Dropping futures
//!
//! Nothing that a caller awaits holds a message: [`Hub::publish`](hub::Hub::publish) does not wait
//! at all, and [`Hub::room`](hub::Hub::room) and [`Hub::drain`](hub::Hub::drain) say what dropping
//! them does.
//!
//! # The house
//!
//! Imports go down only; a test holds the sources to this table.
//!
//! | floor | part | holds |
//! |---|---|---|
//! | 8 | `bin/fanfare.rs`, `cli` | arguments → command → exit code; the allocator |
//! | 7 | `gateway` | build and run: listeners, TLS, signals, drain |
//! | 7 | `bench` | the load generator, for any WebSocket server |
//! | 6 | `config` | what was typed → what is used; file < environment < flags |
//! | 5 | `http` | router, API, metrics, health, the page |
//! | 4 | [`connection`] | upgrade, reader, dispatch, event streams |
//! | 3 | [`hub`] | facade, registry, channel mailbox, roster and snapshots, history, presence, lanes |
//! | 2 | [`protocol`], `auth` | JSON and event streams as pure bytes ⇄ values; tokens, keys, origins |
//! | 2 | `hooks` | the application over HTTP: it is asked who may, and told what happened |
//! | 1 | [`frame`], [`outbox`] | the WebSocket codec; the bounded queue of one session, its socket and writer |
//! | 1 | `fetch` | the HTTP client, with a bound on everything |
//! | 0 | [`base`] | ids, messages, limits, counters, the disconnect table, the model checker's shim |
//!
//! # The way of a publication
//!
//! ```text
//! reader ─┐                                ┌─ lane 0 ─ walk snapshot ─ write ─┬─ socket
//! HTTP  ──┴─ Hub::publish ─ channel mailbox┤                                  └─ outbox ─ writer task
//!               (lock-free)  (one at a time)└─ lane 1 ─ ...
//! ```
//!
//! A publisher posts to the channel's mailbox; whoever finds it idle drains it. The drainer numbers
//! the letter, brings the member snapshots up to date if somebody came or went, and posts to the
//! lanes. A lane takes everything that is pending for a channel, joins the frames (each encoded once
//! per wire format) and walks the snapshot: one load and one write per member. Only what a socket
//! does not take at once goes into an outbox, and only while there is one does a writer task exist.
//!
//! # Decisions
//!
//! * **The writer lives with the outbox** (floor 1), not with the connection: a lane starts it, and a
//!   lane must not know connections.
//! * **A batch loads the newest snapshot, and each member carries the number of the letter that
//!   brought it.** So a batch need not end where somebody joined, and a join storm does not undo
//!   batching. It does end where somebody is told that a membership is over.
//! * **A session exists before its socket does.** It is subscribed before the 101 is written, and
//!   what it is to get queues up until the socket is handed over. That is what makes "subscribed
//!   means subscribed" true for a plain WebSocket, which has no reply to wait for.
//! * **A channel goes only when no lane has anything of it**, at the latest with the next tick. Otherwise
//!   one that comes back at once would be served beside what is left of the old one.
//! * **Deflated once per window size**, without context takeover in either direction: so the bytes can
//!   be shared, and an idle connection keeps no window ([`frame`]).
//! * **What a session recovers rides on the reply to its subscription**, as one piece through the
//!   channel's mailbox and one lane: no gap, no double, nothing to merge. A channel keeps its publications
//!   with their encoded forms, so a storm of returning sessions encodes nothing twice.
//! * **A position is worth as long a stay as a publication.** A channel with a history stays for its
//!   age bound after the last use even if nothing is kept any more: or whoever comes back to a quiet
//!   channel would be told that something may be missing.
//! * **Events of who comes and goes are publications to a channel beside**, whose name nobody can type:
//!   as bounded and fair as all others, and paid for by those who asked.
//! * **A replaced value goes to the back of the outbox**, not to where the old one was, unless nothing of
//!   its channel stands behind: offsets leave in order, and recovery by position relies on it.
//! * **Publications are counted once against the memory budget**, from being accepted to when the last
//!   outbox, lane or history lets go ([`base::memory`]); what each outbox adds is counted for itself.
//! * **A head that is an upgrade and comes in one piece never enters hyper** ([`connection::First`]): of
//!   what an accept costs beyond the kernel, hyper's dispatch and hand-over were two thirds. Its fields
//!   are looked at where they came in ([`connection::Head`]); what is not plain goes to hyper with the
//!   bytes that were read.
//! * **Who comes alone is served where it was accepted**, up to the first thing that has to be waited for: its
//!   request is nearly always there by then, and a task for that moment cost more than what is done in
//!   it. Of several who come at once each has its own task, on any worker.
//! * **A session's socket is watched for reading only.** A fresh socket can be written to, so tokio's own woke
//!   the worker once more for each connection to say so. Who is behind waits in a set beside
//!   ([`outbox`]), for one wake-up at a time.
//! * **A session that is opened does not wake its lane.** Only what walks over all sessions needs the lane's
//!   list of them, and takes in who came before it begins.
//! * **Server-sent events leave hyper** once the request is understood: the answer has neither length
//!   nor chunks, so the session has the bare socket, as one of a WebSocket has.
//! * **No state for the direct write.** Only the lane leaves the idle state, so it needs no exchange
//!   to write in it: one load per member is all ([`outbox`]).
//! * **A delivery waits for memory once in sixteen.** A send touches more than a cache holds, so nothing of
//!   the next session is in it. What a delivery needs of one is one line, the kernel is asked directly
//!   and not by way of tokio's record of the socket, and sixteen are looked at before the first is
//!   written to, so that they come together. Own time per delivery: 0.46 to 0.18 µs, of 6.
//! * **What the kernel cannot send yet is bounded for itself**, far below its buffer: in the kernel
//!   it is a copy for each who is behind, in the outbox it is shared, counted and subject to policies.
//! * **A stream that is neither TCP nor a Unix socket** is written by a writer task only: it may
//!   buffer what it takes, and only a task can wait until that is flushed.
//!
//! [`SlowConsumerPolicy`]: base::limits::SlowConsumerPolicy
//! [`HubLimits`]: base::limits::HubLimits

#[cfg(feature = "gateway")]
pub mod auth;
pub mod base;
#[cfg(feature = "gateway")]
pub mod bench;
#[cfg(feature = "gateway")]
pub mod cli;
#[cfg(feature = "gateway")]
pub mod config;
pub mod connection;
pub mod docs;
#[cfg(feature = "gateway")]
pub mod fetch;
pub mod frame;
#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(feature = "gateway")]
pub mod gateway;
#[cfg(feature = "gateway")]
pub mod hooks;
#[cfg(feature = "gateway")]
pub mod http;
pub mod hub;
pub mod outbox;
pub mod protocol;
