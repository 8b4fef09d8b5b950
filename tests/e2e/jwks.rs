//! Keys of tokens from a file and from an address: rotation, and everything that can go wrong with a
//! fetch. Whatever goes wrong lets nobody in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _};
use serde_json::{Value, json};

use crate::application::{Application, Say};
use crate::support::{Client, Gateway};

/// A key pair with an id.
struct Pair {
    kid: &'static str,
    algorithm: Algorithm,
    key: KeyPair,
}

impl Pair {
    fn es256(kid: &'static str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self { kid, algorithm: Algorithm::ES256, key }
    }

    fn ed25519(kid: &'static str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        Self { kid, algorithm: Algorithm::EdDSA, key }
    }

    fn jwk(&self) -> Value {
        let raw = self.key.der_bytes();
        match self.algorithm {
            Algorithm::EdDSA => json!({
                "kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": URL_SAFE_NO_PAD.encode(raw),
            }),
            _ => json!({
                "kty": "EC", "crv": "P-256", "kid": self.kid, "use": "sig",
                "x": URL_SAFE_NO_PAD.encode(&raw[1..33]), "y": URL_SAFE_NO_PAD.encode(&raw[33..]),
            }),
        }
    }

    /// A token of this key, that claims to be of the one with this id.
    fn token_as(&self, kid: &str) -> String {
        let header = Header { kid: Some(kid.into()), ..Header::new(self.algorithm) };
        let claims = json!({"sub": "ann", "exp": 4_000_000_000_u64, "subscribe": ["*"]});
        let key = match self.algorithm {
            Algorithm::EdDSA => EncodingKey::from_ed_pem(self.key.serialize_pem().as_bytes()),
            _ => EncodingKey::from_ec_pem(self.key.serialize_pem().as_bytes()),
        };
        jsonwebtoken::encode(&header, &claims, &key.unwrap()).unwrap()
    }

    fn token(&self) -> String {
        self.token_as(self.kid)
    }
}

fn set(pairs: &[&Pair]) -> Say {
    Say::json(json!({ "keys": pairs.iter().map(|pair| pair.jwk()).collect::<Vec<_>>() }))
}

async fn start(application: &Application, more: &str) -> Gateway {
    let url = application.url("/jwks");
    Gateway::configured(&format!("[auth]\njwks_url = '{url}'\njwks_timeout_ms = 500\n{more}")).await
}

async fn connect(gateway: &Gateway, token: &str) -> Result<Client, u16> {
    let path = format!("/ws?channel=news&token={token}");
    gateway.try_connect(&path, &[]).await.map_err(|refused| refused.status)
}

async fn status(gateway: &Gateway, token: &str) -> u16 {
    connect(gateway, token).await.map_or_else(|status| status, |_| 101)
}

const OK: &str = "fanfare_jwks_refreshes_total{result=\"ok\"}";
const FAILED: &str = "fanfare_jwks_refreshes_total{result=\"failed\"}";

#[tokio::test]
async fn a_set_of_a_file_and_a_key_of_the_configuration_count_side_by_side() {
    let (first, second) = (Pair::es256("a"), Pair::ed25519("b"));
    let name = format!("jwks-{}.json", std::process::id());
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let set = |pairs: &[&Pair]| {
        let keys: Vec<Value> = pairs.iter().map(|pair| pair.jwk()).collect();
        std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
    };
    set(&[&first]);
    let config = format!("[auth]\njwks_file = '{}'\n", path.display());
    let file = path.with_extension("toml");
    std::fs::write(&file, config).unwrap();
    let gateway = Gateway::start(&["--config", file.to_str().unwrap()], &[]).await;
    assert_eq!(status(&gateway, &first.token()).await, 101);
    assert_eq!(status(&gateway, &second.token()).await, 401);
    assert_eq!(status(&gateway, &second.token_as("a")).await, 401);
    // Read again at SIGHUP; a bad one is refused whole.
    set(&[&second]);
    gateway.signal("HUP");
    gateway.until_metric("fanfare_config_reloads_total{result=\"ok\"}", |n| n == 1.0).await;
    assert_eq!(status(&gateway, &first.token()).await, 401);
    assert_eq!(status(&gateway, &second.token()).await, 101);
    std::fs::write(&path, "garbage").unwrap();
    gateway.signal("HUP");
    gateway.until_metric("fanfare_config_reloads_total{result=\"refused\"}", |n| n == 1.0).await;
    assert_eq!(status(&gateway, &second.token()).await, 101);
    let _ = (std::fs::remove_file(path), std::fs::remove_file(file));
}

#[tokio::test]
async fn keys_rotate_under_traffic_and_sessions_that_are_there_stay() {
    let (old, new) = (Pair::es256("old"), Pair::ed25519("new"));
    let application = Application::start({
        let say = set(&[&old]);
        move |_| say.clone()
    })
    .await;
    let name = format!("jwks-rotate-{}.toml", std::process::id());
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let url = application.url("/jwks");
    let text = format!(
        "[auth]\njwks_url = '{url}'\njwks_refresh_min_ms = 100\njwks_refresh_interval_ms = 60000\n"
    );
    std::fs::write(&file, text).unwrap();
    let gateway = Gateway::start(&["--config", file.to_str().unwrap()], &[]).await;
    gateway.until_metric(OK, |n| n == 1.0).await;
    let mut session = connect(&gateway, &old.token()).await.unwrap();
    assert_eq!(gateway.metric("fanfare_jwks_keys").await, 1.0);

    // The issuer signs with a new key: the first who brings one has it fetched, and is let in.
    let both = set(&[&old, &new]);
    application.says(move |_| both.clone());
    tokio::time::sleep(Duration::from_millis(150)).await;
    let tokens: Vec<String> = (0..20).map(|_| new.token()).collect();
    let comers = tokens.iter().map(|token| status(&gateway, token));
    let all = futures_util::future::join_all(comers).await;
    assert!(all.iter().all(|status| *status == 101), "{all:?}\n{}", gateway.log());
    assert_eq!(gateway.metric(OK).await, 2.0, "once for all of them");
    assert_eq!(status(&gateway, &old.token()).await, 101);

    // The old key is withdrawn: nobody comes by it any more, and who is there stays.
    let only_new = set(&[&new]);
    application.says(move |_| only_new.clone());
    tokio::time::sleep(Duration::from_millis(150)).await;
    gateway.signal("HUP");
    gateway.until_metric(OK, |n| n == 3.0).await;
    assert_eq!(status(&gateway, &old.token()).await, 401);
    assert_eq!(status(&gateway, &new.token()).await, 101);
    session.assert_silent().await;
    // An id says nothing without the key.
    assert_eq!(status(&gateway, &old.token_as("new")).await, 401);
    let _ = std::fs::remove_file(file);
}

#[tokio::test]
async fn whatever_is_wrong_with_the_first_answer_nobody_is_let_in() {
    let pair = Pair::es256("k");
    let good = json!({ "keys": [pair.jwk()] }).to_string();
    let long = format!("{}{good}", " ".repeat(300_000));
    let secret = json!({"keys": [
        {"kty": "oct", "alg": "HS256", "kid": "k", "k": URL_SAFE_NO_PAD.encode([7; 32])}
    ]});
    let elsewhere = Application::start({
        let good = good.clone();
        move |_| Say::This(200, Vec::new(), good.clone())
    })
    .await;
    let redirect = vec![("location", elsewhere.url("/jwks"))];
    for (say, status_wanted, text) in [
        (Say::This(500, Vec::new(), good.clone()), 503, "500 Internal Server Error and not 200"),
        (Say::This(302, redirect, good.clone()), 503, "302 Found and not 200"),
        (Say::This(200, Vec::new(), format!("{good}x")), 503, "no JWK set"),
        (Say::This(200, Vec::new(), "<html>".into()), 503, "no JWK set"),
        (Say::This(200, Vec::new(), long), 503, "more than 262144 bytes"),
        (Say::Nothing, 503, "within 500 ms"),
        (Say::Drip("{\"keys\":["), 503, "within 500 ms"),
        (Say::json(secret), 401, "a secret does not come from an address"),
        (Say::json(json!({"keys": []})), 401, "has no key that can be used"),
    ] {
        let application = Application::start(move |_| say.clone()).await;
        let more = "jwks_refresh_min_ms = 60000\njwks_refresh_interval_ms = 60000\n";
        let gateway = start(&application, more).await;
        gateway.until_metric("fanfare_jwks_refreshes_total", |n| n == 1.0).await;
        assert_eq!(status(&gateway, &pair.token()).await, status_wanted, "{text}");
        gateway.log_with(text).await;
        assert_eq!(gateway.metric("fanfare_jwks_keys").await, 0.0);
        let health = gateway.get("/health").await.json();
        let told = health["tokens"] == "the keys of tokens cannot be fetched";
        assert_eq!(told, status_wanted == 503, "{health}");
        if status_wanted == 401 {
            let key = EncodingKey::from_secret(&[7; 32]);
            let header = Header { kid: Some("k".into()), ..Header::default() };
            let forged = jsonwebtoken::encode(&header, &json!({"exp": 4_000_000_000_u64}), &key);
            assert_eq!(status(&gateway, &forged.unwrap()).await, 401);
        }
    }
    assert!(elsewhere.asked("/jwks").is_empty(), "a redirect is not followed");
}

#[tokio::test]
async fn old_keys_stay_while_fetching_fails_and_end_at_their_time() {
    let pair = Pair::es256("k");
    let application = Application::start({
        let say = set(&[&pair]);
        move |_| say.clone()
    })
    .await;
    let more =
        "jwks_refresh_min_ms = 100\njwks_refresh_interval_ms = 1000\njwks_stale_max_ms = 2500\n";
    let gateway = start(&application, more).await;
    gateway.until_metric(OK, |n| n >= 1.0).await;
    application.says(|_| Say::status(500));
    gateway.until_metric(FAILED, |n| n >= 1.0).await;
    assert_eq!(status(&gateway, &pair.token()).await, 101, "{}", gateway.log());
    gateway.until_metric("fanfare_jwks_keys", |n| n == 0.0).await;
    assert_eq!(status(&gateway, &pair.token()).await, 503);
    gateway.log_with("nobody is let in by").await;
    // They come back by themselves.
    let say = set(&[&pair]);
    application.says(move |_| say.clone());
    gateway.until_metric("fanfare_jwks_keys", |n| n == 1.0).await;
    assert_eq!(status(&gateway, &pair.token()).await, 101);
    let age = gateway.metric("fanfare_jwks_age_seconds").await;
    assert!(age < 60.0, "{age}");
}

#[tokio::test]
async fn a_flood_of_made_up_keys_is_no_flood_of_fetches() {
    let (pair, forger) = (Pair::es256("k"), Pair::es256("x"));
    let fetches = Arc::new(AtomicUsize::new(0));
    let application = Application::start({
        let (say, fetches) = (set(&[&pair]), fetches.clone());
        move |_| {
            fetches.fetch_add(1, Ordering::Relaxed);
            say.clone()
        }
    })
    .await;
    let more = "jwks_refresh_min_ms = 60000\njwks_refresh_interval_ms = 60000\n";
    let gateway = start(&application, more).await;
    gateway.until_metric(OK, |n| n == 1.0).await;
    let tokens: Vec<String> = (0..100).map(|n| forger.token_as(&format!("made-up-{n}"))).collect();
    let statuses =
        futures_util::future::join_all(tokens.iter().map(|token| status(&gateway, token)));
    assert!(statuses.await.iter().all(|status| *status == 401));
    assert_eq!(status(&gateway, &pair.token()).await, 101);
    assert_eq!(fetches.load(Ordering::Relaxed), 1);
    let nothing = "fanfare_jwks_unknown_keys_total{led_to=\"nothing\"}";
    assert_eq!(gateway.metric(nothing).await, 100.0);
}

#[tokio::test]
async fn max_age_has_the_set_fetched_earlier() {
    let pair = Pair::es256("k");
    let body = json!({ "keys": [pair.jwk()] }).to_string();
    let headers = vec![("cache-control", "public, max-age=1".to_owned())];
    let application =
        Application::start(move |_| Say::This(200, headers.clone(), body.clone())).await;
    let gateway = start(&application, "jwks_refresh_min_ms = 100\n").await;
    application.until_asked("/jwks", 3).await;
    assert_eq!(status(&gateway, &pair.token()).await, 101);
}
