//! Publishing over a WebSocket: frames out; what comes is of no interest, except that it goes on.

use crate::bench::client::{CARRIED_BYTES_MAX, FrameReader, Piece, masked_frame};

/// Any mask does: nothing between here and the server is to be protected from what is sent.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const PONG: u8 = 10;

/// The server's side of the publisher's connection.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    reader: FrameReader,
    scratch: Vec<u8>,
}

impl Echoes {
    pub(super) fn frame(&mut self, out: &mut Vec<u8>, body: &[u8], is_binary: bool) {
        out.extend(masked_frame(if is_binary { BINARY } else { TEXT }, body, MASK));
    }

    /// Steps over what came, and answers pings.
    pub(super) fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        self.scratch.resize(CARRIED_BYTES_MAX + bytes.len(), 0);
        let start = self.reader.restore(&mut self.scratch);
        let end = start + bytes.len();
        self.scratch[start..end].copy_from_slice(bytes);
        let mut closed = None;
        self.reader
            .feed(&self.scratch[..end], |piece| match piece {
                Piece::Ping(payload) => out.extend(masked_frame(PONG, payload, MASK)),
                Piece::Close(code) => closed = Some(code),
                Piece::Message(_) | Piece::Deflated(_) => {}
            })
            .map_err(|fault| fault.to_string())?;
        match closed {
            Some(code) => Err(format!("the server closed its connection with the code {code}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_are_answered_and_a_close_is_told() {
        let mut echoes = Echoes::default();
        let mut out = Vec::new();
        echoes.take(&[0x81, 1, b'x', 0x89], &mut out).unwrap();
        assert!(out.is_empty());
        echoes.take(&[1, b'p'], &mut out).unwrap();
        assert_eq!(out, masked_frame(PONG, b"p", MASK));
        let text = echoes.take(&[0x88, 2, 0x03, 0xf0], &mut out).unwrap_err();
        assert!(text.contains("1008"), "{text}");
    }
}
