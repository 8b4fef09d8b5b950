//! What a process costs, from /proc.

use std::{fs, io};

/// CPU time and memory of some processes, together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// All CPU time of the threads that live, in ns.
    pub cpu_ns: u64,
    /// The share of the program itself, outside of the kernel, in clock ticks.
    pub user_ticks: u64,
    pub system_ticks: u64,
    /// Resident memory, in KiB.
    pub rss_kib: u64,
}

impl Usage {
    /// Of the processes now.
    ///
    /// The scheduler's own count is in ns, where utime and stime come in ticks of 10 ms; it has no
    /// threads that have ended, and no server here ends one while it is measured.
    pub fn of(pids: &[u32]) -> io::Result<Self> {
        let mut sum = Self::default();
        for pid in pids {
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let stat = fs::read_to_string(task?.path().join("schedstat"));
                // A thread may end between the listing and here.
                let ns = stat.ok().and_then(|stat| stat.split(' ').next()?.parse::<u64>().ok());
                sum.cpu_ns += ns.unwrap_or(0);
            }
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            // The name before the last parenthesis may hold spaces.
            let fields: Vec<&str> =
                stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
            let tick = |at: usize| fields.get(at).and_then(|field| field.parse().ok()).unwrap_or(0);
            sum.user_ticks += tick(11);
            sum.system_ticks += tick(12);
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            sum.rss_kib += kib.unwrap_or(0);
        }
        Ok(sum)
    }

    /// CPU time since then, in µs.
    pub fn cpu_us_since(&self, then: &Self) -> f64 {
        (self.cpu_ns.saturating_sub(then.cpu_ns)) as f64 / 1e3
    }

    /// The part of it that was spent in the program itself.
    pub fn user_share_since(&self, then: &Self) -> f64 {
        let user = self.user_ticks.saturating_sub(then.user_ticks) as f64;
        let all = user + self.system_ticks.saturating_sub(then.system_ticks) as f64;
        if all > 0.0 { user / all } else { 0.0 }
    }
}
