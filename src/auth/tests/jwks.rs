//! Sets of keys: what is taken, what is skipped, and what a token may do with either.

use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use serde_json::Value;

use super::*;
use crate::auth::jwks::{JWKS_KEYS_MAX, Jwks, JwksError, JwksOrigin, parse};
use crate::auth::source::KeySource;

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!("../testdata/", $name, ".pem"))
    };
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa_jwk() -> Value {
    let key = DecodingKey::from_rsa_pem(RSA_PUBLIC.as_bytes()).unwrap();
    let der = key.try_get_as_bytes().unwrap();
    let parts = (DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key)(der).unwrap();
    json!({"kty": "RSA", "n": b64(&parts.0), "e": b64(&parts.1)})
}

fn ec_jwk(pem: &str, crv: &str) -> Value {
    let key = DecodingKey::from_ec_pem(pem.as_bytes()).unwrap();
    let point = &key.try_get_as_bytes().unwrap()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    json!({"kty": "EC", "crv": crv, "x": b64(x), "y": b64(y)})
}

fn ed_jwk() -> Value {
    let key = DecodingKey::from_ed_pem(file!("ed25519_public").as_bytes()).unwrap();
    json!({"kty": "OKP", "crv": "Ed25519", "x": b64(key.try_get_as_bytes().unwrap())})
}

fn with(mut jwk: Value, fields: Value) -> Value {
    jwk.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    jwk
}

fn read(keys: &[Value], origin: JwksOrigin) -> Jwks {
    parse(json!({ "keys": keys }).to_string().as_bytes(), origin).unwrap()
}

fn of_set(jwks: Jwks) -> JwtAuthoriser {
    JwtAuthoriser::new(AuthSettings { jwks: Some(Arc::new(jwks)), ..AuthSettings::default() })
        .unwrap()
}

fn private(algorithm: Algorithm) -> SigningKey {
    let text = match algorithm {
        Algorithm::Es256 => file!("ec256_private"),
        Algorithm::Es384 => file!("ec384_private"),
        Algorithm::EdDsa => file!("ed25519_private"),
        _ => file!("rsa_private"),
    };
    SigningKey::new(pem(algorithm, None, text)).unwrap()
}

fn token(algorithm: Algorithm, kid: &str) -> String {
    forge(&private(algorithm), &json!({"alg": algorithm.name(), "kid": kid}).to_string(), &fresh())
}

const PAIRS: [Algorithm; 6] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::EdDsa,
];

/// One of each kind, all under one id.
fn one_of_each() -> Vec<Value> {
    let kid = || json!({"kid": "k", "use": "sig", "key_ops": ["verify"], "x5t": "ignored"});
    let keys = [
        rsa_jwk(),
        ec_jwk(file!("ec256_public"), "P-256"),
        ec_jwk(file!("ec384_public"), "P-384"),
        ed_jwk(),
    ];
    keys.into_iter().map(|key| with(key, kid())).collect()
}

#[test]
fn every_kind_checks_what_it_is_for_and_nothing_else() {
    let jwks = read(&one_of_each(), JwksOrigin::Url);
    assert!(jwks.skipped.is_empty() && jwks.keys.len() == 6, "{:?}", jwks.skipped);
    let all = of_set(jwks);
    for algorithm in PAIRS {
        assert!(all.authorise(Some(&token(algorithm, "k")), now()).is_ok(), "{algorithm}");
        refused(&all, &token(algorithm, "other"), "its kid names no key");
        let head = json!({"alg": "HS256", "kid": "k"}).to_string();
        refused(&all, &forge(&signer(SECRET), &head, &fresh()), "its alg is not that of a key");
    }
    // One id and one kind: the algorithm alone decides.
    let es = of_set(read(&one_of_each()[1..2], JwksOrigin::Url));
    refused(&es, &token(Algorithm::Rs256, "k"), "its alg is not that of a key");
}

#[test]
fn alg_binds_a_key_to_one_algorithm() {
    let rs256 = of_set(read(&[with(rsa_jwk(), json!({"alg": "RS256"}))], JwksOrigin::Url));
    let sign = |algorithm: Algorithm| {
        forge(&private(algorithm), &json!({"alg": algorithm.name()}).to_string(), &fresh())
    };
    assert!(rs256.authorise(Some(&sign(Algorithm::Rs256)), now()).is_ok());
    refused(&rs256, &sign(Algorithm::Rs384), "its alg is not that of a key");
    let named = with(ed_jwk(), json!({"alg": "Ed25519"}));
    let ed = of_set(read(&[named], JwksOrigin::Url));
    assert!(ed.authorise(Some(&sign(Algorithm::EdDsa)), now()).is_ok());
}

#[test]
fn what_cannot_be_used_is_skipped_and_the_rest_counts() {
    let p256 = || ec_jwk(file!("ec256_public"), "P-256");
    let secret = json!({"kty": "oct", "alg": "HS256", "k": b64(SECRET.as_bytes())});
    let off_curve = b64(&[7; 32]);
    for (bad, why) in [
        (secret, "a secret does not come from an address"),
        (with(rsa_jwk(), json!({"alg": "HS256"})), "its alg is not known here"),
        (with(rsa_jwk(), json!({"alg": "ES256"})), "its alg is not known here"),
        (with(rsa_jwk(), json!({"alg": "PS256"})), "its alg is not known here"),
        (with(rsa_jwk(), json!({"use": "enc"})), "not for signatures"),
        (with(rsa_jwk(), json!({"key_ops": ["sign", "encrypt"]})), "not for checking"),
        (with(rsa_jwk(), json!({"d": "AQAB"})), "private part"),
        (with(rsa_jwk(), json!({"kid": 7})), "it is no JWK"),
        (with(rsa_jwk(), json!({"use": null})), "it is no JWK"),
        (with(rsa_jwk(), json!({"kid": ""})), "kid must have"),
        (with(rsa_jwk(), json!({"n": b64(&[0xff; 128])})), "1024 bits"),
        (with(rsa_jwk(), json!({"n": b64(&[0xff; 1024])})), "not one that is taken"),
        (with(rsa_jwk(), json!({"e": b64(&[0xff; 5])})), "not one that is taken"),
        (with(rsa_jwk(), json!({"e": b64(&[2])})), "not one that is taken"),
        (with(rsa_jwk(), json!({"n": "a+/="})), "its n is not base64url"),
        (json!({"kty": "RSA"}), "it has no n"),
        (with(p256(), json!({"crv": "P-521"})), "its curve"),
        (with(p256(), json!({"crv": "secp256k1"})), "its curve"),
        (with(p256(), json!({"crv": "P-384"})), "do not have 48 bytes"),
        (with(p256(), json!({"y": off_curve})), "P-256"),
        (with(ed_jwk(), json!({"crv": "X25519"})), "its curve"),
        (with(ed_jwk(), json!({"x": b64(&[1; 31])})), "Ed25519"),
        (json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "x"}), "its kind"),
        (json!([]), "it is no JWK"),
        (json!("RSA"), "it is no JWK"),
        (json!({"kid": "a"}), "it is no JWK"),
    ] {
        let jwks = read(&[bad.clone(), with(p256(), json!({"kid": "good"}))], JwksOrigin::Url);
        assert_eq!((jwks.keys.len(), jwks.skipped.len()), (1, 1), "{bad}");
        let told = jwks.skipped[0].to_string();
        assert!(told.starts_with("key 0") && told.contains(why), "{why:?} is not in {told}");
    }
}

#[test]
fn of_two_with_one_id_and_algorithm_the_first_counts() {
    let first = with(ec_jwk(file!("ec256_public"), "P-256"), json!({"kid": "k"}));
    let jwks = read(&[first.clone(), first], JwksOrigin::Url);
    assert_eq!((jwks.keys.len(), jwks.skipped.len()), (1, 1));
    assert!(jwks.skipped[0].to_string().contains("same kid and algorithm"));
}

#[test]
fn a_secret_of_a_file_needs_an_algorithm_and_its_length() {
    let oct = |fields: Value| {
        with(json!({"kty": "oct", "kid": "s", "k": b64(SECRET.as_bytes())}), fields)
    };
    let good = of_set(read(&[oct(json!({"alg": "HS256"}))], JwksOrigin::File));
    let head = json!({"alg": "HS256", "kid": "s"}).to_string();
    assert!(good.authorise(Some(&forge(&signer(SECRET), &head, &fresh())), now()).is_ok());
    for (fields, why) in [
        (json!({}), "needs an alg"),
        (json!({"alg": "RS256"}), "its alg is not known"),
        (json!({"alg": "HS256", "k": b64(b"canary")}), "6 bytes; 32 are needed"),
    ] {
        let jwks = read(&[oct(fields)], JwksOrigin::File);
        let told = jwks.skipped[0].to_string();
        assert!(told.contains(why) && !told.contains("canary"), "{told}");
        assert!(jwks.keys.is_empty());
    }
}

#[test]
fn what_is_no_set_is_an_error() {
    for bad in ["", "[]", "{}", "null", "{\"keys\":{}}", "{\"keys\":[}", "[[]]", "<html>"] {
        let error = parse(bad.as_bytes(), JwksOrigin::Url).unwrap_err();
        assert_eq!(error, JwksError::NotASet, "{bad}");
    }
    let many = vec![json!({}); JWKS_KEYS_MAX + 1];
    let many = json!({ "keys": many }).to_string();
    assert_eq!(parse(many.as_bytes(), JwksOrigin::Url).unwrap_err(), JwksError::TooMany(65));
    assert!(read(&[], JwksOrigin::Url).keys.is_empty());
}

/// An authoriser whose keys are fetched, and how often it asked for that.
fn fetched() -> (JwtAuthoriser, Arc<KeySource>) {
    let source = Arc::new(KeySource::new(Box::new(|| Box::pin(std::future::ready(true)))));
    let settings = AuthSettings { source: Some(source.clone()), ..AuthSettings::default() };
    (JwtAuthoriser::new(settings).unwrap(), source)
}

#[test]
fn keys_that_are_fetched_count_from_when_they_are_there_to_their_end() {
    let (authoriser, source) = fetched();
    let known = token(Algorithm::Es256, "k");
    let ask = |token: &str, at: SystemTime| authoriser.authorise(Some(token), at).map(drop);
    assert_eq!(ask(&known, now()), Err(Refusal::Unavailable));
    assert!(!authoriser.is_ready(now()));
    let end = now() + Duration::from_secs(10);
    source.set(read(&one_of_each(), JwksOrigin::Url).keys, end);
    assert_eq!(ask(&known, now()), Ok(()));
    assert_eq!(ask(&token(Algorithm::Es256, "new"), now()), Err(Refusal::UnknownKey));
    // Known, but not for that, and not signed by it: no reason to fetch anything.
    let head = json!({"alg": "HS256", "kid": "k"}).to_string();
    refused(&authoriser, &forge(&signer(SECRET), &head, &fresh()), "its alg is not that");
    let other = forge(&private(Algorithm::Es256), &head.replace("HS256", "EdDSA"), &fresh());
    refused(&authoriser, &other, "its signature does not fit");
    assert_eq!(ask(&known, end), Err(Refusal::Unavailable), "at its end");
    source.clear();
    assert_eq!(ask(&known, now()), Err(Refusal::Unavailable), "they were let go of");
    source.set(read(&[], JwksOrigin::Url).keys, end);
    assert_eq!(ask(&known, now()), Err(Refusal::UnknownKey), "a set without keys lets nobody in");
}

#[test]
fn a_key_of_one_set_is_none_of_another() {
    // The same id in both: the configured one is for HS256, the published one for ES256.
    let p256 = with(ec_jwk(file!("ec256_public"), "P-256"), json!({"kid": "k"}));
    let both = JwtAuthoriser::new(AuthSettings {
        keys: vec![secret(Algorithm::Hs256, Some("k"), SECRET)],
        jwks: Some(Arc::new(read(&[p256], JwksOrigin::File))),
        ..AuthSettings::default()
    })
    .unwrap();
    let head = json!({"alg": "HS256", "kid": "k"}).to_string();
    assert!(both.authorise(Some(&forge(&signer(SECRET), &head, &fresh())), now()).is_ok());
    assert!(both.authorise(Some(&token(Algorithm::Es256, "k")), now()).is_ok());
    let public = file!("ec256_public");
    let confused = jsonwebtoken::EncodingKey::from_secret(public.as_bytes());
    let header = jsonwebtoken::Header { kid: Some("k".into()), ..Default::default() };
    let claims = json!({"exp": NOW_S + 60});
    let token = jsonwebtoken::encode(&header, &claims, &confused).unwrap();
    refused(&both, &token, "its signature does not fit");
}
