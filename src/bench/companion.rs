//! A second run beside the first: the subscribers of a small channel, in a thread of their own.
//!
//! Read in the thread that drains ten thousand busy sockets, a small channel would wait for those
//! and not for the server. So it has its own thread, its own loop and, where the system allows it, the
//! highest priority, so that the busy thread gives way even if both share a core.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::setpriority_process;

use super::eras::Eras;
use super::options::{Options, Scenario};
use super::report::Report;
use super::rig::Rig;
use super::{BenchError, scenario};

/// The highest (nice(2)).
const PRIORITY: i32 = -20;

/// See the module.
pub(crate) struct Companion {
    go: SyncSender<()>,
    thread: JoinHandle<Result<Report, BenchError>>,
    /// Its latencies, for whoever says when something happens.
    pub(crate) eras: Eras,
    pub(crate) has_priority: bool,
}

/// Where a run waits, connected, until the other one begins.
pub(crate) struct Gate {
    ready: SyncSender<()>,
    go: Receiver<()>,
}

impl Gate {
    /// Waits; false if the other one will not begin.
    pub(crate) fn pass(self) -> bool {
        // Without anybody who waits for this one there is nobody who lets it go either.
        let _ = self.ready.send(());
        self.go.recv().is_ok()
    }
}

impl Companion {
    /// Starts the run that the options want beside theirs, and returns when it is connected.
    ///
    /// # Errors
    /// It cannot connect.
    pub(crate) fn start(options: &Options) -> Result<Option<Self>, BenchError> {
        let Some(beside) = options.beside() else { return Ok(None) };
        let small = Options {
            scenario: Scenario::Fanout { rate_per_s: beside.rate_per_s },
            subscribers: beside.subscribers,
            label: format!("{} (small channel)", options.label).trim().to_owned(),
            channel_prefix: format!("{}small-", options.channel_prefix),
            warmup: Duration::ZERO,
            pids: Vec::new(),
            ..options.clone()
        };
        let (go, go_receiver) = sync_channel(1);
        let (ready, ready_receiver) = sync_channel(1);
        let (told, told_receiver) = sync_channel(1);
        let thread = std::thread::Builder::new().name("beside".to_owned());
        let eras = Eras::new();
        let recorded = eras.clone();
        let run = move || {
            // Linux: of the calling thread, not of the process.
            let _ = told.send(setpriority_process(None, PRIORITY).is_ok());
            let mut silent = |_: &super::Progress| {};
            let mut rig = Rig::new(&small, &mut silent)?;
            rig.tally.eras = Some(recorded);
            rig.gate = Some(Gate { ready, go: go_receiver });
            scenario::run(&mut rig)
        };
        let thread = thread.spawn(run).map_err(BenchError::io("start a thread"))?;
        let has_priority = told_receiver.recv().unwrap_or(false);
        match ready_receiver.recv() {
            Ok(()) => Ok(Some(Self { go, thread, eras, has_priority })),
            // It ended before it was ready.
            Err(_) => match join(thread) {
                Ok(report) => Err(BenchError::Connect(report.faults.join("; "))),
                Err(error) => Err(error),
            },
        }
    }

    /// Lets it begin.
    pub(crate) fn begin(&self) {
        // If it has ended, its report says why.
        let _ = self.go.send(());
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It has nothing to report.
    pub(crate) fn end(self) -> Result<Report, BenchError> {
        drop(self.go);
        join(self.thread)
    }
}

fn join(thread: JoinHandle<Result<Report, BenchError>>) -> Result<Report, BenchError> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
