//! Fanfare: one message in, as many copies out as there are subscribers.
//!
//! (The front page of the crate documentation is written at the end of this file's `doc` includes.)

#[cfg(feature = "gateway")]
pub mod auth;
pub mod base;
#[cfg(feature = "gateway")]
pub mod cli;
#[cfg(feature = "gateway")]
pub mod config;
pub mod connection;
pub mod frame;
#[cfg(feature = "gateway")]
pub mod gateway;
#[cfg(feature = "gateway")]
pub mod http;
pub mod hub;
pub mod outbox;
pub mod protocol;
