//! Who may come in: the API, tokens, origins.

use super::{DAY_MS, HOUR_MS, Key, Kind, TableKind, int, key, ms, number, text};
use crate::auth::jwt::LEEWAY_S_MAX;

/// `auth.keys`.
const AUTH_KEYS: TableKind = TableKind {
    one: "a key",
    entries: &[
        ("kid", Kind::Text),
        ("algorithm", Kind::Text),
        ("secret", Kind::Text),
        ("secret_file", Kind::Text),
        ("public_key", Kind::Text),
        ("public_key_file", Kind::Text),
    ],
    example: "[{ kid = \"a\", algorithm = \"HS256\", secret = \"...\" }]",
    is_secret: true,
};

/// The names of [`Algorithm`](crate::auth::keys::Algorithm); a test compares.
pub(crate) const ALGORITHMS: &[&str] =
    &["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"];

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("api.keys", Kind::SecretList, |_| None,
        "The keys of the HTTP API: what X-API-Key must hold, at least 16 characters each.")
        .example("[\"(openssl rand -hex 32)\"]"),
    key("api.keys_file", Kind::Text, |_| None,
        "A file with such keys, one a line; they count beside those of api.keys. Relative to this \
         file.")
        .example("\"/run/secrets/fanfare-api-keys\""),

    key("auth.keys", Kind::Tables(&AUTH_KEYS), |_| None,
        "Several keys that tokens are signed with. Each has an algorithm and one of secret, \
         secret_file, public_key (PEM) and public_key_file, and a kid if tokens name it.")
        .example("[{ kid = \"a\", algorithm = \"RS256\", public_key_file = \"a.pem\" }]"),
    key("auth.algorithm", Kind::Choice(ALGORITHMS), |_| None,
        "The short way for a single key: what it is for. HS256 if there is a secret.")
        .example("\"HS256\""),
    key("auth.secret", Kind::Secret, |_| None,
        "The short way: the secret, for HS256 at least 32 bytes.")
        .example("\"(openssl rand -hex 32)\""),
    key("auth.secret_file", Kind::Text, |_| None,
        "The short way: a file with the secret. A line break at its end does not count.")
        .example("\"/run/secrets/fanfare-auth-secret\""),
    key("auth.public_key", Kind::Text, |_| None,
        "The short way: a public key in PEM, for every algorithm but the HS ones.")
        .example("\"-----BEGIN PUBLIC KEY-----\\n...\""),
    key("auth.public_key_file", Kind::Text, |_| None,
        "The short way: a file with it.")
        .example("\"/etc/fanfare/public.pem\""),
    key("auth.issuer", Kind::Text, |s| text(s.auth.as_ref()?.issuer.as_ref()?),
        "What the claim iss of a token must be. Not looked at by default.")
        .example("\"https://id.example.com\""),
    key("auth.audience", Kind::Text, |s| text(s.auth.as_ref()?.audience.as_ref()?),
        "What the claim aud of a token must hold. Not looked at by default.")
        .example("\"fanfare\""),
    key("auth.cookie", Kind::Text, |s| text(&s.auth_cookie),
        "The cookie that a token is looked for in, behind the header and the query."),
    key("auth.require_exp", Kind::Switch,
        |s| Some(s.auth.clone().unwrap_or_default().require_exp.into()),
        "Whether a token must expire. One that never does cannot be taken back."),
    number("auth.leeway_s", (0, LEEWAY_S_MAX as i64),
        |s| int(s.auth.clone().unwrap_or_default().leeway_s),
        "How far the issuer's clock may be ahead."),
    key("auth.default_subscribe", Kind::List, |_| None,
        "Channels that a token without a claim subscribe may subscribe to: names, prefixes as in \
         news.*, or *. Nothing by default.")
        .example("[\"news.*\"]"),
    key("auth.default_publish", Kind::List, |_| None,
        "Channels that a token without a claim publish may publish to. Nothing by default.")
        .example("[\"chat.*\"]"),

    key("auth.jwks_file", Kind::Text, |_| None,
        "A file with a JWK set (RFC 7517): its keys count beside the others. Read again at SIGHUP.")
        .example("\"/etc/fanfare/jwks.json\""),
    key("auth.jwks_url", Kind::Text, |_| None,
        "An address that a JWK set is fetched from, at the start and again and again; its keys count \
         beside the others. Secrets in it are not taken. While there are none from it, tokens that \
         no other key is for are answered with 503.")
        .example("\"https://id.example.com/.well-known/jwks.json\""),
    key("auth.jwks_ca_file", Kind::Text, |_| None,
        "The authorities, in PEM, that the server at auth.jwks_url needs a certificate of. By default \
         those of the machine.")
        .example("\"/etc/fanfare/ca.pem\""),
    number("auth.jwks_refresh_interval_ms", (1_000, DAY_MS), |s| ms(s.jwks.refresh_interval),
        "How often the set is fetched. A shorter max-age of its answer counts, a longer one does not."),
    number("auth.jwks_refresh_min_ms", (100, HOUR_MS), |s| ms(s.jwks.refresh_min),
        "How long there is between two fetches at the least, whatever max-age says and however many \
         tokens name a key that is not known; such a token has the set fetched early otherwise. \
         Never more than auth.jwks_refresh_interval_ms."),
    number("auth.jwks_stale_max_ms", (1_000, 30 * DAY_MS), |s| ms(s.jwks.stale_max),
        "How long keys count after they were last fetched, if fetching fails from then on."),
    number("auth.jwks_timeout_ms", (100, 60_000), |s| ms(s.jwks.limits.timeout),
        "How long a fetch may take in all."),
    number("auth.jwks_bytes_max", (1_024, 16 << 20), |s| int(s.jwks.limits.body_bytes_max),
        "Bytes of a set that is fetched."),

    key("origins.allow", Kind::List, |_| None,
        "Origins whose pages may connect besides the gateway's own; * for all.")
        .example("[\"https://app.example.com\"]"),
];
