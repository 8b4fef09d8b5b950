//! When whoever was refused may come back.

use rand::RngExt as _;

/// The longest time that somebody is told to stay away, in seconds.
pub const RETRY_AFTER_S_MAX: u16 = 4;

/// A time for `Retry-After`, in seconds: another for each, or all would come back as one.
pub fn retry_after_s() -> u16 {
    rand::rng().random_range(1..=RETRY_AFTER_S_MAX)
}
