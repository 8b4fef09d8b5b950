//! The application: asked who may, told what happened; slow, dead, and silly.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::application::{Application, Asked, Say};
use crate::support::{Client, Gateway, PATIENCE, within};

const SECRET: &str = "the secret of the application, of 32 bytes";

/// A gateway with a file that stays for as long as it runs.
struct Running {
    gateway: Gateway,
    path: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn config(secret: &str, hooks: &str) -> String {
    format!("[hooks]\nsecret = '{secret}'\n{hooks}")
}

async fn start(hooks: &str) -> Running {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let name = format!("hooks-{}-{number}.toml", std::process::id());
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, config(SECRET, hooks)).unwrap();
    let gateway = Gateway::start(&["--config", path.to_str().unwrap()], &[]).await;
    Running { gateway, path }
}

/// As an application would check it: by the documentation and nothing else.
fn is_signed(asked: &Asked, secret: &str) -> bool {
    let value = asked.headers["x-fanfare-signature"].to_str().unwrap();
    let (time, digest) = value.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(now.abs_diff(time.parse().unwrap()) < 60, "{value}");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(&asked.body);
    let bytes: Vec<String> =
        mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    bytes.concat() == digest
}

fn allow() -> Say {
    Say::json(json!({"allow": true}))
}

/// Lets in by what the query says.
async fn doorkeeper() -> (Application, Running) {
    let application = Application::start(|asked| match asked.json()["query"].as_str().unwrap() {
        query if query.contains("who=ann") => Say::json(json!({
            "allow": true, "user": "ann", "info": {"name": "Ann"}, "subscribe": ["news.*"],
            "publish": ["chat"], "expires_at": 4_000_000_000_u64, "channels": ["personal"],
        })),
        query if query.contains("who=nobody") => {
            Say::json(json!({"allow": false, "status": 401, "reason": "log in first"}))
        }
        query if query.contains("who=late") => {
            Say::json(json!({"allow": false, "reason": "no seat left", "close_code": 4321}))
        }
        query if query.contains("who=framework") => Say::status(403),
        query if query.contains("who=silly") => Say::json(json!({"allow": "yes"})),
        _ => Say::json(json!({"allow": true, "subscribe": ["lobby"]})),
    })
    .await;
    let url = application.url("/connect");
    let api = "[api]\nkeys = ['an-api-key-for-the-tests']\n";
    let running = start(&format!("connect_url = '{url}'\n{api}")).await;
    (application, running)
}

#[tokio::test]
async fn the_application_says_who_connects_and_what_it_may() {
    let (application, running) = doorkeeper().await;
    let gateway = &running.gateway;

    let headers = [("cookie", "session=1"), ("x-canary", "x"), ("user-agent", "test")];
    let path = "/ws?format=json&channel=news.1&who=ann&token=opaque";
    let mut ann = gateway.try_connect(path, &headers).await.unwrap();
    let welcome = ann.next_json().await;
    assert_eq!(welcome["user"], "ann");
    assert_eq!(welcome["channels"], json!(["news.1", "personal"]));
    assert_eq!(welcome["expires_at"], 4_000_000_000_u64);
    for (channel, answer) in [("news.2", "subscribed"), ("chat", "error")] {
        ann.send_json(json!({"type": "subscribe", "id": 1, "channel": channel})).await;
        assert_eq!(ann.next_json().await["type"], answer, "{channel}");
    }
    // A token that nobody checked changes nothing.
    ann.send_json(json!({"type": "refresh", "id": 2, "token": "anything"})).await;
    assert_eq!(ann.next_json().await["code"], "token_invalid");

    let asked = &application.asked("/connect")[0];
    let body = asked.json();
    assert!(is_signed(asked, SECRET) && !is_signed(asked, "another"));
    assert_eq!(asked.headers["x-fanfare-hook"], "connect");
    assert_eq!(body["headers"], json!({"cookie": "session=1", "user-agent": "test"}));
    assert_eq!((&body["transport"], &body["token"]), (&json!("websocket"), &json!("opaque")));
    assert_eq!(body["query"], "format=json&channel=news.1&who=ann");
    assert!(body["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{body}");
    let log = gateway.log();
    assert!(
        !log.contains("opaque") && !log.contains(SECRET) && !log.contains("session=1"),
        "{log}"
    );
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_why() {
    let (_application, running) = doorkeeper().await;
    let gateway = &running.gateway;
    for (who, status, text) in [
        ("nobody", 401, "log in first"),
        ("framework", 403, "the application does not allow it"),
        ("silly", 503, "cannot be asked"),
        ("guest&channel=news.1", 403, "news.1"),
    ] {
        let refused = gateway.try_connect(&format!("/ws?who={who}"), &[]).await.err().unwrap();
        assert_eq!(refused.status, status, "{who}");
        assert!(refused.body.contains(text), "{who}: {}", refused.body);
    }
    // A page cannot read a status: it is told by a close.
    let mut late = gateway.connect("/ws?who=late").await;
    assert_eq!(late.close_code().await, (4321, "no seat left".into()));
    // Without a channel it is the lobby, unless the application names one.
    gateway.connect("/ws?who=guest").await.close().await;
    let mut plain = gateway.connect("/ws?who=ann").await;
    let key = [("x-api-key", "an-api-key-for-the-tests")];
    let path = "/publish?channel=personal";
    assert_eq!(
        gateway.request("POST", path, &key, b"hello").await.json(),
        json!({"subscribers": 1})
    );
    assert_eq!(plain.next_text().await, "hello");
    assert_eq!(gateway.get("/sse?who=nobody").await.status, 401);

    let log = gateway.log();
    assert!(
        !log.contains("opaque") && !log.contains(SECRET) && !log.contains("session=1"),
        "{log}"
    );
    let denied = "fanfare_hook_requests_total{hook=\"connect\",result=\"denied\"}";
    assert_eq!(gateway.metric(denied).await, 4.0);
    assert_eq!(gateway.metric("fanfare_upgrades_refused_total{reason=\"application\"}").await, 5.0);
}

#[tokio::test]
async fn a_token_is_checked_first_where_there_are_keys_and_the_application_narrows_it() {
    let application = Application::start(|asked| match asked.json()["user"].as_str() {
        Some("ann") => Say::json(json!({"allow": true, "publish": []})),
        _ => Say::json(json!({"allow": true, "user": "guest", "subscribe": ["lobby"]})),
    })
    .await;
    let hooks = format!("connect_url = '{}'\n[auth]\nsecret = '{SECRET}'\n", application.url("/c"));
    let running = start(&hooks).await;
    let token = |secret: &str| {
        let claims =
            json!({"sub": "ann", "exp": 4_000_000_000_u64, "subscribe": ["*"], "publish": ["*"]});
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
    };
    let path = format!("/ws?format=json&channel=news&token={}", token(SECRET));
    let mut ann = running.gateway.connect(&path).await;
    assert_eq!(ann.next_json().await["user"], "ann");
    ann.send_json(json!({"type": "publish", "id": 1, "channel": "news", "data": 1})).await;
    assert_eq!(ann.next_json().await["code"], "forbidden");
    assert!(application.asked("/c")[0].json().get("token").is_none(), "it was checked here");
    let bad = format!("/ws?token={}", token("another secret, of thirty-two bytes or more"));
    assert_eq!(running.gateway.try_connect(&bad, &[]).await.err().unwrap().status, 401);
    assert_eq!(application.asked("/c").len(), 1, "the application is not asked about a bad token");
    let mut guest = running.gateway.connect("/ws?format=json&channel=lobby").await;
    assert_eq!(guest.next_json().await["user"], "guest");
}

/// Rules that have the application asked, beside channels without any.
fn rules(application: &Application, more: &str) -> String {
    format!(
        "subscribe_url = '{}'\npublish_url = '{}'\n{more}\n[[channels.rules]]\nmatch = 'asked.*'\n\
         authorize_subscribe = true\nauthorize_publish = true\n",
        application.url("/subscribe"),
        application.url("/publish"),
    )
}

#[tokio::test]
async fn subscribing_and_publishing_wait_for_the_application_in_order() {
    let application = Application::start(|asked| {
        let body = asked.json();
        match (body["channel"].as_str().unwrap(), body["json"].as_str()) {
            ("asked.secret", _) => Say::json(json!({"allow": false, "reason": "not for you"})),
            (_, Some("\"spam\"")) => Say::json(json!({"allow": false})),
            _ => allow(),
        }
    })
    .await;
    let running = start(&rules(&application, "")).await;
    let mut session = running.gateway.connect("/ws?format=json").await;
    assert_eq!(session.next_json().await["type"], "welcome");
    // All at once: each waits for the one before.
    for command in [
        json!({"type": "subscribe", "id": 1, "channel": "asked.a"}),
        json!({"type": "publish", "id": 2, "channel": "asked.a", "data": 1}),
        json!({"type": "subscribe", "id": 3, "channel": "asked.secret"}),
        json!({"type": "publish", "id": 4, "channel": "asked.a", "data": "spam"}),
        json!({"type": "publish", "id": 5, "channel": "free", "data": 2}),
        json!({"type": "subscribe", "id": 6, "channel": "asked.a"}),
        json!({"type": "ping", "id": 7}),
    ] {
        session.send_json(command).await;
    }
    let mut replies = Vec::new();
    let mut messages = Vec::new();
    while replies.len() < 7 {
        let message = session.next_json().await;
        match message["type"].as_str().unwrap() {
            "message" => messages.push(message["data"].clone()),
            _ => replies.push(message),
        }
    }
    let codes: Vec<&str> = replies
        .iter()
        .map(|reply| reply["code"].as_str().or(reply["type"].as_str()).unwrap())
        .collect();
    let expected =
        ["subscribed", "published", "denied", "denied", "published", "already_subscribed", "pong"];
    assert_eq!(codes, expected);
    assert_eq!(replies[2]["message"], "not for you");
    assert_eq!(messages, [json!(1)]);
    let asked = application.asked("/publish");
    assert!(asked.iter().all(|asked| is_signed(asked, SECRET)));
    assert_eq!(asked[0].json()["json"], "1");
    assert!(asked[0].json()["session"].is_string());
    assert_eq!(application.asked("/subscribe").len(), 2, "not for what it is in");

    // A plain session: asked when it connects, and closed when it may not publish.
    let refused = running.gateway.try_connect("/ws?channel=asked.secret", &[]).await.err().unwrap();
    assert_eq!((refused.status, refused.body.contains("not for you")), (403, true));
    let mut plain = running.gateway.connect("/ws?channel=asked.b").await;
    plain.send(Message::binary(vec![255, 0])).await;
    assert_eq!(plain.next().await.into_data(), vec![255, 0]);
    assert_eq!(application.asked("/publish").last().unwrap().json()["base64"], "/wA=");
    application.says(|_| Say::json(json!({"allow": false, "reason": "too loud"})));
    plain.send_text("x").await;
    assert_eq!(plain.close_code().await, (1008, "too loud".into()));
    assert_eq!(running.gateway.get("/sse?channel=asked.b").await.status, 403);
}

#[tokio::test]
async fn a_session_that_ends_while_it_waits_leaves_nothing_behind() {
    let application = Application::start(|_| Say::Nothing).await;
    let running = start(&rules(&application, "timeout_ms = 30000\n")).await;
    let mut session = running.gateway.connect("/ws?format=json").await;
    session.next_json().await;
    session.send_json(json!({"type": "subscribe", "id": 1, "channel": "asked.a"})).await;
    application.until_asked("/subscribe", 1).await;
    let in_flight = "fanfare_hook_requests_in_flight{hook=\"subscribe\"}";
    assert_eq!(running.gateway.metric(in_flight).await, 1.0);
    let sessions = running.gateway.get("/metrics").await.text();
    assert!(sessions.contains("fanfare_sessions 1"));
    // The gateway ends while somebody waits.
    let began = Instant::now();
    let mut running = running;
    running.gateway.signal("TERM");
    assert_eq!(running.gateway.exit_code().await, 0);
    assert!(began.elapsed() < PATIENCE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_hangs_holds_up_nobody_else() {
    const MESSAGES: usize = 2_000;
    let application = Application::start(|_| Say::Nothing).await;
    let more = format!(
        "events_url = '{}'\nevents_queue_max = 50\nevents_retry_max_ms = 60000\ntimeout_ms = 30000\n\
         in_flight_max = 2\n",
        application.url("/events")
    );
    let running = start(&rules(&application, &more)).await;
    let gateway = &running.gateway;
    let mut subscriber = gateway.connect("/ws?channel=free").await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut session = gateway.connect("/ws?format=json").await;
        session.next_json().await;
        session.send_json(json!({"type": "subscribe", "id": 1, "channel": "asked.a"})).await;
        waiting.push(session);
    }
    application.until_asked("/subscribe", 2).await;
    // One too many is told so at once, and every other session goes on.
    let mut third = gateway.connect("/ws?format=json").await;
    third.next_json().await;
    third.send_json(json!({"type": "subscribe", "id": 1, "channel": "asked.a"})).await;
    let told = third.next_json().await;
    assert_eq!((&told["code"], &told["retry_after_ms"]), (&json!("unavailable"), &json!(1000)));
    let refused = gateway
        .request(
            "GET",
            "/ws?channel=asked.a",
            &[
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ],
            b"",
        )
        .await;
    assert_eq!((refused.status, refused.headers["retry-after"].as_str()), (503, "1"));

    let mut publisher = gateway.connect("/ws?channel=free&echo=false").await;
    let publishing = async {
        for n in 0..MESSAGES {
            publisher.send_text(&n.to_string()).await;
        }
    };
    let receiving = async {
        for n in 0..MESSAGES {
            assert_eq!(subscriber.next_text().await, n.to_string());
        }
    };
    let connecting = async {
        for n in 0..60 {
            gateway.connect(&format!("/ws?channel=c{n}")).await.close().await;
        }
    };
    tokio::join!(publishing, receiving, connecting);
    // They come and go, nobody takes note of it, and that is counted.
    let lost = "fanfare_hook_events_lost_total{reason=\"full\"}";
    gateway.until_metric(lost, |lost| lost > 0.0).await;
    assert!(gateway.metric("fanfare_hook_events_queued").await <= 50.0);
    for session in &mut waiting {
        session.assert_silent().await;
    }
}

#[tokio::test]
async fn a_dead_application_is_left_alone_and_found_again() {
    let fails = Arc::new(AtomicUsize::new(usize::MAX));
    let application = Application::start({
        let fails = fails.clone();
        move |_| match fails.load(Ordering::Relaxed) {
            0 => allow(),
            _ => Say::status(500),
        }
    })
    .await;
    let more = "failures_max = 3\npause_ms = 1500\n";
    let running = start(&rules(&application, more)).await;
    let gateway = &running.gateway;
    let mut session = gateway.connect("/ws?format=json").await;
    session.next_json().await;
    let subscribe = async |session: &mut Client, id: usize| -> Value {
        session.send_json(json!({"type": "subscribe", "id": id, "channel": "asked.a"})).await;
        session.next_json().await
    };
    for id in 0..20 {
        assert_eq!(subscribe(&mut session, id).await["code"], "unavailable");
    }
    let asked = application.asked("/subscribe").len();
    assert!(asked < 20, "{asked}");
    assert_eq!(gateway.metric("fanfare_hook_broken{hook=\"subscribe\"}").await, 1.0);
    assert_eq!(gateway.metric("fanfare_hook_broken{hook=\"publish\"}").await, 0.0);
    let broken = "fanfare_hook_requests_total{hook=\"subscribe\",result=\"broken\"}";
    assert_eq!(gateway.metric(broken).await, (20 - asked) as f64);
    fails.store(0, Ordering::Relaxed);
    within("the application to be asked again", async {
        let mut id = 20;
        while subscribe(&mut session, id).await["type"] != "subscribed" {
            id += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(gateway.metric("fanfare_hook_broken{hook=\"subscribe\"}").await, 0.0);
    gateway.log_with("the application answers again").await;
    // A plain session has no word for it but a close.
    let mut plain = gateway.connect("/ws?channel=asked.a").await;
    fails.store(1, Ordering::Relaxed);
    plain.send_text("x").await;
    assert_eq!(plain.close_code().await.0, 1013);
}

/// The events of all requests, in order; each must be signed.
fn told(application: &Application) -> Vec<Value> {
    let requests = application.asked("/events");
    let events = |asked: &Asked| {
        assert!(is_signed(asked, SECRET) && asked.headers["x-fanfare-hook"] == "events");
        asked.json()["events"].as_array().unwrap().clone()
    };
    requests.iter().flat_map(events).collect()
}

async fn until_told(application: &Application, count: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let events = told(application);
        if events.len() >= count {
            return events;
        }
        assert!(began.elapsed() < PATIENCE, "only {events:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn who_comes_and_goes_is_told_in_order_with_ids() {
    let application = Application::start(|_| Say::status(204)).await;
    let hooks = format!("events_url = '{}'\nevents_delay_max_ms = 0\n", application.url("/events"));
    let running = start(&hooks).await;
    let first = running.gateway.connect("/ws?channel=news").await;
    let second = running.gateway.connect("/ws?channel=news").await;
    until_told(&application, 3).await;
    first.close().await;
    second.close().await;
    let events = until_told(&application, 6).await;
    let mut seen = types(&events);
    assert_eq!(seen[..3], ["connected", "channel_occupied", "connected"]);
    seen.sort_unstable();
    assert_eq!(seen[..2], ["channel_occupied", "channel_vacated"], "once each: {events:?}");
    let ids: HashSet<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 6);
    let numbers: HashSet<u64> =
        events.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=6).collect());
    assert_eq!(events[1]["channel"], "news");
    assert!(events[0]["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    let gone = events.iter().find(|event| event["type"] == "disconnected").unwrap();
    assert_eq!(gone["reason"], "client_closed");
    assert_eq!(running.gateway.metric("fanfare_hook_events_sent_total").await, 6.0);
}

#[tokio::test]
async fn events_are_told_again_until_they_are_taken_in_batches() {
    let failures = Arc::new(AtomicUsize::new(3));
    let application = Application::start({
        let failures = failures.clone();
        move |_| {
            let left =
                failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
            if left.is_ok() { Say::status(500) } else { Say::status(200) }
        }
    })
    .await;
    let hooks = format!(
        "events_url = '{}'\nevents_batch_max = 4\nevents_delay_max_ms = 100\nevents = ['connected']\n",
        application.url("/events")
    );
    let running = start(&hooks).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(running.gateway.connect("/ws").await);
    }
    running.gateway.until_metric("fanfare_hook_events_sent_total", |sent| sent == 10.0).await;
    let requests = application.asked("/events");
    assert!(requests[1..4].iter().all(|again| again.body == requests[0].body), "the same again");
    let events = told(&application);
    assert!(events.iter().all(|event| event["type"] == "connected"));
    let taken: Vec<u64> = requests[3..]
        .iter()
        .flat_map(|asked| asked.json()["events"].as_array().unwrap().clone())
        .map(|event| event["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(taken, (1..=10).collect::<Vec<u64>>(), "in order and once");
    let batch = |asked: &Asked| asked.json()["events"].as_array().unwrap().len();
    assert!(requests.iter().all(|asked| batch(asked) <= 4));
    let failed = "fanfare_hook_requests_total{hook=\"events\",result=\"failed\"}";
    assert_eq!(running.gateway.metric(failed).await, 3.0);
}

#[tokio::test]
async fn what_is_not_taken_in_time_is_given_up_and_the_next_are_told() {
    let application = Application::start(|_| Say::status(500)).await;
    let hooks = format!(
        "events_url = '{}'\nevents_delay_max_ms = 0\nevents_retry_max_ms = 300\nevents = ['connected']\n",
        application.url("/events")
    );
    let running = start(&hooks).await;
    let _first = running.gateway.connect("/ws").await;
    let lost = "fanfare_hook_events_lost_total{reason=\"undelivered\"}";
    running.gateway.until_metric(lost, |lost| lost == 1.0).await;
    application.says(|_| Say::status(200));
    let _second = running.gateway.connect("/ws").await;
    running.gateway.until_metric("fanfare_hook_events_sent_total", |sent| sent == 1.0).await;
    let last = application.asked("/events").last().unwrap().json();
    assert_eq!(last["events"][0]["sequence"], 2, "the gap tells that one was lost");
}

#[tokio::test]
async fn what_is_left_is_told_when_the_gateway_ends() {
    let application = Application::start(|_| Say::status(200)).await;
    // So long that nothing is told before the end.
    let hooks =
        format!("events_url = '{}'\nevents_delay_max_ms = 60000\n", application.url("/events"));
    let mut running = start(&hooks).await;
    let mut clients = Vec::new();
    for n in 0..5 {
        clients.push(running.gateway.connect(&format!("/ws?channel=c{n}")).await);
    }
    assert!(application.asked("/events").is_empty());
    running.gateway.signal("TERM");
    for client in &mut clients {
        assert_eq!(client.close_code().await.0, 1001);
    }
    assert_eq!(running.gateway.exit_code().await, 0);
    let events = told(&application);
    assert_eq!(events.len(), 20, "{events:?}");
    let gone = events.iter().filter(|event| event["reason"] == "shutdown").count();
    assert_eq!(gone, 5, "{events:?}");
}

#[tokio::test]
async fn a_dead_application_does_not_keep_the_gateway_from_ending() {
    let application = Application::start(|_| Say::Nothing).await;
    let hooks = format!(
        "events_url = '{}'\nevents_delay_max_ms = 0\n[drain]\ntimeout_ms = 500\n",
        application.url("/events")
    );
    let mut running = start(&hooks).await;
    let _client = running.gateway.connect("/ws").await;
    application.until_asked("/events", 1).await;
    running.gateway.signal("TERM");
    assert_eq!(running.gateway.exit_code().await, 0);
}

#[tokio::test]
async fn a_secret_and_addresses_change_with_the_configuration() {
    let application = Application::start(|_| allow()).await;
    let running = start(&rules(&application, "")).await;
    let other = "another secret of the application, of 32 bytes";
    let moved = rules(&application, "").replace("/subscribe'", "/moved'");
    std::fs::write(&running.path, config(other, &moved)).unwrap();
    running.gateway.signal("HUP");
    let reloads = "fanfare_config_reloads_total{result=\"ok\"}";
    running.gateway.until_metric(reloads, |n| n == 1.0).await;
    running.gateway.connect("/ws?channel=asked.a").await.close().await;
    let asked = application.asked("/moved");
    assert!(is_signed(&asked[0], other) && !is_signed(&asked[0], SECRET));
    assert!(!running.gateway.log().contains(other), "{}", running.gateway.log());
}
