//! The head of a plain upgrade, read where it came in: no map, no list, no copy of a field.
//!
//! Taken is less than what hyper takes, and what is taken is read as hyper reads it (a fuzz target holds
//! both side by side): `GET`, a path, HTTP/1.1, every line with CR LF, nothing before the name of a field and
//! nothing between it and its colon, no body and nobody who waits for 100. What is not of that form
//! need not be wrong; it is left to hyper to say.

use std::iter;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::base::fields::{Field, Fields};

/// The most lines that are looked at here; browsers send under twenty.
const LINES_MAX: usize = 64;

/// How a head of this kind begins, up to its path.
const BEGIN: &[u8] = b"GET /";

/// What stands behind the target.
const VERSION: &[u8] = b" HTTP/1.1\r\n";

/// RFC 9110 section 5.6.2: what a name consists of.
const NAME: u8 = 1;
/// RFC 9110 section 5.5: what a value consists of, with the space around it.
const VALUE: u8 = 2;
/// What a path and a query consist of (RFC 3986 sections 3.3 and 3.4), and a bar.
const TARGET: u8 = 4;

/// What each byte may be a part of.
static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        if byte.is_ascii_alphanumeric() {
            kinds[at] = NAME | TARGET;
        }
        if byte == b'\t' || (byte >= b' ' && byte != 127) {
            kinds[at] |= VALUE;
        }
        at += 1;
    }
    mark(mark(kinds, b"!#$%&'*+-.^_`|~", NAME), b"!$%&'()*+,-./:;=?@_~|", TARGET)
};

const fn mark(mut kinds: [u8; 256], bytes: &[u8], kind: u8) -> [u8; 256] {
    let mut at = 0;
    while at < bytes.len() {
        kinds[bytes[at] as usize] |= kind;
        at += 1;
    }
    kinds
}

/// A piece of the head.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    at: u16,
    len: u16,
}

/// A line of a field.
#[derive(Clone, Copy, Debug)]
struct Line {
    name: Piece,
    value: Piece,
}

/// Where the values are that somebody looks at.
#[derive(Clone, Copy, Debug, Default)]
struct Filed {
    /// By field: the value of its first line. One that is not there begins at 0.
    firsts: [Piece; Field::ALL.len()],
    /// By field, a bit: whether there are more lines of it.
    more: u16,
}

/// See the module.
#[derive(Debug)]
pub struct Head {
    bytes: Bytes,
    len: usize,
    /// The path, and the query with its mark if there is one.
    target: Piece,
    path_len: u16,
    fields: Filed,
}

impl Head {
    /// Reads what came first on a connection, with at most so many lines.
    ///
    /// # Errors
    /// The bytes, if they do not begin with a whole head of this kind.
    pub fn parse(bytes: Bytes, lines_max: usize) -> Result<Self, Bytes> {
        let Some((target, fields, len)) = file(&bytes, lines_max.min(LINES_MAX)) else {
            return Err(bytes);
        };
        let path = bytes[target.range()].iter().position(|&byte| byte == b'?');
        let path_len = path.map_or(target.len, |len| len as u16);
        let head = Self { bytes, len, target, path_len, fields };
        let has_more = [Field::ContentLength, Field::TransferEncoding, Field::Expect];
        match head.has(Field::Upgrade) && !has_more.into_iter().any(|field| head.has(field)) {
            true => Ok(head),
            false => Err(head.bytes),
        }
    }

    /// The path of its target.
    pub fn path(&self) -> &str {
        self.text(Piece { len: self.path_len, ..self.target })
    }

    /// What stands behind the `?` of its target.
    pub fn query(&self) -> Option<&str> {
        let len = self.target.len.checked_sub(self.path_len + 1)?;
        Some(self.text(Piece { at: self.target.at + self.path_len + 1, len }))
    }

    /// All that was read.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// What was read behind it.
    pub fn rest(mut self) -> Bytes {
        self.bytes.split_off(self.len)
    }

    /// The lines from this place on, where one begins. They were looked at when the head was filed, so none is
    /// malformed.
    fn lines_from(&self, mut at: usize) -> impl Iterator<Item = Line> {
        iter::from_fn(move || {
            let (line, next) = line(&self.bytes, at)?;
            at = next;
            Some(line)
        })
    }

    /// The value of the next line of this field behind the one with that value.
    #[cold]
    fn next_of(&self, field: Field, last: Piece) -> Option<Piece> {
        let line_end = run(&self.bytes, last.range().end, VALUE);
        let is_of_field = |line: &Line| Field::of(&self.bytes[line.name.range()]) == Some(field);
        self.lines_from(line_end + 2).find(is_of_field).map(|line| line.value)
    }

    /// Of the target, which is ASCII.
    fn text(&self, piece: Piece) -> &str {
        std::str::from_utf8(&self.bytes[piece.range()]).unwrap_or_default()
    }
}

impl Piece {
    fn range(self) -> std::ops::Range<usize> {
        usize::from(self.at)..usize::from(self.at) + usize::from(self.len)
    }
}

impl Fields for Head {
    #[inline]
    fn all(&self, field: Field) -> impl Iterator<Item = &[u8]> {
        let mut next = self.fields.first(field);
        iter::from_fn(move || {
            let value = next.take()?;
            if self.fields.has_more(field) {
                next = self.next_of(field, value);
            }
            Some(&self.bytes[value.range()])
        })
    }

    fn to_map(&self) -> HeaderMap {
        let of = |line: Line| {
            let name = HeaderName::from_bytes(&self.bytes[line.name.range()]).ok()?;
            let value = HeaderValue::from_bytes(&self.bytes[line.value.range()]).ok()?;
            Some((name, value))
        };
        let mut map = HeaderMap::new();
        let first = self.target.range().end + VERSION.len();
        for (name, value) in self.lines_from(first).filter_map(of) {
            map.append(name, value);
        }
        map
    }

    fn has(&self, field: Field) -> bool {
        self.fields.first(field).is_some()
    }

    fn single(&self, field: Field) -> Option<&[u8]> {
        let value = self.fields.first(field).filter(|_| !self.fields.has_more(field))?;
        Some(&self.bytes[value.range()])
    }
}

const _: () = assert!(Field::ALL.len() <= u16::BITS as usize);

impl Filed {
    fn note(&mut self, field: Field, value: Piece) {
        let first = &mut self.firsts[field as usize];
        match first.at {
            0 => *first = value,
            _ => self.more |= 1 << field as u16,
        }
    }

    #[inline]
    fn first(&self, field: Field) -> Option<Piece> {
        Some(self.firsts[field as usize]).filter(|value| value.at > 0)
    }

    fn has_more(&self, field: Field) -> bool {
        self.more & (1 << field as u16) != 0
    }
}

/// The target, the fields and the length of a head.
fn file(bytes: &[u8], lines_max: usize) -> Option<(Piece, Filed, usize)> {
    // Positions are kept in 16 bits.
    if bytes.len() > usize::from(u16::MAX) || !bytes.starts_with(BEGIN) {
        return None;
    }
    let target_at = BEGIN.len() - 1;
    let target_end = run(bytes, target_at, TARGET);
    if !bytes[target_end..].starts_with(VERSION) {
        return None;
    }
    let mut at = target_end + VERSION.len();
    let mut fields = Filed::default();
    for _ in 0..=lines_max {
        let Some((line, next)) = line(bytes, at) else {
            let is_end = bytes[at..].starts_with(b"\r\n");
            return is_end.then(|| (piece(target_at, target_end), fields, at + 2));
        };
        if let Some(field) = Field::of(&bytes[line.name.range()]) {
            fields.note(field, line.value);
        }
        at = next;
    }
    None
}

/// The line that begins at `at`, and where the next does.
fn line(bytes: &[u8], at: usize) -> Option<(Line, usize)> {
    let name_end = run(bytes, at, NAME);
    if name_end == at || bytes.get(name_end) != Some(&b':') {
        return None;
    }
    let value_end = run(bytes, name_end + 1, VALUE);
    if !bytes[value_end..].starts_with(b"\r\n") {
        return None;
    }
    let value = trimmed(bytes, name_end + 1, value_end);
    Some((Line { name: piece(at, name_end), value }, value_end + 2))
}

/// Where the bytes of this kind end that begin at `at`.
fn run(bytes: &[u8], at: usize, kind: u8) -> usize {
    let others = bytes[at..].iter().position(|&byte| KINDS[usize::from(byte)] & kind == 0);
    others.map_or(bytes.len(), |count| at + count)
}

/// Without the space around it.
fn trimmed(bytes: &[u8], mut at: usize, mut end: usize) -> Piece {
    let is_space = |at: usize| matches!(bytes[at], b' ' | b'\t');
    while at < end && is_space(at) {
        at += 1;
    }
    while at < end && is_space(end - 1) {
        end -= 1;
    }
    piece(at, end)
}

/// Both are within the bytes, of which there are no more than 16 bits count.
fn piece(at: usize, end: usize) -> Piece {
    Piece { at: at as u16, len: (end - at) as u16 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: &str = "GET /ws?channel=a HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
                         Connection: Upgrade\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n";

    fn head(text: &str) -> Option<Head> {
        Head::parse(Bytes::copy_from_slice(text.as_bytes()), LINES_MAX).ok()
    }

    #[test]
    fn a_plain_upgrade_is_read_whole_and_what_is_behind_it_is_left() {
        let head = head(&format!("{PLAIN}\u{1}\u{2}")).unwrap();
        assert_eq!((head.path(), head.query()), ("/ws", Some("channel=a")));
        assert_eq!(head.to_map().len(), 5);
        let cookies: Vec<_> = head.all(Field::Cookie).collect();
        assert_eq!(cookies, [b"a=1", b"b=2"]);
        assert_eq!(head.rest(), "\u{1}\u{2}");
    }

    #[test]
    fn the_target_is_taken_apart_as_hyper_does_it() {
        for target in ["/", "/?", "/ws", "/ws?", "/ws?a=b", "/a/b?c?d=/e", "/%41;x=1?a=%20+|~"] {
            let head = head(&PLAIN.replace("/ws?channel=a", target)).unwrap();
            let uri: http::Uri = target.parse().unwrap();
            assert_eq!((head.path(), head.query()), (uri.path(), uri.query()), "{target}");
        }
        for target in ["/ws#a", "/ws?a=\u{e4}", "/ws?a=\"", "*", "a:80", "/a b", "/a\tb", "/<"] {
            assert!(head(&PLAIN.replace("/ws?channel=a", target)).is_none(), "{target}");
        }
    }

    #[test]
    fn all_lines_of_a_field_are_found_in_order_wherever_they_stand() {
        let lines = "Cookie:\r\nHost: a\r\ncookie: b=2 \t\r\nX-Cookie: c\r\nCOOKIE: \r\nCookie: d";
        let head = head(&PLAIN.replace("Cookie: b=2", lines)).unwrap();
        let cookies: Vec<_> = head.all(Field::Cookie).collect();
        assert_eq!(cookies, [&b"a=1"[..], b"", b"b=2", b"", b"d"]);
        assert!(head.has(Field::Cookie) && head.has(Field::Host) && !head.has(Field::Origin));
        assert_eq!((head.single(Field::Cookie), head.single(Field::Host)), (None, None));
        assert_eq!(head.single(Field::Upgrade), Some(&b"websocket"[..]));
        assert_eq!(head.all(Field::Origin).count(), 0);
    }

    #[test]
    fn values_are_without_the_space_around_them() {
        for (line, value) in [
            ("X:", ""),
            ("X: \t ", ""),
            ("X:a", "a"),
            ("X: \ta b\t ", "a b"),
            ("x: \u{e4}:", "\u{e4}:"),
        ] {
            let head = head(&PLAIN.replace("Host: a", line)).unwrap();
            assert_eq!(head.to_map()["x"].as_bytes(), value.as_bytes(), "{line:?}");
        }
    }

    #[test]
    fn everything_else_is_left_to_hyper() {
        for cut in 0..PLAIN.len() {
            assert!(head(&PLAIN[..cut]).is_none(), "{cut}");
        }
        for (from, to) in [
            ("GET", "POST"),
            ("GET", "\r\nGET"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("/ws", "http://a/ws"),
            (" HTTP", "  HTTP"),
            ("Host: a\r\n", "Host: a\n"),
            ("Host: a\r\n", "Host: a\r\r\n"),
            ("Host: a\r\n", "Host\r\n"),
            ("Host: a\r\n", ": a\r\n"),
            ("\r\n\r\n", "\r\n\n"),
            ("Upgrade: websocket", "X-Upgrade: websocket"),
            ("Cookie: a=1", "Content-Length: 0"),
            ("Cookie: a=1", "Content-Length: 5\r\nContent-Length: 5"),
            ("Cookie: a=1", "Transfer-Encoding: chunked"),
            ("Cookie: a=1", "Expect: 100-continue"),
            ("Cookie: a=1", "Cookie : a=1"),
            ("Cookie: a=1", "Cookie: a\u{0}1"),
            ("Cookie: a=1", "Cookie: a\u{7f}1"),
            ("Cookie: a=1", " folded"),
        ] {
            assert!(PLAIN.contains(from));
            let text = PLAIN.replacen(from, to, 1);
            assert!(head(&text).is_none(), "{text}");
        }
        let many = "X: 1\r\n".repeat(LINES_MAX);
        assert!(head(&PLAIN.replace("Host: a\r\n", &many)).is_none());
        let few = Bytes::from_static(PLAIN.as_bytes());
        assert!(Head::parse(few.clone(), 4).is_err() && Head::parse(few, 5).is_ok());
        let long = format!("X: {}\r\n\r\n", "1".repeat(1 << 16));
        assert!(head(&PLAIN.replace("\r\n\r\n", &format!("\r\n{long}"))).is_none());
    }

    proptest! {
        #[test]
        fn what_is_taken_is_read_as_the_parser_of_hyper_reads_it(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "\r\n", "\r\n", "\n", "\r", ":", ": ", " ", "\t", "a", "\u{e4}", "\u{1}", "\u{7f}", "\"",
                    "Host: a\r\n", "Upgrade: websocket\r\n", "X: y: z \r\n", "X:\r\n", "Content-Length: 0\r\n",
                ]),
                0..12,
            ),
            target in "/[ -~]{0,6}",
        ) {
            let text = format!("GET {target} HTTP/1.1\r\nUpgrade: a\r\n{}\r\n\r\n", pieces.concat());
            let mut headers = [httparse::EMPTY_HEADER; LINES_MAX];
            let mut parsed = httparse::Request::new(&mut headers);
            let Some(head) = head(&text) else { return Ok(()) };
            let len = parsed.parse(text.as_bytes()).unwrap().unwrap();
            let uri: http::Uri = parsed.path.unwrap().parse().unwrap();
            prop_assert_eq!((head.path(), head.query()), (uri.path(), uri.query()));
            let mut map = HeaderMap::new();
            for line in &*parsed.headers {
                let name = HeaderName::from_bytes(line.name.as_bytes()).unwrap();
                map.append(name, HeaderValue::from_bytes(line.value).unwrap());
            }
            for field in Field::ALL {
                prop_assert!(head.all(field).eq(map.all(field)), "{:?}", field);
            }
            prop_assert_eq!(head.to_map(), map);
            prop_assert_eq!(head.rest(), &text.as_bytes()[len..]);
        }
    }
}
