//! Every attack on tokens that is known to have worked somewhere, against this gateway's check.

mod claims;
mod jwks;
mod keys;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::json;

use super::jwt::{AuthSettings, JwtAuthoriser, TOKEN_BYTES_MAX};
use super::keys::{Algorithm, KeySettings, Material, SigningKey};
use super::mint::{MintError, TokenClaims, mint};
use super::*;
use crate::base::access::Rules;
use crate::base::ids::UserId;

const NOW_S: u64 = 1_700_000_000;
const SECRET: &str = "canary-0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab";
const RSA_PUBLIC: &str = include_str!("testdata/rsa_public.pem");

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW_S)
}

fn key(algorithm: Algorithm, kid: Option<&str>, material: Material) -> KeySettings {
    KeySettings { algorithm, kid: kid.map(str::to_owned), material }
}

fn secret(algorithm: Algorithm, kid: Option<&str>, secret: &str) -> KeySettings {
    key(algorithm, kid, Material::Secret(secret.into()))
}

fn pem(algorithm: Algorithm, kid: Option<&str>, pem: &str) -> KeySettings {
    key(algorithm, kid, Material::Pem(pem.into()))
}

fn authoriser(keys: Vec<KeySettings>) -> JwtAuthoriser {
    JwtAuthoriser::new(AuthSettings { keys, ..AuthSettings::default() }).unwrap()
}

fn hs256() -> JwtAuthoriser {
    authoriser(vec![secret(Algorithm::Hs256, None, SECRET)])
}

/// A token with any header and claims, given as JSON text, signed by `key`.
fn forge(key: &SigningKey, header: &str, claims: &str) -> String {
    let mut token =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = key.sign(token.as_bytes()).unwrap();
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    token
}

fn signer(text: &str) -> SigningKey {
    SigningKey::new(secret(Algorithm::Hs256, None, text)).unwrap()
}

/// A well signed token with these claims.
fn hs_token(claims: &str) -> String {
    forge(&signer(SECRET), r#"{"alg":"HS256"}"#, claims)
}

fn fresh() -> String {
    format!("{{\"exp\":{}}}", NOW_S + 60)
}

#[track_caller]
fn refused(authoriser: &JwtAuthoriser, token: &str, text: &str) {
    let refusal = authoriser.authorise(Some(token), now()).unwrap_err();
    assert!(refusal.to_string().contains(text), "{text:?} is not in {refusal}");
}

#[test]
fn without_keys_anyone_may_do_everything() {
    assert_eq!(AllowAnyone.authorise(None, now()), Ok(Grant::anyone()));
    assert_eq!(AllowAnyone.authorise(Some("x"), now()), Ok(Grant::anyone()));
}

#[test]
fn a_good_token_grants_what_it_says() {
    let claims = json!({"exp": NOW_S + 60, "nbf": NOW_S, "sub": "zoë", "subscribe": ["news", "a.*"],
        "publish": [], "iss": "anybody", "aud": "anything", "other": {"a": [1]}});
    let grant = hs256().authorise(Some(&hs_token(&claims.to_string())), now());
    let wanted = Grant {
        info: None,
        user: Some(UserId::new("zoë").unwrap()),
        expires_unix_s: Some(NOW_S + 60),
        subscribe: Rules::from_patterns(["news", "a.*"]),
        publish: Rules::none(),
    };
    assert_eq!(grant, Ok(wanted));
}

#[test]
fn no_token_is_missing_and_not_invalid() {
    assert_eq!(hs256().authorise(None, now()), Err(Refusal::Missing));
}

#[test]
fn alg_none_is_refused() {
    for alg in ["none", "None", "NONE", "nOnE"] {
        let head = URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"{alg}\"}}"));
        let token = format!("{head}.{}.", URL_SAFE_NO_PAD.encode(fresh()));
        refused(&hs256(), &token, "not signed");
        let signed = forge(&signer(SECRET), &format!("{{\"alg\":\"{alg}\"}}"), &fresh());
        refused(&hs256(), &signed, "not signed");
    }
}

#[test]
fn a_public_key_is_not_the_secret_of_an_hmac() {
    let rsa = authoriser(vec![pem(Algorithm::Rs256, Some("k"), RSA_PUBLIC)]);
    // With the bytes that the verifier holds, in every spelling somebody may have.
    for spelling in [RSA_PUBLIC, RSA_PUBLIC.trim(), &RSA_PUBLIC.replace('\n', "\r\n")] {
        let foreign = jsonwebtoken::EncodingKey::from_secret(spelling.as_bytes());
        for (alg, kid) in [("HS256", None), ("HS256", Some("k")), ("HS384", None)] {
            let mut header = jsonwebtoken::Header::new(alg.parse().unwrap());
            header.kid = kid.map(str::to_owned);
            let claims = json!({"exp": NOW_S + 60});
            let token = jsonwebtoken::encode(&header, &claims, &foreign).unwrap();
            refused(&rsa, &token, "its alg is not that of a key");
        }
    }
}

#[test]
fn the_algorithm_is_the_keys_own() {
    let keys = authoriser(vec![
        secret(Algorithm::Hs256, Some("small"), SECRET),
        secret(Algorithm::Hs512, Some("big"), SECRET),
    ]);
    let sign = |algorithm, header: &str| {
        let key = SigningKey::new(secret(algorithm, None, SECRET)).unwrap();
        forge(&key, header, &fresh())
    };
    let good = sign(Algorithm::Hs512, r#"{"alg":"HS512","kid":"big"}"#);
    assert!(keys.authorise(Some(&good), now()).is_ok());
    // Well signed by another algorithm than the named key's.
    let swapped = sign(Algorithm::Hs512, r#"{"alg":"HS512","kid":"small"}"#);
    refused(&keys, &swapped, "its alg is not that of a key");
    // The header lies about how it was signed.
    let lying = sign(Algorithm::Hs512, r#"{"alg":"HS256","kid":"small"}"#);
    refused(&keys, &lying, "its signature does not fit");
    for alg in ["HS1", "hs256", "PS256", "ES512", "HS256 ", ""] {
        let token = sign(Algorithm::Hs256, &format!("{{\"alg\":\"{alg}\"}}"));
        refused(&keys, &token, "its alg is not supported");
    }
}

#[test]
fn a_kid_must_name_a_key() {
    let other = format!("other-{SECRET}");
    let keys = authoriser(vec![
        secret(Algorithm::Hs256, None, SECRET),
        secret(Algorithm::Hs256, Some("other"), &other),
    ]);
    let token = |text: &str, header: &str| forge(&signer(text), header, &fresh());
    for good in [
        token(SECRET, r#"{"alg":"HS256"}"#),
        token(&other, r#"{"alg":"HS256"}"#),
        token(&other, r#"{"alg":"HS256","kid":"other"}"#),
    ] {
        assert!(keys.authorise(Some(&good), now()).is_ok());
    }
    for kid in ["unknown", "", "../../dev/null", "other'--", "Other"] {
        let header = format!("{{\"alg\":\"HS256\",\"kid\":\"{kid}\"}}");
        refused(&keys, &token(SECRET, &header), "its kid names no key");
    }
    // The kid of a key that did not sign it.
    refused(&keys, &token(SECRET, r#"{"alg":"HS256","kid":"other"}"#), "its signature");
    for kid in ["null", "1", "[\"other\"]"] {
        let header = format!("{{\"alg\":\"HS256\",\"kid\":{kid}}}");
        refused(&keys, &token(&other, &header), "its header is not");
    }
}

#[test]
fn odd_headers_are_refused_or_skipped() {
    let token = |header: &str| forge(&signer(SECRET), header, &fresh());
    for crit in ["[\"exp\"]", "[]", "null", "[\"b64\"],\"b64\":false"] {
        refused(&hs256(), &token(&format!("{{\"alg\":\"HS256\",\"crit\":{crit}}}")), "crit");
    }
    for bad in [
        "{}",
        "[\"HS256\"]",
        "\"HS256\"",
        "null",
        "",
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256"} {}"#,
    ] {
        refused(&hs256(), &token(bad), "its header is not");
    }
    // A key of the attacker's own that the token brings along is not used.
    let own = "attacker-attacker-attacker-attacker";
    let head = |alg: &str| {
        let k = URL_SAFE_NO_PAD.encode(own);
        json!({"alg": alg, "jwk": {"kty": "oct", "k": k}, "jku": "https://evil.example/",
               "x5u": "https://evil.example/", "x5c": [], "typ": "JWT"})
        .to_string()
    };
    refused(&hs256(), &forge(&signer(own), &head("HS256"), &fresh()), "its signature");
    assert!(hs256().authorise(Some(&token(&head("HS256"))), now()).is_ok());
}

#[test]
fn a_tampered_token_is_refused() {
    let good = hs_token(&format!("{{\"exp\":{},\"sub\":\"zoe\"}}", NOW_S + 60));
    let hs256 = hs256();
    assert!(hs256.authorise(Some(&good), now()).is_ok());
    for at in 0..good.len() {
        for new in [b'A', b'_', b'.', b'=', b' '] {
            let mut bytes = good.clone().into_bytes();
            if std::mem::replace(&mut bytes[at], new) != new {
                let bad = String::from_utf8(bytes).unwrap();
                assert!(hs256.authorise(Some(&bad), now()).is_err(), "{bad}");
            }
        }
    }
    let (signed, _) = good.rsplit_once('.').unwrap();
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        signed.into(),
        format!("{signed}."),
        format!("{good}."),
        format!("{good}="),
        format!("{good}A"),
        format!(" {good}"),
        format!("{good}\n"),
        good[..good.len() - 1].into(),
        format!(".{good}"),
        good.replace('.', ".."),
    ] {
        assert!(hs256.authorise(Some(&bad), now()).is_err(), "{bad:?}");
    }
    refused(
        &hs256,
        &forge(&signer(&SECRET.replace('0', "1")), r#"{"alg":"HS256"}"#, &fresh()),
        "fit",
    );
}

#[test]
fn a_huge_token_is_refused_unread() {
    let room = TOKEN_BYTES_MAX - hs_token(&fresh()).len();
    let padded = |bytes: usize| {
        hs_token(&format!("{{\"exp\":{},\"x\":\"{}\"}}", NOW_S + 60, "x".repeat(bytes)))
    };
    assert!(hs256().authorise(Some(&padded(room / 4 * 3 - 20)), now()).is_ok());
    refused(&hs256(), &padded(room), "longer than 8 KiB");
    refused(&hs256(), &"a".repeat(10 << 20), "longer than 8 KiB");
}

#[test]
fn mint_makes_what_is_accepted() {
    let claims = TokenClaims {
        user: Some(UserId::new("zoe").unwrap()),
        expires_unix_s: Some(NOW_S + 9),
        not_before_unix_s: Some(NOW_S),
        issuer: Some("me".into()),
        audience: Some("you".into()),
        subscribe: Some(vec!["*".into()]),
        publish: Some(Vec::new()),
    };
    let settings = AuthSettings {
        keys: vec![secret(Algorithm::Hs256, Some("k"), SECRET)],
        issuer: Some("me".into()),
        audience: Some("you".into()),
        ..AuthSettings::default()
    };
    let key = SigningKey::new(settings.keys[0].clone()).unwrap();
    let token = mint(&key, &claims).unwrap();
    let grant = JwtAuthoriser::new(settings).unwrap().authorise(Some(&token), now()).unwrap();
    assert_eq!(grant.user, claims.user);
    assert_eq!(grant.expires_unix_s, claims.expires_unix_s);
    assert!(grant.subscribe.allow("any") && grant.publish.is_none());
    let patterns = |patterns| TokenClaims { subscribe: Some(patterns), ..claims.clone() };
    for bad in [vec!["x".into(); 129], vec!["x".repeat(201)]] {
        assert_eq!(mint(&key, &patterns(bad)), Err(MintError::Patterns));
    }
    let long = mint(&key, &patterns(vec!["x".repeat(200); 60])).unwrap_err();
    assert!(matches!(long, MintError::TooLong(_)), "{long}");
}

proptest! {
    #[test]
    fn no_text_panics_or_passes(token in any::<String>(), head in any::<String>(), body in any::<String>()) {
        let hs256 = hs256();
        prop_assert!(hs256.authorise(Some(&token), now()).is_err());
        prop_assert!(hs256.authorise(Some(&forge(&signer(SECRET), &head, &body)), now()).is_err());
        let _ = hs256.authorise(Some(&hs_token(&body)), now());
    }
}
