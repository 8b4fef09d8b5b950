//! Tokens that somebody tampered with: whatever is done to them, one is accepted only if what it
//! says was signed by a key of ours, with that key's algorithm.
//!
//! Input: the raw bytes of a token; or good tokens taken apart, put together and changed; or any
//! header and claims with a good signature, so that what lies behind the signature is reached.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arbitrary::{Arbitrary, Unstructured};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fanfare::auth::jwt::{AuthSettings, JwtAuthoriser, TOKEN_BYTES_MAX};
use fanfare::auth::keys::{Algorithm, KeySettings, Material, SigningKey};
use fanfare::auth::mint::{TokenClaims, mint};
use fanfare::base::access::Authoriser as _;
use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;

const NOW_S: u64 = 1_700_000_000;
const SECRET: &[u8] = b"a secret of the fuzz target, 32 bytes or more";

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("../../src/auth/testdata/", $name, ".pem"))
    };
}

struct World {
    authoriser: JwtAuthoriser,
    /// Good tokens, one of each key.
    tokens: Vec<String>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let pairs = [
        (Algorithm::Rs256, "rsa", pem!("rsa_public"), pem!("rsa_private")),
        (Algorithm::Es256, "ec", pem!("ec256_public"), pem!("ec256_private")),
        (Algorithm::EdDsa, "ed", pem!("ed25519_public"), pem!("ed25519_private")),
    ];
    let settings = |algorithm, kid: &str, material| KeySettings {
        algorithm,
        kid: Some(kid.to_owned()),
        material,
    };
    let secret = settings(Algorithm::Hs256, "hs", Material::Secret(SECRET.into()));
    let mut keys = vec![secret.clone()];
    let mut signing = vec![SigningKey::new(secret).unwrap()];
    for (algorithm, kid, public, private) in pairs {
        keys.push(settings(algorithm, kid, Material::Pem(public.into())));
        let private = settings(algorithm, kid, Material::Pem(private.into()));
        signing.push(SigningKey::new(private).unwrap());
    }
    let claims = TokenClaims { expires_unix_s: Some(NOW_S + 60), ..TokenClaims::default() };
    let tokens = signing.iter().map(|key| mint(key, &claims).unwrap()).collect();
    let authoriser = JwtAuthoriser::new(AuthSettings { keys, ..AuthSettings::default() }).unwrap();
    World { authoriser, tokens }
});

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW_S)
}

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Raw(&'a str),
    /// The three parts, each from a good token, and what is changed in the whole.
    Spliced {
        parts: [u8; 3],
        changes: Vec<Change<'a>>,
    },
    Signed {
        header: &'a str,
        claims: &'a str,
    },
}

#[derive(Arbitrary, Debug)]
enum Change<'a> {
    Replace { at: u16, with: u8 },
    Insert { at: u16, text: &'a str },
    Cut { at: u16, len: u8 },
}

pub fn run(data: &[u8]) {
    match Input::arbitrary_take_rest(Unstructured::new(data)) {
        Ok(Input::Raw(token)) => tampered(token),
        Ok(Input::Spliced { parts, changes }) => tampered(&spliced(parts, &changes)),
        Ok(Input::Signed { header, claims }) => signed(header, claims),
        Err(_) => {}
    }
}

/// Accepted only if what is signed was signed by us. (A signature itself may have two forms: that is
/// so with ECDSA, and says the same.)
fn tampered(token: &str) {
    let accepted = WORLD.authoriser.authorise(Some(token), now()).is_ok();
    let said = |token: &str| token.rsplit_once('.').map(|(said, _)| said.to_owned());
    let is_ours = WORLD.tokens.iter().any(|ours| said(ours) == said(token));
    assert!(!accepted || is_ours, "accepted: {token}");
    let is_whole = WORLD.tokens.iter().any(|ours| ours == token);
    assert!(accepted || !is_whole, "refused: {token}");
}

fn spliced(parts: [u8; 3], changes: &[Change<'_>]) -> String {
    let part = |at: usize| {
        let token = &WORLD.tokens[usize::from(parts[at]) % WORLD.tokens.len()];
        token.split('.').nth(at).unwrap()
    };
    let mut token = format!("{}.{}.{}", part(0), part(1), part(2)).into_bytes();
    for change in changes.iter().take(8) {
        let place = |at: &u16| usize::from(*at) % (token.len() + 1);
        match change {
            Change::Replace { at, with } => {
                let at = place(at);
                if at < token.len() {
                    token[at] = with % 128;
                }
            }
            Change::Insert { at, text } => {
                let at = place(at);
                token.splice(at..at, text.bytes());
            }
            Change::Cut { at, len } => {
                let at = place(at);
                let end = (at + usize::from(*len)).min(token.len());
                token.drain(at..end);
            }
        }
    }
    String::from_utf8(token).unwrap_or_default()
}

/// Any header and claims, signed with the HMAC's key: accepted only if a second, plain reading of
/// both finds nothing wrong.
fn signed(header: &str, claims: &str) {
    let mut token =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(token.as_bytes());
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    let Ok(grant) = WORLD.authoriser.authorise(Some(&token), now()) else { return };

    assert!(token.len() <= TOKEN_BYTES_MAX);
    // A tree keeps the last of two fields of a name, we accept neither, so it knows enough.
    let tree = |text: &str| serde_json::from_str::<Value>(text).ok();
    let Some(Value::Object(header)) = tree(header) else { panic!("accepted header: {header}") };
    assert_eq!(header.get("alg"), Some(&Value::from("HS256")));
    assert!(header.get("kid").is_none_or(|kid| kid == "hs"), "another key's kid");
    assert!(!header.contains_key("crit"));
    let Some(Value::Object(claims)) = tree(claims) else { panic!("accepted claims: {claims}") };
    let exp = claims.get("exp").and_then(Value::as_f64).expect("exp is a number");
    assert!(exp > NOW_S as f64, "expired: {exp}");
    assert!(grant.expires_unix_s.is_some_and(|granted| granted as f64 <= exp));
    if let Some(nbf) = claims.get("nbf") {
        assert!(nbf.as_f64().expect("nbf is a number") <= (NOW_S + 6) as f64);
    }
    for name in ["subscribe", "publish"] {
        let texts = |list: &Vec<Value>| list.len() <= 128 && list.iter().all(Value::is_string);
        let list = claims.get(name).map(|list| list.as_array().is_some_and(texts));
        assert!(list.unwrap_or(true), "{name} is no list of texts");
    }
    let user = claims.get("sub").map(|sub| sub.as_str().expect("sub is a text"));
    assert_eq!(grant.user.as_ref().map(|user| user.as_str()), user);
}
