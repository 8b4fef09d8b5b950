//! Who is who: tokens, users, expiry, origins, keys.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::support::{Client, Gateway};

pub const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const API_KEY: &str = "an-api-key-for-the-tests";

async fn keyed() -> Gateway {
    Gateway::start(&[], &[("FANFARE_AUTH_SECRET", SECRET), ("FANFARE_API_KEYS", API_KEY)]).await
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub fn token(claims: serde_json::Value) -> String {
    signed(&json!({"alg": "HS256", "typ": "JWT"}), &claims, SECRET)
}

/// Signed by hand with HMAC-SHA256, so that a test does not lean on the code it tests.
fn signed(header: &serde_json::Value, claims: &serde_json::Value, secret: &str) -> String {
    use hmac::{Hmac, Mac};
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn of_user(user: &str) -> String {
    token(json!({"sub": user, "exp": now() + 600, "subscribe": ["*"], "publish": ["chat.*"]}))
}

async fn connect_as(gateway: &Gateway, user: &str, channel: &str) -> Client {
    gateway.connect(&format!("/ws?channel={channel}&token={}", of_user(user))).await
}

async fn api(gateway: &Gateway, method: &str, body: serde_json::Value) -> serde_json::Value {
    let path = format!("/api/{method}");
    let headers = [("x-api-key", API_KEY)];
    let answer = gateway.request("POST", &path, &headers, body.to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_push_reaches_all_devices_of_the_user_and_nobody_else() {
    let gateway = keyed().await;
    let mut phone = connect_as(&gateway, "ann", "chat.1").await;
    let mut laptop = connect_as(&gateway, "ann", "chat.2").await;
    let mut bob = connect_as(&gateway, "bob", "chat.1").await;
    let body = json!({"users": ["ann", "nobody"], "data": {"for": "ann"}});
    let answer = api(&gateway, "publish_to_users", body).await;
    assert_eq!(answer["result"]["sessions"], 2, "{answer}");
    for client in [&mut phone, &mut laptop] {
        assert_eq!(client.next_text().await, r#"{"for":"ann"}"#);
    }
    let headers = [("x-api-key", API_KEY)];
    let answer = gateway.request("POST", "/publish?user=ann", &headers, b"plain").await;
    assert_eq!(answer.json(), json!({"sessions": 2}));
    for client in [&mut phone, &mut laptop] {
        assert_eq!(client.next_text().await, "plain");
        client.assert_silent().await;
    }
    bob.assert_silent().await;
}

#[tokio::test]
async fn a_token_is_taken_from_each_of_its_places() {
    let gateway = keyed().await;
    let token = of_user("ann");
    let bearer = format!("Bearer {token}");
    let cookie = format!("a=b; fanfare_token={token}");
    let pair = format!("bearer, {token}");
    gateway.try_connect("/ws", &[("authorization", &bearer)]).await.unwrap();
    gateway.try_connect("/ws", &[("cookie", &cookie)]).await.unwrap();
    let client = gateway.try_connect("/ws", &[("sec-websocket-protocol", &pair)]).await.unwrap();
    assert_eq!(client.protocol.as_deref(), Some("bearer"), "and never the token");
    gateway.try_connect(&format!("/ws?token={token}"), &[]).await.unwrap();
    assert!(!gateway.log().contains(&token), "a token in the log");
}

#[tokio::test]
async fn a_token_that_is_not_good_is_refused() {
    let gateway = keyed().await;
    let good = json!({"sub": "ann", "exp": now() + 600, "subscribe": ["*"]});
    let with = |key: &str, value: serde_json::Value| {
        let mut claims = good.clone();
        claims[key] = value;
        claims
    };
    let none = {
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&json!({"alg": "none"})), part(&good))
    };
    let mut tampered = token(good.clone());
    let claims = URL_SAFE_NO_PAD.encode(with("sub", json!("root")).to_string());
    let parts: Vec<&str> = tampered.split('.').collect();
    tampered = format!("{}.{claims}.{}", parts[0], parts[2]);
    for (what, token) in [
        ("expired", token(with("exp", json!(now() - 10)))),
        ("not yet valid", token(with("nbf", json!(now() + 600)))),
        ("exp as a string", token(with("exp", json!((now() + 600).to_string())))),
        ("without exp", token(json!({"sub": "ann", "subscribe": ["*"]}))),
        ("forged", signed(&json!({"alg": "HS256"}), &good, &SECRET.replace('0', "1"))),
        ("alg swapped", signed(&json!({"alg": "HS512"}), &good, SECRET)),
        ("alg none", none),
        ("foreign kid", signed(&json!({"alg": "HS256", "kid": "x"}), &good, SECRET)),
        ("tampered", tampered),
        ("garbage", "a.b.c".into()),
    ] {
        let refused = gateway.try_connect(&format!("/ws?token={token}"), &[]).await;
        let refused = refused.err().unwrap_or_else(|| panic!("{what} was let in"));
        assert_eq!(refused.status, 401, "{what}: {}", refused.body);
        assert!(!refused.body.contains(&token), "{what}: the token comes back");
    }
    let missing = gateway.try_connect("/ws", &[]).await.err().expect("a token is needed");
    assert_eq!(missing.status, 401);
    gateway.try_connect(&format!("/ws?token={}", token(good)), &[]).await.expect("the good one");
}

#[tokio::test]
async fn a_token_says_what_may_be_subscribed_and_published() {
    let gateway = keyed().await;
    let claims = json!({"sub": "ann", "exp": now() + 600, "subscribe": ["news", "chat.*"],
        "publish": ["chat.1"]});
    let token = token(claims);
    for (channel, status) in [("secret", 403), ("newsy", 403)] {
        let path = format!("/ws?channel={channel}&token={token}");
        assert_eq!(gateway.try_connect(&path, &[]).await.err().unwrap().status, status);
    }
    let mut client = gateway.connect(&format!("/ws?channel=news&format=json&token={token}")).await;
    assert_eq!(client.next_json().await["user"], "ann");
    client.send_json(json!({"type": "subscribe", "id": 1, "channel": "secret"})).await;
    assert_eq!(client.next_json().await["code"], "forbidden");
    client.send_json(json!({"type": "publish", "id": 2, "channel": "chat.2", "data": 1})).await;
    assert_eq!(client.next_json().await["code"], "forbidden");
    client.send_json(json!({"type": "publish", "id": 3, "channel": "chat.1", "data": 1})).await;
    assert_eq!(client.next_json().await["type"], "published");
    // A plain session has no place for an error: it is closed.
    let mut raw = gateway.connect(&format!("/ws?channel=news&token={token}")).await;
    raw.send_text("I may not").await;
    assert_eq!(raw.close_code().await.0, 1008);
}

#[tokio::test]
async fn delivery_ends_when_the_token_does_unless_it_was_refreshed() {
    let gateway = keyed().await;
    let claims = |user: &str, seconds: u64| json!({"sub": user, "exp": now() + seconds, "subscribe": ["*"], "publish": ["*"]});
    let short = token(claims("ann", 2));
    let mut ends = gateway.connect(&format!("/ws?channel=a&token={short}")).await;
    let mut goes_on = gateway.connect(&format!("/ws?channel=a&format=json&token={short}")).await;
    goes_on.next_json().await;

    let foreign = token(claims("bob", 600));
    goes_on.send_json(json!({"type": "refresh", "id": 1, "token": foreign})).await;
    assert_eq!(goes_on.next_json().await["code"], "token_invalid");
    let fresh = token(claims("ann", 600));
    goes_on.send_json(json!({"type": "refresh", "id": 2, "token": fresh})).await;
    let refreshed = goes_on.next_json().await;
    assert_eq!(refreshed["type"], "refreshed");
    assert!(refreshed["expires_at"].as_u64().unwrap() > now() + 500);

    let began = Instant::now();
    assert_eq!(ends.close_code().await.0, 4401);
    assert!(began.elapsed() < Duration::from_secs(5));
    let headers = [("x-api-key", API_KEY)];
    gateway.request("POST", "/publish?channel=a", &headers, b"later").await;
    assert_eq!(goes_on.next_json().await["text"], "later");
}

#[tokio::test]
async fn the_api_wants_its_key() {
    let gateway = keyed().await;
    let body = json!({"channel": "a", "data": 1}).to_string();
    for path in ["/api/publish", "/publish?channel=a", "/api/info", "/api/nothing"] {
        for headers in [vec![], vec![("x-api-key", "wrong-key-wrong-key-wrong")]] {
            let answer = gateway.request("POST", path, &headers, body.as_bytes()).await;
            assert_eq!(answer.status, 401, "{path}");
        }
    }
    let apikey = format!("apikey {API_KEY}");
    let query = format!("/api/publish?api_key={API_KEY}");
    for (path, headers) in [
        ("/api/publish", vec![("x-api-key", API_KEY)]),
        ("/api/publish", vec![("authorization", apikey.as_str())]),
        (query.as_str(), vec![]),
    ] {
        let answer = gateway.request("POST", path, &headers, body.as_bytes()).await;
        assert_eq!(answer.json(), json!({"result": {}}), "{path}");
    }
    assert!(!gateway.log().contains(API_KEY), "a key in the log");
}

#[tokio::test]
async fn a_browser_from_elsewhere_is_refused_even_in_open_mode() {
    let gateway = Gateway::open().await;
    let own = format!("http://{}", gateway.addr);
    for (origin, is_allowed) in
        [(own.as_str(), true), ("https://evil.example", false), ("null", false)]
    {
        let connected = gateway.try_connect("/ws", &[("origin", origin)]).await;
        assert_eq!(connected.is_ok(), is_allowed, "{origin}");
        if let Err(refused) = connected {
            assert_eq!(refused.status, 403);
        }
        for path in ["/publish?channel=a", "/api/publish"] {
            let body = br#"{"channel":"a","data":1}"#;
            let answer = gateway.request("POST", path, &[("origin", origin)], body).await;
            assert_eq!(answer.status, if is_allowed { 200 } else { 403 }, "{path} {origin}");
        }
    }
    // A name of somebody else's that points at this machine (DNS rebinding).
    let request = "GET /channel?name=a HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert_eq!(raw_status(&gateway, request).await, 403);
}

async fn raw_status(gateway: &Gateway, request: &str) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(gateway.addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    crate::support::within("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_listed_origin_is_let_in() {
    let variables = [("FANFARE_ORIGINS_ALLOW", "https://app.example")];
    let gateway = Gateway::start(&[], &variables).await;
    let headers = [("origin", "https://app.example")];
    gateway.try_connect("/ws", &headers).await.expect("a listed origin");
    assert!(gateway.try_connect("/ws", &[("origin", "https://app.example.org")]).await.is_err());
}

#[tokio::test]
async fn any_page_may_connect_but_not_in_the_name_of_its_visitor() {
    let variables = [
        ("FANFARE_ORIGINS_ALLOW", "*"),
        ("FANFARE_AUTH_SECRET", SECRET),
        ("FANFARE_API_KEYS", API_KEY),
    ];
    let gateway = Gateway::start(&[], &variables).await;
    let token = of_user("ann");
    let cookie = format!("fanfare_token={token}");
    let evil = ("origin", "https://evil.example");
    let refused = gateway.try_connect("/ws", &[evil, ("cookie", &cookie)]).await;
    assert_eq!(refused.err().expect("the cookie came by itself").status, 401);
    gateway.try_connect(&format!("/ws?token={token}"), &[evil]).await.expect("its own token");
    let own = format!("http://{}", gateway.addr);
    gateway.try_connect("/ws", &[("origin", &own), ("cookie", &cookie)]).await.expect("our page");
}
