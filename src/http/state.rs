//! What all requests share.
//!
//! # State
//! [`StateOptions`], changed for others when the configuration is read again.
//!
//! # Who may touch what
//! A reload stores; every request loads.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `options` | a reload | requests | `ArcSwap` | a request sees the old ones or the new ones, whole |
//!
//! # Races considered
//! - *A request that loads twice*: it may see two. Each check stands by itself.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;

use super::admin::{Admin, AdminSettings};
use super::forwarded::TrustedProxies;
use super::tally::Tally;
use crate::auth::api_key::ApiKeys;
use crate::auth::origin::OriginList;
use crate::base::access::Authoriser;
use crate::base::limits::{HttpLimits, MessageLimits};
use crate::base::network::Network;
use crate::hub::Hub;

/// What a [`State`] is made of.
#[derive(Clone, Debug)]
pub struct StateOptions {
    /// Who checks tokens.
    pub authoriser: Arc<dyn Authoriser>,
    /// Keys of the HTTP API. Without any it is off, unless `open`.
    pub api_keys: ApiKeys,
    /// Origins of pages that may connect and publish besides the gateway's own.
    pub origins: OriginList,
    /// The API and `/publish` need no key.
    pub open: bool,
    /// Requests must name a loopback host: for a gateway that is open because it listens there.
    pub loopback_only: bool,
    /// The cookie that may hold a token.
    pub cookie_name: String,
    /// Networks that the bounds for one address do not hold for.
    pub per_address_exempt: Vec<Network>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Bounds of requests.
    pub http_limits: HttpLimits,
    /// Bounds of what a WebSocket's peer may send.
    pub message_limits: MessageLimits,
    /// The admin page.
    pub admin: AdminSettings,
}

/// What all requests share.
pub struct State {
    pub(super) hub: Hub,
    options: ArcSwap<StateOptions>,
    pub(super) started: Instant,
    pub(super) admin: Admin,
    /// This run of this node: new at each start.
    pub(super) node_id: String,
    /// The machine's name.
    pub(super) node_name: String,
    tally: Tally,
}

impl State {
    /// For this hub.
    pub fn new(hub: Hub, options: StateOptions) -> Self {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = name.trim();
        Self {
            hub,
            options: ArcSwap::from_pointee(options),
            started: Instant::now(),
            admin: Admin::default(),
            node_id: format!("{:032x}", rand::random::<u128>()),
            node_name: if name.is_empty() { "fanfare" } else { name }.to_owned(),
            tally: Tally::default(),
        }
    }

    /// The hub.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// What the HTTP side counts.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What it is made of now.
    pub fn options(&self) -> Arc<StateOptions> {
        self.options.load_full()
    }

    /// The same for a moment: no reference is counted, so it is not to be held across an await.
    pub fn options_now(&self) -> impl Deref<Target = Arc<StateOptions>> {
        self.options.load()
    }

    /// From now on this, for requests that come then.
    pub fn set_options(&self, options: StateOptions) {
        self.options.store(Arc::new(options));
    }

    /// The longest message, whoever publishes it: a longer one might not fit into an outbox.
    pub(super) fn message_bytes_max(&self) -> usize {
        self.options.load().message_limits.message_bytes_max
    }

    /// The bounds of requests.
    pub fn limits(&self) -> HttpLimits {
        self.options.load().http_limits
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("options", &self.options.load()).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::auth::AllowAnyone;

    impl State {
        /// Changes some of the options.
        pub(in crate::http) fn change(&self, change: impl FnOnce(&mut StateOptions)) {
            let mut options = (*self.options()).clone();
            change(&mut options);
            self.set_options(options);
        }
    }

    /// With a key (`key-canary`), or open. On the current runtime.
    pub(in crate::http) fn state(open: bool) -> Arc<State> {
        let hub = Hub::builder().lanes(1).build();
        state_of(hub, open)
    }

    pub(in crate::http) fn state_of(hub: Hub, open: bool) -> Arc<State> {
        let keys: &[&str] = if open { &[] } else { &["key-canary"] };
        let options = StateOptions {
            authoriser: Arc::new(AllowAnyone),
            api_keys: ApiKeys::new(keys).unwrap(),
            origins: OriginList::new(["https://listed.example"]).unwrap(),
            open,
            loopback_only: open,
            cookie_name: "fanfare_token".into(),
            per_address_exempt: Vec::new(),
            trusted_proxies: TrustedProxies::default(),
            http_limits: HttpLimits::default(),
            message_limits: MessageLimits::default(),
            admin: AdminSettings::default(),
        };
        Arc::new(State::new(hub, options))
    }
}
