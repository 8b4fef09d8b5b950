//! What the log says of sessions, as a program reads it: one JSON object a line.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;

use crate::identity::{SECRET, now, token};
use crate::support::{Client, Gateway, PATIENCE};

const API_KEY: &str = "canary-key-of-the-api";

async fn gateway(more: &str) -> Gateway {
    Gateway::configured(&format!("[log]\nformat = 'json'\n{more}")).await
}

/// The lines of this message.
fn lines(gateway: &Gateway, message: &str) -> Vec<Value> {
    let log = gateway.log();
    let all = log.lines().map(|line| match serde_json::from_str::<Value>(line) {
        Ok(line) => line,
        Err(error) => panic!("{error}: {line}"),
    });
    all.filter(|line| line["message"] == message).collect()
}

/// Waits until there are so many lines of the ends of sessions.
async fn ends(gateway: &Gateway, count: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let lines = lines(gateway, "session ended");
        if lines.len() >= count {
            return lines;
        }
        assert!(began.elapsed() < PATIENCE, "{} of {count}:\n{}", lines.len(), gateway.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn as_user(gateway: &Gateway, claims: Value) -> Client {
    gateway.connect(&format!("/ws?channel=room&token={}", token(claims))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_end_has_a_line_that_says_whose_and_why() {
    let gateway = gateway(&format!("filter = 'debug'\n[auth]\nsecret = '{SECRET}'\n")).await;
    let claims = json!({"sub": "ann", "exp": now() + 600, "subscribe": ["*"]});
    let mut ann = as_user(&gateway, claims.clone()).await;
    let peer = ann.socket().local_addr().unwrap().to_string();
    ann.close().await;
    let line = ends(&gateway, 1).await.remove(0);
    assert_eq!((&line["level"], &line["reason"]), (&json!("DEBUG"), &json!("client_closed")));
    // A close without a code, which is answered with 1000.
    assert_eq!((&line["user"], &line["peer"]), (&json!("ann"), &json!(peer)));
    assert_eq!((&line["code"], &line["channels"]), (&json!(1000), &json!(1)));
    assert_eq!(line["session"].as_str().unwrap().len(), 16);
    assert!(line["duration_s"].as_u64().unwrap() < 60 && line.get("queued_bytes").is_none());

    drop(as_user(&gateway, claims.clone()).await);
    let line = ends(&gateway, 2).await.remove(1);
    assert_eq!((&line["reason"], &line["code"]), (&json!("client_closed"), &json!(1006)));

    // May not publish.
    as_user(&gateway, claims.clone()).await.send(Message::text("x")).await;
    let line = ends(&gateway, 3).await.remove(2);
    assert_eq!((&line["level"], &line["reason"]), (&json!("INFO"), &json!("policy_violation")));
    assert_eq!((&line["user"], &line["code"]), (&json!("ann"), &json!(1008)));

    // Without a mask.
    let mut rude = as_user(&gateway, claims).await;
    rude.socket().write_all(&[0x81, 1, b'x']).await.unwrap();
    let line = ends(&gateway, 4).await.remove(3);
    assert_eq!((&line["reason"], &line["code"]), (&json!("protocol_error"), &json!(1002)));

    let short = json!({"sub": "bob", "exp": now() + 1, "subscribe": ["*"]});
    let _bob = as_user(&gateway, short).await;
    let line = ends(&gateway, 5).await.remove(4);
    assert_eq!((&line["reason"], &line["user"]), (&json!("token_expired"), &json!("bob")));
    assert_eq!((&line["level"], &line["code"]), (&json!("DEBUG"), &json!(4401)));
}

/// 60 that do not read, at once: ten lines a second at the most, and the others as a number.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_slow_consumers_is_a_few_lines_and_a_number() {
    const SLOW: u64 = 60;
    let more = "[hub]\noutbox_bytes_max = 70000\n[http]\nsend_buffer_bytes = 4096\n";
    let gateway = gateway(more).await;
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        let stream = socket.connect(gateway.addr).await.unwrap();
        slow.push(gateway.connect_over(stream, "/ws?channel=flood", &[]).await.unwrap());
    }
    let message = vec![b'x'; 60_000];
    for _ in 0..5 {
        assert_eq!(gateway.post("/publish?channel=flood", &message).await.status, 200);
    }
    let began = Instant::now();
    let is_it = |line: &Value| line["reason"] == "slow_consumer";
    loop {
        let told = lines(&gateway, "session ended");
        let more = lines(&gateway, "more sessions ended");
        let untold: u64 = more.iter().filter(|line| is_it(line)).map(number).sum();
        if told.len() as u64 + untold == SLOW {
            // They ended within two seconds, or on a busy machine a few.
            assert!(!more.is_empty() && told.len() < SLOW as usize, "{}", gateway.log());
            for line in &told {
                assert!(is_it(line) && line["level"] == "INFO", "{line}");
                assert!(line["queued_bytes"].as_u64().unwrap() > 0, "{line}");
                assert!(line["queued_messages"].is_u64() && line["lost_messages"].is_u64());
            }
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn number(line: &Value) -> u64 {
    line["sessions"].as_u64().unwrap()
}

/// Whatever came in, and by whichever way: a line may name who, and never what.
#[tokio::test(flavor = "multi_thread")]
async fn no_line_holds_a_token_a_key_or_a_message() {
    let text = "[log]\nformat = 'json'\nfilter = 'debug,fanfare=trace'\n";
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("logs-{}.toml", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let flags = ["--config", path.to_str().unwrap()];
    let keys = [("FANFARE_AUTH_SECRET", SECRET), ("FANFARE_API_KEYS", API_KEY)];
    let mut gateway = Gateway::start(&flags, &keys).await;
    let claims = json!({"sub": "ann", "exp": now() + 600, "subscribe": ["*"], "publish": ["*"],
                        "info": {"canary": "info"}});
    let good = token(claims);
    let bearer = format!("Bearer {good}");
    let cookie = format!("fanfare_token={good}");
    let mut by_query = gateway.connect(&format!("/ws?channel=room&token={good}")).await;
    by_query.send_text("canary-message").await;
    let mut json = gateway
        .try_connect("/ws?format=json&channel=room", &[("authorization", &bearer)])
        .await
        .unwrap();
    for command in [
        r#"{"id":1,"publish":{"channel":"room","data":"canary-data","key":"canary-of-data"}}"#,
        r#"{"id":2,"refresh":{"token":"canary-token"}}"#,
        r#"{"id":3,"canary-command":{}}"#,
        "canary-no-json",
    ] {
        json.send_text(command).await;
    }
    let bad = gateway.try_connect("/ws?token=canary-token", &[]).await;
    assert_eq!(bad.map(drop).unwrap_err().status, 401);
    let _ = gateway.try_connect("/ws?channel=room", &[("cookie", &cookie)]).await;
    for key in [API_KEY, "canary-wrong-key"] {
        let headers = [("x-api-key", key), ("traceparent", "canary-parent")];
        let body = br#"{"channel":"room","data":{"canary":"x"},"idempotency_key":"canary-key"}"#;
        gateway.request("POST", "/api/publish", &headers, body).await;
        gateway.request("POST", "/api/canary-method", &headers, b"canary-body").await;
        gateway.request("POST", "/publish?channel=room", &headers, b"canary-body").await;
        let body = br#"{"user":"ann","disconnect":{"code":4000,"reason":"canary-reason"}}"#;
        gateway.request("POST", "/api/disconnect", &headers, body).await;
    }
    ends(&gateway, 1).await;
    gateway.signal("TERM");
    gateway.exit_code().await;
    let _ = std::fs::remove_file(path);
    let log = gateway.log();
    assert!(log.lines().count() > 10 && log.contains("\"kicked\""), "{log}");
    let signature = good.rsplit('.').next().unwrap();
    for secret in ["canary", SECRET, &good, signature] {
        let found = log.lines().find(|line| line.contains(secret));
        assert_eq!(found, None, "it holds {secret}");
    }
}
