//! History and recovery over real sockets.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::support::{Client, Gateway};

const KEEP_100: &str = "[[channels.rules]]\nmatch = 'news*'\nhistory_publications_max = 100\n";

async fn api(gateway: &Gateway, method: &str, body: Value) -> Value {
    gateway.post(&format!("/api/{method}"), body.to_string().as_bytes()).await.json()
}

async fn publish(gateway: &Gateway, channel: &str, n: u64) -> Value {
    let body = json!({"channel": channel, "data": n});
    api(gateway, "publish", body).await["result"].clone()
}

async fn subscribe(client: &mut Client, channel: &str, recover: Option<&Value>) -> Value {
    let mut command = json!({"type": "subscribe", "id": 1, "channel": channel});
    if let Some(position) = recover {
        command["recover"] = position.clone();
    }
    client.send_json(command).await;
    let reply = client.next_json().await;
    assert_eq!(reply["type"], "subscribed", "{reply}");
    reply
}

async fn session(gateway: &Gateway) -> Client {
    let mut client = gateway.connect("/ws?format=json&channel=other").await;
    assert_eq!(client.next_json().await["type"], "welcome");
    client
}

#[tokio::test]
async fn who_comes_back_gets_what_it_missed_and_then_the_live_stream() {
    let gateway = Gateway::configured(KEEP_100).await;
    let mut client = session(&gateway).await;
    let subscribed = subscribe(&mut client, "news", None).await;
    assert_eq!(subscribed["position"]["offset"], 0);
    assert!(subscribed.get("recovered").is_none(), "{subscribed}");
    let first = publish(&gateway, "news", 1).await;
    assert_eq!((&first["offset"], &first["epoch"]), (&json!(1), &subscribed["position"]["epoch"]));
    let message = client.next_json().await;
    assert_eq!(message, json!({"type": "message", "channel": "news", "offset": 1, "data": 1}));
    client.close().await;

    // Nobody is subscribed meanwhile, and the channel stays.
    for n in 2..=4 {
        publish(&gateway, "news", n).await;
    }
    let position = json!({"epoch": first["epoch"], "offset": 1});
    let mut client = session(&gateway).await;
    let reply = subscribe(&mut client, "news", Some(&position)).await;
    assert_eq!((&reply["recovered"], &reply["position"]["offset"]), (&json!(true), &json!(4)));
    publish(&gateway, "news", 5).await;
    for n in 2..=5 {
        let message = client.next_json().await;
        assert_eq!((&message["offset"], &message["data"]), (&json!(n), &json!(n)));
    }

    // Another epoch, and a place too far back: told so, and nothing but the live stream.
    for _ in 0..100 {
        publish(&gateway, "news", 0).await;
    }
    let elsewhere = json!({"epoch": "0000000000000000", "offset": 1});
    for position in [elsewhere, position] {
        let mut client = session(&gateway).await;
        let reply = subscribe(&mut client, "news", Some(&position)).await;
        assert_eq!(
            (&reply["recovered"], &reply["position"]["offset"]),
            (&json!(false), &json!(105))
        );
        client.assert_silent().await;
    }
    let recoveries = gateway.get("/metrics").await.text();
    for line in ["{recovered=\"true\"} 1\n", "{recovered=\"false\"} 2\n"] {
        assert!(recoveries.contains(&format!("fanfare_recoveries_total{line}")), "{line}");
    }
}

#[tokio::test]
async fn a_channel_without_history_says_that_it_recovers_nothing() {
    let gateway = Gateway::configured(KEEP_100).await;
    let mut client = session(&gateway).await;
    let position = json!({"epoch": "0000000000000000", "offset": 0});
    let reply = subscribe(&mut client, "chat", Some(&position)).await;
    assert_eq!(
        reply,
        json!({"type": "subscribed", "id": 1, "channel": "chat", "recovered": false})
    );
    assert_eq!(publish(&gateway, "chat", 1).await, json!({}));
    assert_eq!(client.next_json().await, json!({"type": "message", "channel": "chat", "data": 1}));
    assert_eq!(api(&gateway, "history", json!({"channel": "chat"})).await["error"]["code"], 108);
}

#[tokio::test]
async fn publishers_are_told_the_position_and_may_say_it_twice() {
    let gateway = Gateway::configured(KEEP_100).await;
    let mut client = session(&gateway).await;
    let subscribed = subscribe(&mut client, "news", None).await;
    let command =
        json!({"type": "publish", "id": 7, "channel": "news", "data": 1, "idempotency_key": "k"});
    for _ in 0..2 {
        client.send_json(command.clone()).await;
    }
    let mut got = Vec::new();
    for _ in 0..3 {
        got.push(client.next_json().await);
    }
    client.assert_silent().await;
    let position = json!({"epoch": subscribed["position"]["epoch"], "offset": 1});
    let published = json!({"type": "published", "id": 7, "position": position});
    assert_eq!(got.iter().filter(|message| **message == published).count(), 2, "{got:?}");
    assert_eq!(got.iter().filter(|message| message["type"] == "message").count(), 1, "{got:?}");

    let body = json!({"channel": "news", "data": 2, "idempotency_key": "k"});
    assert_eq!(api(&gateway, "publish", body).await["result"]["offset"], 1);
    for (version, offset) in [(5, 2), (4, 2), (6, 3)] {
        let body = json!({"channel": "news", "data": version, "version": version});
        assert_eq!(api(&gateway, "publish", body).await["result"]["offset"], offset);
    }
    assert_eq!(client.next_json().await["data"], 5);
    assert_eq!(client.next_json().await["data"], 6);
    gateway.until_metric("fanfare_publications_repeated_total", |count| count == 3.0).await;
}

#[tokio::test]
async fn the_api_pages_through_a_history_and_removes_it() {
    let gateway = Gateway::configured(KEEP_100).await;
    for n in 1..=5 {
        publish(&gateway, "news", n).await;
    }
    let skipped = json!({"channel": "news", "data": "not kept", "skip_history": true});
    assert_eq!(api(&gateway, "publish", skipped).await["result"], json!({}));
    gateway.post("/publish?channel=news", b"a text").await;

    let position = api(&gateway, "history", json!({"channel": "news"})).await["result"].clone();
    assert_eq!((&position["publications"], &position["offset"]), (&json!([]), &json!(6)));
    let since = json!({"epoch": position["epoch"], "offset": 4});
    let body = json!({"channel": "news", "limit": -1, "since": since});
    let page = api(&gateway, "history", body).await["result"]["publications"].clone();
    assert_eq!(page, json!([{"offset": 5, "data": 5}, {"offset": 6, "text": "a text"}]));
    let body = json!({"channel": "news", "limit": 1, "since": since, "reverse": true});
    let page = api(&gateway, "history", body).await["result"]["publications"].clone();
    assert_eq!(page, json!([{"offset": 3, "data": 3}]));
    let gone = json!({"epoch": "x", "offset": 4});
    let body = json!({"channel": "news", "limit": 1, "since": gone});
    assert_eq!(api(&gateway, "history", body).await["error"]["code"], 112);

    assert!(gateway.metric("fanfare_history_bytes").await > 0.0);
    assert_eq!(
        api(&gateway, "history_remove", json!({"channel": "news"})).await["result"],
        json!({})
    );
    assert_eq!(gateway.metric("fanfare_history_bytes").await, 0.0);
    let mut client = session(&gateway).await;
    assert_eq!(subscribe(&mut client, "news", Some(&since)).await["recovered"], false);
}

#[tokio::test]
async fn a_cache_gives_the_newest_to_everybody_who_comes() {
    let rules =
        "[[channels.rules]]\nmatch = 'price.*'\nhistory_publications_max = 1\ncache = true\n";
    let gateway = Gateway::configured(rules).await;
    for n in 1..=3 {
        publish(&gateway, "price.a", n).await;
    }
    let mut plain = gateway.connect("/ws?channel=price.a").await;
    assert_eq!(plain.next_text().await, "3");
    let mut json = gateway.connect("/ws?format=json&channel=price.a&channel=price.b").await;
    assert_eq!(json.next_json().await["type"], "welcome");
    let mut subscribed = HashMap::new();
    for _ in 0..3 {
        let message = json.next_json().await;
        match message["type"].as_str() {
            Some("subscribed") => {
                let channel = message["channel"].as_str().unwrap().to_owned();
                subscribed.insert(channel, message["position"]["offset"].as_u64().unwrap());
            }
            _ => {
                assert_eq!((&message["channel"], &message["data"]), (&json!("price.a"), &json!(3)))
            }
        }
    }
    assert_eq!(subscribed, HashMap::from([("price.a".into(), 3), ("price.b".into(), 0)]));
    // Who has the newest already gets it no second time.
    let mut client = session(&gateway).await;
    let position = api(&gateway, "history", json!({"channel": "price.a"})).await["result"].clone();
    assert_eq!(subscribe(&mut client, "price.a", Some(&position)).await["recovered"], true);
    client.assert_silent().await;
}

#[tokio::test]
async fn after_a_kill_the_epoch_is_another_and_nobody_is_told_that_it_recovered() {
    let gateway = Gateway::configured(KEEP_100).await;
    let mut client = session(&gateway).await;
    let before = subscribe(&mut client, "news", None).await["position"].clone();
    let mut position = before.clone();
    for n in 1..=50 {
        position = publish(&gateway, "news", n).await;
    }
    // In the middle of a fan-out: publications are on their way to a thousand subscribers.
    let mut listeners = Vec::new();
    for _ in 0..1_000 {
        listeners.push(gateway.connect("/ws?channel=news").await);
    }
    let storm = (0..20).map(|n| {
        let request = format!(
            "POST /publish?channel=news HTTP/1.1\r\nHost: {}\r\nContent-Length: 2\r\n\r\n{n:02}",
            gateway.addr
        );
        let addr = gateway.addr;
        async move {
            let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
        }
    });
    futures_util::future::join_all(storm).await;
    gateway.signal("KILL");
    drop((gateway, listeners));
    let gateway = Gateway::configured(KEEP_100).await;
    // The same number of publications, so that only the epoch can tell.
    for n in 1..=50 {
        publish(&gateway, "news", n).await;
    }
    for position in [before, position] {
        let mut client = session(&gateway).await;
        let reply = subscribe(&mut client, "news", Some(&position)).await;
        assert_eq!(reply["recovered"], false, "{reply}");
        assert_ne!(reply["position"]["epoch"], position["epoch"]);
    }
}

#[tokio::test]
async fn what_is_too_old_is_gone_and_so_is_the_channel() {
    let rules =
        "[[channels.rules]]\nmatch = '*'\nhistory_publications_max = 9\nhistory_age_max_ms = 400\n";
    let gateway = Gateway::configured(rules).await;
    let position = publish(&gateway, "news", 1).await;
    assert_eq!(gateway.metric("fanfare_channels").await, 1.0);
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let page = api(&gateway, "history", json!({"channel": "news", "limit": -1})).await;
    assert_eq!(page["result"]["publications"], json!([]), "{position}");
    gateway.until_metric("fanfare_channels", |channels| channels == 0.0).await;
    assert_eq!(gateway.metric("fanfare_history_bytes").await, 0.0);
}
