//! The JSON session protocol over a real socket.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::Gateway;

#[tokio::test]
async fn a_session_is_welcomed_subscribes_publishes_and_leaves() {
    let gateway = Gateway::open().await;
    let mut client = gateway.connect("/ws?format=json&channel=a").await;
    let welcome = client.next_json().await;
    assert_eq!(welcome["type"], "welcome");
    assert_eq!(welcome["channels"], json!(["a"]));
    assert_eq!(welcome["session"].as_str().unwrap().len(), 16);

    client.send_json(json!({"type": "subscribe", "id": 1, "channel": "b"})).await;
    assert_eq!(client.next_json().await, json!({"type": "subscribed", "id": 1, "channel": "b"}));

    client
        .send_json(json!({"type": "publish", "id": "x", "channel": "b", "data": {"n": 1.0}}))
        .await;
    let mut got = [client.next_json().await, client.next_json().await];
    got.sort_by_key(|message| message["type"].as_str().unwrap().to_owned());
    assert_eq!(got[0], json!({"type": "message", "channel": "b", "data": {"n": 1.0}}));
    assert_eq!(got[1], json!({"type": "published", "id": "x"}));

    client.send_json(json!({"type": "unsubscribe", "id": 2, "channel": "b"})).await;
    assert_eq!(client.next_json().await, json!({"type": "unsubscribed", "id": 2, "channel": "b"}));
    gateway.post("/publish?channel=b", b"nobody").await;
    gateway.post("/publish?channel=a", b"text").await;
    let message = client.next_json().await;
    assert_eq!(message, json!({"type": "message", "channel": "a", "text": "text"}));

    client.send_json(json!({"type": "ping", "id": 3})).await;
    assert_eq!(client.next_json().await, json!({"type": "pong", "id": 3}));
}

#[tokio::test]
async fn kinds_survive_the_way_between_the_two_formats() {
    let gateway = Gateway::open().await;
    let mut raw = gateway.connect("/ws?channel=a").await;
    let mut json = gateway.connect("/ws?format=json&channel=a").await;
    json.next_json().await;

    raw.send(Message::binary(vec![0, 255])).await;
    assert_eq!(raw.next().await, Message::binary(vec![0, 255]));
    assert_eq!(json.next_json().await["base64"], "AP8=");

    json.send_json(json!({"type": "publish", "channel": "a", "base64": "AP8="})).await;
    assert_eq!(raw.next().await, Message::binary(vec![0, 255]));
    json.next_json().await;

    json.send_json(json!({"type": "publish", "channel": "a", "data": [1, {"b": null}]})).await;
    assert_eq!(raw.next_text().await, r#"[1,{"b":null}]"#);
    assert_eq!(json.next_json().await["data"], json!([1, {"b": null}]));

    raw.send_text("{\"not\": \"parsed\"}").await;
    assert_eq!(json.next_json().await["text"], "{\"not\": \"parsed\"}");
}

#[tokio::test]
async fn what_is_wrong_gets_an_error_and_the_session_goes_on() {
    let gateway = Gateway::open().await;
    let mut client = gateway.connect("/ws?format=json&channel=a").await;
    client.next_json().await;
    for (command, code) in [
        ("{", "bad_request"),
        ("[]", "bad_request"),
        (r#"{"type":"dance","id":1}"#, "unknown_type"),
        (r#"{"type":"subscribe","id":1}"#, "bad_request"),
        (r#"{"type":"subscribe","id":1,"channel":"with space"}"#, "bad_channel"),
        (r#"{"type":"subscribe","id":1,"channel":"a"}"#, "already_subscribed"),
        (r#"{"type":"unsubscribe","id":1,"channel":"b"}"#, "not_subscribed"),
        (r#"{"type":"publish","id":1,"channel":"b"}"#, "bad_request"),
        (r#"{"type":"publish","id":1,"channel":"b","txt":"x"}"#, "bad_request"),
    ] {
        client.send_text(command).await;
        let error = client.next_json().await;
        assert_eq!(error["type"], "error", "{command}");
        assert_eq!(error["code"], code, "{command}: {error}");
        assert!(error["message"].as_str().unwrap().len() > 10);
    }
    client.send(Message::binary(vec![1])).await;
    assert_eq!(client.next_json().await["code"], "bad_request");
    client.send_json(json!({"type": "ping", "id": 9})).await;
    assert_eq!(client.next_json().await["type"], "pong");
}

#[tokio::test]
async fn subscriptions_of_a_session_are_bounded() {
    let gateway = Gateway::start(&[], &[("FANFARE_HUB_SUBSCRIPTIONS_PER_SESSION_MAX", "3")]).await;
    let mut client = gateway.connect("/ws?format=json&channel=a").await;
    client.next_json().await;
    for (id, channel) in ["b", "c"].iter().enumerate() {
        client.send_json(json!({"type": "subscribe", "id": id, "channel": channel})).await;
        assert_eq!(client.next_json().await["type"], "subscribed");
    }
    client.send_json(json!({"type": "subscribe", "id": 9, "channel": "d"})).await;
    assert_eq!(client.next_json().await["code"], "too_many_subscriptions");
}

#[tokio::test]
async fn a_flood_of_commands_is_answered_whole_and_in_order() {
    let gateway = Gateway::open().await;
    let mut client = gateway.connect("/ws?format=json&channel=a").await;
    client.next_json().await;
    for id in 0..2_000 {
        client.send_json(json!({"type": "ping", "id": id})).await;
    }
    for id in 0..2_000 {
        assert_eq!(client.next_json().await["id"], id);
    }
}
