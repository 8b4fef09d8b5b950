//! Where the requests of an HTTP/1.1 connection begin and end (RFC 9112 sections 2.2, 6 and 7.1),
//! and whether anything about that could be read in two ways.
//!
//! hyper takes a line that ends with a bare LF, drops a Content-Length beside a Transfer-Encoding,
//! and joins equal Content-Lengths: each allowed by the RFC, and each what request smuggling is made
//! of when a proxy in front reads it differently. So the bytes are looked at once more on their way
//! to hyper, which goes on doing the parsing. Work is linear in the bytes, however they are cut.

/// What is kept of a line: `content-length:` and twenty digits fit, with some space between.
const KEPT: usize = 48;

/// Empty lines before a request. RFC 9112 section 2.2 asks for one at least to be passed over; hyper
/// goes over all of them again with every one that comes.
const EMPTY_LINES_MAX: u8 = 4;

/// Why no more requests are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes can be read in more than one way.
    Ambiguous,
    /// Empty lines in place of a request.
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before a request, maybe among empty lines.
    Between,
    Head,
    Body,
    ChunkSize,
    /// And the line break behind it.
    Chunk,
    Trailers,
    /// Behind something ambiguous.
    Lost,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Framing {
    place: Place,
    /// The start of the line that is arriving.
    line: [u8; KEPT],
    line_len: usize,
    last: u8,
    empty_lines: u8,
    heads: u32,
    content_length: Option<u64>,
    is_chunked: bool,
    /// Bytes that are left of a body or a chunk.
    left: u64,
}

impl Framing {
    pub(super) const fn new() -> Self {
        Self {
            place: Place::Between,
            line: [0; KEPT],
            line_len: 0,
            last: 0,
            empty_lines: 0,
            heads: 0,
            content_length: None,
            is_chunked: false,
            left: 0,
        }
    }

    /// Heads that have come in whole.
    pub(super) fn heads(&self) -> u32 {
        self.heads
    }

    /// Whether a head has begun and is not whole; also, if it has become ambiguous where heads are.
    pub(super) fn is_in_head(&self) -> bool {
        matches!(self.place, Place::Head | Place::Lost)
    }

    /// Takes the bytes that came next.
    ///
    /// # Errors
    /// [`Fault`], once; from then on nothing is looked at.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let taken = self.walk(bytes);
        if taken.is_err() {
            self.place = Place::Lost;
        }
        taken
    }

    fn walk(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            match self.place {
                Place::Lost => return Ok(()),
                Place::Body | Place::Chunk => {
                    let left = usize::try_from(self.left).unwrap_or(usize::MAX);
                    let count = bytes.len().min(left);
                    self.left -= count as u64;
                    bytes = &bytes[count..];
                    self.after_body();
                }
                Place::Between | Place::Head | Place::ChunkSize | Place::Trailers => {
                    let end = bytes.iter().position(|&byte| byte == b'\n');
                    self.keep(&bytes[..end.unwrap_or(bytes.len())]);
                    let Some(end) = end else { return Ok(()) };
                    bytes = &bytes[end + 1..];
                    self.end_line()?;
                }
            }
        }
        Ok(())
    }

    fn after_body(&mut self) {
        if self.left == 0 {
            self.place = match self.place {
                Place::Chunk => Place::ChunkSize,
                _ => Place::Between,
            };
        }
    }

    fn keep(&mut self, part: &[u8]) {
        let Some(&last) = part.last() else { return };
        let at = self.line_len.min(KEPT);
        let count = part.len().min(KEPT - at);
        self.line[at..at + count].copy_from_slice(&part[..count]);
        self.line_len += part.len();
        self.last = last;
        if self.place == Place::Between && (self.line_len > 1 || last != b'\r') {
            self.place = Place::Head;
        }
    }

    fn end_line(&mut self) -> Result<(), Fault> {
        if self.line_len == 0 || self.last != b'\r' {
            return Err(Fault::Ambiguous);
        }
        let len = self.line_len - 1;
        self.line_len = 0;
        self.last = 0;
        match self.place {
            Place::Between => {
                self.empty_lines += 1;
                return if self.empty_lines > EMPTY_LINES_MAX { Err(Fault::Empty) } else { Ok(()) };
            }
            Place::Head if len == 0 => return self.end_head(),
            Place::Head => return self.header(len),
            Place::ChunkSize => {
                let size = chunk_size(&self.line[..len.min(KEPT)]).ok_or(Fault::Ambiguous)?;
                self.left = size.checked_add(2).ok_or(Fault::Ambiguous)?;
                self.place = if size == 0 { Place::Trailers } else { Place::Chunk };
            }
            Place::Trailers if len == 0 => self.place = Place::Between,
            Place::Trailers | Place::Body | Place::Chunk | Place::Lost => {}
        }
        Ok(())
    }

    fn header(&mut self, len: usize) -> Result<(), Fault> {
        let line = &self.line[..len.min(KEPT)];
        if value_of(b"transfer-encoding:", line).is_some() {
            self.is_chunked = true;
        } else if let Some(value) = value_of(b"content-length:", line) {
            let is_whole = len <= KEPT && self.content_length.is_none();
            let length = number(value.trim_ascii()).filter(|_| is_whole).ok_or(Fault::Ambiguous)?;
            self.content_length = Some(length);
        }
        Ok(())
    }

    fn end_head(&mut self) -> Result<(), Fault> {
        let (length, is_chunked) = (self.content_length.take(), self.is_chunked);
        if is_chunked && length.is_some() {
            return Err(Fault::Ambiguous);
        }
        (self.is_chunked, self.empty_lines) = (false, 0);
        self.heads = self.heads.saturating_add(1);
        self.left = length.unwrap_or(0);
        self.place = match (is_chunked, self.left) {
            (true, _) => Place::ChunkSize,
            (false, 0) => Place::Between,
            (false, _) => Place::Body,
        };
        Ok(())
    }
}

/// What stands behind a name and its colon, if the line begins with them.
fn value_of<'l>(name: &[u8], line: &'l [u8]) -> Option<&'l [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

/// Digits and nothing else.
fn number(text: &[u8]) -> Option<u64> {
    let is_plain = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_plain)?.parse().ok()
}

/// RFC 9112 section 7.1: hexadecimal digits, then maybe an extension.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let digits = std::str::from_utf8(&line[..end]).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heads(bytes: &[u8]) -> Result<u32, Fault> {
        let mut framing = Framing::new();
        framing.take(bytes).map(|()| framing.heads())
    }

    const SEVERAL: &[u8] = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\
        POST / HTTP/1.1\r\ncontent-Length:  7 \r\n\r\na\nb\r\n\r\n\
        POST / HTTP/1.1\r\nTRANSFER-encoding: chunked\r\n\r\n\
        5;x=y\r\n\n\n\n\n\n\r\nA\r\nGET / HTTP\r\n0\r\nTrailer: 1\r\n\r\n\
        GET / HTTP/1.1\r\n\r\n";

    #[test]
    fn bodies_are_not_taken_for_heads_however_the_bytes_are_cut() {
        assert_eq!(heads(SEVERAL), Ok(4));
        for cut in 0..SEVERAL.len() {
            let mut framing = Framing::new();
            framing.take(&SEVERAL[..cut]).unwrap();
            framing.take(&SEVERAL[cut..]).unwrap();
            assert_eq!((framing.heads(), framing.is_in_head()), (4, false), "cut at {cut}");
        }
        let mut framing = Framing::new();
        SEVERAL.chunks(1).for_each(|byte| framing.take(byte).unwrap());
        assert_eq!(framing.heads(), 4);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_found() {
        for bad in [
            &b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\nHost: a\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\n",
            b"GET / HTTP/1.1\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n",
            b"\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: +1\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n",
            b"POST / HTTP/1.1\r\nContent-Length:                                     1\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\n",
        ] {
            let text = String::from_utf8_lossy(bad);
            assert_eq!(heads(bad), Err(Fault::Ambiguous), "{text}");
            let mut framing = Framing::new();
            assert!(bad.chunks(1).any(|byte| framing.take(byte).is_err()), "{text}");
            assert!(framing.is_in_head());
            assert_eq!(framing.take(b"\n\n\n"), Ok(()), "it is said once");
        }
    }

    #[test]
    fn empty_lines_are_passed_over_but_not_for_ever() {
        assert_eq!(heads(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n"), Ok(2));
        assert_eq!(heads(&b"\r\n".repeat(5)), Err(Fault::Empty));
    }

    #[test]
    fn a_head_that_has_begun_is_known_as_such() {
        let mut framing = Framing::new();
        for (bytes, expected) in [
            ("\r", false),
            ("\n", false),
            ("G", true),
            ("ET / HTTP/1.1\r\n\r", true),
            ("\n", false),
        ] {
            framing.take(bytes.as_bytes()).unwrap();
            assert_eq!(framing.is_in_head(), expected, "after {bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference_and_nothing_makes_it_panic(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "\r\n", "\n", "\r", "GET / HTTP/1.1\r\n", "Content-Length: 3\r\n",
                    "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n", "0\r\n", "abc", "ff", ":",
                ]),
                0..24,
            ),
            size in 1usize..9,
        ) {
            let bytes = pieces.concat().into_bytes();
            let (mut whole, mut cut) = (Framing::new(), Framing::new());
            let expected = whole.take(&bytes);
            let found = bytes.chunks(size).try_for_each(|piece| cut.take(piece));
            prop_assert_eq!((expected, whole.heads()), (found, cut.heads()));
        }
    }
}
