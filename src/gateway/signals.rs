//! SIGTERM and SIGINT: the first ends the gateway gracefully, the second hurries. SIGHUP does neither.

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// A future that is ready when a signal has come.
type Came = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The first signal and the second, for
/// [`Gateway::serve_hurried`](super::Gateway::serve_hurried).
pub struct Signals {
    /// Ready at the first SIGTERM or SIGINT.
    pub first: Came,
    /// Ready at the second.
    pub second: Came,
    /// Every SIGHUP.
    pub hangup: Signal,
}

impl Signals {
    /// Takes over these signals of the process: from here on they do not end it by themselves.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let (first, on_first) = oneshot::channel();
        let (second, on_second) = oneshot::channel();
        tokio::spawn(pass_on(terminate, interrupt, [first, second]));
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self { first: came(on_first), second: came(on_second), hangup })
    }
}

async fn pass_on(mut terminate: Signal, mut interrupt: Signal, to: [oneshot::Sender<()>; 2]) {
    for (place, to) in ["first", "second"].into_iter().zip(to) {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(place, "got {name}");
        // Nobody waits for it: then nobody is to be told.
        let _ = to.send(());
    }
}

fn came(receiver: oneshot::Receiver<()>) -> Came {
    Box::pin(async move {
        // Never dropped unsent while the runtime runs.
        let _ = receiver.await;
    })
}
