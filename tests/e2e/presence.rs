//! Who is in a channel, over real sockets.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::sse::Events;
use crate::support::{Client, Gateway};

const SECRET: &str = "a secret of at least thirty-two bytes";

const RULES: &str = "[[channels.rules]]\nmatch = 'room'\npresence = true\njoin_leave = true\n\
    [auth]\nsecret = 'a secret of at least thirty-two bytes'\n\
    [api]\nkeys = ['an-api-key-of-16-bytes-and-more']\n";

fn token(user: &str) -> String {
    let claims = json!({
        "sub": user, "exp": 4_000_000_000_u64, "subscribe": ["*"], "info": {"name": user},
    });
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

/// A session of the user, and its id.
async fn session(gateway: &Gateway, user: &str) -> (Client, String) {
    let mut client =
        gateway.connect(&format!("/ws?format=json&channel=own&token={}", token(user))).await;
    let welcome = client.next_json().await;
    (client, welcome["session"].as_str().unwrap().to_owned())
}

async fn enter(client: &mut Client, join_leave: bool) {
    let command =
        json!({"type": "subscribe", "id": 1, "channel": "room", "join_leave": join_leave});
    client.send_json(command).await;
    assert_eq!(client.next_json().await["type"], "subscribed");
}

async fn api(gateway: &Gateway, method: &str) -> Value {
    let headers = [("x-api-key", "an-api-key-of-16-bytes-and-more")];
    let body = json!({"channel": "room"}).to_string();
    gateway.request("POST", &format!("/api/{method}"), &headers, body.as_bytes()).await.json()
}

#[tokio::test]
async fn sessions_are_seen_while_they_are_in_and_events_tell_who_comes_and_goes() {
    let gateway = Gateway::configured(RULES).await;
    let (mut watcher, watching) = session(&gateway, "ann").await;
    enter(&mut watcher, true).await;

    // Two devices of one user.
    let (mut phone, on_phone) = session(&gateway, "bob").await;
    let (mut laptop, on_laptop) = session(&gateway, "bob").await;
    for (device, id) in [(&mut phone, &on_phone), (&mut laptop, &on_laptop)] {
        enter(device, false).await;
        let join = json!({"type": "join", "channel": "room", "session": id, "user": "bob",
            "info": {"name": "bob"}});
        assert_eq!(watcher.next_json().await, join);
    }
    let stats = api(&gateway, "presence_stats").await["result"].clone();
    assert_eq!(stats, json!({"num_clients": 3, "num_users": 2}));
    let presence = api(&gateway, "presence").await["result"]["presence"].clone();
    let expected = json!({"client": on_phone, "user": "bob", "conn_info": {"name": "bob"}});
    assert_eq!(presence[&on_phone], expected);

    phone.send_json(json!({"type": "presence", "id": 2, "channel": "room"})).await;
    let reply = phone.next_json().await;
    assert_eq!((&reply["sessions_count"], &reply["users_count"]), (&json!(3), &json!(2)));
    let seen: BTreeSet<&str> = reply["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|who| who["session"].as_str().unwrap())
        .collect();
    assert_eq!(seen, BTreeSet::from([&*watching, &*on_phone, &*on_laptop]));

    // One leaves, one breaks off: both are told, and messages still come in between.
    phone.send_json(json!({"type": "unsubscribe", "channel": "room"})).await;
    let left = watcher.next_json().await;
    assert_eq!((&left["type"], &left["session"]), (&json!("leave"), &json!(on_phone)));
    drop(laptop);
    let left = watcher.next_json().await;
    assert_eq!((&left["type"], &left["session"]), (&json!("leave"), &json!(on_laptop)));
    let stats = api(&gateway, "presence_stats").await["result"].clone();
    assert_eq!(stats, json!({"num_clients": 1, "num_users": 1}));

    // Whoever leaves is told no more.
    watcher.send_json(json!({"type": "unsubscribe", "id": 3, "channel": "room"})).await;
    assert_eq!(watcher.next_json().await["type"], "unsubscribed");
    enter(&mut phone, false).await;
    watcher.assert_silent().await;
}

#[tokio::test]
async fn a_stream_of_events_tells_who_comes_and_goes_too() {
    let gateway = Gateway::configured(RULES).await;
    let path = |more: &str| format!("/sse?token={}&join_leave=true{more}", token("ann"));
    let mut events = Events::open(&gateway, &path("&channel=room"), "").await;
    for kind in ["welcome", "subscribed"] {
        assert_eq!(events.next().await.json()["type"], kind);
    }
    let (mut client, id) = session(&gateway, "bob").await;
    enter(&mut client, false).await;
    drop(client);
    for kind in ["join", "leave"] {
        let event = events.next().await.json();
        assert_eq!((&event["type"], &event["session"]), (&json!(kind), &json!(id)));
    }
    assert_eq!(gateway.get(&path("&channel=own")).await.status, 400);
}

#[tokio::test]
async fn what_is_not_turned_on_or_not_ones_own_is_refused() {
    let gateway = Gateway::configured(RULES).await;
    let (mut client, _) = session(&gateway, "ann").await;
    for (command, code) in [
        (json!({"type": "presence", "id": 1, "channel": "room"}), "not_subscribed"),
        (json!({"type": "presence", "id": 1, "channel": "own"}), "not_available"),
        (
            json!({"type": "subscribe", "id": 1, "channel": "hall", "join_leave": true}),
            "not_available",
        ),
        (json!({"type": "subscribe", "channel": "\u{1}room"}), "bad_channel"),
    ] {
        client.send_json(command.clone()).await;
        let error = client.next_json().await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{command}");
    }
    let headers = [("x-api-key", "an-api-key-of-16-bytes-and-more")];
    let answer = gateway.request("POST", "/api/presence", &headers, b"{\"channel\":\"own\"}").await;
    assert_eq!(answer.json()["error"]["code"], 108);
}

#[tokio::test]
async fn under_churn_the_events_add_up_to_who_is_there() {
    let gateway = Gateway::configured(RULES).await;
    let (mut watcher, watching) = session(&gateway, "ann").await;
    enter(&mut watcher, true).await;
    let workers = (0..20).map(|worker| {
        let gateway = &gateway;
        async move {
            let mut last = None;
            for round in 0..6 {
                let (mut client, id) = session(gateway, &format!("u{}", worker % 7)).await;
                enter(&mut client, false).await;
                if round == 5 && worker % 2 == 0 {
                    last = Some((client, id));
                }
            }
            last
        }
    });
    let stayed = futures_util::future::join_all(workers).await;
    let stayed: Vec<(Client, String)> = stayed.into_iter().flatten().collect();
    let mut expected: BTreeSet<String> = stayed.iter().map(|(_, id)| id.clone()).collect();
    assert_eq!(expected.len(), 10);

    let mut there = BTreeSet::new();
    let (mut joins, mut leaves) = (0, 0);
    while (joins, leaves) != (120, 110) {
        let event = watcher.next_json().await;
        assert!(event.get("missed").is_none(), "{event}");
        let id = event["session"].as_str().unwrap().to_owned();
        match event["type"].as_str() {
            Some("join") => {
                joins += 1;
                assert!(there.insert(id), "{event} came twice");
            }
            _ => {
                leaves += 1;
                assert!(there.remove(&id), "{event} left before it came");
            }
        }
    }
    assert_eq!(there, expected);
    expected.insert(watching);
    let presence = api(&gateway, "presence").await["result"]["presence"].clone();
    let seen: BTreeSet<String> = presence.as_object().unwrap().keys().cloned().collect();
    assert_eq!(seen, expected);
}
