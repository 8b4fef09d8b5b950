//! For curl: `POST /publish` and `GET /channel`.
//!
//! ```text
//! curl -d hello 'http://localhost:8080/publish?channel=lobby'
//! {"subscribers":3}
//! ```
//!
//! The body is the message, and its type says which kind (see [`message`]). `?user=ID` in place of
//! the channel reaches the sessions of a user. Who may: [`guard::check_key`].

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::answer::{self, Answer, Refusal};
use super::state::State;
use super::{body, guard, json, traced};
use crate::base::ids::{ChannelName, UserId};
use crate::base::message::Message;
use crate::base::query;
use crate::base::trace::Ingress;
use crate::hub::{PublishError, PublishOptions};

/// Whom a message is for.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Channel(ChannelName),
    User(UserId),
}

/// `POST /publish`.
pub(super) async fn publish(state: &Arc<State>, request: Request<Incoming>) -> Answer {
    try_publish(state, request).await.unwrap_or_else(|refusal| refusal.answer())
}

async fn try_publish(state: &State, request: Request<Incoming>) -> Result<Answer, Refusal> {
    // A refusal before the body is read ends the connection: the body may be long.
    guard::check_key(state, &request).map_err(Refusal::closing)?;
    let drawn = state.hub.draw(|| traced::parent(request.headers()));
    let target = target(&request).map_err(|text| Refusal::bad_request(text).closing())?;
    let headers = request.headers().clone();
    let bytes_max = state.limits().body_bytes_max.min(state.message_bytes_max());
    let body = body::read(request, bytes_max, state.hub.memory()).await?;
    let message = message(&headers, body)?;
    let published = match &target {
        Target::Channel(channel) => state
            .hub
            .post(
                channel,
                message,
                PublishOptions::default(),
                None,
                state.hub.begin(drawn, Ingress::Http),
            )
            .map(|published| json!({ "subscribers": published.subscribers })),
        Target::User(user) => {
            state.hub.publish_to_user(user, message).map(|sessions| json!({ "sessions": sessions }))
        }
    };
    match published {
        Ok(counted) => Ok(answer::json(StatusCode::OK, &counted)),
        Err(error) => Err(unpublished(error)),
    }
}

/// 503 says when to try again, see [`PublishError::RETRY_AFTER_MS`].
fn unpublished(error: PublishError) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

fn target<B>(request: &Request<B>) -> Result<Target, String> {
    let channel = query::single(request.uri().query(), "channel")?;
    let user = query::single(request.uri().query(), "user")?;
    match (channel, user) {
        (Some(channel), None) => {
            ChannelName::new(&channel).map(Target::Channel).map_err(|error| error.to_string())
        }
        (None, Some(user)) => {
            UserId::new(&user).map(Target::User).map_err(|error| error.to_string())
        }
        (None, None) => Err("say where to: POST /publish?channel=NAME, or ?user=ID".to_owned()),
        (Some(_), Some(_)) => Err("the query has both channel= and user=; give one".to_owned()),
    }
}

/// The message of a body:
///
/// | `Content-Type` | message |
/// |---|---|
/// | `application/json`, `…+json` | JSON; it must be valid |
/// | `application/octet-stream` | binary |
/// | anything else, or none | text if it is UTF-8, otherwise binary |
///
/// The last row holds for the type that `curl -d` sends as well, a form.
fn message(headers: &HeaderMap, body: Bytes) -> Result<Message, Refusal> {
    if body.is_empty() {
        let text = "the body is empty; it is the message: curl -d hello 'URL'";
        return Err(Refusal::bad_request(text));
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/octet-stream" => Ok(Message::binary(body)),
        essence if essence == "application/json" || essence.ends_with("+json") => {
            json::message(&body).map_err(Refusal::bad_request)
        }
        "multipart/form-data" => {
            let text = "the body is the message itself, not a form with parts: use curl -d or \
                        --data-binary in place of -F";
            Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
        }
        _ => Ok(Message::text_from_utf8(body.clone()).unwrap_or_else(|| Message::binary(body))),
    }
}

/// `GET /channel?name=NAME`: how many subscribers a channel has.
pub(super) fn channel<B>(state: &State, request: &Request<B>) -> Answer {
    let counted = guard::check_key(state, request).and_then(|()| {
        let name = query::single(request.uri().query(), "name").map_err(Refusal::bad_request)?;
        let text = "say which channel: GET /channel?name=NAME";
        let name = name.ok_or_else(|| Refusal::bad_request(text))?;
        let name = ChannelName::new(&name).map_err(|no| Refusal::bad_request(no.to_string()))?;
        let subscribers = state.hub.subscriber_count(&name);
        Ok(json!({ "channel": name.as_str(), "subscribers": subscribers }))
    });
    match counted {
        Ok(counted) => answer::json(StatusCode::OK, &counted),
        Err(refusal) => refusal.answer(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::tests::read;
    use super::super::state::tests::state;
    use super::*;
    use crate::base::message::Kind;

    fn kind(content_type: Option<&str>, body: &'static [u8]) -> Result<Kind, u16> {
        let mut headers = HeaderMap::new();
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        }
        match message(&headers, Bytes::from_static(body)) {
            Ok(message) => Ok(message.kind()),
            Err(refusal) => Err(refusal.status.as_u16()),
        }
    }

    #[test]
    fn the_type_says_which_kind_of_message() {
        for (content_type, body, expected) in [
            (Some("application/json"), &b"{\"a\": 1}"[..], Ok(Kind::Json)),
            (Some("Application/JSON; charset=utf-8"), b" 1 ", Ok(Kind::Json)),
            (Some("application/ld+json"), b"[]", Ok(Kind::Json)),
            (Some("application/json"), b"{", Err(400)),
            (Some("application/json"), b"\xff", Err(400)),
            (Some("application/octet-stream"), b"text", Ok(Kind::Binary)),
            (Some("application/x-www-form-urlencoded"), b"{\"a\":1}", Ok(Kind::Text)),
            (Some("text/plain"), b"a", Ok(Kind::Text)),
            (Some(""), b"a", Ok(Kind::Text)),
            (None, "ä".as_bytes(), Ok(Kind::Text)),
            (None, b"\xff", Ok(Kind::Binary)),
            (Some("application/jsonx"), b"{", Ok(Kind::Text)),
            (Some("multipart/form-data; boundary=x"), b"--x", Err(415)),
            (None, b"", Err(400)),
            (Some("application/octet-stream"), b"", Err(400)),
        ] {
            assert_eq!(kind(content_type, body), expected, "{content_type:?} {body:?}");
        }
    }

    #[test]
    fn a_message_is_for_a_channel_or_for_a_user() {
        let of = |query: &str| {
            let uri = format!("/publish{query}");
            target(&Request::builder().uri(uri).body(()).unwrap())
        };
        assert_eq!(of("?channel=a"), Ok(Target::Channel(ChannelName::new("a").unwrap())));
        assert_eq!(of("?user=zo%C3%AB&x=y"), Ok(Target::User(UserId::new("zoë").unwrap())));
        for (query, text) in [
            ("", "say where to"),
            ("?channel=a&user=b", "give one"),
            ("?channel=a&channel=b", "more than once"),
            ("?channel=", "empty"),
            ("?channel=a%20b", "not allowed"),
            ("?user=%00", "control character"),
        ] {
            assert!(of(query).unwrap_err().contains(text), "{query}");
        }
    }

    #[tokio::test]
    async fn subscribers_are_shown_to_whoever_has_the_key() {
        let asked = |uri: &str, key: &str| {
            let request = Request::builder().uri(uri).header("host", "a").header("x-api-key", key);
            request.body(()).unwrap()
        };
        let state = state(false);
        let shown = read(channel(&state, &asked("/channel?name=a%22b", "key-canary")));
        assert_eq!(shown, (200, "{\"channel\":\"a\\\"b\",\"subscribers\":0}\n".to_owned()));
        assert_eq!(read(channel(&state, &asked("/channel?name=a", "x"))).0, 401);
        assert_eq!(read(channel(&state, &asked("/channel", "key-canary"))).0, 400);
        assert_eq!(read(channel(&state, &asked("/channel?name=", "key-canary"))).0, 400);
    }

    #[test]
    fn an_overloaded_hub_says_when_to_try_again() {
        let answer = unpublished(PublishError::Overloaded).answer();
        assert_eq!(answer.headers()["retry-after"], "1");
        assert_eq!(read(answer).0, 503);
    }
}
