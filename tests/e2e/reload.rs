//! A configuration that changes while the gateway runs.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Client, Gateway};

const OLD: &str = "the old secret, of thirty-two bytes or more";
const NEW: &str = "the new secret, of thirty-two bytes or more";
const OLD_API_KEY: &str = "the-old-api-key-of-sixteen-bytes";
const NEW_API_KEY: &str = "the-new-api-key-of-sixteen-bytes";

/// A gateway with a file that stays.
struct Running {
    gateway: Gateway,
    path: PathBuf,
}

impl Running {
    async fn start(name: &str, text: &str) -> Self {
        let name = format!("reload-{name}-{}.toml", std::process::id());
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, text).unwrap();
        let gateway = Gateway::start(&["--config", path.to_str().unwrap()], &[]).await;
        Self { gateway, path }
    }

    /// Changes the file, has it read, and waits until it was.
    async fn reload(&self, text: &str, result: &str) {
        let metric = format!("fanfare_config_reloads_total{{result=\"{result}\"}}");
        let before = self.gateway.metric(&metric).await;
        std::fs::write(&self.path, text).unwrap();
        self.gateway.signal("HUP");
        self.gateway.until_metric(&metric, |count| count == before + 1.0).await;
    }

    async fn api(&self, key: &str, method: &str, body: Value) -> (u16, Value) {
        let (path, body) = (format!("/api/{method}"), body.to_string());
        let headers = [("x-api-key", key)];
        let answer = self.gateway.request("POST", &path, &headers, body.as_bytes()).await;
        (answer.status, answer.json())
    }

    async fn connect(&self, secret: &str) -> Result<Client, u16> {
        let path = format!("/ws?format=json&channel=news&token={}", token(secret));
        let mut client =
            self.gateway.try_connect(&path, &[]).await.map_err(|refused| refused.status)?;
        assert_eq!(client.next_json().await["type"], "welcome");
        Ok(client)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn token(secret: &str) -> String {
    let claims = json!({"sub": "ann", "exp": 4_000_000_000_u64, "subscribe": ["*"]});
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

fn config(secret: &str, api_key: &str, more: &str) -> String {
    format!("[auth]\nsecret = '{secret}'\n[api]\nkeys = ['{api_key}']\n{more}")
}

#[tokio::test]
async fn keys_and_rules_change_for_what_begins_then_and_no_session_ends() {
    let running = Running::start("keys", &config(OLD, OLD_API_KEY, "")).await;
    let mut session = running.connect(OLD).await.unwrap();
    let publish = |n: u64| json!({"channel": "news", "data": n});
    assert_eq!(running.api(OLD_API_KEY, "publish", publish(1)).await.1, json!({"result": {}}));
    assert_eq!(session.next_json().await["data"], 1);

    let rules = "[origins]\nallow = ['https://app.example']\n\
        [[channels.rules]]\nmatch = 'news'\nhistory_publications_max = 5\npresence = true\n";
    running.reload(&config(NEW, NEW_API_KEY, rules), "ok").await;
    // Whoever comes now comes under the new keys.
    assert_eq!(running.connect(OLD).await.err(), Some(401));
    assert_eq!(running.api(OLD_API_KEY, "publish", publish(2)).await.0, 401);
    let mut newcomer = running.connect(NEW).await.unwrap();
    assert_eq!(newcomer.next_json().await["type"], "subscribed", "the channel keeps a history now");
    let from = [("origin", "https://app.example")];
    let path = format!("/ws?channel=news&token={}", token(NEW));
    assert!(running.gateway.try_connect(&path, &from).await.is_ok());

    // The session that was there goes on, under the new rules of its channel, and refreshes.
    let (_, answer) = running.api(NEW_API_KEY, "publish", publish(3)).await;
    assert!(answer["result"]["offset"].as_u64().is_some(), "{answer}");
    let message = session.next_json().await;
    assert_eq!((&message["data"], &message["offset"]), (&json!(3), &answer["result"]["offset"]));
    let (_, stats) = running.api(NEW_API_KEY, "presence_stats", json!({"channel": "news"})).await;
    assert_eq!(stats["result"]["num_users"], 1, "who was in before is counted: {stats}");
    for (secret, kind) in [(OLD, "error"), (NEW, "refreshed")] {
        session.send_json(json!({"type": "refresh", "id": 1, "token": token(secret)})).await;
        assert_eq!(session.next_json().await["type"], kind);
    }
}

#[tokio::test]
async fn a_bad_configuration_is_refused_whole_and_the_old_one_stays() {
    let running = Running::start("bad", &config(OLD, OLD_API_KEY, "")).await;
    for bad in [
        config(NEW, NEW_API_KEY, "[hub]\nlanez = 1\n"),
        config("too short", NEW_API_KEY, ""),
        config(
            NEW,
            NEW_API_KEY,
            "[messages]\nmessage_bytes_max = 500000\n[hub]\noutbox_bytes_max = 1000000\n",
        ),
        "this is no TOML".to_owned(),
    ] {
        running.reload(&bad, "refused").await;
        assert!(running.connect(OLD).await.is_ok(), "{bad}");
        assert_eq!(running.connect(NEW).await.err(), Some(401));
        assert_eq!(running.api(OLD_API_KEY, "info", json!({})).await.0, 200);
    }
    let log = running.gateway.log_with("is not TOML").await;
    for text in [":6: there is no key hub.lanez", "restart to raise both", "is not TOML"] {
        assert!(log.contains(text), "{text} in\n{log}");
    }
    assert!(!log.contains(NEW) && !log.contains(NEW_API_KEY), "{log}");
}

#[tokio::test]
async fn bounds_change_for_who_comes_then_and_nobody_who_is_in_has_to_go() {
    let limits = |per_user: u64, per_channel: u64, subscriptions: u64| {
        let more = format!(
            "[hub]\nsessions_per_user_max = {per_user}\nsubscribers_per_channel_max = {per_channel}\n\
             subscriptions_per_session_max = {subscriptions}\npublishes_per_session_per_s_max = 5\n\
             slow_consumer_policy = 'drop_newest'\n"
        );
        config(OLD, OLD_API_KEY, &more)
    };
    let running = Running::start("bounds", &config(OLD, OLD_API_KEY, "")).await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(running.connect(OLD).await.unwrap());
    }
    running.reload(&limits(2, 100, 100), "ok").await;
    assert_eq!(running.connect(OLD).await.err(), Some(429));
    running.reload(&limits(100, 3, 100), "ok").await;
    assert_eq!(running.connect(OLD).await.err(), Some(503));
    running.reload(&limits(100, 100, 1), "ok").await;
    assert!(running.connect(OLD).await.is_ok());
    for session in &mut sessions {
        session.send_json(json!({"type": "subscribe", "id": 1, "channel": "more"})).await;
        assert_eq!(
            session.next_json().await["code"],
            "too_many_subscriptions",
            "it stays, as it is"
        );
    }
    running.api(OLD_API_KEY, "publish", json!({"channel": "news", "data": 1})).await;
    for session in &mut sessions {
        // Where messages may be lost they carry offsets: the policy holds from now on.
        assert_eq!(session.next_json().await["offset"], 1);
    }
    let log = running.gateway.log();
    assert!(!log.contains("only a restart"), "{log}");
}

#[tokio::test]
async fn what_only_a_restart_takes_up_is_named() {
    let running = Running::start("fixed", &config(OLD, OLD_API_KEY, "")).await;
    let more = "[hub]\nlanes = 7\nping_interval_ms = 1234\n[log]\nformat = 'json'\n";
    running.reload(&config(OLD, OLD_API_KEY, more), "ok").await;
    let named = "hub.lanes, hub.ping_interval_ms, log.format";
    running.gateway.log_with(named).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_traffic_lose_nothing() {
    const MESSAGES: u64 = 400;
    let rule = |kept: u64| {
        let rule =
            format!("[[channels.rules]]\nmatch = 'news'\nhistory_publications_max = {kept}\n");
        config(OLD, OLD_API_KEY, &rule)
    };
    let running = Running::start("traffic", &rule(10)).await;
    let mut session = running.connect(OLD).await.unwrap();
    assert_eq!(session.next_json().await["type"], "subscribed");
    let publishing = async {
        for n in 1..=MESSAGES {
            let (status, answer) =
                running.api(OLD_API_KEY, "publish", json!({"channel": "news", "data": n})).await;
            assert_eq!((status, &answer["result"]["offset"]), (200, &json!(n)), "{answer}");
        }
    };
    let reloading = async {
        for kept in 1..=20 {
            running.reload(&rule(kept), "ok").await;
        }
    };
    tokio::join!(publishing, reloading);
    for n in 1..=MESSAGES {
        let message = session.next_json().await;
        assert_eq!((&message["data"], &message["offset"]), (&json!(n), &json!(n)));
    }
}
