//! What the kernel says of this process.

use std::fs;

/// What the kernel says of this process; `None` where it does not say.
pub(in crate::http) struct Process {
    pub(in crate::http) resident_bytes: Option<u64>,
    pub(in crate::http) open_fds: Option<u64>,
    pub(in crate::http) max_fds: Option<u64>,
    pub(in crate::http) cpu_seconds: Option<f64>,
}

impl Process {
    pub(in crate::http) fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        Self {
            resident_bytes: field(&status, "VmRSS:").map(|kib| kib * 1024),
            open_fds: open_fds(),
            max_fds: field(&limits, "Max open files"),
            cpu_seconds: cpu_seconds(),
        }
    }
}

/// Time that all threads together were on a core, the kernel's part included.
fn cpu_seconds() -> Option<f64> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// The number behind a name at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Linux 6.2 and later tell the number as the size of the directory, which spares a walk over the
/// descriptors of 20,000 connections.
fn open_fds() -> Option<u64> {
    let told = fs::metadata("/proc/self/fd").ok()?.len();
    match told {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64),
        told => Some(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_the_number_behind_its_name() {
        let text = "VmPeak:\t 9 kB\nVmRSS:\t    1234 kB\nMax open files   20000   20000  files\n";
        assert_eq!(field(text, "VmRSS:"), Some(1234));
        assert_eq!(field(text, "Max open files"), Some(20_000));
        assert_eq!(field(text, "VmSwap:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_all_of_it() {
        let process = Process::read();
        assert!(process.resident_bytes.unwrap() > 1 << 20);
        assert!(process.open_fds.unwrap() >= 3);
        assert!(process.max_fds.unwrap() >= process.open_fds.unwrap());
    }
}
