//! The first request of a connection, where that is the upgrade to a WebSocket and its head came in one
//! piece: what nearly every WebSocket begins with.
//!
//! Such a head needs no HTTP connection around it. hyper's dispatch and its hand-over of the socket were
//! 35,000 of the 55,000 instructions from accept to end; here the head is parsed with the parser that
//! hyper uses, and the socket is never given away. Everything else goes to hyper, with what was read:
//! a head in pieces, a request that is no plain upgrade, or one that can be read in two ways, which is
//! refused there.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::ready;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use tokio::io::{AsyncRead as _, ReadBuf};

use super::framing::Framing;
use super::reader::SCRATCH;
use super::stream::Stream;

/// The most headers that are looked at here, for they stand on the stack; browsers send under twenty.
const HEADERS_MAX: usize = 64;

/// What the first read of a connection brought.
#[derive(Debug)]
pub struct First {
    /// All of it; nothing if the peer has ended.
    pub bytes: Bytes,
    /// The request, if it is a plain upgrade, and the length of its head.
    pub upgrade: Option<(Request<()>, usize)>,
}

impl First {
    /// Waits for the first bytes of a connection, and takes at most `bytes_max` of them.
    ///
    /// # Errors
    /// Those of the stream.
    ///
    /// # Cancel safety
    /// Dropped before it is ready it has taken nothing.
    pub async fn read(
        stream: &mut Stream,
        bytes_max: usize,
        headers_max: usize,
    ) -> io::Result<Self> {
        let bytes = poll_fn(|cx| {
            SCRATCH.with_borrow_mut(|scratch| {
                let room = bytes_max.min(scratch.len());
                let mut buf = ReadBuf::new(&mut scratch[..room]);
                ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf))?;
                io::Result::Ok(Bytes::copy_from_slice(buf.filled())).into()
            })
        });
        Ok(Self::of(bytes.await?, headers_max))
    }

    /// Looks at what was read.
    pub fn of(bytes: Bytes, headers_max: usize) -> Self {
        let upgrade = parse(&bytes, headers_max.min(HEADERS_MAX));
        Self { bytes, upgrade }
    }
}

/// A whole head of a plain upgrade, and its length.
fn parse(bytes: &Bytes, headers_max: usize) -> Option<(Request<()>, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers[..headers_max]);
    let head_len = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(head_len)) => head_len,
        _ => return None,
    };
    let is_plain = parsed.method == Some("GET") && parsed.version == Some(1);
    let mut framing = Framing::new();
    if !is_plain || framing.take(&bytes[..head_len]).is_err() || framing.heads() != 1 {
        return None;
    }
    let target = parsed.path.filter(|path| path.starts_with('/'))?;
    let uri = Uri::from_maybe_shared(bytes.slice_ref(target.as_bytes())).ok()?;
    let mut map = HeaderMap::with_capacity(parsed.headers.len());
    for line in parsed.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(line.value)).ok()?;
        map.append(name, value);
    }
    let has_more = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::EXPECT];
    if !map.contains_key(header::UPGRADE) || has_more.iter().any(|name| map.contains_key(name)) {
        return None;
    }
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (Method::GET, uri, map);
    Some((request, head_len))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "GET /ws?channel=a HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
                         Connection: Upgrade\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n";

    fn upgrade(text: &str) -> Option<(Request<()>, usize)> {
        parse(&Bytes::copy_from_slice(text.as_bytes()), HEADERS_MAX)
    }

    #[test]
    fn a_plain_upgrade_is_read_whole_and_what_is_behind_it_is_left() {
        let (request, head_len) = upgrade(&format!("{PLAIN}\u{1}\u{2}")).unwrap();
        assert_eq!(head_len, PLAIN.len());
        assert_eq!(request.uri(), "/ws?channel=a");
        assert_eq!(request.headers().len(), 5);
        let cookies: Vec<_> = request.headers().get_all("cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
    }

    #[test]
    fn everything_else_is_left_to_hyper() {
        for cut in 0..PLAIN.len() {
            assert!(upgrade(&PLAIN[..cut]).is_none(), "{cut}");
        }
        for (from, to) in [
            ("GET", "POST"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("/ws", "http://a/ws"),
            ("Host: a\r\n", "Host: a\n"),
            ("Upgrade: websocket", "X-Upgrade: websocket"),
            ("Cookie: a=1", "Content-Length: 0"),
            ("Cookie: a=1", "Content-Length: 5\r\nContent-Length: 5"),
            ("Cookie: a=1", "Transfer-Encoding: chunked"),
            ("Cookie: a=1", "Expect: 100-continue"),
            ("Cookie: a=1", "Cookie : a=1"),
            ("Cookie: a=1", "Cookie: a\u{0}1"),
            ("Cookie: a=1", " folded"),
        ] {
            assert!(PLAIN.contains(from));
            let text = PLAIN.replacen(from, to, 1);
            assert!(upgrade(&text).is_none(), "{text}");
        }
        let many = "X: 1\r\n".repeat(HEADERS_MAX);
        assert!(upgrade(&PLAIN.replace("Host: a\r\n", &many)).is_none());
        let few = Bytes::from_static(PLAIN.as_bytes());
        assert!(parse(&few, 4).is_none() && parse(&few, 5).is_some());
    }
}
