//! Publishing by HTTP requests, one behind the other on one connection: a server answers them in
//! their order (RFC 9112 section 9.3.2), so the order of messages is kept, and none waits for the
//! answer to the one before.

use std::collections::VecDeque;

use super::Answers;
use crate::bench::BenchError;
use crate::bench::options::Options;
use crate::bench::tally::Tally;
use crate::bench::tls;

/// The longest answer that is waited for; what is longer is not an answer to a publication.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Connections in a row that ended without a single answer, before it is no use.
const FRUITLESS_MAX: u32 = 3;

/// Requests that wait for their answer.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// In the order they were sent; bounded by whoever sends them.
    waiting: VecDeque<Request>,
    /// Of answers that are not whole.
    bytes: Vec<u8>,
    is_closing: bool,
    fruitless: u32,
}

#[derive(Debug)]
struct Request {
    bytes: Vec<u8>,
    channel: usize,
    number: u32,
}

/// One answer: its status, its length with the body, whether the connection ends after it.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    bytes: usize,
    is_last: bool,
}

/// A request that publishes.
pub(super) fn request(options: &Options, host: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "{} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n",
        options.publish_method,
        body.len()
    );
    for (name, value) in &options.publish_headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let mut request = request.into_bytes();
    request.extend_from_slice(body);
    request
}

impl Requests {
    pub(super) fn unanswered(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn sent(&mut self, bytes: Vec<u8>, channel: usize, number: u32) {
        self.waiting.push_back(Request { bytes, channel, number });
    }

    /// Counts the answers in what came; returns whether the connection is of no more use.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        answers: &mut Answers,
        tally: &mut Tally,
    ) -> Result<bool, String> {
        self.bytes.extend_from_slice(bytes);
        if tls::is_alert(&self.bytes) {
            return Err("the server of --publish-url speaks TLS; write https:// for http://".into());
        }
        let mut start = 0;
        while !self.is_closing
            && let Some(answer) = answer(&self.bytes[start..])?
        {
            start += answer.bytes;
            if (100..200).contains(&answer.status) {
                continue;
            }
            let request = self.waiting.pop_front().ok_or("an answer to no request")?;
            self.fruitless = 0;
            if (200..300).contains(&answer.status) {
                answers.acknowledged += 1;
            } else {
                answers.refused += 1;
                answers.refusal = Some(answer.status);
                tally.refused(request.channel, request.number);
            }
            self.is_closing = answer.is_last;
        }
        self.bytes.drain(..start);
        if self.bytes.len() > ANSWER_BYTES_MAX {
            return Err("an answer to a publication is longer than 1 MiB".to_owned());
        }
        Ok(self.is_closing)
    }

    /// What has to be asked again over a new connection.
    pub(super) fn restart(&mut self) -> Result<Self, BenchError> {
        let fruitless = self.fruitless + 1;
        if fruitless > FRUITLESS_MAX {
            let text = "the server ends its connections without an answer".to_owned();
            return Err(BenchError::Publisher(text));
        }
        let waiting = std::mem::take(&mut self.waiting);
        Ok(Self { waiting, fruitless, ..Self::default() })
    }

    /// All requests that wait, as they are sent.
    pub(super) fn concat_bytes(&self) -> Vec<u8> {
        self.waiting.iter().flat_map(|request| request.bytes.iter().copied()).collect()
    }
}

/// The first answer in these bytes, if it is whole.
fn answer(bytes: &[u8]) -> Result<Option<Answer>, String> {
    let Some(head_end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]);
    let mut lines = head.split("\r\n");
    let mut status_line = lines.next().unwrap_or_default().split(' ');
    let version = status_line.next().unwrap_or_default();
    let status = status_line.next().and_then(|status| status.parse().ok());
    let status: u16 = status.ok_or("the server of --publish-url does not answer in HTTP")?;
    let (mut length, mut is_chunked, mut is_last) = (None, false, version == "HTTP/1.0");
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse::<usize>().ok(),
            "transfer-encoding" => is_chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => is_last |= value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let body = head_end + 4;
    let end = match (status, length) {
        (100..200 | 204 | 304, _) => Some(body),
        _ if is_chunked => chunks_end(bytes, body)?,
        (_, Some(length)) => {
            let end = body.checked_add(length).ok_or("an answer's length is out of bounds")?;
            (bytes.len() >= end).then_some(end)
        }
        // Its body is what comes until the end.
        (_, None) => {
            is_last = true;
            Some(bytes.len())
        }
    };
    Ok(end.map(|bytes| Answer { status, bytes, is_last }))
}

/// Where a chunked body ends (RFC 9112 section 7.1), if it is whole. Without trailers.
fn chunks_end(bytes: &[u8], mut at: usize) -> Result<Option<usize>, String> {
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let text = String::from_utf8_lossy(&rest[..line]);
        let size = text.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).ok().filter(|size| *size <= ANSWER_BYTES_MAX);
        let size = size.ok_or("a chunk of an answer has no good length")?;
        at += line + 2 + size + 2;
        if size == 0 {
            return Ok((bytes.len() >= at).then_some(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::options::Scenario;

    fn options() -> Options {
        Options::new(Scenario::Fanout { rate_per_s: 1.0 }, "ws://h/")
    }

    fn requests(count: u32) -> (Requests, Answers, Tally) {
        let mut requests = Requests::default();
        (0..count).for_each(|number| requests.sent(vec![b'r'], 0, number));
        (requests, Answers::default(), Tally::new(&options(), 1))
    }

    #[test]
    fn a_request_has_its_length() {
        let mut options = options();
        options.publish_headers.push(("X-API-Key".into(), "k".into()));
        let text = String::from_utf8(request(&options, "h:1", "/p", b"body")).unwrap();
        let head = "POST /p HTTP/1.1\r\nHost: h:1\r\nContent-Length: 4\r\nX-API-Key: k\r\n\r\n";
        assert_eq!(text, format!("{head}body"));
    }

    #[test]
    fn answers_in_any_pieces_are_counted() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1 204 No\r\n\r\n\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
            HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
        for size in [1, 2, 5, 40, bytes.len()] {
            let (mut requests, mut answers, mut tally) = requests(4);
            for piece in bytes.chunks(size) {
                assert_eq!(requests.take(piece, &mut answers, &mut tally), Ok(false));
            }
            assert_eq!((answers.acknowledged, answers.refused), (3, 1), "pieces of {size}");
            assert_eq!((answers.refusal, requests.unanswered()), (Some(503), 0));
        }
    }

    #[test]
    fn what_was_not_answered_is_asked_again() {
        let (mut requests, mut answers, mut tally) = requests(3);
        let last = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(requests.take(last, &mut answers, &mut tally), Ok(true));
        let mut again = requests.restart().unwrap();
        assert_eq!(again.concat_bytes(), b"rr");
        for _ in 1..FRUITLESS_MAX {
            again = again.restart().unwrap();
        }
        assert!(again.restart().is_err());
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let (mut requests, mut answers, mut tally) = requests(1);
        assert!(requests.take(b"SSH-2.0 hello\r\n\r\n", &mut answers, &mut tally).is_err());
        let (mut none, ..) = self::requests(0);
        assert!(none.take(b"HTTP/1.1 204 No\r\n\r\n", &mut answers, &mut tally).is_err());
    }
}
