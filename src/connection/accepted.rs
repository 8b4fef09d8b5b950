//! A session whose socket was never hyper's: what a [`First`](super::First) head leads to.

use std::pin::Pin;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::io::AsyncWriteExt as _;

use super::reader::{Connection, SCRATCH};
use super::silent;
use super::stream::Stream;
use super::upgrade::{HAND_OVER, Permit};
use crate::frame::{ACCEPT_LEN, Deflate};

/// A session that waits for the socket on which it was asked for, for whoever reads heads without hyper.
///
/// Dropping it ends the session.
#[derive(Debug)]
pub struct Accepted {
    pub(super) connection: Box<Connection>,
    pub(super) answer: Switch,
}

impl Accepted {
    /// Keeps this for as long as the session lives.
    pub fn hold(&mut self, permit: Option<Permit>) {
        self.connection.hold(permit);
    }

    /// Writes the 101 and goes on as a session by itself. `early` is what came behind the
    /// head. What comes back, if the socket did not take the 101 at once, has to be awaited.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, what comes back ends the session, and the connection.
    #[must_use]
    pub fn run(
        self,
        stream: Stream,
        early: Bytes,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let rest = SCRATCH.with_borrow_mut(|scratch| {
            let len = self.answer.write_to(scratch);
            let written = stream.try_write(&scratch[..len]).unwrap_or(0);
            scratch[written..len].to_vec()
        });
        if rest.is_empty() {
            self.begin(stream, early);
            return None;
        }
        Some(Box::pin(self.run_slowly(stream, early, rest)))
    }

    /// Over TLS, for one. An error shows with the next write.
    async fn run_slowly(self, mut stream: Stream, early: Bytes, rest: Vec<u8>) {
        let rest = async {
            stream.write_all(&rest).await?;
            stream.flush().await
        };
        if let Ok(Ok(())) = tokio::time::timeout(HAND_OVER, rest).await {
            self.begin(stream, early);
        }
    }

    fn begin(self, stream: Stream, early: Bytes) {
        let Self { mut connection, .. } = self;
        let first = connection.begin(stream.into(), early);
        silent::start(connection, first);
    }
}

/// The 101, as far as it is not always the same.
#[derive(Debug)]
pub(super) struct Switch {
    /// The value of its `Sec-WebSocket-Accept`.
    pub(super) key: [u8; ACCEPT_LEN],
    /// The subprotocol.
    pub(super) protocol: Option<HeaderValue>,
    pub(super) deflate: Option<Deflate>,
}

/// How it begins, up to the key.
const BEGIN: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Accept: ";

impl Switch {
    /// Its fields that are not always there.
    fn others(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let protocol = self.protocol.clone();
        let protocol = protocol.map(|protocol| (header::SEC_WEBSOCKET_PROTOCOL, protocol));
        let agreed = self.deflate.map(|agreed| (header::SEC_WEBSOCKET_EXTENSIONS, agreed.answer()));
        protocol.into_iter().chain(agreed)
    }

    /// Its fields.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(5);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        // Base64 has no byte that is refused.
        let key = HeaderValue::from_bytes(&self.key).ok();
        headers.extend(key.map(|key| (header::SEC_WEBSOCKET_ACCEPT, key)));
        headers.extend(self.others());
        headers
    }

    /// Writes its bytes, of which there are 2 KiB at most. Returns how many.
    fn write_to(&self, scratch: &mut [u8]) -> usize {
        let mut len = 0;
        let mut put = |part: &[u8]| {
            scratch[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        };
        put(BEGIN);
        put(&self.key);
        for (name, value) in self.others() {
            for part in [b"\r\n", name.as_str().as_bytes(), b": ", value.as_bytes()] {
                put(part);
            }
        }
        put(b"\r\n\r\n");
        len
    }
}
