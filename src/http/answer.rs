//! Answers. Errors are JSON with one member, `error`: a text for whoever reads it. (In the API it is
//! an object, as its clients expect; see [`super::api`].)

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use crate::base::disconnect::Disconnect;
use crate::base::retry::retry_after_s;

/// What the gateway answers.
pub type Answer = Response<Full<Bytes>>;

/// `Retry-After` in seconds, beside [`PublishError::RETRY_AFTER_MS`](crate::hub::PublishError).
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// The same where something is counted by the minute.
const RETRY_AFTER_MINUTE: HeaderValue = HeaderValue::from_static("60");

/// What else a refusal for want of a credential says (RFC 9110 section 11.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token is missing (RFC 6750 section 3.1: then without an error code).
    Token,
    /// A token is not good any more, or never was.
    BadToken,
    /// A key of the API is missing or wrong.
    ApiKey,
    /// A key of the admin page is.
    Admin,
}

/// An answer of `status` with a body of this type, not to be kept by caches.
pub(super) fn with_body(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// A JSON answer, with a line break at its end for whoever reads it in a terminal.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let mut body = serde_json::to_vec(value).unwrap_or_default();
    body.push(b'\n');
    with_body(status, "application/json", body)
}

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// For whoever reads it: what is wrong and what to do. Never what was sent.
    pub(super) text: Cow<'static, str>,
    challenge: Option<Challenge>,
    close: bool,
    /// A WebSocket is opened and closed with this instead, where one was asked for.
    pub(super) disconnect: Option<Disconnect>,
}

impl Refusal {
    #[cold]
    pub(super) fn new(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into(), challenge: None, close: false, disconnect: None }
    }

    #[cold]
    pub(super) fn bad_request(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// For want of a credential.
    #[cold]
    pub(super) fn challenge(challenge: Challenge, text: impl Into<Cow<'static, str>>) -> Self {
        Self { challenge: Some(challenge), ..Self::new(StatusCode::UNAUTHORIZED, text) }
    }

    /// And the connection ends.
    #[must_use]
    pub(super) fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    /// And a WebSocket is told by this.
    #[must_use]
    pub(super) fn or_disconnect(self, disconnect: Option<Disconnect>) -> Self {
        Self { disconnect, ..self }
    }

    /// The answer.
    pub(super) fn answer(&self) -> Answer {
        self.answer_with(&serde_json::json!({ "error": self.text }))
    }

    /// The answer with a body of its own.
    pub(super) fn answer_with(&self, body: &impl Serialize) -> Answer {
        let mut answer = json(self.status, body);
        let headers = answer.headers_mut();
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge.value()));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(RETRY_AFTER, RETRY_AFTER_S);
        }
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(RETRY_AFTER, RETRY_AFTER_MINUTE);
        }
        answer
    }
}

impl Challenge {
    const fn value(self) -> &'static str {
        match self {
            Challenge::Token => "Bearer realm=\"fanfare\"",
            Challenge::BadToken => "Bearer realm=\"fanfare\", error=\"invalid_token\"",
            Challenge::ApiKey => "apikey realm=\"fanfare\"",
            Challenge::Admin => "Bearer realm=\"fanfare admin\"",
        }
    }
}

/// Of somebody who wanted to stay: with a time to come back that is not the same for all.
pub(super) fn come_back_later(mut answer: Answer) -> Answer {
    if answer.headers().contains_key(RETRY_AFTER) {
        answer.headers_mut().insert(RETRY_AFTER, retry_after_s().into());
    }
    answer
}

/// There is nothing at the path.
pub(super) fn nothing() -> Answer {
    let text = "there is nothing at this path; there are GET /, GET /fanfare.js, GET /ws, GET /sse, \
                POST /publish, GET /channel, POST /api/{method}, GET /health, GET /metrics and \
                GET /openapi.json, which describes them";
    Refusal::new(StatusCode::NOT_FOUND, text).answer()
}

/// There is something at the path, for other methods.
pub(super) fn wrong_method(allow: &'static str) -> Answer {
    let text = format!("this path is for {allow}");
    let mut answer = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text).answer();
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

#[cfg(test)]
pub(super) mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use hyper::body::Body as _;

    use super::*;

    /// Status and body.
    pub(in crate::http) fn read(answer: Answer) -> (u16, String) {
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        let mut context = Context::from_waker(Waker::noop());
        let mut text = String::new();
        while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) {
            text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
        (status, text)
    }

    #[test]
    fn an_error_is_json_whatever_is_in_it() {
        let (status, body) = read(Refusal::bad_request("a \"b\"\n").answer());
        assert_eq!((status, body.as_str()), (400, "{\"error\":\"a \\\"b\\\"\\n\"}\n"));
    }

    #[test]
    fn a_405_lists_the_methods() {
        let answer = wrong_method("GET, HEAD");
        assert_eq!(answer.headers()[ALLOW], "GET, HEAD");
        assert_eq!(read(answer).0, 405);
    }
}
