use base64::Engine as _;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::base::ids::{SessionId, UserId};
use crate::base::message::Kind;
use crate::base::position::{Recover, StreamPosition};

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

fn value(text: &Bytes) -> Value {
    assert!(!text.contains(&b'\n'), "a line break in {text:?}");
    serde_json::from_slice(text).unwrap()
}

#[track_caller]
fn refused(text: &str, code: ErrorCode, parts: &[&str]) -> CommandError {
    let error = parse(text).unwrap_err();
    assert_eq!(error.code, code, "{text}: {error}");
    for part in parts {
        assert!(error.message.contains(part), "{part:?} is not in {error}");
    }
    assert_eq!(value(&encode_error(&error))["code"], code.name());
    error
}

#[test]
fn every_command_is_read() {
    let id = Some(Id::from(1));
    let news = channel("news");
    let publish_with =
        |message, extras| Command::Publish { channel: channel("news"), message, extras };
    let publish = |message| publish_with(message, Extras::default());
    let subscribe =
        |recover| Command::Subscribe { channel: channel("news"), recover, join_leave: false };
    let epoch = "00112233aabbccdd".parse().unwrap();
    for (text, command) in [
        (r#""type":"subscribe","channel":"news""#, subscribe(None)),
        (
            r#""type":"subscribe","channel":"news","recover":{"epoch":"00112233aabbccdd","offset":7}"#,
            subscribe(Some(Recover { epoch: Some(epoch), offset: 7 })),
        ),
        (
            r#""type":"subscribe","channel":"news","recover":{"epoch":"elsewhere","offset":0}"#,
            subscribe(Some(Recover { epoch: None, offset: 0 })),
        ),
        (
            r#""type":"subscribe","channel":"news","join_leave":true"#,
            Command::Subscribe { channel: channel("news"), recover: None, join_leave: true },
        ),
        (r#""type":"presence","channel":"news""#, Command::Presence { channel: news.clone() }),
        (
            r#""type":"publish","channel":"news","text":"a","key":"k","ttl_ms":5,"idempotency_key":"i""#,
            publish_with(
                Message::text("a"),
                Extras {
                    key: Some("k".into()),
                    ttl_ms: Some(5),
                    idempotency_key: Some("i".into()),
                },
            ),
        ),
        (r#""type":"unsubscribe","channel":"news""#, Command::Unsubscribe { channel: news }),
        (
            r#""type":"publish","channel":"news","data":{"a": 1.0}"#,
            publish(Message::json_from_text(r#"{"a": 1.0}"#).unwrap()),
        ),
        (
            r#""type":"publish","channel":"news","data":null"#,
            publish(Message::json_from_text("null").unwrap()),
        ),
        (r#""type":"publish","channel":"news","text":"a\n""#, publish(Message::text("a\n"))),
        (
            r#""type":"publish","channel":"news","base64":"/+8=""#,
            publish(Message::binary(&b"\xff\xef"[..])),
        ),
        (
            r#""type":"publish","channel":"news","base64":"/+8""#,
            publish(Message::binary(&b"\xff\xef"[..])),
        ),
        (r#""type":"refresh","token":"t""#, Command::Refresh { token: Token("t".into()) }),
        (r#""type":"ping""#, Command::Ping),
    ] {
        let with_id = parse(&format!("{{\"id\":1,{text}}}"));
        assert_eq!(with_id, Ok(Request { id: id.clone(), command: command.clone() }), "{text}");
        assert_eq!(parse(&format!(" {{ {text} }}\r\n")), Ok(Request { id: None, command }));
    }
}

#[test]
fn names_may_be_escaped() {
    assert_eq!(parse("{\"\\u0074ype\":\"p\\u0069ng\"}").unwrap().command, Command::Ping);
}

#[test]
fn an_id_is_repeated_as_it_was_written() {
    let long = format!("\"{}\"", "x".repeat(64));
    for id in ["0", "7", "9007199254740991", "\"\"", "\"a\\u0041\\n\"", &long] {
        let request = parse(&format!(r#"{{"type":"ping","id": {id} }}"#)).unwrap();
        let reply = encode_reply(request.id.as_ref(), Reply::Pong);
        assert_eq!(reply, format!(r#"{{"type":"pong","id":{id}}}"#));
    }
    let longer = format!("\"{}\"", "x".repeat(65));
    let bad = ["-1", "-0", "1.0", "1e2", "9007199254740992", "99999999999999999999999", "null"];
    for id in bad.into_iter().chain(["true", "[1]", "{}", "\"\\ud800\"", &longer]) {
        let text = format!(r#"{{"type":"ping","id":{id}}}"#);
        assert_eq!(refused(&text, ErrorCode::BadRequest, &["\"id\""]).id, None, "{id}");
    }
}

#[test]
fn an_error_says_what_where_and_what_to_do() {
    use ErrorCode::{BadChannel, BadRequest, UnknownType};
    for (text, code, parts) in [
        (r#"{}"#, BadRequest, &["\"type\" is missing", "subscribe"][..]),
        (r#"{"type":7}"#, BadRequest, &["\"type\" must be a string"]),
        (
            r#"{"type":"subscrib"}"#,
            UnknownType,
            &["\"subscrib\"", "subscribe, unsubscribe, publish, presence, refresh, ping"],
        ),
        (r#"{"type":"subscribe"}"#, BadRequest, &["\"subscribe\" needs \"channel\""]),
        (r#"{"type":"subscribe","channel":["a"]}"#, BadRequest, &["\"channel\" must be a string"]),
        (r#"{"type":"subscribe","channel":"a b"}"#, BadChannel, &["\"channel\"", "byte 1"]),
        (r#"{"type":"subscribe","channel":""}"#, BadChannel, &["empty"]),
        (
            r#"{"type":"subscribe","chanel":"a"}"#,
            BadRequest,
            &["no field \"chanel\"", "did you mean \"channel\"?"],
        ),
        (
            r#"{"type":"subscribe","channel":"a","colour":1}"#,
            BadRequest,
            &["no field \"colour\"", "type, id, channel"],
        ),
        (
            r#"{"type":"subscribe","channel":"a","data":1}"#,
            BadRequest,
            &["\"subscribe\" has no field \"data\""],
        ),
        (r#"{"type":"ping","type":"ping"}"#, BadRequest, &["\"type\" is given twice"]),
        (r#"{"type":"publish","channel":"a"}"#, BadRequest, &["exactly one"]),
        (r#"{"type":"publish","channel":"a","data":1,"text":"a"}"#, BadRequest, &["exactly one"]),
        (r#"{"type":"publish","channel":"a","text":1}"#, BadRequest, &["\"text\" must be"]),
        (r#"{"type":"publish","channel":"a","text":"\ud800"}"#, BadRequest, &["\"text\" has"]),
        (r#"{"type":"publish","channel":"a","base64":"ab_-"}"#, BadRequest, &["at byte 2"]),
        (r#"{"type":"publish","channel":"a","base64":"a"}"#, BadRequest, &["\"base64\""]),
        (r#"{"type":"refresh"}"#, BadRequest, &["\"refresh\" needs \"token\""]),
        (r#"{"type":"ping"} {}"#, BadRequest, &["line 1, column 17"]),
        (r#"[{"type":"ping"}]"#, BadRequest, &["one JSON object"]),
        ("", BadRequest, &["one JSON object"]),
        ("\"secret\"", BadRequest, &["one JSON object"]),
    ] {
        refused(text, code, parts);
    }
}

#[test]
fn an_error_carries_the_id_if_it_could_be_read() {
    for text in [
        r#"{"id":4,"type":"nothing"}"#,
        r#"{"type":"subscribe","id":4,"channel":""}"#,
        r#"{"type":"ping","type":"ping","id":4}"#,
        r#"{"wrong":1,"type":"ping","id":4}"#,
        r#"{"id":4,"type":"#,
        r#"{"id":4,"type":"ping"}x"#,
    ] {
        assert_eq!(parse(text).unwrap_err().id, Some(Id::from(4)), "{text}");
    }
    for text in
        [r#"{"id":4,"id":5,"type":"ping"}"#, r#"{"type":"ping","type":"ping","id":4,"id":5}"#]
    {
        let error = refused(text, ErrorCode::BadRequest, &["\"id\" is given twice"]);
        assert_eq!(error.id, None);
    }
}

#[test]
fn a_long_unknown_name_is_cut_and_a_token_is_never_repeated() {
    let name = "ä".repeat(5_000);
    let error = parse(&format!(r#"{{"type":"ping","{name}":1}}"#)).unwrap_err();
    assert!(error.message.len() < 200, "{error}");
    let error = parse(&format!(r#"{{"type":"{name}"}}"#)).unwrap_err();
    assert!(error.message.len() < 200, "{error}");
    for text in [
        r#"{"type":"refresh","token":"canary","x":1}"#,
        r#"{"type":"refresh","token":["canary"]}"#,
        r#"{"type":"refresh","token":"canary"#,
        r#""canary""#,
    ] {
        assert!(!format!("{:?}", parse(text).unwrap_err()).contains("canary"), "{text}");
    }
    let good = parse(r#"{"type":"refresh","token":"canary"}"#).unwrap();
    assert!(!format!("{good:?}").contains("canary"));
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"type":"publish","channel":"a","data":{open}"[{{\"["{close}}}"#)
    };
    assert!(parse(&nested(DEPTH_MAX)).is_ok());
    refused(&nested(DEPTH_MAX + 1), ErrorCode::BadRequest, &["nests deeper than 63"]);
    refused(&nested(30_000), ErrorCode::BadRequest, &["nests deeper than 63"]);
    let unclosed = format!(r#"{{"x":{}"#, "[".repeat(60_000));
    refused(&unclosed, ErrorCode::BadRequest, &["goes wrong"]);
}

#[test]
fn data_keeps_its_spelling_on_one_line() {
    let text =
        "{\"type\":\"publish\",\"channel\":\"a\",\"data\":{\"n\": 1.50,\n\"b\":\"\\u00e9\"}}";
    let Command::Publish { channel, message, .. } = parse(text).unwrap().command else { panic!() };
    assert_eq!(
        encode_message(Target::Channel(&channel), &message, None),
        r#"{"type":"message","channel":"a","data":{"n": 1.50, "b":"\u00e9"}}"#
    );
}

#[test]
fn a_gap_says_what_is_missing() {
    assert_eq!(
        encode_gap(&channel("news"), 3, 17, 19, "drop_oldest"),
        r#"{"type":"gap","channel":"news","lost":3,"from":17,"to":19,"reason":"drop_oldest"}"#
    );
    assert_eq!(value(&encode_gap(&channel("a\"b"), 1, 2, 2, "latest"))["channel"], "a\"b");
}

#[test]
fn replies_and_welcome() {
    let id = Id::from(3);
    let news = channel("a\"b");
    let position = StreamPosition { epoch: "00112233aabbccdd".parse().unwrap(), offset: 7 };
    let subscribed =
        |position, recovered| Reply::Subscribed { channel: &news, position, recovered };
    for (reply, wanted) in [
        (subscribed(None, None), json!({"type": "subscribed", "id": 3, "channel": "a\"b"})),
        (
            subscribed(Some(position), Some(true)),
            json!({"type": "subscribed", "id": 3, "channel": "a\"b", "recovered": true,
                "position": {"epoch": "00112233aabbccdd", "offset": 7}}),
        ),
        (Reply::Unsubscribed(&news), json!({"type": "unsubscribed", "id": 3, "channel": "a\"b"})),
        (Reply::Published(None), json!({"type": "published", "id": 3})),
        (
            Reply::Published(Some(position)),
            json!({"type": "published", "id": 3,
                "position": {"epoch": "00112233aabbccdd", "offset": 7}}),
        ),
        (Reply::Refreshed { expires_unix_s: None }, json!({"type": "refreshed", "id": 3})),
        (
            Reply::Refreshed { expires_unix_s: Some(9) },
            json!({"type": "refreshed", "id": 3, "expires_at": 9}),
        ),
        (Reply::Pong, json!({"type": "pong", "id": 3})),
    ] {
        assert_eq!(value(&encode_reply(Some(&id), reply)), wanted);
    }
    let user = UserId::new("zoë").unwrap();
    let mut welcome = Welcome {
        session: SessionId::from(255),
        user: Some(&user),
        channels: &[channel("a"), channel("b")],
        expires_unix_s: Some(5),
    };
    assert_eq!(
        value(&welcome.encode()),
        json!({"type": "welcome", "session": "00000000000000ff", "user": "zoë",
               "channels": ["a", "b"], "expires_at": 5})
    );
    (welcome.user, welcome.channels, welcome.expires_unix_s) = (None, &[], None);
    assert_eq!(
        welcome.encode(),
        r#"{"type":"welcome","session":"00000000000000ff","channels":[]}"#
    );
}

#[test]
fn the_table_of_errors_is_complete() {
    for (at, code) in ErrorCode::ALL.into_iter().enumerate() {
        assert_eq!(code as usize, at);
        let error = CommandError::new(None, code).retry_after_ms(250);
        assert_eq!(
            value(&encode_error(&error)),
            json!({"type": "error", "code": code.name(), "message": code.text(),
                   "retry_after_ms": 250})
        );
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Pieces of commands in any order: far more of these get past the first check than of noise.
fn nearly_a_command() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\\ud800",
        "\"type\"",
        "\"id\"",
        "\"channel\"",
        "\"data\"",
        "\"text\"",
        "\"base64\"",
        "\"token\"",
        "\"ping\"",
        "\"publish\"",
        "1",
        "null",
        "\"type\":\"ping\"",
        "\"id\":1,",
        "\"channel\":\"a\",",
        "\"x\":",
        "é",
        " ",
        "\n",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..24)
        .prop_map(|pieces| format!("{{{}", pieces.concat()))
}

proptest! {
    #[test]
    fn parse_never_panics(text in prop_oneof![any::<String>(), nearly_a_command()]) {
        if let Err(error) = parse(&text) {
            value(&encode_error(&error));
        }
    }

    #[test]
    fn published_values_arrive(data in any_json(), name in "[!-~]{1,200}", id in 0..=ID_NUMBER_MAX) {
        let text = json!({"type": "publish", "id": id, "channel": name, "data": data}).to_string();
        let request = parse(&text).unwrap();
        prop_assert_eq!(request.id.unwrap().to_string(), id.to_string());
        let Command::Publish { channel, message, .. } = request.command else { panic!() };
        prop_assert_eq!(message.kind(), Kind::Json);
        let sent = value(&encode_message(Target::Channel(&channel), &message, None));
        // The value is read twice as well: a float may read back one bit off, its spelling may not.
        prop_assert_eq!(message.as_text(), Some(&*data.to_string()));
        prop_assert_eq!(sent["data"].clone(), serde_json::from_str::<Value>(&data.to_string()).unwrap());
        prop_assert_eq!(sent["channel"].as_str(), Some(&*name));
    }

    #[test]
    fn text_and_bytes_arrive(text in any::<String>(), bytes in any::<Vec<u8>>(), user in "[^\\pC]{1,30}") {
        let user = UserId::new(&user).unwrap();
        let sent = value(&encode_message(Target::User(&user), &Message::text(text.clone()), None));
        prop_assert_eq!(sent, json!({"type": "message", "user": user.as_str(), "text": text}));
        let sent = value(&encode_message(Target::User(&user), &Message::binary(bytes.clone()), None));
        let encoded = sent["base64"].as_str().unwrap();
        let standard = base64::engine::general_purpose::STANDARD;
        prop_assert_eq!(standard.decode(encoded).unwrap(), bytes);
    }

    #[test]
    fn depth_is_that_of_the_value(data in any_json()) {
        fn deep(value: &Value) -> usize {
            match value {
                Value::Array(items) => 1 + items.iter().map(deep).max().unwrap_or(0),
                Value::Object(map) => 1 + map.values().map(deep).max().unwrap_or(0),
                _ => 0,
            }
        }
        prop_assert_eq!(parse::depth(&data.to_string()), deep(&data));
    }
}
