//! How a hub is made, and the ticker that drives its clock.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use crossbeam_queue::SegQueue;
use tokio::runtime::Handle;

use super::busy::Busy;
use super::directory::Directory;
use super::endings::Endings;
use super::flow::Flow;
use super::inbox::Inbox;
use super::lane::{Item, Lane};
use super::registry::Registry;
use super::shared::Shared;
use super::slow::Behind;
use super::sweep::TICK_MS;
use super::{Hub, Inner};
use crate::base::application::Application;
use crate::base::channels::{ChannelOptions, ChannelRules};
use crate::base::clock::{Clock, since_1970};
use crate::base::counters::Counters;
use crate::base::ids::SessionIds;
use crate::base::limits::{DeflateSettings, HubLimits, SlowConsumerPolicy};
use crate::base::memory::Memory;
use crate::base::panics::Culprit;
use crate::base::position::Epochs;
use crate::base::trace::Tracer;
use crate::outbox::room::Room;

/// Makes a [`Hub`]. Every bound has a default; see [`HubLimits`] for units and memory.
#[derive(Clone, Debug)]
pub struct HubBuilder {
    limits: HubLimits,
    channels: ChannelRules,
    application: Option<Arc<dyn Application>>,
    is_lanes_set: bool,
    tracer: Option<Arc<Tracer>>,
}

/// One setter per bound, with the documentation of the bound.
macro_rules! setters {
    ($($field:ident: $kind:ty),* $(,)?) => {$(
        #[doc = concat!("Sets [`HubLimits::", stringify!($field), "`].")]
        #[must_use]
        pub fn $field(mut self, $field: $kind) -> Self {
            self.limits.$field = $field;
            self
        }
    )*};
}

impl HubBuilder {
    pub(super) fn new() -> Self {
        Self {
            limits: HubLimits::default(),
            channels: ChannelRules::default(),
            application: None,
            is_lanes_set: false,
            tracer: None,
        }
    }

    /// Takes all bounds at once, lanes included.
    #[must_use]
    pub fn limits(mut self, limits: HubLimits) -> Self {
        self.limits = limits;
        self.is_lanes_set = true;
        self
    }

    /// Sets what a channel, or every one with a prefix, keeps and does: see [`ChannelRules::add`] for
    /// the pattern.
    #[must_use]
    pub fn channel(mut self, pattern: &str, options: ChannelOptions) -> Self {
        self.channels.add(pattern, options);
        self
    }

    /// Takes all rules for channels at once.
    #[must_use]
    pub fn channels(mut self, rules: ChannelRules) -> Self {
        self.channels = rules;
        self
    }

    /// Sets who is asked where a channel's rule says so, and who is told what happens. By default
    /// nobody.
    #[must_use]
    pub fn application(mut self, application: Arc<dyn Application>) -> Self {
        self.application = Some(application);
        self
    }

    /// Has publications sampled as this says. Whoever has it takes out of it what is over, or it fills
    /// up and drops.
    #[must_use]
    pub fn tracer(mut self, tracer: Option<Arc<Tracer>>) -> Self {
        self.tracer = tracer;
        self
    }

    /// Sets [`HubLimits::lanes`]; without it there are as many as the runtime has worker threads.
    #[must_use]
    pub fn lanes(mut self, lanes: usize) -> Self {
        self.limits.lanes = lanes;
        self.is_lanes_set = true;
        self
    }

    setters! {
        sessions_max: usize,
        sessions_per_user_max: usize,
        channels_max: usize,
        subscriptions_per_session_max: usize,
        subscribers_per_channel_max: usize,
        publishes_per_session_per_s_max: u32,
        publications_pending_max: usize,
        publication_bytes_pending_max: usize,
        outbox_bytes_max: usize,
        outbox_frames_max: usize,
        outbox_age_max_ms: u64,
        slow_consumer_policy: SlowConsumerPolicy,
        close_timeout_ms: u64,
        ping_interval_ms: u64,
        pong_timeout_ms: u64,
        frame_timeout_ms: u64,
        writes_per_turn: usize,
        pass_bytes_max: usize,
        memory_bytes_max: usize,
        history_bytes_max: usize,
        idempotency_keys_max: usize,
        deflate: DeflateSettings,
    }

    /// Starts the lanes and the ticker on the current tokio runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn build(mut self) -> Hub {
        let runtime = Handle::current();
        if !self.is_lanes_set {
            self.limits.lanes = runtime.metrics().num_workers();
        }
        // A lane's index is 16 bits wide; a turn without a write would never end.
        self.limits.lanes = self.limits.lanes.clamp(1, 1_024);
        self.limits.writes_per_turn = self.limits.writes_per_turn.max(1);
        let counters = Arc::new(Counters::new(self.limits.lanes));
        let memory = Memory::new(self.limits.memory_bytes_max);
        let shared = Arc::new(Shared {
            lanes: (0..self.limits.lanes).map(|_| Inbox::new()).collect(),
            arrivals: (0..self.limits.lanes).map(|_| SegQueue::new()).collect(),
            memory: memory.clone(),
            directory: Directory::new(),
            stale: SegQueue::new(),
            keeping: SegQueue::new(),
            behind: Behind::default(),
            room: Room::default(),
            busy: Busy::default(),
            channels: ArcSwap::from_pointee(self.channels.settled(&self.limits)),
            epochs: Epochs::new(),
            streams: Default::default(),
            flow: Flow::new(self.limits.publication_bytes_pending_max, counters.clone(), memory),
            counters,
            clock: Arc::new(Clock::new(1, unix_s())),
            application: self.application,
            tracer: self.tracer,
            endings: Endings::default(),
            entry_limits: ArcSwap::from_pointee(self.limits.clone()),
            limits: self.limits,
        });
        for index in 0..shared.lanes.len() {
            runtime.spawn(Lane::new(index, shared.clone()).run());
        }
        let inner = Arc::new(Inner {
            shared,
            registry: Registry::default(),
            ids: SessionIds::new(),
            draining: Default::default(),
        });
        runtime.spawn(tick(Arc::downgrade(&inner)));
        Hub { inner }
    }
}

fn unix_s() -> u64 {
    since_1970(SystemTime::now()).as_secs()
}

/// Ticks the clock, the sweeps and the tidying until the hub is gone.
async fn tick(inner: Weak<Inner>) {
    let began = Instant::now();
    let mut interval = tokio::time::interval(Duration::from_millis(TICK_MS));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told_s = 0;
    loop {
        interval.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let shared = &inner.shared;
        shared.counters.panics.isolate(Culprit::Ticker, || {
            shared.clock.set(began.elapsed().as_millis() as u64 + 1, unix_s());
            for lane in &shared.lanes {
                lane.post(Item::Sweep);
            }
            shared.tidy();
            shared.expire();
            if began.elapsed().as_secs() > told_s {
                told_s = began.elapsed().as_secs();
                shared.endings.tell_untold();
            }
        });
    }
}
