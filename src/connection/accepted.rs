//! A session whose socket was never hyper's: what a [`First`](super::First) head leads to.

use std::pin::Pin;

use bytes::Bytes;
use http::HeaderMap;
use tokio::io::AsyncWriteExt as _;

use super::reader::Connection;
use super::stream::Stream;
use super::upgrade::{HAND_OVER, Permit};

/// A session that waits for the socket on which it was asked for, for whoever reads heads without hyper.
///
/// Dropping it ends the session.
#[derive(Debug)]
pub struct Accepted {
    pub(super) connection: Connection,
    /// Those of the answer.
    pub(super) headers: HeaderMap,
}

impl Accepted {
    /// Keeps this for as long as the session lives.
    pub fn hold(&mut self, permit: Option<Permit>) {
        self.connection.hold(permit);
    }

    /// Writes the 101 and goes on as a session, in a task of its own. `early` is what came behind the
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
        let head = head(&self.headers);
        match stream.try_write(&head) {
            Ok(written) if written == head.len() => {
                self.begin(stream, early);
                None
            }
            written => Some(Box::pin(self.run_slowly(stream, early, head, written.unwrap_or(0)))),
        }
    }

    /// Over TLS, for one. An error shows with the next write.
    async fn run_slowly(self, mut stream: Stream, early: Bytes, head: Vec<u8>, written: usize) {
        let rest = async {
            stream.write_all(&head[written..]).await?;
            stream.flush().await
        };
        if let Ok(Ok(())) = tokio::time::timeout(HAND_OVER, rest).await {
            self.begin(stream, early);
        }
    }

    fn begin(self, stream: Stream, early: Bytes) {
        let Self { mut connection, .. } = self;
        let first = connection.begin(stream.into(), early);
        // A task of its own, as small as it can be.
        tokio::spawn(connection.run(first));
    }
}

/// The bytes of the 101.
fn head(headers: &HeaderMap) -> Vec<u8> {
    let mut head = Vec::with_capacity(256);
    head.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}
