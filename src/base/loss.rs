//! Why a message did not reach a session that stayed connected, and how many did not.

use super::counters::Count;

/// Why a message was dropped. One row for the metrics and for what a session is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum DropCause {
    /// It was new and did not fit.
    Newest,
    /// It made way for a newer one of its channel.
    Oldest,
    /// A newer value of its key took its place.
    Conflated,
    /// A newer message of its channel took its place.
    Latest,
    /// It waited for longer than it may: its own time to live, or the age bound of the outbox.
    Expired,
    /// The node's memory was tight.
    Shed,
}

impl DropCause {
    /// Every row, in order.
    pub const ALL: [DropCause; 6] =
        [Self::Newest, Self::Oldest, Self::Conflated, Self::Latest, Self::Expired, Self::Shed];

    /// The label in metrics and the `reason` on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Newest => "drop_newest",
            Self::Oldest => "drop_oldest",
            Self::Conflated => "conflate",
            Self::Latest => "latest",
            Self::Expired => "expired",
            Self::Shed => "shed",
        }
    }
}

/// What was dropped of one channel, by cause, over all of its subscribers.
#[derive(Debug, Default)]
pub(crate) struct Drops([Count; DropCause::ALL.len()]);

impl Drops {
    /// One more.
    pub(crate) fn note(&self, cause: DropCause) {
        self.0[cause as usize].add(1);
    }

    /// Those of each cause that there are any of.
    pub(crate) fn get(&self) -> Vec<(DropCause, u64)> {
        let counted = DropCause::ALL.map(|cause| (cause, self.0[cause as usize].get()));
        counted.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

/// How many messages were dropped, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped([u32; DropCause::ALL.len()]);

impl Dropped {
    /// One more.
    pub(crate) fn note(&mut self, cause: DropCause) {
        self.0[cause as usize] += 1;
    }

    /// Those of one cause.
    pub(crate) fn of(&self, cause: DropCause) -> u64 {
        self.0[cause as usize].into()
    }
}
