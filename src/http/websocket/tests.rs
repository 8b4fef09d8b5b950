use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

use super::super::state::tests::state;
use super::*;
use crate::base::access::{Authoriser, Grant, Refusal as TokenRefusal, Rules};

fn request(uri: &str, headers: &[(&'static str, &'static str)]) -> Request<()> {
    let mut request = Request::builder().uri(uri).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// Nobody has said anything yet.
fn checked(state: &State, request: &Request<()>) -> Result<Accept, Halt> {
    check(state, &state.options(), &request.into(), Peer::Local, &mut Said::default())
}

fn asked(query: &str) -> Result<Wanted, String> {
    wanted(query.strip_prefix('?'), 3)
}

fn names(wanted: &Wanted) -> Vec<&str> {
    wanted.channels.iter().map(ChannelName::as_str).collect()
}

#[test]
fn without_a_channel_it_is_the_lobby_or_for_commands_none() {
    for query in ["", "?", "?x=y&token=t", "?format=raw"] {
        let wanted = asked(query).unwrap();
        assert_eq!(
            (names(&wanted), wanted.format, wanted.echo),
            (vec!["lobby"], WireFormat::Raw, true)
        );
    }
}

#[test]
fn several_channels_and_json_are_json() {
    for (query, channels, format) in [
        ("?format=json", vec![], WireFormat::Json),
        ("?channel=a", vec!["a"], WireFormat::Raw),
        ("?channel=a&format=raw", vec!["a"], WireFormat::Raw),
        ("?channel=a&format=json", vec!["a"], WireFormat::Json),
        ("?channel=a&channel=b", vec!["a", "b"], WireFormat::Json),
        ("?channel=a&channel=a&format=raw", vec!["a"], WireFormat::Raw),
        ("?channel=a&channel=a%3ab&channel=c&channel=c", vec!["a", "a:b", "c"], WireFormat::Json),
    ] {
        let wanted = asked(query).unwrap();
        assert_eq!((names(&wanted), wanted.format), (channels, format), "{query}");
    }
    assert!(!asked("?echo=false").unwrap().echo);
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    for (query, text) in [
        ("?channel=", "the channel name is empty"),
        ("?channel=a%00", "not allowed"),
        ("?channel=a&channel=b&format=raw", "format=raw is for one channel"),
        ("?channel=a&channel=b&channel=c&channel=d", "at most 3 channels"),
        ("?format=xml", "format= is json or raw"),
        ("?format=raw&format=json", "more than once"),
        ("?echo=no", "echo= is true or false"),
    ] {
        let error = asked(query).unwrap_err();
        assert!(error.contains(text), "{query}: {error}");
    }
}

#[derive(Debug)]
struct OnlyNews;

impl Authoriser for OnlyNews {
    fn authorise(&self, token: Option<&str>, _: SystemTime) -> Result<Grant, TokenRefusal> {
        match token {
            None => Err(TokenRefusal::Missing),
            Some("good-canary") => {
                Ok(Grant { subscribe: Rules::from_patterns(["news"]), ..Grant::anyone() })
            }
            Some("old-canary") => Err(TokenRefusal::Expired),
            Some(_) => Err(TokenRefusal::Invalid("the signature does not match")),
        }
    }
}

#[tokio::test]
async fn refusals_have_their_status_and_reason_and_no_secret() {
    let state = state(false);
    state.change(|options| options.authoriser = Arc::new(OnlyNews));
    let good = "/ws?channel=news&token=good-canary";
    assert!(checked(&state, &request(good, &[])).is_ok());
    let cross = ("origin", "https://evil.example");
    for (uri, headers, why, status, challenge) in [
        (good, vec![cross], UpgradeRefused::Origin, 403, None),
        // The origin is looked at before the query and the token.
        ("/ws?echo=x&token=bad-canary", vec![cross], UpgradeRefused::Origin, 403, None),
        ("/ws?echo=x&token=bad-canary", vec![], UpgradeRefused::Query, 400, None),
        ("/ws?channel=news", vec![], UpgradeRefused::Token, 401, Some("Bearer realm=\"fanfare\"")),
        (
            "/ws?channel=news&token=old-canary",
            vec![],
            UpgradeRefused::Token,
            401,
            Some("Bearer realm=\"fanfare\", error=\"invalid_token\""),
        ),
        (
            "/ws?token=a-canary&token=b-canary",
            vec![],
            UpgradeRefused::Token,
            401,
            Some("Bearer realm=\"fanfare\", error=\"invalid_token\""),
        ),
        (
            "/ws?channel=news&channel=secret&token=good-canary",
            vec![],
            UpgradeRefused::Permission,
            403,
            None,
        ),
    ] {
        let refused = checked(&state, &request(uri, &headers));
        let Err(Halt::Refused((reason, refusal))) = refused else { panic!("{uri}: {refused:?}") };
        assert_eq!(reason, why, "{uri}");
        let answer = refusal.closing().answer();
        assert_eq!(answer.status().as_u16(), status, "{uri}");
        assert_eq!(answer.headers()["connection"], "close");
        let told = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap());
        assert_eq!(told, challenge, "{uri}");
        let (_, body) = super::super::answer::tests::read(answer);
        assert!(!body.contains("canary"), "{body}");
        assert_eq!(body.contains("secret"), why == UpgradeRefused::Permission, "{body}");
    }
}

#[tokio::test]
async fn a_token_in_the_subprotocols_is_answered_with_bearer_and_nothing_else_is() {
    let state = state(false);
    let shown = |headers: &[(&'static str, &'static str)]| {
        debug_of(&checked(&state, &request("/ws", headers)).unwrap())
    };
    let offered = shown(&[("sec-websocket-protocol", "bearer, token-canary")]);
    assert!(offered.contains("protocol: Some(\"bearer\")"), "{offered}");
    assert!(!offered.contains("canary"));
    for headers in [&[("sec-websocket-protocol", "chat")][..], &[("authorization", "Bearer x")]] {
        assert!(shown(headers).contains("protocol: None"));
    }
}

fn debug_of(value: &impl Debug) -> String {
    format!("{value:?}")
}
