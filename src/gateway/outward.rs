//! What a gateway does outward: the keys that it fetches, the application that it asks and tells.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::error::StartError;
use super::jwks::Fetching;
use crate::hooks::{HookSettings, Hooks};

/// How long the application has for what it is still to be told, however late it is.
const LAST: Duration = Duration::from_secs(1);

/// Both, for a reload.
#[derive(Debug)]
pub(super) struct Outward {
    pub(super) fetching: Fetching,
    pub(super) hooks: Hooks,
}

impl Outward {
    /// Has the application asked and told by these settings.
    ///
    /// # Errors
    /// [`StartError::Fetch`]; then nothing has changed.
    pub(super) fn set_hooks(&self, settings: &HookSettings) -> Result<(), StartError> {
        self.hooks.set(settings.clone()).map_err(StartError::Fetch)
    }
}

/// The task that tells the application what happened. Ends with this.
#[derive(Debug)]
pub(super) struct Telling {
    end: oneshot::Sender<tokio::time::Instant>,
    task: JoinSet<()>,
}

impl Telling {
    pub(super) fn start(hooks: &Hooks) -> Self {
        let (end, ends) = oneshot::channel();
        let mut task = JoinSet::new();
        // Without anybody who ends it the gateway is gone, and nothing is owed.
        let ends = async { ends.await.unwrap_or_else(|_| tokio::time::Instant::now()) };
        task.spawn(hooks.teller().run(ends));
        Self { end, task }
    }

    /// Has it told what is left, until then at most, and at least for [`LAST`]; if somebody hurries, at
    /// most for that.
    pub(super) async fn end(mut self, until: Instant, hurry: impl Future<Output = ()>) {
        let least = Instant::now() + LAST;
        let _ = self.end.send(until.max(least).into());
        let hurried = async {
            hurry.await;
            tokio::time::sleep_until(least.into()).await;
        };
        tokio::select! {
            biased;
            _ = self.task.join_next() => {}
            () = hurried => {}
        }
    }
}

/// Ready whenever it is asked, once it was.
pub(super) fn for_good(future: impl Future<Output = ()>) -> impl Future<Output = ()> {
    let mut future = Some(Box::pin(future));
    poll_fn(move |cx| {
        let is_ready = future.as_mut().is_none_or(|future| future.as_mut().poll(cx).is_ready());
        if is_ready {
            future = None;
            return Poll::Ready(());
        }
        Poll::Pending
    })
}
