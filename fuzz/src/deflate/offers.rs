//! Any bytes as `Sec-WebSocket-Extensions`: what we agree on is what a second, plain reading of the
//! grammar (RFC 6455 section 9.1) and of the parameters (RFC 7692 section 7.1) comes to, and what
//! sockudo-ws 3.1 does.
//!
//! Input: the lines of the header, with a line feed between them.

use fanfare::frame::{HandshakeError, WindowBits, check};
use http::{HeaderValue, Request};
use sockudo_ws::deflate::{DeflateConfig, negotiate_server_deflate};

/// A line of the header has a cost, and more of them do nothing new.
const LINES_MAX: usize = 8;

const NAME: &[u8] = b"permessage-deflate";

pub fn run(data: &[u8]) {
    let lines: Vec<HeaderValue> = data
        .split(|byte| *byte == b'\n')
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .take(LINES_MAX)
        .collect();
    let agreed = match check(&request(&lines)) {
        Ok(handshake) => Some(handshake.deflate),
        Err(HandshakeError::Extensions) => None,
        Err(error) => panic!("everything else is in order: {error}"),
    };
    let elements: Option<Vec<Element>> =
        lines.iter().map(|line| elements(line.as_bytes())).collect::<Option<Vec<_>>>().map(flatten);
    let (agreed, elements) = match (agreed, elements) {
        (None, None) => return,
        (Some(agreed), Some(elements)) => (agreed, elements),
        (agreed, _) => panic!("ours: {agreed:?} for {lines:?}"),
    };

    let offer = elements.iter().find_map(Offer::read);
    let answer = agreed.map(|agreed| agreed.answer());
    match (agreed, &offer) {
        (None, None) => {}
        (Some(agreed), Some(offer)) => offer.hold(agreed.window_bits, &agreed.answer()),
        (agreed, offer) => panic!("{agreed:?} for {offer:?} of {lines:?}"),
    }
    compare(&lines, answer.as_ref());
}

/// An upgrade that is in order but for what these lines say.
fn request(lines: &[HeaderValue]) -> http::request::Parts {
    let mut request = Request::builder()
        .uri("/")
        .header("host", "example.org")
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for line in lines {
        request = request.header("sec-websocket-extensions", line);
    }
    request.body(()).unwrap().into_parts().0
}

fn flatten(lines: Vec<Vec<Element>>) -> Vec<Element> {
    lines.into_iter().flatten().collect()
}

/// An extension and its parameters.
#[derive(Debug)]
struct Element {
    name: Vec<u8>,
    parameters: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

#[derive(Clone, PartialEq)]
enum Piece {
    Token(Vec<u8>),
    Quoted(Vec<u8>),
    Mark(u8),
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !br#"()<>@,;:\"/[]?={}"#.contains(&byte)
}

/// The pieces of a line, without the space between them; `None` where there is something that no
/// piece begins with.
fn pieces(line: &[u8]) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        at += 1;
        match byte {
            b' ' | b'\t' => {}
            b',' | b';' | b'=' => pieces.push(Piece::Mark(byte)),
            b'"' => {
                let mut text = Vec::new();
                loop {
                    let mut byte = *line.get(at)?;
                    at += 1;
                    match byte {
                        b'"' => break,
                        b'\\' => {
                            byte = *line.get(at)?;
                            at += 1;
                        }
                        _ => {}
                    }
                    text.push(byte);
                }
                pieces.push(Piece::Quoted(text));
            }
            byte if is_token(byte) => {
                let rest = &line[at - 1..];
                let len = rest.iter().take_while(|byte| is_token(**byte)).count();
                pieces.push(Piece::Token(rest[..len].to_vec()));
                at += len - 1;
            }
            _ => return None,
        }
    }
    Some(pieces)
}

/// The elements of a line; `None` if it is not of the grammar.
fn elements(line: &[u8]) -> Option<Vec<Element>> {
    let pieces = pieces(line)?;
    let elements = pieces.split(|piece| *piece == Piece::Mark(b','));
    elements.filter(|element| !element.is_empty()).map(element).collect()
}

fn element(pieces: &[Piece]) -> Option<Element> {
    let mut parts = pieces.split(|piece| *piece == Piece::Mark(b';'));
    let [Piece::Token(name)] = parts.next()? else { return None };
    let parameters = parts.map(|part| match part {
        [Piece::Token(name)] => Some((name.clone(), None)),
        [Piece::Token(name), Piece::Mark(b'='), Piece::Token(value)] => {
            Some((name.clone(), Some(value.clone())))
        }
        [Piece::Token(name), Piece::Mark(b'='), Piece::Quoted(value)]
            if !value.is_empty() && value.iter().all(|byte| is_token(*byte)) =>
        {
            Some((name.clone(), Some(value.clone())))
        }
        _ => None,
    });
    Some(Element { name: name.clone(), parameters: parameters.collect::<Option<_>>()? })
}

/// An offer that can be kept to.
#[derive(Debug)]
struct Offer {
    server_max_window_bits: Option<u8>,
}

impl Offer {
    fn read(element: &Element) -> Option<Self> {
        let Element { name, parameters } = element;
        let value_of = |wanted: &str| -> Option<Option<Option<u8>>> {
            let mut found = parameters.iter().filter(|(name, _)| name == wanted.as_bytes());
            let Some((_, value)) = found.next() else { return Some(None) };
            if found.next().is_some() {
                return None;
            }
            let Some(value) = value else { return Some(Some(None)) };
            // The shortest decimal form, as the standard library writes it.
            let bits = (8..=15).find(|bits: &u8| bits.to_string().as_bytes() == value)?;
            Some(Some(Some(bits)))
        };
        let known = [
            "server_no_context_takeover",
            "client_no_context_takeover",
            "server_max_window_bits",
            "client_max_window_bits",
        ];
        if name != NAME
            || parameters.iter().any(|(name, _)| !known.iter().any(|k| k.as_bytes() == name))
        {
            return None;
        }
        for flag in &known[..2] {
            if matches!(value_of(flag)?, Some(Some(_))) {
                return None;
            }
        }
        value_of("client_max_window_bits")?;
        let server_max_window_bits = match value_of("server_max_window_bits")? {
            Some(bits) => Some(bits?),
            None => None,
        };
        (server_max_window_bits != Some(8)).then_some(Self { server_max_window_bits })
    }

    /// Holds what was agreed on, and the answer as a client reads it, against the offer.
    fn hold(&self, window: WindowBits, answer: &HeaderValue) {
        let read = elements(answer.as_bytes()).expect("an answer is of the grammar");
        let [Element { name, parameters }] = &read[..] else { panic!("one answer: {answer:?}") };
        assert_eq!(name, NAME);
        let most = self.server_max_window_bits.unwrap_or(15);
        let largest =
            WindowBits::ALL.into_iter().filter(|bits| *bits as u8 <= most).max_by_key(|b| *b as u8);
        assert_eq!(Some(window), largest, "the largest window that was offered");
        let mut expected = vec![
            (b"server_no_context_takeover".to_vec(), None),
            (b"client_no_context_takeover".to_vec(), None),
        ];
        // Section 7.1.2.1: who was asked for a window must answer with one, not above it.
        if self.server_max_window_bits.is_some() {
            let bits = (window as u8).to_string().into_bytes();
            expected.push((b"server_max_window_bits".to_vec(), Some(bits)));
        }
        assert_eq!(*parameters, expected);
    }
}

/// What sockudo-ws 3.1 makes of the same. It does not undo a backslash in a quoted string.
fn compare(lines: &[HeaderValue], ours: Option<&HeaderValue>) {
    let joined = lines.iter().map(|line| line.to_str().unwrap()).collect::<Vec<_>>().join(",");
    if joined.contains('\\') {
        return;
    }
    let policy = DeflateConfig {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        ..Default::default()
    };
    let theirs = negotiate_server_deflate(&joined, &policy);
    assert_eq!(theirs.is_some(), ours.is_some(), "sockudo-ws disagrees about {joined:?}");
    let (Some(theirs), Some(ours)) = (theirs, ours) else { return };
    let bits = |answer: &str| {
        let value = answer.split_once("server_max_window_bits=")?.1;
        value.split(';').next()?.trim().parse::<u8>().ok()
    };
    match (bits(ours.to_str().unwrap()), bits(&theirs.to_response_header())) {
        (None, None) => {}
        // It has all the sizes, we have three of them.
        (Some(ours), Some(theirs)) if (ours..ours + 3).contains(&theirs) => {}
        (ours, theirs) => panic!("{ours:?}, sockudo-ws has {theirs:?}: {joined:?}"),
    }
}
