//! A place in what was published to a channel.
//!
//! # State
//! [`Epochs`]: a random seed and a count.
//!
//! # Who may touch what
//! Whoever makes a channel takes an epoch.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | the count | whoever makes a channel | the same, by the addition itself | Relaxed | nothing: only that each gets another number matters |
//!
//! # Races considered
//! None: an epoch is used by the channel that it was made for.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

/// One life of a channel's numbering. When what a channel kept is lost, because it went or the
/// process did, the next life has another epoch: so a position of the old one is never taken for
/// one of the new.
///
/// On the wire 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Epoch {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or(PositionError)
    }
}

/// Where epochs come from: each differs from all others of this process, and from those of the
/// process before it but for a chance of 1 in 2^64 a pair.
#[derive(Debug)]
pub(crate) struct Epochs {
    seed: u64,
    next: AtomicU64,
}

impl Epochs {
    pub(crate) fn new() -> Self {
        Self { seed: rand::random(), next: AtomicU64::new(0) }
    }

    /// The next one.
    pub(crate) fn next(&self) -> Epoch {
        // An odd factor maps each count to another number; the seed alone would give epochs of
        // neighbouring processes a chance to lie in one run of numbers.
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        Epoch(self.seed ^ count.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

/// A place in a channel: everything up to `offset` has been seen.
///
/// As text `EPOCH:OFFSET`, which is the `id` of an event of `/sse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamPosition {
    /// Of which life of the channel.
    pub epoch: Epoch,
    /// The number of the publication; the first has 1.
    pub offset: u64,
}

impl fmt::Display for StreamPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.offset)
    }
}

impl FromStr for StreamPosition {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (epoch, offset) = text.split_once(':').ok_or(PositionError)?;
        let is_number = !offset.is_empty() && offset.bytes().all(|byte| byte.is_ascii_digit());
        let offset = is_number.then(|| offset.parse().ok()).flatten().ok_or(PositionError)?;
        Ok(Self { epoch: epoch.parse()?, offset })
    }
}

/// What a session has seen of a channel when it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recover {
    /// `None` for one that cannot be of this node.
    pub epoch: Option<Epoch>,
    /// The last publication that it got.
    pub offset: u64,
}

impl From<StreamPosition> for Recover {
    fn from(position: StreamPosition) -> Self {
        Self { epoch: Some(position.epoch), offset: position.offset }
    }
}

/// A text that is not a position of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionError;

impl fmt::Display for PositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a position is 16 hexadecimal digits, a colon and a number")
    }
}

impl std::error::Error for PositionError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_prints_and_parses() {
        let epochs = Epochs::new();
        let (first, second) = (epochs.next(), epochs.next());
        assert_ne!(first, second);
        let position = StreamPosition { epoch: first, offset: 17 };
        assert_eq!(position.to_string().parse(), Ok(position));
        for bad in
            ["", ":", "0011223344556677:", ":1", "0011223344556677:+1", "123:1", "0011223344556677"]
        {
            assert_eq!(bad.parse::<StreamPosition>(), Err(PositionError), "{bad}");
        }
    }
}
