//! Any text as a command: the parser never panics, what it takes is what a parser into a tree takes
//! too, what it publishes can be encoded for every kind of subscriber and read back, and what it
//! answers is one line of JSON.

use fanfare::base::ids::{ChannelName, UserId};
use fanfare::base::message::{Kind, Message};
use fanfare::protocol::json::{
    Command, DEPTH_MAX, ID_BYTES_MAX, Reply, Request, Target, encode_error, encode_message,
    encode_reply, parse,
};
use serde_json::Value;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse(text) {
        Ok(request) => accepted(text, request),
        Err(error) => {
            let answer = line(&encode_error(&error));
            assert_eq!(answer["type"], "error");
            assert_eq!(answer["code"], error.code.name());
            assert!(error.message.len() < 400, "an error is short: {error}");
            if let Some(id) = &error.id {
                let id: Value = serde_json::from_str(&id.to_string()).unwrap();
                assert_eq!(answer["id"], id);
            }
        }
    }
}

fn accepted(text: &str, request: Request) {
    // The tree refuses numbers beyond f64, which a raw value may hold. And it refuses depths from
    // 128 on, which nothing that is taken here has.
    let Ok(tree) = serde_json::from_str::<Value>(text) else {
        assert!(text.contains(['e', 'E']) || text.len() > 300, "taken, and it is not JSON: {text}");
        return;
    };
    let fields = tree.as_object().expect("a command is an object");
    let field = |name: &str| fields.get(name).and_then(Value::as_str);
    if let Some(id) = &request.id {
        let reply = line(&encode_reply(Some(id), Reply::Pong));
        assert_eq!(Some(&reply["id"]), fields.get("id"));
        let is_id = match &reply["id"] {
            Value::Number(number) => number.as_u64().is_some_and(|number| number < 1 << 53),
            Value::String(text) => text.len() <= ID_BYTES_MAX,
            _ => false,
        };
        assert!(is_id, "{reply}");
    } else {
        assert!(!fields.contains_key("id"));
    }
    let known: &[&str] = match &request.command {
        Command::Subscribe { channel, recover, join_leave } => {
            assert_eq!(field("channel"), Some(channel.as_str()));
            let wants = fields.get("join_leave").and_then(Value::as_bool).unwrap_or(false);
            assert_eq!(*join_leave, wants);
            let offset = fields.get("recover").map(|position| position["offset"].as_u64().unwrap());
            assert_eq!(recover.map(|recover| recover.offset), offset);
            &["type", "id", "channel", "recover", "join_leave"]
        }
        Command::Unsubscribe { channel } | Command::Presence { channel } => {
            assert_eq!(field("channel"), Some(channel.as_str()));
            &["type", "id", "channel"]
        }
        Command::Publish { channel, message, extras } => {
            assert_eq!(field("channel"), Some(channel.as_str()));
            published(fields, channel, message);
            assert_eq!(extras.key.as_deref(), field("key"));
            assert_eq!(extras.idempotency_key.as_deref(), field("idempotency_key"));
            assert_eq!(extras.ttl_ms, fields.get("ttl_ms").and_then(Value::as_u64));
            &["type", "id", "channel", "data", "text", "base64", "key", "ttl_ms", "idempotency_key"]
        }
        Command::Refresh { token } => {
            assert_eq!(field("token"), Some(token.as_str()));
            let debugged = format!("{request:?}");
            assert!(token.as_str().len() < 8 || !debugged.contains(token.as_str()));
            &["type", "id", "token"]
        }
        Command::Ping => &["type", "id"],
    };
    assert!(fields.keys().all(|name| known.contains(&name.as_str())), "{text}");
    let name = match &request.command {
        Command::Subscribe { .. } => "subscribe",
        Command::Unsubscribe { .. } => "unsubscribe",
        Command::Publish { .. } => "publish",
        Command::Presence { .. } => "presence",
        Command::Refresh { .. } => "refresh",
        Command::Ping => "ping",
    };
    assert_eq!(field("type"), Some(name));
}

fn published(fields: &serde_json::Map<String, Value>, channel: &ChannelName, message: &Message) {
    let user = UserId::new("zoe").unwrap();
    for target in [Target::Channel(channel), Target::User(&user)] {
        let envelope = line(&encode_message(target, message, None));
        let name = match message.kind() {
            Kind::Json => "data",
            Kind::Text => "text",
            Kind::Binary => "base64",
        };
        if name == "base64" {
            // Spelt with padding, whatever the publisher did.
            let spelt = |text: &Value| text.as_str().unwrap().trim_end_matches('=').to_owned();
            assert_eq!(spelt(&envelope[name]), spelt(&fields[name]));
        } else {
            assert_eq!(envelope[name], fields[name]);
        }
    }
    if message.kind() == Kind::Json {
        assert!(depth(&fields["data"]) <= DEPTH_MAX);
    }
}

/// Text of one line that is JSON.
fn line(bytes: &[u8]) -> Value {
    let text = std::str::from_utf8(bytes).expect("we write UTF-8");
    assert!(!text.contains(['\n', '\r']), "more than one line: {text:?}");
    serde_json::from_str(text).unwrap_or_else(|error| panic!("we wrote bad JSON ({error}): {text}"))
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
