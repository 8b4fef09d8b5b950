//! Reading a request's body, with a bound on its bytes and on its time.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body;

use super::answer::Refusal;
use crate::base::memory::{Held, Memory, Pressure};

/// How long a body may take to arrive, from its head on: the default bound of 1 MiB then takes
/// 105 KB/s.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the body of a request. Memory grows with the bytes that arrived, not with a length that
/// was declared.
///
/// # Errors
/// [`Refusal`]. The connection ends with it, because the rest of the body is not
/// read.
pub(super) async fn read<B>(
    request: Request<B>,
    bytes_max: usize,
    memory: &Arc<Memory>,
) -> Result<Bytes, Refusal>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    check_head(&parts.headers, bytes_max)?;
    let whole = collect(Limited::new(body, bytes_max), memory);
    match tokio::time::timeout(TIMEOUT, whole).await {
        Ok(Ok(Some(whole))) => Ok(whole),
        Ok(Ok(None)) => {
            let text = "the node is short of memory; try again later";
            Err(refuse(StatusCode::SERVICE_UNAVAILABLE, text))
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long(bytes_max)),
        Ok(Err(_)) => Err(refuse(StatusCode::BAD_REQUEST, "the body is broken off")),
        Err(_) => {
            let text = format!("the body did not arrive within {} s", TIMEOUT.as_secs());
            Err(refuse(StatusCode::REQUEST_TIMEOUT, text))
        }
    }
}

/// Collects the body, which counts against the node's memory until it is whole; `None` if that is too
/// tight for it.
async fn collect<B: Body>(body: B, memory: &Arc<Memory>) -> Result<Option<Bytes>, B::Error> {
    let held = Held::new(memory, 0);
    let (mut body, mut whole) = (pin!(body), BytesMut::new());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            held.add(data.remaining());
            whole.put(data);
        }
        if memory.pressure() >= Pressure::RefusePublications {
            return Ok(None);
        }
    }
    Ok(Some(whole.freeze()))
}

fn check_head(headers: &HeaderMap, bytes_max: usize) -> Result<(), Refusal> {
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        let text = "the body has a Content-Encoding; send it as it is";
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match declared.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > bytes_max as u64 => Err(too_long(bytes_max)),
        _ => Ok(()),
    }
}

fn too_long(bytes_max: usize) -> Refusal {
    let text = format!("the body is too long; at most {bytes_max} bytes are allowed");
    refuse(StatusCode::PAYLOAD_TOO_LARGE, text)
}

fn refuse(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(status, text).closing()
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    async fn status(request: http::request::Builder, body: &'static str, max: usize) -> u16 {
        let request = request.body(Full::<Bytes>::from(body)).unwrap();
        match read(request, max, &Memory::new(usize::MAX)).await {
            Ok(read) => {
                assert_eq!(read, body);
                0
            }
            Err(refusal) => {
                let answer = refusal.answer();
                assert_eq!(answer.headers()["connection"], "close");
                answer.status().as_u16()
            }
        }
    }

    #[tokio::test]
    async fn a_body_is_bounded_whether_it_says_its_length_or_not() {
        assert_eq!(status(Request::builder(), "12345", 5).await, 0);
        assert_eq!(status(Request::builder(), "123456", 5).await, 413);
        let declared = |length| Request::builder().header("content-length", length);
        assert_eq!(status(declared("99999999999"), "1", 5).await, 413);
        assert_eq!(status(declared("1"), "123456", 5).await, 413);
    }

    #[tokio::test]
    async fn a_coded_body_is_refused() {
        let coded = |coding| Request::builder().header("content-encoding", coding);
        assert_eq!(status(coded("gzip"), "1", 5).await, 415);
        assert_eq!(status(coded("identity"), "1", 5).await, 0);
    }
}
