//! Log lines on stderr, which may be a pipe that nobody reads, or a full disk.
//!
//! Whoever logs never waits: a line goes into a bounded queue, and one thread writes them. A line that
//! finds the queue full is dropped and counted, and so is one that cannot be written. A panic is a line
//! too: otherwise the thread that panics would write to stderr itself.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::panic;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;

use crate::base::log_lines::LineLost;
use crate::config::{LogFormat, LogSettings};

/// How long the end of the process waits for the lines that are left.
const FLUSH: Duration = Duration::from_millis(500);

/// How often it tries to get in behind them.
const LOOK: Duration = Duration::from_millis(5);

enum Item {
    Line(Vec<u8>),
    /// Say so when this is reached.
    Flush(SyncSender<()>),
}

/// Lines that nobody writes yet.
pub(crate) struct Lines {
    to: SyncSender<Item>,
    from: Receiver<Item>,
}

/// Writes lines. Dropped, it waits for those that are left, for a moment.
pub(crate) struct Log {
    to: SyncSender<Item>,
}

/// Where each line is put, whole.
struct Entry(SyncSender<Item>);

/// Turns logging on for the whole process, once. Lines wait until there is a thread to write them.
pub(crate) fn start(settings: &LogSettings) -> Lines {
    let (to, from) = sync_channel(settings.queue_lines_max);
    let entry = to.clone();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&settings.filter))
        // By default a line that cannot be written is reported with `eprintln!`, which panics where
        // stderr is closed: the end of whatever reads the log would take connections along.
        .log_internal_errors(false)
        .with_writer(move || Entry(entry.clone()));
    // Fails only where a subscriber is set already, and then that one logs.
    let _ = match settings.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    panic::set_hook(Box::new(|panicked| {
        let text = panicked.to_string().replace('\n', " ");
        tracing::error!(thread = thread::current().name(), "{text}");
    }));
    Lines { to, from }
}

impl Lines {
    /// Starts the thread that writes them.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn write(self) -> io::Result<Log> {
        // Not through `io::stderr()`: its lock would be held while a write is stuck.
        let mut file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let Self { to, from } = self;
        thread::Builder::new().name("log".into()).spawn(move || {
            for item in from {
                match item {
                    Item::Line(line) => {
                        if file.write_all(&line).is_err() {
                            LineLost::WriteFailed.count().add(1);
                        }
                    }
                    // Whoever asked waited for long enough.
                    Item::Flush(done) => drop(done.try_send(())),
                }
            }
        })?;
        Ok(Log { to })
    }
}

impl Write for Entry {
    /// A line: it is written with one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(Item::Line(line.to_vec())).is_err() {
            LineLost::QueueFull.count().add(1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let until = Instant::now() + FLUSH;
        let (done, is_done) = sync_channel(1);
        let mut flush = Item::Flush(done);
        while let Err(TrySendError::Full(back)) = self.to.try_send(flush) {
            if Instant::now() >= until {
                return;
            }
            flush = back;
            thread::park_timeout(LOOK);
        }
        let _ = is_done.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}
