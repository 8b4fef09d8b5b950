//! Server-sent events (WHATWG HTML section 9.2): the JSON session protocol for whoever only listens.
//!
//! An event's `data` is the JSON text that a WebSocket of the JSON protocol would get. Its `id`, where
//! the channel keeps a history, is the position `EPOCH:OFFSET`: a browser that lost the connection
//! sends the last one as `Last-Event-ID`.
//!
//! ```text
//! id: 00112233aabbccdd:8
//! data: {"type":"message","channel":"news","offset":8,"data":{"a":1}}
//!
//! event: disconnect
//! data: {"code":1001,"reason":"going away","reconnect":true}
//!
//! ```

use bytes::Bytes;

use crate::base::disconnect::Disconnect;
use crate::base::position::StreamPosition;

/// What an idle stream is kept alive with: a comment, which clients pass over.
pub const HEARTBEAT: &[u8] = b":\n\n";

/// An event. `json` is one line.
pub fn event(position: Option<StreamPosition>, json: &[u8]) -> Bytes {
    debug_assert!(!json.contains(&b'\n') && !json.contains(&b'\r'));
    let mut event = Vec::with_capacity(64 + json.len());
    if let Some(position) = position {
        event.extend_from_slice(format!("id: {position}\n").as_bytes());
    }
    event.extend_from_slice(b"data: ");
    event.extend_from_slice(json);
    event.extend_from_slice(b"\n\n");
    event.into()
}

/// The last event: why the stream ends, and whether coming back makes sense. A browser comes back by
/// itself unless its program listens to this and closes the EventSource.
pub fn disconnect(disconnect: &Disconnect) -> Bytes {
    let json = serde_json::json!({
        "code": disconnect.code(),
        "reason": disconnect.text(),
        "reconnect": disconnect.reason().reconnect(),
    });
    Bytes::from(format!("event: disconnect\ndata: {json}\n\n"))
}

/// When a browser comes back after the stream broke, in milliseconds.
pub fn retry(ms: u64) -> Bytes {
    Bytes::from(format!("retry: {ms}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disconnect::Reason;

    #[test]
    fn an_event_has_its_position_and_one_line_of_data() {
        let position = "00112233aabbccdd:8".parse().unwrap();
        let with_id = event(Some(position), b"{}");
        assert_eq!(with_id, "id: 00112233aabbccdd:8\ndata: {}\n\n");
        assert_eq!(event(None, b"{}"), "data: {}\n\n");
    }

    #[test]
    fn the_end_says_why() {
        let text = Disconnect::new(Reason::Kicked).with_text("a \"b\"\nc");
        assert_eq!(
            disconnect(&text),
            "event: disconnect\ndata: {\"code\":4403,\"reason\":\"a \\\"b\\\"\\nc\",\"reconnect\":false}\n\n"
        );
    }
}
