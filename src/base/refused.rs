//! The bounds of a hub that refuse somebody, and how often each has.
//!
//! One counter for each bound, by the name of its configuration key: whoever sees it grow knows what to
//! raise.

use super::counters::Count;

/// A bound that refuses, or has somebody wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Bound {
    /// Sessions of the hub.
    Sessions,
    /// Sessions of one user.
    SessionsPerUser,
    /// Channels of the hub.
    Channels,
    /// Subscriptions of one session.
    SubscriptionsPerSession,
    /// Subscribers of one channel.
    SubscribersPerChannel,
    /// Publications of one session within a time.
    PublishesPerSession,
}

impl Bound {
    /// Every row, in order.
    pub const ALL: [Bound; 6] = [
        Self::Sessions,
        Self::SessionsPerUser,
        Self::Channels,
        Self::SubscriptionsPerSession,
        Self::SubscribersPerChannel,
        Self::PublishesPerSession,
    ];

    /// Its configuration key.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Sessions => "hub.sessions_max",
            Self::SessionsPerUser => "hub.sessions_per_user_max",
            Self::Channels => "hub.channels_max",
            Self::SubscriptionsPerSession => "hub.subscriptions_per_session_max",
            Self::SubscribersPerChannel => "hub.subscribers_per_channel_max",
            Self::PublishesPerSession => "hub.publishes_per_session_per_s_max",
        }
    }
}

/// How often each bound refused somebody.
#[derive(Debug, Default)]
pub struct Refused([Count; Bound::ALL.len()]);

impl Refused {
    /// By this bound.
    pub fn by(&self, bound: Bound) -> &Count {
        &self.0[bound as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_every_row_in_order() {
        for (at, bound) in Bound::ALL.into_iter().enumerate() {
            assert_eq!(bound as usize, at);
        }
    }
}
