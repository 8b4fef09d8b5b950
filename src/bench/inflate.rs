//! Inflating the beginning of a message, as cheaply as a generator must: a server that compresses
//! once sends everybody the same bytes, so what was inflated last is kept and compared.

use zlib_rs::{Inflate, InflateFlush};

use super::client::LOOKED_AT_BYTES_MAX;

/// The largest window (RFC 7692 section 7.1.2.1), whatever the server uses.
const WINDOW_BITS: u8 = 15;

/// What is offered: without context from one message to the next, so that each can be looked at by
/// itself (RFC 7692 section 7.1.1).
pub(crate) const OFFER: (&str, &str) = (
    "Sec-WebSocket-Extensions",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
);

/// Whether a server that answered with these extensions compresses.
///
/// # Errors
/// It would refer to earlier messages, which was not offered.
pub(crate) fn is_agreed_on(extensions: &str) -> Result<bool, String> {
    let mut parameters = extensions.split(';').map(str::trim);
    if parameters.next() != Some("permessage-deflate") {
        return Ok(false);
    }
    match parameters.any(|parameter| parameter == "server_no_context_takeover") {
        true => Ok(true),
        false => Err("the server did not agree to server_no_context_takeover".to_owned()),
    }
}

/// See the module.
pub(crate) struct Inflater {
    /// The last beginning, compressed and not.
    last: Vec<u8>,
    plain: [u8; LOOKED_AT_BYTES_MAX],
    plain_bytes: usize,
    state: Inflate,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        let plain = [0; LOOKED_AT_BYTES_MAX];
        let state = Inflate::new(false, WINDOW_BITS);
        Self { last: Vec::new(), plain, plain_bytes: 0, state }
    }

    /// The beginning of the message whose payload begins so; nothing if that is not deflated.
    pub(crate) fn inflate(&mut self, payload: &[u8]) -> &[u8] {
        if self.last != payload {
            self.last.clear();
            self.last.extend_from_slice(payload);
            self.state.reset(false);
            // What was inflated before a fault is as good as the rest of a message that is cut here.
            let _ = self.state.decompress(payload, &mut self.plain, InflateFlush::SyncFlush);
            self.plain_bytes = self.state.total_out() as usize;
        }
        &self.plain[..self.plain_bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::stamp::{Stamp, Stamper};
    use crate::frame::{Opcode, WindowBits, encode_deflated};

    #[test]
    fn the_beginning_of_a_message_comes_back() {
        let stamp = Stamp { channel: 3, number: 70_000, intended_ns: 1 << 40 };
        let mut stamper = Stamper::new(9);
        let quotes: String =
            (0..400).map(|at| format!(r#","S{at}":{}"#, at * 7_919 % 997)).collect();
        let id = String::from_utf8(stamper.message(stamp, 32)).unwrap();
        let text = format!(r#"{{"id":"{id}"{quotes}}}"#);
        let mut inflater = Inflater::new();
        for bits in WindowBits::ALL {
            let frame = encode_deflated(Opcode::Text, text.as_bytes(), bits, 6).unwrap();
            let looked_at = &frame[4..4 + LOOKED_AT_BYTES_MAX];
            for _ in 0..2 {
                let plain = inflater.inflate(looked_at);
                assert!(text.as_bytes().starts_with(plain) && plain.len() > 100, "{}", plain.len());
                assert_eq!(stamper.find(inflater.inflate(looked_at)), Some(stamp));
            }
        }
        assert_eq!(stamper.find(inflater.inflate(&[0xff; 40])), None);
        assert_eq!(stamper.find(inflater.inflate(&[])), None);
    }

    #[test]
    fn only_what_was_offered_is_agreed_on() {
        assert_eq!(is_agreed_on("permessage-deflate; server_no_context_takeover"), Ok(true));
        assert_eq!(is_agreed_on("x-other"), Ok(false));
        assert!(is_agreed_on("permessage-deflate; client_no_context_takeover").is_err());
    }
}
