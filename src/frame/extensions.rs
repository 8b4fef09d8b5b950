//! The negotiation of permessage-deflate (RFC 7692 section 7.1): from `Sec-WebSocket-Extensions` of
//! a request to what both sides keep to, and to the words of the answer.
//!
//! **What is agreed on.** No context takeover on either side: neither keeps a window from one
//! message to the next. So a connection has no compressor and no inflater of its own, and a
//! publication is deflated once for all who agreed on the same window. Section 7.1.1 lets a server
//! say both parameters whether or not the offer had them.
//!
//! **Which offer.** The first that is for permessage-deflate and that we can keep to (section 5). An
//! offer with a parameter that is unknown, given twice or has a bad value is declined and the next
//! one is looked at (section 7.1). Other extensions are passed over (RFC 6455 section 9.1).
//!
//! **Windows.** [`WindowBits`] are three of the seven sizes: a server may name a smaller window than
//! was asked for (section 7.1.2.1), and each size in use costs a publication one more compression.
//! An offer of `server_max_window_bits=8` is declined: no zlib deflates raw data with a window of
//! 256 bytes, and one of 512 would break what was agreed on. A client's own window may have any
//! size: ours for inflating is always the largest, since no connection keeps it.
//!
//! **A header that breaks the grammar** fails the handshake, as RFC 6455 section 9.1 demands.

use http::HeaderValue;

use crate::base::fields::{Field, Fields};

use super::handshake::is_token_char;

/// The extension's name (RFC 7692 section 7).
const NAME: &[u8] = b"permessage-deflate";

/// The window that a server deflates with: a power of two (RFC 7692 section 7.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum WindowBits {
    /// 512 bytes.
    Nine = 9,
    /// 4 KiB.
    Twelve = 12,
    /// 32 KiB, the format's largest, and what nearly every client takes.
    Fifteen = 15,
}

impl WindowBits {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nine, Self::Twelve, Self::Fifteen];

    /// Its place in [`ALL`](Self::ALL).
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Nine => 0,
            Self::Twelve => 1,
            Self::Fifteen => 2,
        }
    }

    /// The largest that is not above `most`; `None` if all are.
    const fn at_most(most: u8) -> Option<Self> {
        match most {
            15.. => Some(Self::Fifteen),
            12..=14 => Some(Self::Twelve),
            9..=11 => Some(Self::Nine),
            0..=8 => None,
        }
    }
}

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// The window that the server deflates with, at most.
    pub window_bits: WindowBits,
    /// Whether the client limited it, so that the answer has to name it.
    is_limited: bool,
}

impl Deflate {
    /// The value of the answer's `Sec-WebSocket-Extensions`.
    pub const fn answer(&self) -> HeaderValue {
        const fn answer(text: &'static str) -> HeaderValue {
            HeaderValue::from_static(text)
        }
        match (self.is_limited, self.window_bits) {
            (false, _) => {
                answer("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
            }
            (true, WindowBits::Nine) => answer(
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 server_max_window_bits=9",
            ),
            (true, WindowBits::Twelve) => answer(
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 server_max_window_bits=12",
            ),
            (true, WindowBits::Fifteen) => answer(
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 server_max_window_bits=15",
            ),
        }
    }
}

/// A header that is not of the grammar of RFC 6455 section 9.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The first offer of permessage-deflate that can be kept to, over all lines of the header; `None`
/// if there is none. All of the header has to be in order, whatever is chosen.
pub(crate) fn negotiate(fields: &impl Fields) -> Result<Option<Deflate>, Malformed> {
    let mut chosen = None;
    for line in fields.all(Field::SecWebSocketExtensions) {
        let mut rest = Rest(line);
        while rest.skip_to_element() {
            let offer = element(&mut rest)?;
            chosen = chosen.or(offer);
        }
    }
    Ok(chosen)
}

/// One element of the list: an extension with its parameters, up to the comma behind it. `None` if
/// it is another extension or a declined offer.
fn element(rest: &mut Rest<'_>) -> Result<Option<Deflate>, Malformed> {
    let mut offer = (rest.token()? == NAME).then(Offer::default);
    while rest.eat(b';') {
        let name = rest.token()?;
        let value = if rest.eat(b'=') { Some(rest.value()?) } else { None };
        offer = offer.and_then(|offer| offer.with(name, value.as_deref()));
    }
    if !rest.is_at_end_of_element() {
        return Err(Malformed);
    }
    Ok(offer.and_then(Offer::accept))
}

/// The parameters of one offer (RFC 7692 section 7.1), each at most once.
#[derive(Default)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: bool,
}

impl Offer {
    /// With one more parameter; `None` if that makes it an offer to decline.
    fn with(mut self, name: &[u8], value: Option<&[u8]>) -> Option<Self> {
        let was_there = match name {
            b"server_no_context_takeover" if value.is_none() => {
                std::mem::replace(&mut self.server_no_context_takeover, true)
            }
            b"client_no_context_takeover" if value.is_none() => {
                std::mem::replace(&mut self.client_no_context_takeover, true)
            }
            b"server_max_window_bits" => {
                self.server_max_window_bits.replace(window_bits(value?)?).is_some()
            }
            b"client_max_window_bits" => {
                if let Some(value) = value {
                    window_bits(value)?;
                }
                std::mem::replace(&mut self.client_max_window_bits, true)
            }
            _ => return None,
        };
        (!was_there).then_some(self)
    }

    fn accept(self) -> Option<Deflate> {
        let most = self.server_max_window_bits;
        let window_bits = WindowBits::at_most(most.unwrap_or(15))?;
        Some(Deflate { window_bits, is_limited: most.is_some() })
    }
}

/// A decimal number from 8 to 15 without leading zeros (RFC 7692 section 7.1.2).
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// What is left of a line of the header.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn skip_space(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    /// Takes this byte, with the space around it, if it comes next.
    fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.0.first() == Some(&byte);
        if found {
            self.0 = &self.0[1..];
            self.skip_space();
        }
        found
    }

    /// Passes commas and empty elements (RFC 9110 section 5.6.1); false at the end of the line.
    fn skip_to_element(&mut self) -> bool {
        while self.eat(b',') {}
        !self.0.is_empty()
    }

    fn is_at_end_of_element(&mut self) -> bool {
        self.skip_space();
        matches!(self.0.first(), None | Some(b','))
    }

    fn token(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self.0.iter().position(|&byte| !is_token_char(byte)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        if token.is_empty() { Err(Malformed) } else { Ok(token) }
    }

    /// A token, plain or as a quoted string; without its quotes it has to be a token all the same
    /// (RFC 6455 section 9.1).
    fn value(&mut self) -> Result<Vec<u8>, Malformed> {
        if self.0.first() != Some(&b'"') {
            return self.token().map(<[u8]>::to_vec);
        }
        let mut value = Vec::new();
        let mut bytes = self.0[1..].iter();
        loop {
            let byte = match bytes.next() {
                Some(b'"') if !value.is_empty() => break,
                Some(b'\\') => bytes.next().ok_or(Malformed)?,
                Some(byte) => byte,
                None => return Err(Malformed),
            };
            if !is_token_char(*byte) {
                return Err(Malformed);
            }
            value.push(*byte);
        }
        self.0 = bytes.as_slice();
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
