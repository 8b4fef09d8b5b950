//! Keys of the HTTP API: long-lived secrets that a backend sends with each request.

use std::fmt;

use subtle::{Choice, ConstantTimeEq as _};

/// Keys in one set: one in use, and room to change over.
pub const API_KEYS_MAX: usize = 16;

/// The longest key, in bytes.
pub const API_KEY_BYTES_MAX: usize = 256;

/// The keys that are accepted. `Debug` shows how many.
///
/// A comparison takes the same time whatever is presented and whatever the keys are: each is held
/// in a field of [`API_KEY_BYTES_MAX`] bytes, and all fields are read to the end. So it tells
/// neither which key was nearly right nor how far, nor how long one is.
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<Padded>);

#[derive(Clone)]
struct Padded {
    bytes: [u8; API_KEY_BYTES_MAX],
    len: u64,
}

impl Padded {
    /// What is too long is cut, and keeps its length: so it equals no key.
    fn new(key: &[u8]) -> Self {
        let mut bytes = [0; API_KEY_BYTES_MAX];
        let kept = key.len().min(API_KEY_BYTES_MAX);
        bytes[..kept].copy_from_slice(&key[..kept]);
        Self { bytes, len: key.len() as u64 }
    }
}

impl ApiKeys {
    /// Checks the keys and takes them. No keys at all accept nothing.
    ///
    /// # Errors
    /// [`ApiKeyError`] names a key by its place and shows nothing of it.
    pub fn new<S: AsRef<str>>(keys: impl IntoIterator<Item = S>) -> Result<Self, ApiKeyError> {
        let mut padded = Vec::new();
        for (index, key) in keys.into_iter().enumerate() {
            let key = key.as_ref();
            if index == API_KEYS_MAX {
                return Err(ApiKeyError::Count);
            }
            if key.is_empty() || key.len() > API_KEY_BYTES_MAX {
                return Err(ApiKeyError::Length { index, bytes: key.len() });
            }
            if let Some(at) = key.bytes().position(|byte| !byte.is_ascii_graphic()) {
                return Err(ApiKeyError::Character { index, at });
            }
            padded.push(Padded::new(key.as_bytes()));
        }
        Ok(Self(padded))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `presented` is one of them.
    pub fn accept(&self, presented: &[u8]) -> bool {
        let presented = Padded::new(presented);
        let equal =
            |key: &Padded| key.bytes.ct_eq(&presented.bytes) & key.len.ct_eq(&presented.len);
        self.0.iter().map(equal).fold(Choice::from(0), |any, equal| any | equal).into()
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({} of them)", self.0.len())
    }
}

/// Why keys cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiKeyError {
    /// There are more than [`API_KEYS_MAX`].
    Count,
    /// One is empty or too long.
    Length {
        /// Its place, from 0.
        index: usize,
        /// Bytes it has.
        bytes: usize,
    },
    /// One holds a byte that a header does not carry unchanged: a space, a line break, one beyond
    /// ASCII.
    Character {
        /// Its place, from 0.
        index: usize,
        /// The byte's place in it, from 0.
        at: usize,
    },
}

impl fmt::Display for ApiKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => write!(f, "keys are more than {API_KEYS_MAX}"),
            Self::Length { index, bytes } => write!(
                f,
                "key {index} has {bytes} bytes; it must have 1 to {API_KEY_BYTES_MAX}; make \
                 one with: openssl rand -hex 32"
            ),
            Self::Character { index, at } => write!(
                f,
                "key {index} has a character at byte {at} that is not printable ASCII, or a \
                 space; make one with: openssl rand -hex 32"
            ),
        }
    }
}

impl std::error::Error for ApiKeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_accepted_and_nothing_else() {
        let longest = "k".repeat(API_KEY_BYTES_MAX);
        let keys = ApiKeys::new(["first-canary", "second", &longest]).unwrap();
        for good in ["first-canary", "second", &longest] {
            assert!(keys.accept(good.as_bytes()), "{good}");
        }
        let longer = format!("{longest}k");
        for bad in ["", "first-canar", "first-canary\0", "second ", "Second", &longer, "k"] {
            assert!(!keys.accept(bad.as_bytes()), "{bad:?}");
        }
        assert!(!format!("{keys:?}").contains("canary"));
    }

    #[test]
    fn no_keys_accept_nothing() {
        let none = ApiKeys::default();
        assert!(none.is_empty() && !none.accept(b"") && !none.accept(b"x"));
    }

    #[test]
    fn bad_keys_are_named_by_their_place() {
        let refused = |keys: &[&str]| ApiKeys::new(keys).unwrap_err().to_string();
        assert!(refused(&["good", ""]).starts_with("key 1 has 0 bytes"));
        assert!(refused(&["canary\n"]).starts_with("key 0 has a character at byte 6"));
        assert!(!refused(&["canary\n"]).contains("canary"));
        assert!(refused(&[&"k".repeat(257)]).contains("257 bytes"));
        assert!(refused(&["k"; 17]).contains("more than 16"));
    }
}
