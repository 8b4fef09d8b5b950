//! What a peer may do, and the port through which somebody decides it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use super::ids::UserId;

/// Channels that something is allowed on: exact names and prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    all: bool,
    exact: Vec<Box<str>>,
    prefixes: Vec<Box<str>>,
}

impl Rules {
    /// Nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Every channel.
    pub fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// From patterns: `news` is that channel, `news.*` every channel whose name starts with
    /// `news.`, `*` every channel. An asterisk elsewhere than at the end stands for itself.
    pub fn from_patterns<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Self {
        let mut rules = Self::none();
        for pattern in patterns {
            match pattern.as_ref().strip_suffix('*') {
                Some("") => rules.all = true,
                Some(prefix) => rules.prefixes.push(prefix.into()),
                None => rules.exact.push(pattern.as_ref().into()),
            }
        }
        rules
    }

    /// Whether `channel` is among them.
    pub fn allow(&self, channel: &str) -> bool {
        self.all
            || self.exact.iter().any(|name| **name == *channel)
            || self.prefixes.iter().any(|prefix| channel.starts_with(&**prefix))
    }

    /// Whether nothing at all is among them.
    pub fn is_none(&self) -> bool {
        !self.all && self.exact.is_empty() && self.prefixes.is_empty()
    }
}

/// The longest [`Info`], in bytes.
pub const INFO_BYTES_MAX: usize = 1_024;

/// What others may see of a peer besides its user: one JSON value of at most [`INFO_BYTES_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info(Box<str>);

impl Info {
    /// From a JSON value; `None` if it is too long.
    pub fn new(value: &serde_json::Value) -> Option<Self> {
        let text = value.to_string();
        (text.len() <= INFO_BYTES_MAX).then(|| Self(text.into()))
    }

    /// As JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

/// Who a peer is and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The user, if there is one.
    pub user: Option<UserId>,
    /// What others may see of it where presence is on.
    pub info: Option<Arc<Info>>,
    /// When the grant ends, in seconds since the Unix epoch; `None` for never.
    pub expires_unix_s: Option<u64>,
    /// Channels it may subscribe to.
    pub subscribe: Rules,
    /// Channels it may publish to.
    pub publish: Rules,
}

impl Grant {
    /// Nobody in particular, who may do everything.
    pub fn anyone() -> Self {
        Self {
            user: None,
            info: None,
            expires_unix_s: None,
            subscribe: Rules::all(),
            publish: Rules::all(),
        }
    }
}

/// An answer that takes its time.
pub type Answering<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Decides from a token who a peer is and what it may do.
pub trait Authoriser: Send + Sync + fmt::Debug {
    /// Checks `token` at the time `now`. Pure: no waiting, no I/O.
    ///
    /// # Errors
    /// [`Refusal`], fit to be shown to the peer.
    fn authorise(&self, token: Option<&str>, now: SystemTime) -> Result<Grant, Refusal>;

    /// After [`Refusal::UnknownKey`]: has the keys fetched again where they come from elsewhere, within
    /// bounds of how often, and says whether it is worth to ask once more. Where nothing is fetched
    /// it is not.
    fn refetched(&self) -> Answering<bool> {
        Box::pin(std::future::ready(false))
    }

    /// Whether it checks tokens at all.
    fn takes_tokens(&self) -> bool {
        true
    }

    /// Whether it has what it checks tokens with.
    fn is_ready(&self, _now: SystemTime) -> bool {
        true
    }
}

/// Why a token was not accepted. `Display` is fit to be shown: it never repeats the token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no token, and one is needed.
    Missing,
    /// The token was good once.
    Expired,
    /// The token is not good; the text says in what respect.
    Invalid(&'static str),
    /// The token names a key that is not known, and could be a new one.
    UnknownKey,
    /// Nobody can tell at the moment whether the token is good: there are no keys to check it with.
    Unavailable,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("a token is required"),
            Self::Expired => f.write_str("the token has expired"),
            Self::Invalid(what) => write!(f, "the token is not valid: {what}"),
            Self::UnknownKey => {
                f.write_str("the token is not valid: its kid names no key of this gateway")
            }
            Self::Unavailable => {
                f.write_str("the keys of tokens cannot be had at the moment; try again later")
            }
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_exact_names_and_prefixes() {
        let rules = Rules::from_patterns(["news", "chat.*"]);
        for (channel, allowed) in
            [("news", true), ("newsy", false), ("chat.", true), ("chat.1", true), ("chat", false)]
        {
            assert_eq!(rules.allow(channel), allowed, "{channel}");
        }
        assert!(Rules::from_patterns(["*"]).allow("anything"));
        assert!(!Rules::from_patterns(["a*b"]).allow("axb"));
        assert!(Rules::none().is_none());
    }
}
