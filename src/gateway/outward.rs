//! What a gateway does outward: the keys that it fetches, the application that it asks and tells.

use std::time::Instant;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::error::StartError;
use super::jwks::Fetching;
use crate::hooks::{HookSettings, Hooks};

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

    /// Has it told what is left, until then at most.
    pub(super) async fn end(mut self, until: Instant) {
        let _ = self.end.send(until.into());
        while self.task.join_next().await.is_some() {}
    }
}
