//! The HTTP side: what a Centrifugo server library sends, and what curl does.

use serde_json::json;

use crate::support::Gateway;

async fn api(gateway: &Gateway, method: &str, body: serde_json::Value) -> serde_json::Value {
    let answer = gateway.post(&format!("/api/{method}"), body.to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn publish_broadcast_and_batch_reach_their_channels() {
    let gateway = Gateway::open().await;
    let mut a = gateway.connect("/ws?channel=a").await;
    let mut b = gateway.connect("/ws?channel=b").await;
    let answer = api(&gateway, "publish", json!({"channel": "a", "data": {"n": 1}})).await;
    assert_eq!(answer, json!({"result": {}}));
    assert_eq!(a.next_text().await, r#"{"n":1}"#);

    let body = json!({"channels": ["a", "b", "bad name"], "data": "hi"});
    let answer = api(&gateway, "broadcast", body).await;
    let responses = answer["result"]["responses"].as_array().unwrap();
    assert_eq!(responses[0], json!({"result": {}}));
    assert_eq!(responses[1], json!({"result": {}}));
    assert_eq!(responses[2]["error"]["code"], 107);
    assert_eq!(a.next_text().await, "\"hi\"");
    assert_eq!(b.next_text().await, "\"hi\"");

    let body = json!({"commands": [
        {"publish": {"channel": "a", "b64data": "AQI="}},
        {"nonsense": {}},
        {"info": {}},
    ]});
    let answer = api(&gateway, "batch", body).await;
    let replies = answer["replies"].as_array().or(answer["result"]["replies"].as_array()).unwrap();
    assert_eq!(replies.len(), 3, "{answer}");
    assert_eq!(a.next().await.into_data().to_vec(), [1, 2]);
}

#[tokio::test]
async fn sessions_are_subscribed_unsubscribed_and_disconnected_by_user() {
    let secret = "0123456789abcdef0123456789abcdef";
    let gateway = Gateway::start(
        &[],
        &[("FANFARE_AUTH_SECRET", secret), ("FANFARE_API_KEYS", "a-key-of-16-bytes-at-least")],
    )
    .await;
    let call = async |method: &str, body: serde_json::Value| {
        let headers = [("x-api-key", "a-key-of-16-bytes-at-least")];
        let path = format!("/api/{method}");
        let answer = gateway.request("POST", &path, &headers, body.to_string().as_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_fanfare"))
        .args(["token", "--user", "ann", "--subscribe", "*"])
        .env_clear()
        .env("FANFARE_AUTH_SECRET", secret)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let token = String::from_utf8(made.stdout).unwrap();
    let mut client =
        gateway.connect(&format!("/ws?channel=a&format=json&token={}", token.trim())).await;
    let session = client.next_json().await["session"].as_str().unwrap().to_owned();

    assert_eq!(
        call("subscribe", json!({"user": "ann", "channel": "b"})).await,
        json!({"result": {}})
    );
    call("publish", json!({"channel": "b", "data": 1})).await;
    assert_eq!(client.next_json().await["channel"], "b");
    let channels = call("channels", json!({})).await;
    assert_eq!(channels["result"]["channels"]["b"]["num_clients"], 1, "{channels}");
    let info = call("info", json!({})).await;
    assert_eq!(info["result"]["nodes"][0]["num_clients"], 1, "{info}");
    assert_eq!(info["result"]["nodes"][0]["num_users"], 1);

    call("unsubscribe", json!({"user": "ann", "channel": "b"})).await;
    call("publish", json!({"channel": "b", "data": 2})).await;
    client.assert_silent().await;

    call("disconnect", json!({"user": "ann", "whitelist": [session]})).await;
    client.assert_silent().await;
    let body = json!({"user": "ann", "disconnect": {"code": 4000, "reason": "go away"}});
    call("disconnect", body).await;
    assert_eq!(client.close_code().await, (4000, "go away".to_owned()));
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let gateway = Gateway::open().await;
    assert_eq!(gateway.post("/api/publish", b"{").await.status, 400);
    assert_eq!(gateway.post("/api/publish", b"").await.status, 400);
    assert_eq!(gateway.post("/publish", b"x").await.status, 400);
    assert_eq!(gateway.post("/publish?channel=a%20b", b"x").await.status, 400);
    assert_eq!(gateway.get("/nothing").await.status, 404);
    let wrong_method = gateway.get("/publish?channel=a").await;
    assert_eq!(wrong_method.status, 405);
    assert_eq!(wrong_method.headers["allow"], "POST");
    for (method, body) in [
        ("publish", json!({"data": 1})),
        ("publish", json!({"channel": "a"})),
        ("publish", json!({"channel": "", "data": 1})),
        ("broadcast", json!({"channels": "a", "data": 1})),
        ("subscribe", json!({"channel": "a"})),
        ("history", json!({"channel": "a"})),
        ("presence", json!({"channel": "a"})),
    ] {
        let path = format!("/api/{method}");
        let answer = gateway.post(&path, body.to_string().as_bytes()).await.json();
        assert!(answer["error"]["code"].is_number(), "{method} {body}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().len() > 3);
    }
    let headers = [("content-type", "application/json")];
    let answer = gateway.request("POST", "/publish?channel=a", &headers, b"{no json").await;
    assert_eq!(answer.status, 400);
    let big = vec![b'x'; (1 << 20) + 1];
    assert_eq!(gateway.post("/publish?channel=a", &big).await.status, 413);
    let deep = format!("{{\"channel\":\"a\",\"data\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    let answer = gateway.post("/api/publish", deep.as_bytes()).await;
    assert!(answer.status == 400 || answer.json()["error"]["code"] == 107, "{answer:?}");
}

#[tokio::test]
async fn health_metrics_and_the_page_are_there() {
    let gateway = Gateway::open().await;
    let health = gateway.get("/health").await;
    assert_eq!((health.status, health.json()["status"].clone()), (200, json!("ok")));
    let page = gateway.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.headers["content-type"].starts_with("text/html"));
    assert!(page.headers["content-security-policy"].contains("default-src 'none'"));
    assert!(page.text().contains("Fanfare"));
    let metrics = gateway.get("/metrics").await;
    for line in metrics.text().lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("fanfare_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}
