//! What each fuzz target does with its input. The targets themselves (`fuzz_targets/`) are one line
//! each, so that the same code replays seeds and regressions in an ordinary `cargo test`.
//!
//! A new target is a module here, a row in [`TARGETS`], a file in `fuzz_targets/`, a `[[bin]]` in
//! `Cargo.toml`, a name in `run` and a row in `README.md`.

pub mod assembly;
pub mod channel;
pub mod client_frames;
pub mod config;
pub mod deflate;
pub mod handshake;
pub mod json_commands;
pub mod jwt;
pub mod outbox;

mod ours;
mod peers;
#[cfg(test)]
mod replay;

/// A target: its name, which is also that of its directories, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 9] = [
    ("client_frames", client_frames::run),
    ("handshake", handshake::run),
    ("assembly", assembly::run),
    ("json_commands", json_commands::run),
    ("jwt", jwt::run),
    ("config", config::run),
    ("outbox", outbox::run),
    ("channel", channel::run),
    ("deflate", deflate::run),
];
