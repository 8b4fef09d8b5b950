//! `channels.rules`: from what was typed to what channels keep and do.

use super::Places;
use super::error::ConfigError;
use super::raw::RawRule;
use crate::base::channels::{ChannelOptions, ChannelRules, HistoryOptions};
use crate::base::ids::ChannelName;
use crate::base::limits::SlowConsumerPolicy;
use crate::hooks::HookSettings;

const PATH: &str = "channels.rules";

/// The rules, each for another pattern.
pub(crate) fn channels(
    rules: Vec<RawRule>,
    hooks: &HookSettings,
    places: &Places,
) -> Result<ChannelRules, ConfigError> {
    let mut checked = ChannelRules::default();
    for (index, rule) in rules.into_iter().enumerate() {
        let wrong = |what: String| {
            let place = places.of_item(PATH, index);
            Err(ConfigError::new(place, format!("{PATH}[{index}] {what}")))
        };
        let Some(pattern) = rule.pattern.as_deref() else {
            return wrong("has no match; write match = \"news\", \"news.*\" or \"*\"".into());
        };
        if pattern != "*"
            && let Err(error) = ChannelName::new(pattern)
        {
            return wrong(format!("has a match that no channel can have: {error}; change it"));
        }
        if rule.key_pointer.as_deref().is_some_and(|pointer| !pointer.starts_with('/')) {
            return wrong(
                "has a key_pointer that is none; write one like /symbol (RFC 6901)".into(),
            );
        }
        let options = options(&rule);
        if options.cache && !options.history.is_on() {
            return wrong(
                "has cache without a history to take the newest message from; add \
                 history_publications_max = 1"
                    .into(),
            );
        }
        for (asks, url, entry, key) in [
            (options.authorize_subscribe, &hooks.subscribe_url, "authorize_subscribe", "subscribe"),
            (options.authorize_publish, &hooks.publish_url, "authorize_publish", "publish"),
        ] {
            if asks && url.is_none() {
                return wrong(format!("has {entry}, and nobody to ask; add hooks.{key}_url"));
            }
        }
        if !checked.add(pattern, options) {
            return wrong(format!("is the second one for {pattern}; put both into one"));
        }
    }
    Ok(checked)
}

fn options(rule: &RawRule) -> ChannelOptions {
    let default = HistoryOptions::default();
    ChannelOptions {
        policy: rule.policy.as_deref().and_then(SlowConsumerPolicy::from_name),
        key_pointer: rule.key_pointer.as_deref().map(Into::into),
        history: HistoryOptions {
            publications_max: rule.history_publications_max.unwrap_or(default.publications_max),
            bytes_max: rule.history_bytes_max.unwrap_or(default.bytes_max),
            age_max_ms: rule.history_age_max_ms.unwrap_or(default.age_max_ms),
        },
        cache: rule.cache.unwrap_or(false),
        presence: rule.presence.unwrap_or(false),
        join_leave: rule.join_leave.unwrap_or(false),
        authorize_subscribe: rule.authorize_subscribe.unwrap_or(false),
        authorize_publish: rule.authorize_publish.unwrap_or(false),
        subscribers_max: rule.subscribers_max,
    }
}
