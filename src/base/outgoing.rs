//! What is counted of requests that the gateway makes itself. Each is a number of its own; see
//! [`counters`](super::counters).

use super::counters::{Count, Gauge, PassHistogram};

/// What is counted of fetching the keys of tokens.
#[derive(Debug, Default)]
pub struct JwksCounters {
    /// Fetches whose set was taken up.
    pub fetched: Count,
    /// Fetches that failed.
    pub failed: Count,
    /// Tokens with an unknown key that had the set fetched early, or waited for a fetch.
    pub early: Count,
    /// Tokens with an unknown key that came too soon after a fetch for another one.
    pub held_back: Count,
    /// Keys that were fetched and count now.
    pub keys: Gauge,
    /// When they were fetched, in seconds since the Unix epoch; 0 for never.
    pub fetched_unix_s: Gauge,
}

/// What the application is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Hook {
    /// Whether somebody may connect.
    Connect,
    /// Whether a session may subscribe.
    Subscribe,
    /// Whether a session may publish.
    Publish,
    /// Nothing: it is told what happened.
    Events,
}

impl Hook {
    /// All of them.
    pub const ALL: [Hook; 4] = [Hook::Connect, Hook::Subscribe, Hook::Publish, Hook::Events];

    /// Its name in metrics, logs and requests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Events => "events",
        }
    }
}

/// How a request to the application ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HookResult {
    /// It said yes, or took the events.
    Allowed,
    /// It said no.
    Denied,
    /// It did not answer in time.
    Timeout,
    /// It could not be reached, or its answer was none.
    Failed,
    /// It was not asked: as many requests were on their way as there may be.
    Busy,
    /// It was not asked: it had failed too often just before.
    Broken,
}

impl HookResult {
    /// All of them.
    pub const ALL: [HookResult; 6] = [
        HookResult::Allowed,
        HookResult::Denied,
        HookResult::Timeout,
        HookResult::Failed,
        HookResult::Busy,
        HookResult::Broken,
    ];

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
            Self::Busy => "busy",
            Self::Broken => "broken",
        }
    }
}

/// What is counted of one hook.
#[derive(Debug, Default)]
pub struct OneHook {
    results: [Count; HookResult::ALL.len()],
    /// How long requests took that were made, in microseconds.
    pub took_us: PassHistogram,
    /// Requests on their way now.
    pub in_flight: Gauge,
    /// 1 while it is not asked because it failed too often.
    pub broken: Gauge,
}

impl OneHook {
    /// Requests that ended so.
    pub fn results(&self, result: HookResult) -> &Count {
        &self.results[result as usize]
    }
}

/// Why an event was not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventLost {
    /// The queue was full.
    Full,
    /// The application did not take it in time, however often it was told.
    Undelivered,
    /// The gateway ended.
    Shutdown,
}

impl EventLost {
    /// All of them.
    pub const ALL: [EventLost; 3] = [EventLost::Full, EventLost::Undelivered, EventLost::Shutdown];

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Undelivered => "undelivered",
            Self::Shutdown => "shutdown",
        }
    }
}

/// What is counted of all hooks.
#[derive(Debug, Default)]
pub struct HookCounters {
    hooks: [OneHook; Hook::ALL.len()],
    /// Events that wait to be told.
    pub events_queued: Gauge,
    /// Events that the application took.
    pub events_sent: Count,
    lost: [Count; EventLost::ALL.len()],
}

impl HookCounters {
    /// Of one hook.
    pub fn of(&self, hook: Hook) -> &OneHook {
        &self.hooks[hook as usize]
    }

    /// Events that were not told, for this reason.
    pub fn events_lost(&self, why: EventLost) -> &Count {
        &self.lost[why as usize]
    }
}
