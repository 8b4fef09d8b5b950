//! One question to the application, and its answer.

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::Value;

use super::breaker::Change;
use super::settings::HookSettings;
use super::{Shared, signature};
use crate::base::application::{Denial, REASON_BYTES_MAX, Refused};
use crate::base::clock::since_1970;
use crate::base::disconnect::CloseCode;
use crate::base::outgoing::{Hook, HookResult, OneHook};
use crate::fetch::{FetchError, Url};

/// Close codes that an application may give: those that are registered or free (RFC 6455 section
/// 7.4.2).
const CLOSE_CODES: std::ops::RangeInclusive<CloseCode> = 3000..=4999;

/// What an answer says: something, or no. An answer that is none is an error that says why.
pub(super) type Judged<T> = Result<Result<T, Denial>, String>;

/// The fields of an answer that say no.
#[derive(Debug, Deserialize)]
pub(super) struct No {
    pub(super) reason: Option<String>,
    pub(super) status: Option<u16>,
    pub(super) close_code: Option<CloseCode>,
}

impl No {
    pub(super) fn denial(self) -> Denial {
        let mut reason = self.reason.filter(|reason| !reason.is_empty()).unwrap_or_else(default);
        let end = (0..=reason.len().min(REASON_BYTES_MAX)).rev();
        let end = end.into_iter().find(|&at| reason.is_char_boundary(at)).unwrap_or(0);
        reason.truncate(end);
        Denial {
            reason,
            is_unauthenticated: self.status == Some(401),
            close_code: self.close_code.filter(|code| CLOSE_CODES.contains(code)),
        }
    }
}

fn default() -> String {
    "the application does not allow it".to_owned()
}

/// The answer to a question that takes no more than yes or no.
pub(super) fn judge(answer: &[u8]) -> Judged<()> {
    #[derive(Deserialize)]
    struct Answer {
        allow: bool,
        #[serde(flatten)]
        no: No,
    }
    let Answer { allow, no } = serde_json::from_slice(answer).map_err(|_| bad())?;
    Ok(if allow { Ok(()) } else { Err(no.denial()) })
}

pub(super) fn bad() -> String {
    "its answer is no JSON object with allow, or a field has another type than it must have".into()
}

impl Shared {
    /// Asks, and counts. Whatever is not a clear answer is [`Refused::Unavailable`].
    pub(super) async fn ask<T>(
        &self,
        setup: &super::Setup,
        hook: Hook,
        body: Value,
        judge: impl Fn(&[u8]) -> Judged<T>,
    ) -> Result<T, Refused> {
        let settings = &setup.settings;
        let counted = self.counters.of(hook);
        let Some((url, client)) = settings.url(hook).zip(setup.client.as_ref()) else {
            // A rule that has it asked was taken away from under the question.
            return Err(refuse(counted, HookResult::Failed));
        };
        let Some(pass) = self.breakers[hook as usize].pass(Instant::now()) else {
            return Err(refuse(counted, HookResult::Broken));
        };
        let in_flight = InFlight::begin(counted);
        let sent = Instant::now();
        let request = request(hook, url, settings, Bytes::from(body.to_string()));
        let replied = match request {
            Ok(request) => client.send(request).await,
            Err(error) => Err(FetchError::Failed(error.to_string())),
        };
        drop(in_flight);
        if replied == Err(FetchError::Busy) {
            tracing::debug!(hook = hook.name(), "not asked: too many questions are on their way");
            return Err(refuse(counted, HookResult::Busy));
        }
        counted.took_us.note(sent.elapsed().as_micros() as u64);
        let (result, why) = match replied {
            Ok(reply) => match judge_reply(&reply.status, &reply.body, judge) {
                Ok(judged) => {
                    note_change(hook, counted, pass.succeeded(), settings);
                    let result =
                        if judged.is_ok() { HookResult::Allowed } else { HookResult::Denied };
                    counted.results(result).add(1);
                    return judged.map_err(Refused::Denied);
                }
                Err(why) => (HookResult::Failed, why),
            },
            Err(error @ FetchError::Timeout(_)) => (HookResult::Timeout, error.to_string()),
            Err(error) => (HookResult::Failed, error.to_string()),
        };
        tracing::warn!(hook = hook.name(), "the application did not answer at {url}: {why}");
        let change = pass.failed(Instant::now(), settings.failures_max, settings.pause);
        note_change(hook, counted, change, settings);
        Err(refuse(counted, result))
    }
}

fn refuse(counted: &OneHook, result: HookResult) -> Refused {
    counted.results(result).add(1);
    Refused::Unavailable
}

fn judge_reply<T>(
    status: &StatusCode,
    body: &[u8],
    judge: impl Fn(&[u8]) -> Judged<T>,
) -> Judged<T> {
    match *status {
        StatusCode::OK => judge(body),
        // Said by what stands in front of it, or by a framework, without a body of ours.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let no = No { reason: None, status: Some(status.as_u16()), close_code: None };
            Ok(Err(no.denial()))
        }
        status => Err(format!("its answer is {status} and not 200")),
    }
}

fn note_change(hook: Hook, counted: &OneHook, change: Change, settings: &HookSettings) {
    let hook = hook.name();
    match change {
        Change::None => {}
        Change::Broke => {
            counted.broken.set(1);
            let pause_ms = settings.pause.as_millis() as u64;
            tracing::error!(
                hook,
                pause_ms,
                "the application failed too often: it is left alone, and what it would have to \
                 allow is refused"
            );
        }
        Change::Mended => {
            counted.broken.set(0);
            tracing::info!(hook, "the application answers again");
        }
    }
}

/// A request, signed now.
pub(super) fn request(
    hook: Hook,
    url: &Url,
    settings: &HookSettings,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request = Request::post(url.uri())
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("fanfare/", env!("CARGO_PKG_VERSION")))
        .header("x-fanfare-hook", hook.name());
    if let Some(secret) = &settings.secret {
        let unix_s = since_1970(SystemTime::now()).as_secs();
        request = request.header(signature::HEADER, signature::sign(secret, unix_s, &body));
    }
    request.body(Full::new(body))
}

/// Counts a request for as long as it is on its way.
pub(super) struct InFlight<'c>(&'c OneHook);

impl<'c> InFlight<'c> {
    pub(super) fn begin(counted: &'c OneHook) -> Self {
        counted.in_flight.add(1);
        Self(counted)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.add(-1);
    }
}
