//! How many connections the process has file descriptors for.

use std::fs;

/// Descriptors that are kept free: for refusing whom there is no room for, and for what the program
/// opens besides. Of a small limit it is a quarter.
const RESERVE: u64 = 128;

/// The most connections that leave the reserve free; `None` where the kernel does not say.
pub(super) fn connections_max() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    Some(room(soft_limit(&limits)?, open))
}

fn room(limit: u64, open: u64) -> u64 {
    limit.saturating_sub(open).saturating_sub(RESERVE.min(limit / 4)).max(1)
}

/// `None` for `unlimited` too.
fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_left_free() {
        assert_eq!(room(20_000, 20), 19_852);
        assert_eq!(room(100, 12), 63);
        assert_eq!(room(10, 12), 1);
    }

    #[test]
    fn the_soft_limit_counts() {
        let text = "Max processes  1  2  processes\nMax open files   1024   4096   files\n";
        assert_eq!(soft_limit(text), Some(1_024));
        assert_eq!(soft_limit("Max open files  unlimited  unlimited  files"), None);
    }
}
