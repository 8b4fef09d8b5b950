//! What the question about connecting says, and what its answer allows.

use std::sync::Arc;

use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::ask::{Judged, No, bad};
use super::settings::HookSettings;
use crate::base::access::{Grant, Info, Rules};
use crate::base::application::{Admission, ConnectQuestion};
use crate::base::ids::{ChannelName, UserId};

/// Patterns in one list, and channels.
const LIST_MAX: usize = 128;

/// The body of the question.
pub(super) fn question(question: &ConnectQuestion, settings: &HookSettings) -> Value {
    let ConnectQuestion { transport, peer, headers, query, channels, token, grant } = question;
    let names: Vec<&str> = channels.iter().map(|channel| channel.as_str()).collect();
    let mut body = json!({
        "transport": transport,
        "query": query,
        "channels": names,
        "headers": chosen(headers, settings),
        "has_token": token.is_some() || grant.is_some(),
    });
    if let Some(peer) = peer {
        body["address"] = peer.to_string().into();
    }
    if let Some(token) = token {
        body["token"] = token.0.as_str().into();
    }
    if let Some(user) = grant.as_ref().and_then(|grant| grant.user.as_ref()) {
        body["user"] = user.as_str().into();
    }
    body
}

/// The headers that are passed on; several of one name are joined as one line (RFC 9110 section 5.3).
fn chosen(headers: &HeaderMap, settings: &HookSettings) -> Map<String, Value> {
    let mut chosen = Map::new();
    for name in &settings.headers {
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        if !values.is_empty() {
            let between = if *name == http::header::COOKIE { "; " } else { ", " };
            chosen.insert(name.as_str().into(), values.join(between).into());
        }
    }
    chosen
}

#[derive(Deserialize)]
struct Answer {
    allow: bool,
    user: Option<String>,
    info: Option<Value>,
    subscribe: Option<Vec<String>>,
    publish: Option<Vec<String>>,
    expires_at: Option<u64>,
    channels: Option<Vec<String>>,
    #[serde(flatten)]
    no: No,
}

/// What an answer allows. What it leaves out is as the token has it, if there was one that was checked,
/// and nothing otherwise; of two ends the earlier counts.
pub(super) fn judge(answer: &[u8], question: &ConnectQuestion) -> Judged<Admission> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| bad())?;
    if !answer.allow {
        return Ok(Err(answer.no.denial()));
    }
    let before = question.grant.clone().unwrap_or(Grant {
        user: None,
        info: None,
        expires_unix_s: None,
        subscribe: Rules::none(),
        publish: Rules::none(),
    });
    let user = answer.user.map(|user| UserId::new(&user)).transpose();
    let user = user.map_err(|error| format!("its user is none: {error}"))?;
    let info = match answer.info {
        Some(info) => Some(Arc::new(Info::new(&info).ok_or("its info is too long")?)),
        None => before.info,
    };
    let ends = [answer.expires_at, before.expires_unix_s];
    let grant = Grant {
        user: user.or(before.user),
        info,
        expires_unix_s: ends.into_iter().flatten().min(),
        subscribe: rules(answer.subscribe, before.subscribe)?,
        publish: rules(answer.publish, before.publish)?,
    };
    let channels = answer.channels.unwrap_or_default();
    if channels.len() > LIST_MAX {
        return Err(format!("it names more than {LIST_MAX} channels"));
    }
    let channels = channels.iter().map(|name| ChannelName::new(name));
    let channels = channels
        .collect::<Result<_, _>>()
        .map_err(|error| format!("one of its channels cannot be: {error}"))?;
    Ok(Ok(Admission { grant, channels }))
}

fn rules(patterns: Option<Vec<String>>, otherwise: Rules) -> Result<Rules, String> {
    match patterns {
        None => Ok(otherwise),
        Some(patterns) if patterns.len() > LIST_MAX => {
            Err(format!("it has a list of more than {LIST_MAX} patterns"))
        }
        Some(patterns) => Ok(Rules::from_patterns(patterns)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::application::{Denial, Unchecked};

    fn judged(answer: &str, grant: Option<Grant>) -> Judged<Admission> {
        judge(answer.as_bytes(), &ConnectQuestion { grant, ..ConnectQuestion::default() })
    }

    #[test]
    fn an_answer_is_read_whole() {
        let answer = r#"{"allow":true,"user":"ann","info":{"a":1},"subscribe":["news.*"],
            "publish":["chat"],"expires_at":1700000000,"channels":["news.1"],"more":[]}"#;
        let Admission { grant, channels } = judged(answer, None).unwrap().unwrap();
        assert_eq!(grant.user.unwrap().as_str(), "ann");
        assert_eq!(grant.info.unwrap().as_json(), "{\"a\":1}");
        assert!(grant.subscribe.allow("news.1") && !grant.subscribe.allow("chat"));
        assert!(grant.publish.allow("chat") && !grant.publish.allow("news.1"));
        assert_eq!((grant.expires_unix_s, channels[0].as_str()), (Some(1_700_000_000), "news.1"));
        let bare = judged(r#"{"allow":true}"#, None).unwrap().unwrap();
        assert!(bare.grant.subscribe.is_none() && bare.grant.publish.is_none());
    }

    #[test]
    fn what_is_left_out_is_as_the_token_has_it_and_the_earlier_end_counts() {
        let grant = Grant { expires_unix_s: Some(100), ..Grant::anyone() };
        for (expires_at, expected) in [(50, 50), (200, 100)] {
            let answer = format!("{{\"allow\":true,\"publish\":[],\"expires_at\":{expires_at}}}");
            let got = judged(&answer, Some(grant.clone())).unwrap().unwrap().grant;
            assert!(got.subscribe.allow("any") && got.publish.is_none());
            assert_eq!(got.expires_unix_s, Some(expected));
        }
    }

    #[test]
    fn no_is_no_and_what_is_unclear_is_nothing() {
        let no = |answer| judged(answer, None).unwrap().unwrap_err();
        let expected =
            Denial { reason: "full".into(), is_unauthenticated: true, close_code: Some(4001) };
        let answer = r#"{"allow":false,"reason":"full","status":401,"close_code":4001}"#;
        assert_eq!(no(answer), expected);
        assert_eq!(no(r#"{"allow":false,"close_code":1000}"#).close_code, None);
        let long = format!("{{\"allow\":false,\"reason\":\"{}\"}}", "ä".repeat(100));
        assert_eq!(no(&long).reason.len(), 122);
        for unclear in [
            "",
            "{}",
            "true",
            "{\"allow\":\"true\"}",
            "{\"allow\":1}",
            "{\"allow\":true,\"user\":7}",
            "{\"allow\":true,\"user\":\"\"}",
            "{\"allow\":true,\"subscribe\":\"*\"}",
            "{\"allow\":true,\"expires_at\":\"never\"}",
            "{\"allow\":true,\"channels\":[\"a b\"]}",
            "{\"allow\":true,\"allow\":false}",
        ] {
            assert!(judged(unclear, None).is_err(), "{unclear}");
        }
    }

    #[test]
    fn a_question_has_the_headers_that_were_chosen_and_no_others() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("cookie", "a=1"), ("cookie", "b=2"), ("x-secret", "canary")] {
            headers.append(name, value.parse().unwrap());
        }
        let token = Some(Unchecked("opaque".into()));
        let asked = ConnectQuestion { headers, token, ..ConnectQuestion::default() };
        let body = question(&asked, &HookSettings::default());
        assert_eq!(body["headers"], json!({"cookie": "a=1; b=2"}));
        assert_eq!((&body["token"], &body["has_token"]), (&json!("opaque"), &json!(true)));
        assert!(!format!("{asked:?}").contains("opaque"));
    }
}
