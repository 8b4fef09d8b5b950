//! Names of things: sessions, users, channels.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One session: a connected peer as the hub knows it. Never reused within a process.
///
/// Printed and parsed as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    /// The id as a number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for SessionId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SessionId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_hex = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        match u64::from_str_radix(text, 16) {
            Ok(id) if is_hex => Ok(Self(id)),
            _ => Err(NameError::Session),
        }
    }
}

/// Hands out session ids: counting up from a random start, so that the ids of two runs differ.
#[derive(Debug)]
pub struct SessionIds(AtomicU64);

impl SessionIds {
    /// A source that starts at a random place.
    pub fn new() -> Self {
        Self(AtomicU64::new(rand::random::<u64>()))
    }

    /// The next id.
    pub fn next(&self) -> SessionId {
        // Relaxed: only uniqueness matters, and a read-modify-write gives it in any order.
        SessionId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

impl Default for SessionIds {
    fn default() -> Self {
        Self::new()
    }
}

/// The longest channel name, in bytes.
pub const CHANNEL_NAME_BYTES_MAX: usize = 200;

/// What the name of a channel for events about another one begins with.
const BESIDE: char = '\u{1}';

/// The longest user id, in bytes.
pub const USER_ID_BYTES_MAX: usize = 128;

/// The name of a channel: 1 to 200 bytes of printable ASCII without the space (0x21 to 0x7E).
///
/// So a name can hold no control character, no NUL and nothing that turns the direction of text
/// on an operator's screen. Cloning is cheap: the text is shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// Checks `name` and takes it.
    ///
    /// # Errors
    /// [`NameError`] says which rule it breaks.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::ChannelEmpty);
        }
        if name.len() > CHANNEL_NAME_BYTES_MAX {
            return Err(NameError::ChannelTooLong(name.len()));
        }
        match name.bytes().position(|b| !(0x21..=0x7e).contains(&b)) {
            Some(at) => Err(NameError::ChannelCharacter(at)),
            None => Ok(Self(name.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The channel for events about this one. Nobody can type its name: it begins with a character
    /// that [`new`](Self::new) refuses.
    pub(crate) fn beside(&self) -> Self {
        Self(format!("{BESIDE}{}", self.0).into())
    }

    /// The channel that this one is for events about, if it is.
    pub(crate) fn about(&self) -> Option<&str> {
        self.0.strip_prefix(BESIDE)
    }
}

impl Hash for ChannelName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// Lets a map keyed by [`ChannelName`] be asked with a plain `&str`.
impl std::borrow::Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for ChannelName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<&str> for ChannelName {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

/// The application's name for a person: 1 to 128 bytes without control characters.
/// One user may have any number of sessions. Cloning is cheap: the text is shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// Checks `id` and takes it.
    ///
    /// # Errors
    /// [`NameError`] says which rule it breaks.
    pub fn new(id: &str) -> Result<Self, NameError> {
        if id.is_empty() {
            return Err(NameError::UserEmpty);
        }
        if id.len() > USER_ID_BYTES_MAX {
            return Err(NameError::UserTooLong(id.len()));
        }
        if id.chars().any(char::is_control) {
            return Err(NameError::UserCharacter);
        }
        Ok(Self(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lets a map keyed by [`UserId`] be asked with a plain `&str`.
impl std::borrow::Borrow<str> for UserId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl TryFrom<&str> for UserId {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

/// Why a text is not a name. Its `Display` is fit to be shown to the peer: it never repeats the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// Not 16 hexadecimal digits.
    Session,
    /// A channel name of no bytes.
    ChannelEmpty,
    /// A channel name of this many bytes.
    ChannelTooLong(usize),
    /// A channel name with a byte outside 0x21 to 0x7E, at this place.
    ChannelCharacter(usize),
    /// A user id of no bytes.
    UserEmpty,
    /// A user id of this many bytes.
    UserTooLong(usize),
    /// A user id with a control character.
    UserCharacter,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session => f.write_str("a session id is 16 hexadecimal digits"),
            Self::ChannelEmpty => f.write_str("the channel name is empty"),
            Self::ChannelTooLong(len) => write!(
                f,
                "the channel name has {len} bytes; at most {CHANNEL_NAME_BYTES_MAX} are allowed"
            ),
            Self::ChannelCharacter(at) => write!(
                f,
                "the channel name has a character at byte {at} that is not allowed; \
                 printable ASCII without the space is"
            ),
            Self::UserEmpty => f.write_str("the user id is empty"),
            Self::UserTooLong(len) => {
                write!(f, "the user id has {len} bytes; at most {USER_ID_BYTES_MAX} are allowed")
            }
            Self::UserCharacter => f.write_str("the user id has a control character"),
        }
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_names_are_printable_ascii_up_to_200_bytes() {
        assert!(ChannelName::new("news.eu-1:#user,2/$x").is_ok());
        assert!(ChannelName::new(&"x".repeat(200)).is_ok());
        assert_eq!(ChannelName::new(""), Err(NameError::ChannelEmpty));
        assert_eq!(ChannelName::new(&"x".repeat(201)), Err(NameError::ChannelTooLong(201)));
        for bad in ["a b", "a\0", "a\n", "a\u{202e}", "ä", "a\u{7f}"] {
            assert!(
                matches!(ChannelName::new(bad), Err(NameError::ChannelCharacter(_))),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn session_ids_print_and_parse() {
        let id = SessionIds::new().next();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("+123456789abcdef".parse::<SessionId>().is_err());
        assert!("12".parse::<SessionId>().is_err());
    }

    #[test]
    fn user_ids_have_no_control_characters() {
        assert!(UserId::new("zoë@example.org").is_ok());
        assert_eq!(UserId::new("a\nb"), Err(NameError::UserCharacter));
        assert_eq!(UserId::new(""), Err(NameError::UserEmpty));
        assert_eq!(UserId::new(&"u".repeat(129)), Err(NameError::UserTooLong(129)));
    }
}
