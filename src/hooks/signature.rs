//! That a request is from this gateway, and when it was made.
//!
//! `t` is the time in seconds since the Unix epoch, `v1` the HMAC-SHA256 of `t`, a point and the body, in
//! hexadecimal, under the secret that both sides have. Whoever checks it compares in constant time, and
//! refuses a `t` that is minutes old: that bounds how long a request can be played again.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::settings::SigningSecret;

/// The header.
pub(super) const HEADER: &str = "x-fanfare-signature";

/// The value of the header for a request made at that second.
pub(super) fn sign(secret: &SigningSecret, unix_s: u64, body: &[u8]) -> String {
    // An HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose()) else { return String::new() };
    mac.update(format!("{unix_s}.").as_bytes());
    mac.update(body);
    let mut value = format!("t={unix_s},v1=");
    for byte in mac.finalize().into_bytes() {
        value.push_str(&format!("{byte:02x}"));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_openssl_makes() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        let secret = SigningSecret::new(b"0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(sign(&secret, 1_700_000_000, b"{}"), EXPECTED);
        assert_ne!(sign(&secret, 1_700_000_000, b"{ }"), EXPECTED);
    }

    const EXPECTED: &str =
        "t=1700000000,v1=417adf36b901772f658597a76d329694e335e65fc0849d7715c3ca33406309b5";
}
