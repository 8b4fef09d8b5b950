//! What a channel does beside passing messages on, chosen by its name.

use std::sync::Arc;

use super::limits::{HubLimits, SlowConsumerPolicy};

/// What a channel keeps and how it treats those who are behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelOptions {
    /// What happens to data that does not fit into the outbox of a session that is behind; `None`
    /// for the hub's own policy.
    pub policy: Option<SlowConsumerPolicy>,
    /// Sessions that may be in it at once; `None` for the hub's own bound.
    pub subscribers_max: Option<usize>,
    /// Where in a JSON message its conflation key stands (RFC 6901), for publishers that give none.
    pub key_pointer: Option<Box<str>>,
    /// What it keeps of what was published.
    pub history: HistoryOptions,
    /// Whether a session gets the newest publication when it subscribes, default no. Works with a
    /// history of one and more.
    pub cache: bool,
    /// Whether anybody can ask who is in it, default no. Memory: about 60 bytes for each user there.
    pub presence: bool,
    /// Whether its sessions can be told who comes and goes, default no. Every such event is a message
    /// to each session that asked for it.
    pub join_leave: bool,
    /// Whether the application is asked before a session subscribes, default no. Without an application
    /// nobody subscribes then.
    pub authorize_subscribe: bool,
    /// Whether it is asked before a session publishes, default no; likewise.
    pub authorize_publish: bool,
}

/// What a channel keeps of what was published, for sessions that come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryOptions {
    /// Publications, default 0: none are kept. Memory: each with its encoded forms.
    pub publications_max: usize,
    /// Bytes of their messages, default 1 MiB.
    pub bytes_max: usize,
    /// How old one may get, in milliseconds, default 60,000.
    pub age_max_ms: u64,
}

impl ChannelOptions {
    /// How many subscribers it may have.
    pub(crate) fn seats(&self) -> usize {
        self.subscribers_max.unwrap_or(usize::MAX)
    }

    /// Whether its messages say their offset where the protocol can: it keeps a history, or it may
    /// lose some and tells which.
    pub fn shows_offsets(&self) -> bool {
        self.history.is_on()
            || self.policy.is_some_and(|policy| policy != SlowConsumerPolicy::Disconnect)
    }
}

impl Default for HistoryOptions {
    fn default() -> Self {
        Self { publications_max: 0, bytes_max: 1 << 20, age_max_ms: 60_000 }
    }
}

impl HistoryOptions {
    /// Whether anything is kept.
    pub const fn is_on(&self) -> bool {
        self.publications_max > 0
    }
}

/// The options of channels by name. The most exact rule counts, whole: the name itself, else the
/// longest prefix; [`ChannelOptions::default`] where there is none.
#[derive(Clone, Debug, Default)]
pub struct ChannelRules {
    exact: Vec<(Box<str>, Arc<ChannelOptions>)>,
    /// The longest first.
    prefixes: Vec<(Box<str>, Arc<ChannelOptions>)>,
    default: Arc<ChannelOptions>,
}

impl ChannelRules {
    /// Adds a rule: `news` is for that channel, `news.*` for every channel whose name starts with
    /// `news.`, `*` for every channel. Returns whether there was none for exactly this pattern; else
    /// it takes its place.
    pub fn add(&mut self, pattern: &str, options: ChannelOptions) -> bool {
        let (rules, name) = match pattern.strip_suffix('*') {
            Some(prefix) => (&mut self.prefixes, prefix),
            None => (&mut self.exact, pattern),
        };
        let is_new = !rules.iter().any(|(known, _)| **known == *name);
        rules.retain(|(known, _)| **known != *name);
        rules.push((name.into(), Arc::new(options)));
        self.prefixes.sort_by_key(|(prefix, _)| usize::MAX - prefix.len());
        is_new
    }

    /// The options of a channel.
    pub fn of(&self, channel: &str) -> &Arc<ChannelOptions> {
        let exact = self.exact.iter().find(|(name, _)| **name == *channel);
        let found = exact
            .or_else(|| self.prefixes.iter().find(|(prefix, _)| channel.starts_with(&**prefix)));
        found.map_or(&self.default, |(_, options)| options)
    }

    /// Settles what is left to the hub.
    #[must_use]
    pub fn settled(mut self, limits: &HubLimits) -> Self {
        let all = self.exact.iter_mut().chain(&mut self.prefixes).map(|(_, options)| options);
        for options in all.chain([&mut self.default]) {
            let options = Arc::make_mut(options);
            options.policy.get_or_insert(limits.slow_consumer_policy);
            options.subscribers_max.get_or_insert(limits.subscribers_per_channel_max);
        }
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.exact.len() + self.prefixes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeping(publications_max: usize) -> ChannelOptions {
        let history = HistoryOptions { publications_max, ..HistoryOptions::default() };
        ChannelOptions { history, ..ChannelOptions::default() }
    }

    #[test]
    fn the_most_exact_rule_counts() {
        let mut rules = ChannelRules::default();
        assert!(rules.is_empty() && !rules.of("news").history.is_on());
        for (at, pattern) in ["news.*", "*", "news.sport.*", "news.sport"].into_iter().enumerate() {
            assert!(rules.add(pattern, keeping(at + 1)), "{pattern}");
        }
        for (channel, expected) in
            [("news.a", 1), ("chat", 2), ("news.sport.a", 3), ("news.sport", 4), ("news.sports", 1)]
        {
            assert_eq!(rules.of(channel).history.publications_max, expected, "{channel}");
        }
        assert!(!rules.add("*", keeping(9)), "it takes the place of the other");
        assert_eq!((rules.of("chat").history.publications_max, rules.len()), (9, 4));
    }
}
