//! What processes use: the server's CPU and memory from /proc, and our own CPU.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::BenchError;

/// How far the two counts of a process may be apart because one of them is coarse.
const TICKS_APART: Duration = Duration::from_millis(40);

/// CPU that was used, since a process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// In clock ticks of, mostly, 10 ms.
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    /// Both, of threads that are there, as the scheduler counts it: in nanoseconds.
    scheduled: Duration,
}

impl Cpu {
    /// The finer count, unless it is short by more than a few ticks: then threads have ended, and
    /// took theirs with them.
    pub(crate) fn total(self) -> Duration {
        let ticked = self.user + self.system;
        if self.scheduled + TICKS_APART >= ticked { self.scheduled } else { ticked }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            scheduled: self.scheduled.saturating_sub(before.scheduled),
        }
    }
}

/// Processes that are watched from outside.
#[derive(Clone, Debug)]
pub(crate) struct Processes {
    pub(crate) pids: Vec<u32>,
    ticks_per_s: u64,
}

impl Processes {
    /// # Errors
    /// One of them is not there, or /proc is not.
    pub(crate) fn new(pids: &[u32]) -> Result<Option<Self>, BenchError> {
        let processes =
            Self { pids: pids.to_vec(), ticks_per_s: rustix::param::clock_ticks_per_second() };
        for pid in pids {
            if processes.cpu_of(*pid).is_none() || resident_bytes(*pid).is_none() {
                return Err(BenchError::Options(format!("--pid {pid}: /proc has no such process")));
            }
        }
        Ok((!pids.is_empty()).then_some(processes))
    }

    /// Summed over all; one that has ended counts as nothing.
    pub(crate) fn cpu(&self) -> Cpu {
        let add = |sum: Cpu, one: Cpu| Cpu {
            user: sum.user + one.user,
            system: sum.system + one.system,
            scheduled: sum.scheduled + one.scheduled,
        };
        self.pids.iter().filter_map(|pid| self.cpu_of(*pid)).fold(Cpu::default(), add)
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        self.pids.iter().filter_map(|pid| resident_bytes(*pid)).sum()
    }

    /// How long their threads were ready to run and had no core, since they began; of threads that
    /// are there.
    pub(crate) fn waiting(&self) -> Duration {
        self.pids.iter().map(|pid| scheduled_of(*pid).1).sum()
    }

    fn cpu_of(&self, pid: u32) -> Option<Cpu> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (user, system) = ticks(&text)?;
        let time = |ticks| Duration::from_secs_f64(ticks as f64 / self.ticks_per_s as f64);
        Some(Cpu { user: time(user), system: time(system), scheduled: scheduled_of(pid).0 })
    }
}

/// utime and stime, the 14th and 15th field (proc(5)): of all threads, ended ones too. The second
/// field is the name, which may hold spaces and brackets.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn resident_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1_024)
}

/// CPU of this thread, which is all that a run has beside one that sleeps.
pub(crate) fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// How long this thread was ready to run and had no core.
pub(crate) fn own_waiting() -> Duration {
    schedstat(Path::new("/proc/thread-self/schedstat")).unwrap_or_default().1
}

/// How long the threads of a process ran, and how long they were ready to and had no core.
fn scheduled_of(pid: u32) -> (Duration, Duration) {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let times = tasks.filter_map(|task| schedstat(&task.path().join("schedstat")));
    times.fold(Default::default(), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// The first two numbers of a schedstat (sched-stats.rst of Linux), in nanoseconds.
fn schedstat(path: &Path) -> Option<(Duration, Duration)> {
    let text = fs::read_to_string(path).ok()?;
    let mut numbers = text.split_whitespace().map_while(|number| number.parse().ok());
    Some((Duration::from_nanos(numbers.next()?), Duration::from_nanos(numbers.next()?)))
}

/// What the machine is, for a report; empty where it does not say.
pub(crate) fn machine() -> super::report::Machine {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name"));
    let cpu = model.and_then(|line| line.split_once(':')).map_or("", |(_, name)| name.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    super::report::Machine {
        cpu: cpu.to_owned(),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        kernel: kernel.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a) b (c d) S 1 2 3 4 5 6 7 8 9 10 1234 56 0 0 20 0 1 0 99";
        assert_eq!(ticks(stat), Some((1234, 56)));
        assert_eq!(ticks("7 (x"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_there_and_works() {
        let processes = Processes::new(&[std::process::id()]).unwrap().unwrap();
        assert!(processes.resident_bytes() > 1 << 20);
        let before = own_cpu();
        let mut sum = 0u64;
        while own_cpu() - before < Duration::from_millis(30) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(processes.cpu().total() >= Duration::from_millis(20));
        assert!(processes.waiting() >= own_waiting());
        assert!(Processes::new(&[]).unwrap().is_none());
        let error = Processes::new(&[u32::MAX]).unwrap_err().to_string();
        assert!(error.contains("no such process"), "{error}");
    }
}
