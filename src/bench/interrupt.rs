//! SIGINT and SIGTERM end the measurement.

use std::sync::Arc;

use mio::Waker;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::BenchError;

/// Listens as long as it is there.
pub(crate) struct Interrupt {
    /// A thread of its own, asleep until there is a signal.
    _runtime: Runtime,
    /// Closed, it would take its own event back.
    _waker: Arc<Waker>,
}

impl Interrupt {
    /// Wakes the loop at the first signal.
    ///
    /// # Errors
    /// The system refuses a thread or the signal.
    pub(crate) fn listen(waker: Arc<Waker>) -> Result<Self, BenchError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_io()
            .build()
            .map_err(BenchError::io("start a thread"))?;
        let inside = runtime.enter();
        let mut interrupt =
            signal(SignalKind::interrupt()).map_err(BenchError::io("listen for SIGINT"))?;
        let mut terminate =
            signal(SignalKind::terminate()).map_err(BenchError::io("listen for SIGTERM"))?;
        let to_wake = waker.clone();
        runtime.spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // If it cannot be woken it is not waiting, and ends by its own clock.
            let _ = to_wake.wake();
        });
        drop(inside);
        Ok(Self { _runtime: runtime, _waker: waker })
    }
}
