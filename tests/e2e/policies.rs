//! Channels with different policies in one session that stops reading.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, Gateway};

fn config(outbox_bytes_max: usize) -> String {
    format!(
        "[http]\nsend_buffer_bytes = 65536\n\
         [hub]\noutbox_age_max_ms = 60000\noutbox_bytes_max = {outbox_bytes_max}\n\
         [[channels.rules]]\nmatch = 'prices'\npolicy = 'conflate'\n\
         [[channels.rules]]\nmatch = 'feed'\npolicy = 'drop_oldest'\n"
    )
}

async fn session(gateway: &Gateway, channels: &str) -> Client {
    let mut client = gateway.connect(&format!("/ws?format=json&{channels}")).await;
    socket2::SockRef::from(&*client.socket()).set_recv_buffer_size(16 << 10).unwrap();
    assert_eq!(client.next_json().await["type"], "welcome");
    client
}

async fn publish(gateway: &Gateway, body: Value) {
    let answer = gateway.post("/api/publish", body.to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The next one that is no news of a subscription.
async fn next(client: &mut Client) -> Value {
    loop {
        let message = client.next_json().await;
        if message["type"] != "subscribed" {
            return message;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_channel_loses_by_its_own_policy() {
    const ROUNDS: u64 = 60;
    let gateway = Gateway::configured(&config(128 << 10)).await;
    let mut client = session(&gateway, "channel=prices&channel=feed").await;
    let padding = "x".repeat(8 << 10);
    for round in 0..ROUNDS {
        let key = format!("k{}", round % 3);
        publish(&gateway, json!({"channel": "prices", "key": key, "data": [key, round]})).await;
        publish(&gateway, json!({"channel": "feed", "data": [padding, round]})).await;
    }
    gateway.until_metric("fanfare_publication_bytes_pending", |bytes| bytes == 0.0).await;

    let mut offsets: HashMap<String, Vec<u64>> = HashMap::new();
    let mut lost: HashMap<String, u64> = HashMap::new();
    let mut values = HashMap::new();
    let sum = |offsets: &HashMap<String, Vec<u64>>, lost: &HashMap<String, u64>| {
        offsets.values().map(|of| of.len() as u64).sum::<u64>() + lost.values().sum::<u64>()
    };
    while sum(&offsets, &lost) < 2 * ROUNDS {
        let message = next(&mut client).await;
        let channel = message["channel"].as_str().unwrap().to_owned();
        if message["type"] == "gap" {
            let reason = if channel == "prices" { "conflate" } else { "drop_oldest" };
            assert_eq!(message["reason"], reason, "{message}");
            *lost.entry(channel).or_default() += message["lost"].as_u64().unwrap();
            continue;
        }
        if channel == "prices" {
            values.insert(message["data"][0].to_string(), message["data"][1].as_u64().unwrap());
        }
        offsets.entry(channel).or_default().push(message["offset"].as_u64().unwrap());
    }
    client.assert_silent().await;
    for (channel, offsets) in &offsets {
        assert!(offsets.is_sorted_by(|a, b| a < b), "{channel}: {offsets:?}");
        assert_eq!(offsets.len() as u64 + lost[channel], ROUNDS, "{channel}");
    }
    assert_eq!(offsets["feed"].last(), Some(&ROUNDS));
    // The feed did not push out a value, and every key has its newest.
    let newest = (ROUNDS - 3..ROUNDS).map(|round| (format!("\"k{}\"", round % 3), round));
    assert_eq!(values, newest.collect());
    for reason in ["conflate", "drop_oldest"] {
        let name = format!("fanfare_dropped_total{{reason=\"{reason}\"}}");
        assert!(gateway.metric(&name).await > 0.0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_outlives_its_time_in_the_outbox_is_told_as_lost() {
    let gateway = Gateway::configured(&config(4 << 20)).await;
    let mut client = session(&gateway, "channel=feed&channel=short").await;
    let padding = "x".repeat(8 << 10);
    for n in 0..100 {
        publish(&gateway, json!({"channel": "feed", "data": [padding, n]})).await;
    }
    publish(&gateway, json!({"channel": "short", "ttl_ms": 1, "data": "too late"})).await;
    publish(&gateway, json!({"channel": "short", "data": "in time"})).await;
    gateway.until_metric("fanfare_publication_bytes_pending", |bytes| bytes == 0.0).await;
    // The clock that a time to live is held against ticks four times a second.
    tokio::time::sleep(Duration::from_millis(600)).await;
    for n in 0..100 {
        assert_eq!(next(&mut client).await["data"][1], n);
    }
    let gap = next(&mut client).await;
    assert_eq!(
        (&gap["type"], &gap["channel"], &gap["lost"], &gap["reason"]),
        (&json!("gap"), &json!("short"), &json!(1), &json!("expired"))
    );
    assert_eq!(next(&mut client).await["data"], "in time");
    assert_eq!(gateway.metric("fanfare_dropped_total{reason=\"expired\"}").await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_may_stand_in_the_message_itself() {
    let rules = "[http]\nsend_buffer_bytes = 4096\n[[channels.rules]]\nmatch = 'prices'\n\
        policy = 'conflate'\nkey_pointer = '/symbol'\n";
    let gateway = Gateway::configured(rules).await;
    let mut client = session(&gateway, "channel=prices").await;
    let padding = "x".repeat(8 << 10);
    for round in 0..80_u64 {
        let symbol = ["a", "b"][round as usize % 2];
        let data = json!({"symbol": symbol, "price": round, "padding": padding});
        publish(&gateway, json!({"channel": "prices", "data": data})).await;
    }
    let (mut prices, mut count, mut lost) = (HashMap::new(), 0, 0);
    while count + lost < 80 {
        let message = next(&mut client).await;
        if message["type"] == "gap" {
            assert_eq!(message["reason"], "conflate");
            lost += message["lost"].as_u64().unwrap();
            continue;
        }
        count += 1;
        let data = &message["data"];
        prices.insert(data["symbol"].as_str().unwrap().to_owned(), data["price"].clone());
    }
    assert!(lost > 0);
    assert_eq!(prices, HashMap::from([("a".into(), json!(78)), ("b".into(), json!(79))]));
}
