//! What each method takes and answers. No socket is involved: sessions are opened without one.

use std::sync::Arc;

use futures_util::FutureExt as _;

use super::super::answer::tests::read;
use super::super::state::tests::{state, state_of};
use super::*;
use crate::base::ids::{ChannelName, UserId};
use crate::hub::session::Session;
use crate::hub::{Hub, SessionOptions};

/// No channel here keeps anything, so nothing is waited for.
fn answer_now(state: &State, method: &str, body: &str) -> Answer {
    answer(state, method, body.as_bytes(), None).now_or_never().expect("an answer at once")
}

/// Status and body, parsed.
fn ask(state: &State, method: &str, body: &str) -> (u16, Value) {
    let (status, body) = read(answer_now(state, method, body));
    (status, serde_json::from_str(&body).expect(&body))
}

fn result(state: &State, method: &str, body: &str) -> Value {
    let (status, value) = ask(state, method, body);
    assert_eq!(status, 200, "{value}");
    assert!(value.get("error").is_none(), "{value}");
    value["result"].clone()
}

/// Status, code and text.
fn error(state: &State, method: &str, body: &str) -> (u16, u64, String) {
    let (status, value) = ask(state, method, body);
    let error = &value["error"];
    (status, error["code"].as_u64().expect(body), error["message"].as_str().unwrap().to_owned())
}

fn open(hub: &Hub, user: Option<&str>) -> Arc<Session> {
    let user = user.map(|id| UserId::new(id).unwrap());
    hub.open(SessionOptions { user, ..Default::default() }).unwrap()
}

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

#[tokio::test]
async fn publish_takes_json_or_base64() {
    let state = state(true);
    for body in [
        r#"{"channel":"a","data":{"x":1}}"#,
        r#"{"channel":"a","data":null}"#,
        r#"{"channel":"a","b64data":"AAE="}"#,
        r#"{"channel":"a","b64data":""}"#,
        r#"{"channel":"a","data":1,"tags":{"a":"b"},"skip_history":true,"delta":true,"x":[]}"#,
        r#"{"channel":"a","data":1,"idempotency_key":"","version":0,"tags":null}"#,
        r#"{"channel":"a","data":1,"idempotency_key":"k","ttl_ms":1000,"key":"a"}"#,
    ] {
        assert_eq!(result(&state, "publish", body), json!({}), "{body}");
    }
    assert_eq!(state.hub.counters().publications.get(), 7);
}

#[tokio::test]
async fn publish_says_what_is_wrong() {
    let state = state(true);
    for (body, code, text) in [
        (r#"{"data":1}"#, 107, "channel name is empty"),
        (r#"{"channel":"a b","data":1}"#, 107, "not allowed"),
        (r#"{"channel":"a"}"#, 107, "data is missing"),
        (r#"{"channel":"a","data":1,"b64data":"AAE="}"#, 107, "not both"),
        (r#"{"channel":"a","b64data":"AAE"}"#, 107, "base64"),
        (r#"{"channel":"a","data":1,"version":7}"#, 108, "keeps a history"),
        (r#"{"channel":"a","data":1,"ttl_ms":0}"#, 107, "ttl_ms"),
        (&format!(r#"{{"channel":"a","data":1,"key":"{}"}}"#, "k".repeat(129)), 107, "128 bytes"),
    ] {
        let (status, got, message) = error(&state, "publish", body);
        assert_eq!((status, got), (200, code), "{body}: {message}");
        assert!(message.contains(text), "{body}: {message}");
    }
    assert_eq!(state.hub.counters().publications.get(), 0);
}

#[tokio::test]
async fn a_message_is_bounded_like_those_of_websockets() {
    let state = state(true);
    let of = |len: usize| json!({ "channel": "a", "data": "x".repeat(len - 2) }).to_string();
    let most = state.message_bytes_max();
    assert_eq!(result(&state, "publish", &of(most)), json!({}));
    let (_, code, text) = error(&state, "publish", &of(most + 1));
    assert!(code == 107 && text.contains("at most 65536"), "{text}");
}

#[tokio::test]
async fn a_body_that_is_not_the_json_that_is_due_is_a_400() {
    let state = state(true);
    let deep = format!("{{\"channel\":\"a\",\"data\":{}1{}}}", "[".repeat(64), "]".repeat(64));
    for (body, text) in [
        ("", "empty"),
        (" \n", "empty"),
        ("{", "ends too early"),
        ("[]", "not a JSON object"),
        ("\"canary\"", "not a JSON object"),
        ("{} {}", "line 1, column 4"),
        ("{\"channel\":7,\"data\":1}", "wrong type"),
        (&deep, "64 levels"),
    ] {
        let (status, code, message) = error(&state, "publish", body);
        assert_eq!((status, code), (400, 107), "{body}");
        assert!(message.contains(text) && !message.contains("canary"), "{body}: {message}");
    }
}

#[tokio::test]
async fn broadcast_answers_for_each_channel() {
    let state = state(true);
    let body = r#"{"channels":["a","a b","c"],"data":"x"}"#;
    let answered = result(&state, "broadcast", body);
    let responses = answered["responses"].as_array().unwrap();
    assert_eq!(responses.len(), 3);
    assert_eq!((&responses[0], &responses[2]), (&json!({"result": {}}), &json!({"result": {}})));
    assert_eq!(responses[1]["error"]["code"], 107);
    assert_eq!(error(&state, "broadcast", r#"{"data":1}"#).1, 107);
    let many = vec!["a"; 1_001];
    let body = json!({ "channels": many, "data": 1 }).to_string();
    assert_eq!(error(&state, "broadcast", &body).1, 106);
    assert_eq!(state.hub.counters().publications.get(), 2);
}

#[tokio::test]
async fn users_are_reached_in_all_their_sessions() {
    let state = state(true);
    let _sessions =
        [Some("zoë"), Some("zoë"), Some("bob"), None].map(|user| open(&state.hub, user));
    let body = r#"{"users":["zoë","bob","zoë","nobody"],"data":1}"#;
    let reached = result(&state, "publish_to_users", body);
    let expected = json!({ "sessions": 3, "users": { "zoë": 2, "bob": 1, "nobody": 0 } });
    assert_eq!(reached, expected);
    assert_eq!(error(&state, "publish_to_users", r#"{"users":["a",""],"data":1}"#).1, 107);
}

#[tokio::test]
async fn what_users_cannot_have_is_refused_and_not_passed_over() {
    let state = state(true);
    for (member, code) in [
        (r#""ttl_ms":1000"#, 108),
        (r#""ttl_ms":0"#, 107),
        (r#""idempotency_key":"k""#, 108),
        (r#""version":2.0"#, 108),
    ] {
        let body = format!(r#"{{"users":["a"],"data":1,{member}}}"#);
        assert_eq!(error(&state, "publish_to_users", &body).1, code, "{member}");
    }
    let body = r#"{"users":["a"],"data":1,"ttl_ms":null,"version":0,"skip_history":true}"#;
    assert_eq!(result(&state, "publish_to_users", body)["sessions"], 0);
}

#[tokio::test]
async fn a_list_is_no_object() {
    let state = state(true);
    for (method, body) in [
        ("disconnect", r#"{"user":"a","disconnect":[3000,"bye"]}"#),
        ("history", r#"{"channel":"a","since":[0,"00112233aabbccdd"]}"#),
    ] {
        let (status, code, message) = error(&state, method, body);
        assert_eq!((status, code), (400, 107), "{method}: {message}");
    }
    let replies = result(&state, "batch", r#"{"commands":[{"publish":["a",null,null,1]}]}"#);
    assert_eq!(replies["replies"][0]["error"]["code"], 107);
    assert_eq!(state.hub.counters().publications.get(), 0);
}

#[tokio::test]
async fn an_overloaded_hub_is_a_503_unless_it_took_something() {
    let hub = Hub::builder().lanes(1).publications_pending_max(2).build();
    let session = open(&hub, None);
    for name in ["a", "b"] {
        hub.subscribe(session.id, &channel(name)).unwrap();
    }
    let state = state_of(hub, true);
    // This test's runtime has one thread, so no lane runs before the next await.
    let body = r#"{"channel":"a","data":1}"#;
    assert_eq!((ask(&state, "publish", body).0, ask(&state, "publish", body).0), (200, 200));
    let refused = answer_now(&state, "publish", body);
    assert_eq!(refused.headers()["retry-after"], "1");
    let (status, refused) = read(refused);
    assert_eq!(status, 503);
    assert!(refused.starts_with("{\"error\":{\"code\":111,"), "{refused}");
    let (status, mixed) = ask(&state, "broadcast", r#"{"channels":["a","b"],"data":1}"#);
    assert_eq!((status, &mixed["result"]["responses"][0]["error"]["code"]), (200, &json!(111)));
    let (status, none) = ask(&state, "broadcast", r#"{"channels":["a","a"],"data":1}"#);
    assert_eq!((status, &none["result"]["responses"][1]["error"]["code"]), (503, &json!(111)));
}

#[tokio::test]
async fn a_draining_hub_is_a_503() {
    let state = state(true);
    state.hub.drain(Default::default()).await;
    let (status, code, _) = error(&state, "publish", r#"{"channel":"a","data":1}"#);
    assert_eq!((status, code), (503, 100));
}

#[tokio::test]
async fn sessions_are_subscribed_by_user_or_by_id() {
    let state = state(true);
    let hub = &state.hub;
    let [zoe, bob, nobody] = [Some("zoe"), Some("bob"), None].map(|user| open(hub, user));
    let subscribed = |session: &Arc<Session>| hub.session(session.id).unwrap().channels.len();
    for _ in 0..2 {
        assert_eq!(result(&state, "subscribe", r#"{"user":"zoe","channel":"a"}"#), json!({}));
        let body = format!(r#"{{"client":"{}","channel":"a"}}"#, nobody.id);
        assert_eq!(result(&state, "subscribe", &body), json!({}));
    }
    result(&state, "subscribe", r#"{"user":"gone","channel":"a"}"#);
    let foreign = format!(r#"{{"user":"zoe","client":"{}","channel":"a"}}"#, bob.id);
    assert_eq!(error(&state, "subscribe", &foreign).1, 107);
    assert_eq!([&zoe, &bob, &nobody].map(subscribed), [1, 0, 1]);
    for body in [r#"{"channel":"a"}"#, r#"{"user":"zoe"}"#, r#"{"client":"x","channel":"a"}"#] {
        assert_eq!(error(&state, "subscribe", body).1, 107, "{body}");
    }
    for member in ["info", "data", "recover_since", "override", "session"] {
        let body = format!(r#"{{"user":"zoe","channel":"a","{member}":"x"}}"#);
        assert_eq!(error(&state, "subscribe", &body).1, 108, "{member}");
    }
    result(&state, "unsubscribe", &foreign);
    result(&state, "unsubscribe", r#"{"user":"zoe","channel":"a"}"#);
    assert_eq!([&zoe, &bob, &nobody].map(subscribed), [0, 0, 1]);
}

#[tokio::test]
async fn disconnect_checks_what_it_is_to_say() {
    let state = state(true);
    let session = open(&state.hub, Some("zoe"));
    let spared = format!(r#"{{"user":"zoe","whitelist":["{}"]}}"#, session.id);
    for body in [
        r#"{"user":"zoe"}"#,
        &spared,
        r#"{"user":"zoe","disconnect":{"code":4000,"reason":"because"}}"#,
        r#"{"user":"zoe","disconnect":{"code":0,"reason":""}}"#,
        r#"{"client":"0123456789abcdef"}"#,
    ] {
        assert_eq!(result(&state, "disconnect", body), json!({}), "{body}");
    }
    let long = format!(r#"{{"user":"zoe","disconnect":{{"reason":"{}"}}}}"#, "x".repeat(124));
    for body in [
        r#"{"user":"zoe","disconnect":{"code":1005}}"#,
        r#"{"user":"zoe","disconnect":{"code":5000}}"#,
        r#"{"user":"zoe","whitelist":["x"]}"#,
        &long,
        "{}",
    ] {
        assert_eq!(error(&state, "disconnect", body).1, 107, "{body}");
    }
}

#[tokio::test]
async fn channels_and_info_count() {
    let state = state(true);
    let session = open(&state.hub, Some("zoe"));
    for name in ["chat:1", "chat:2", "news"] {
        state.hub.subscribe(session.id, &channel(name)).unwrap();
    }
    let all = result(&state, "channels", "{}");
    assert_eq!(all["channels"].as_object().unwrap().len(), 3);
    let some = result(&state, "channels", r#"{"pattern":"chat:*"}"#);
    let expected = json!({ "chat:1": { "num_clients": 1 }, "chat:2": { "num_clients": 1 } });
    assert_eq!(some, json!({ "channels": expected }));
    let nodes = result(&state, "info", "{}");
    let node = &nodes["nodes"][0];
    assert_eq!((&node["num_clients"], &node["num_users"]), (&json!(1), &json!(1)));
    assert_eq!((&node["num_channels"], node["uid"].as_str().unwrap().len()), (&json!(3), 32));
}

#[tokio::test]
async fn a_batch_answers_each_command() {
    let state = state(true);
    let body = r#"{"parallel":true,"commands":[
        {"publish":{"channel":"a","data":1}}, {"publish":{"channel":7}}, {"info":{}}, {"nope":{}},
        {"batch":{"commands":[]}}, {"channels":{}}, {}, {"publish":{},"info":{}}, {"presence_stats":{"channel":"a"}}]}"#;
    let answered = result(&state, "batch", body);
    let replies = answered["replies"].as_array().unwrap();
    assert_eq!(replies[0], json!({ "publish": {} }));
    assert!(replies[2]["info"]["nodes"].is_array());
    let codes = [1, 3, 4, 5, 6, 7, 8].map(|at| replies[at]["error"]["code"].as_u64().unwrap());
    assert_eq!(codes, [107, 104, 107, 107, 107, 107, 108]);
    assert_eq!(error(&state, "batch", "{}").1, 107);
}

#[tokio::test]
async fn a_batch_is_bounded_over_all_of_its_commands() {
    let state = state(true);
    let commands = |count| json!({ "commands": vec![json!({ "info": {} }); count] }).to_string();
    assert_eq!(ask(&state, "batch", &commands(1_000)).0, 200);
    assert_eq!(error(&state, "batch", &commands(1_001)).1, 106);
    let broadcast = json!({ "broadcast": { "channels": vec!["a"; 600], "data": 1 } });
    let twice = json!({ "commands": [broadcast, broadcast] }).to_string();
    let answered = result(&state, "batch", &twice);
    assert!(answered["replies"][0]["broadcast"].is_object());
    assert_eq!(answered["replies"][1]["error"]["code"], 106);
}

#[tokio::test]
async fn methods_are_served_or_honestly_not() {
    let state = state(true);
    for method in NOT_AVAILABLE {
        assert_eq!(error(&state, method, "{}").1, 108, "{method}");
        assert!(is_method(method));
    }
    assert_eq!(error(&state, "nope", "{}"), (404, 104, no_method().text.into_owned()));
}
