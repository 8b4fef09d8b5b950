//! Attacks over bare sockets on a running gateway, while a healthy subscriber on another connection
//! must notice nothing.
//!
//! Each holds that the default is what it is said to be, that its key changes it, that a metric
//! tells of it, and that the peer of the attack sees what it is to see.
//!
//! * `handshakes`: requests for a WebSocket that are not in order, and what comes behind them.
//! * `heads`: heads that are long, or slow.
//! * `frames`: frames and messages that break a rule or a limit.
//! * `compression`: compressed messages and offers of compression that are not in order.
//! * `closing`: that the close frame arrives, whatever the peer does.
//! * `floods`: too many connections, sessions, subscriptions, control frames; bodies that are too much.
//! * `per_address`: one address with too many connections, or that opens them too fast.
//! * `storms`: more handshakes at once than a node takes.
//! * `shares`: one user, one session, one channel with too much of what there is for all.
//! * `files`: no file descriptors are left.
//! * `faults`: peers that are gone, code that panics.
//! * `peers`: defects that others shipped, each by its name.
//!
//! Peers that stop reading are in `tests/e2e/slow.rs`, tokens in `tests/e2e/identity.rs`.

#![cfg(feature = "gateway")]

mod closing;
mod compression;
mod faults;
mod files;
mod floods;
mod frames;
mod handshakes;
mod heads;
mod peers;
mod per_address;
mod raw;
mod shares;
mod steady;
mod storms;
#[path = "../e2e/support.rs"]
#[allow(dead_code)]
mod support;

use std::process::Command;

/// The default of a key, as `fanfare config` shows it.
pub fn default_of(section: &str, key: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_fanfare")).arg("config").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, rest) = text.split_once(&format!("\n[{section}]\n")).expect(section);
    let rest = rest.split("\n[").next().unwrap();
    let start = format!("#{key} = ");
    let line = rest.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {key} in [{section}]")).to_owned()
}
