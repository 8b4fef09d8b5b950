//! Whether a gateway may start with the keys it has.
//!
//! | API keys | session keys | on loopback | elsewhere |
//! |---|---|---|---|
//! | yes | yes | keyed | keyed |
//! | no | no | open: anyone may do everything | refused; open with `insecure` |
//! | no | yes | sessions keyed, the API closed | refused; the same with `insecure` |
//! | yes | no | refused; with `insecure` the API keyed, sessions open | the same |
//!
//! An application that decides who connects counts as session keys do. So once anything is keyed, the part without keys is never open by accident.

use super::error::{ConfigError, Place};

pub(crate) struct Asked {
    /// Where others can reach it, if they can.
    pub(crate) reached: Option<String>,
    /// Where that was given, or else where it listens.
    pub(crate) place: Place,
    pub(crate) insecure: bool,
    pub(crate) has_api_keys: bool,
    pub(crate) has_auth_keys: bool,
}

/// Whether the gateway is open, if it may start.
pub(crate) fn decide(asked: Asked) -> Result<bool, ConfigError> {
    let is_allowed = asked.insecure || asked.reached.is_none();
    let listen = asked.reached.unwrap_or_default();
    let what = match (asked.has_api_keys, asked.has_auth_keys) {
        (true, true) => return Ok(false),
        (false, false) if is_allowed => return Ok(true),
        (false, true) if is_allowed => return Ok(false),
        (true, false) if asked.insecure => return Ok(false),
        (false, false) => format!(
            "others can reach {listen}, and neither the API nor sessions have keys; make them \
             with: export FANFARE_API_KEYS=$(openssl rand -hex 32) \
             FANFARE_AUTH_SECRET=$(openssl rand -hex 32) and start again, or leave everything \
             open with --insecure"
        ),
        (false, true) => format!(
            "others can reach {listen}, and the API has no keys; make one with: export \
             FANFARE_API_KEYS=$(openssl rand -hex 32) and start again, or leave the API closed \
             with --insecure"
        ),
        (true, false) => "the API has keys, and sessions need no token: anyone who reaches \
                          the gateway could subscribe and publish; make a key with: export \
                          FANFARE_AUTH_SECRET=$(openssl rand -hex 32) and start again, or leave \
                          sessions open with --insecure"
            .into(),
    };
    Err(ConfigError::new(asked.place, what))
}

#[cfg(test)]
mod tests {
    use super::super::Places;
    use super::super::listeners::{listeners, reached};
    use super::*;

    fn decided(listen: &str, insecure: bool, api: bool, auth: bool) -> Result<bool, String> {
        let places = Places::default();
        let listeners = listeners(Some(listen), None, &places).unwrap();
        decide(Asked {
            reached: reached(&listeners, &places).map(|(at, _)| at.address.to_string()),
            place: Place::Default,
            insecure,
            has_api_keys: api,
            has_auth_keys: auth,
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn the_table_holds() {
        for loopback in ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
            assert_eq!(decided(loopback, false, false, false), Ok(true), "{loopback}");
            assert_eq!(decided(loopback, false, false, true), Ok(false));
            assert_eq!(decided(loopback, false, true, true), Ok(false));
            assert!(decided(loopback, false, true, false).is_err());
        }
        for reached in ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "[::ffff:10.0.0.1]:80"] {
            for (api, auth) in [(false, false), (false, true), (true, false)] {
                assert!(decided(reached, false, api, auth).is_err(), "{reached}");
                let is_open = !api && !auth;
                assert_eq!(decided(reached, true, api, auth), Ok(is_open), "{reached}");
            }
            assert_eq!(decided(reached, false, true, true), Ok(false));
        }
    }

    #[test]
    fn a_refusal_says_how_to_make_what_is_missing() {
        let (api, auth) =
            ("FANFARE_API_KEYS=$(openssl rand -hex 32)", "FANFARE_AUTH_SECRET=$(openssl");
        let neither = decided("0.0.0.0:80", false, false, false).unwrap_err();
        assert!(neither.contains(api) && neither.contains(auth) && neither.contains("0.0.0.0:80"));
        let no_api = decided("0.0.0.0:80", false, false, true).unwrap_err();
        assert!(no_api.contains(api) && !no_api.contains(auth));
        let no_auth = decided("0.0.0.0:80", false, true, false).unwrap_err();
        assert!(!no_auth.contains(api) && no_auth.contains(auth));
        for text in [neither, no_api, no_auth] {
            assert!(text.contains("--insecure") && !text.contains('\n'), "{text}");
        }
    }
}
