//! `channels` and `info`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::{Call, Outcome};
use crate::base::ids::CHANNEL_NAME_BYTES_MAX;
use crate::hub::ChannelInfo;

/// Channels in one answer; with names of the longest kind it has 2.4 MB.
const CHANNELS_MAX: usize = 10_000;

/// The parameters of `channels`.
#[derive(Deserialize)]
pub(super) struct Channels {
    pattern: Option<String>,
}

/// The channels that have subscribers. `truncated` says that there are more than are listed.
pub(super) fn channels(call: &mut Call<'_>, params: &Channels) -> Outcome {
    if call.is_batch {
        // A thousand of these answers would be two gigabytes.
        return Err(ApiError::bad_request("channels is not for a batch"));
    }
    let pattern = params.pattern.as_deref().filter(|pattern| !pattern.is_empty()).unwrap_or("*");
    if pattern.len() > CHANNEL_NAME_BYTES_MAX {
        let text = format!("pattern has more than {CHANNEL_NAME_BYTES_MAX} bytes");
        return Err(ApiError::bad_request(text));
    }
    let pattern = pattern.as_bytes();
    let mut found =
        call.state.hub.channels(CHANNELS_MAX + 1, |name| matches(pattern, name.as_bytes()));
    let is_truncated = found.len() > CHANNELS_MAX;
    found.truncate(CHANNELS_MAX);
    let channels: Map<String, Value> =
        found.into_iter().map(|info| (info.name.to_string(), channel(&info))).collect();
    match is_truncated {
        false => Ok(json!({ "channels": channels })),
        true => Ok(json!({ "channels": channels, "truncated": true })),
    }
}

/// `dropped` says what policies dropped, by cause, if they did.
fn channel(info: &ChannelInfo) -> Value {
    let mut shown = json!({ "num_clients": info.subscribers });
    if !info.dropped.is_empty() {
        let causes =
            info.dropped.iter().map(|(cause, count)| (cause.name().to_owned(), json!(count)));
        shown["dropped"] = Value::Object(causes.collect());
    }
    shown
}

/// Whether a name is of a pattern, in which `*` stands for any bytes and `?` for any one. Looks at
/// each byte of the name at most once for each byte of the pattern.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    // Behind the last asterisk, and where in the name what it stands for ends.
    let mut retry: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                retry = Some((at, in_name));
            }
            Some(&byte) if byte == b'?' || byte == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            _ => {
                let Some((behind, end)) = retry else { return false };
                at = behind;
                in_name = end + 1;
                retry = Some((behind, in_name));
            }
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// This node, as the only one.
pub(super) fn info(call: &Call<'_>) -> Value {
    let state = call.state;
    json!({ "nodes": [{
        "uid": state.node_id,
        "name": state.node_name,
        "version": env!("CARGO_PKG_VERSION"),
        "num_clients": state.hub.session_count(),
        "num_users": state.hub.user_count(),
        "num_channels": state.hub.channel_count(),
        "uptime": state.started.elapsed().as_secs(),
    }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_asterisks_and_question_marks() {
        for (pattern, name, expected) in [
            ("*", "a", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("ab", "a", false),
            ("a*", "a", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("*c", "abcd", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcdef", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*?", "a", true),
            ("**b**", "abc", true),
            ("*ab", "aab", true),
            ("*aab", "aaaab", true),
            ("chat:*:room?", "chat:eu:1:room7", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
