//! Keys: each algorithm works with a key of its kind, and every other key is refused by name.

use super::*;
use crate::auth::keys::{KEYS_MAX, KeySet};
use crate::auth::{KeyFault, KeySetError};

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!("../testdata/", $name, ".pem"))
    };
}

/// A signing and a checking key for each algorithm.
fn pairs() -> Vec<(KeySettings, KeySettings)> {
    let pair = |algorithm, private, public| {
        (pem(algorithm, Some("k"), private), pem(algorithm, Some("k"), public))
    };
    let shared = |algorithm| {
        let key = secret(algorithm, Some("k"), SECRET);
        (key.clone(), key)
    };
    vec![
        shared(Algorithm::Hs256),
        shared(Algorithm::Hs384),
        shared(Algorithm::Hs512),
        pair(Algorithm::Rs256, file!("rsa_private"), RSA_PUBLIC),
        pair(Algorithm::Rs384, file!("rsa_pkcs1_private"), file!("rsa_pkcs1_public")),
        pair(Algorithm::Rs512, file!("rsa_private"), RSA_PUBLIC),
        pair(Algorithm::Es256, file!("ec256_private"), file!("ec256_public")),
        pair(Algorithm::Es384, file!("ec384_private"), file!("ec384_public")),
        pair(Algorithm::EdDsa, file!("ed25519_private"), file!("ed25519_public")),
    ]
}

#[test]
fn every_algorithm_signs_and_checks() {
    let claims = TokenClaims { expires_unix_s: Some(NOW_S + 60), ..TokenClaims::default() };
    let all = authoriser(
        pairs()
            .into_iter()
            .map(|(_, public)| KeySettings { kid: None, ..public })
            .collect::<Vec<_>>(),
    );
    let mut seen = Vec::new();
    for (private, public) in pairs() {
        seen.push(private.algorithm);
        let one = authoriser(vec![public]);
        let anonymous = SigningKey::new(KeySettings { kid: None, ..private.clone() }).unwrap();
        let key = SigningKey::new(private).unwrap();
        let token = mint(&key, &claims).unwrap();
        assert!(one.authorise(Some(&token), now()).is_ok(), "{key:?}");
        refused(&all, &token, "its kid names no key");
        let token = mint(&anonymous, &claims).unwrap();
        assert!(all.authorise(Some(&token), now()).is_ok(), "{key:?}");
        // The same header and claims under a signature of zeros, and of another length.
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap().len();
        for bytes in [bytes, bytes - 1, bytes + 1, 0, 1] {
            let zeros = URL_SAFE_NO_PAD.encode(vec![0; bytes]);
            refused(&one, &format!("{signed}.{zeros}"), "its signature does not fit");
        }
    }
    assert_eq!(seen, Algorithm::ALL);
}

#[test]
fn algorithms_have_the_names_of_the_rfc() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
        let foreign: jsonwebtoken::Algorithm = algorithm.name().parse().unwrap();
        assert_eq!(format!("{foreign:?}"), algorithm.to_string());
    }
    assert_eq!(Algorithm::from_name("none"), None);
}

#[test]
fn a_short_secret_is_refused_with_the_way_to_make_one() {
    for (algorithm, bytes_min) in
        [(Algorithm::Hs256, 32), (Algorithm::Hs384, 48), (Algorithm::Hs512, 64)]
    {
        for bytes in [0, 1, bytes_min - 1] {
            let key = secret(algorithm, None, &SECRET[..bytes]);
            let fault = SigningKey::new(key.clone()).unwrap_err();
            assert_eq!(fault, KeyFault::SecretTooShort { algorithm, bytes, bytes_min });
            let text = KeySet::new(vec![key]).unwrap_err().to_string();
            assert!(text.starts_with(&format!("key 0: the secret has {bytes} bytes")), "{text}");
            assert!(text.contains(&format!("openssl rand -hex {bytes_min}")), "{text}");
        }
        assert!(KeySet::new(vec![secret(algorithm, None, &SECRET[..bytes_min])]).is_ok());
    }
}

#[test]
fn keys_to_check_with_are_public_and_of_their_algorithms_kind() {
    use Algorithm::{EdDsa, Es256, Es384, Hs256, Rs256};
    let damaged = RSA_PUBLIC.replace("MII", "MIJ");
    let two = format!("{RSA_PUBLIC}{RSA_PUBLIC}");
    for (settings, fault) in [
        (secret(Rs256, None, SECRET), KeyFault::NeedsPem(Rs256)),
        (secret(Rs256, None, RSA_PUBLIC), KeyFault::NeedsPem(Rs256)),
        (pem(Hs256, None, RSA_PUBLIC), KeyFault::NeedsSecret(Hs256)),
        (secret(Hs256, None, RSA_PUBLIC), KeyFault::NeedsSecret(Hs256)),
        (secret(Hs256, None, &format!("  \n{RSA_PUBLIC}")), KeyFault::NeedsSecret(Hs256)),
        (pem(Rs256, None, ""), KeyFault::NotPem),
        (pem(Rs256, None, SECRET), KeyFault::NotPem),
        (pem(Rs256, None, "-----BEGIN PUBLIC KEY-----"), KeyFault::WrongKind(Rs256)),
        (pem(Rs256, None, &damaged), KeyFault::WrongKind(Rs256)),
        (pem(Rs256, None, &two), KeyFault::SeveralPem),
        (pem(Rs256, None, file!("rsa_private")), KeyFault::Private),
        (pem(Rs256, None, file!("rsa_pkcs1_private")), KeyFault::Private),
        (pem(Es256, None, file!("ec256_sec1_private")), KeyFault::Private),
        (pem(Es256, None, file!("ec256_encrypted_private")), KeyFault::Private),
        (pem(Es256, None, file!("ec256_certificate")), KeyFault::Certificate),
        (pem(Rs256, None, file!("rsa1024_public")), KeyFault::RsaTooShort { bits: 1024 }),
        (pem(Rs256, None, file!("ec256_public")), KeyFault::WrongKind(Rs256)),
        (pem(Es256, None, file!("ec384_public")), KeyFault::WrongKind(Es256)),
        (pem(Es384, None, file!("ec256_public")), KeyFault::WrongKind(Es384)),
        (pem(Es256, None, RSA_PUBLIC), KeyFault::WrongKind(Es256)),
        (pem(EdDsa, None, file!("ec256_public")), KeyFault::WrongKind(EdDsa)),
        (pem(EdDsa, None, file!("ed448_public")), KeyFault::WrongKind(EdDsa)),
        (pem(EdDsa, None, RSA_PUBLIC), KeyFault::WrongKind(EdDsa)),
    ] {
        let error = KeySet::new(vec![settings.clone()]).unwrap_err();
        assert_eq!(error, KeySetError::Key { index: 0, kid: None, fault }, "{settings:?}");
    }
}

#[test]
fn an_ed25519_key_of_another_length_is_refused_and_does_not_panic() {
    let text = file!("ed25519_public");
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
    // A SubjectPublicKeyInfo (RFC 8410) with its two lengths taken back by a byte.
    let mut short = der[..der.len() - 1].to_vec();
    short[1] -= 1;
    short[10] -= 1;
    let body = base64::engine::general_purpose::STANDARD.encode(short);
    let text = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    let error = KeySet::new(vec![pem(Algorithm::EdDsa, None, &text)]).unwrap_err();
    let fault = KeyFault::WrongKind(Algorithm::EdDsa);
    assert_eq!(error, KeySetError::Key { index: 0, kid: None, fault });
}

#[test]
fn keys_to_sign_with_are_private_and_readable() {
    use Algorithm::{EdDsa, Es256, Es384, Rs256};
    for (settings, fault) in [
        (secret(Es256, None, SECRET), KeyFault::NeedsPem(Es256)),
        (pem(Rs256, None, RSA_PUBLIC), KeyFault::Public),
        (pem(Rs256, None, file!("rsa_pkcs1_public")), KeyFault::Public),
        (pem(Es256, None, file!("ec256_sec1_private")), KeyFault::NotPkcs8),
        (pem(Es256, None, file!("ec256_encrypted_private")), KeyFault::NotPkcs8),
        (pem(Es256, None, file!("ec256_certificate")), KeyFault::Certificate),
        (pem(Es384, None, file!("ec256_private")), KeyFault::WrongKind(Es384)),
        (pem(EdDsa, None, file!("ec256_private")), KeyFault::WrongKind(EdDsa)),
        (pem(Rs256, None, file!("ed25519_private")), KeyFault::WrongKind(Rs256)),
    ] {
        assert_eq!(SigningKey::new(settings.clone()).unwrap_err(), fault, "{settings:?}");
    }
}

#[test]
fn a_set_has_1_to_16_keys_with_different_ids() {
    let kid = |kid: &str| secret(Algorithm::Hs256, Some(kid), SECRET);
    let error = |keys| KeySet::new(keys).unwrap_err().to_string();
    assert_eq!(error(vec![]), "there are 0 keys; there must be 1 to 16");
    let many: Vec<_> = (0..=KEYS_MAX).map(|at| kid(&at.to_string())).collect();
    assert!(KeySet::new(many[..KEYS_MAX].to_vec()).is_ok());
    assert_eq!(error(many), "there are 17 keys; there must be 1 to 16");
    assert_eq!(
        error(vec![kid("a"), kid("b"), kid("a")]),
        "key 2 (kid \"a\"): another key has the same kid"
    );
    for bad in ["", "a\u{1b}[31m", &"k".repeat(201)] {
        assert!(error(vec![kid(bad)]).starts_with("key 0: its kid must have 1 to 200 bytes"));
    }
    let nameless = secret(Algorithm::Hs256, None, SECRET);
    assert!(KeySet::new(vec![nameless.clone(), nameless]).is_ok());
}

#[test]
fn nothing_shows_a_secret() {
    let settings = AuthSettings {
        keys: pairs().into_iter().map(|(_, public)| KeySettings { kid: None, ..public }).collect(),
        ..AuthSettings::default()
    };
    let mut shown = format!("{settings:?} {:?}", JwtAuthoriser::new(settings.clone()));
    for (private, _) in pairs() {
        shown += &format!("{private:?} {:?}", SigningKey::new(private.clone()).unwrap());
        let short = KeySettings { material: Material::Secret(b"canary".to_vec()), ..private };
        let error = KeySet::new(vec![short]).unwrap_err();
        shown += &format!("{error:?} {error}");
    }
    let bytes: Vec<u8> = SECRET.bytes().take(6).collect();
    for secret in ["canary", "MII", "BEGIN P", &format!("{bytes:?}")[1..20]] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
