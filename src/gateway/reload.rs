//! Reading the configuration again while the gateway runs.
//!
//! A configuration that is not good is refused whole, and the old one stays. One that is good is taken
//! up for whatever begins from then on: checks of tokens and keys, requests, publications. No session
//! ends. Keys that only a restart takes up are named in the log.

use std::fmt;
use std::sync::Arc;

use super::error::StartError;
use super::outward::Outward;
use super::{authoriser, state_options};
use crate::auth::rotating::Rotating;
use crate::config::{self, ConfigError, Settings};
use crate::http::State;

/// Why a configuration is not taken up.
#[derive(Debug)]
enum Refused {
    Config(ConfigError),
    Keys(StartError),
    /// The largest message would not fit into the outboxes that there are.
    Messages {
        message_bytes_max: usize,
        outbox_bytes_max: usize,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Keys(error) => error.fmt(f),
            Self::Messages { message_bytes_max, outbox_bytes_max } => write!(
                f,
                "messages.message_bytes_max is {message_bytes_max}, and the outboxes of this run hold \
                 {outbox_bytes_max} bytes; restart to raise both, or keep it at most that"
            ),
        }
    }
}

/// What a reload changes.
#[derive(Debug)]
pub(super) struct Reloader {
    state: Arc<State>,
    authoriser: Arc<Rotating>,
    outward: Outward,
    /// As it was at the start: what a restart would change is told against it.
    settings: Settings,
}

impl Reloader {
    pub(super) fn new(
        state: Arc<State>,
        authoriser: Arc<Rotating>,
        outward: Outward,
        settings: Settings,
    ) -> Self {
        Self { state, authoriser, outward, settings }
    }

    /// Takes up what was read, or says why not.
    pub(super) fn reload(&self, read: Result<Settings, ConfigError>) {
        match read.map_err(Refused::Config).and_then(|settings| self.take_up(settings)) {
            Ok(needs_restart) => {
                self.state.tally().config_reloads[0].add(1);
                tracing::info!("the configuration was read again");
                if !needs_restart.is_empty() {
                    let keys = needs_restart.join(", ");
                    tracing::warn!("only a restart takes these up: {keys}");
                }
            }
            Err(refused) => {
                self.state.tally().config_reloads[1].add(1);
                tracing::error!("the configuration was not taken up, the old one stays: {refused}");
            }
        }
    }

    fn take_up(&self, settings: Settings) -> Result<Vec<&'static str>, Refused> {
        let hub = self.state.hub();
        let outbox_bytes_max = hub.limits().outbox_bytes_max;
        let message_bytes_max = settings.messages.message_bytes_max;
        if message_bytes_max > outbox_bytes_max {
            return Err(Refused::Messages { message_bytes_max, outbox_bytes_max });
        }
        let authoriser = authoriser(&settings, &self.outward.fetching).map_err(Refused::Keys)?;
        self.outward.set_hooks(&settings.hooks).map_err(Refused::Keys)?;
        let needs_restart = config::needs_restart(&self.settings, &settings);
        // Nothing can fail from here on.
        self.authoriser.set(authoriser);
        hub.set_limits(&settings.hub);
        hub.set_channels(settings.channels.clone());
        self.state.set_options(state_options(self.authoriser.clone(), settings));
        Ok(needs_restart)
    }
}
