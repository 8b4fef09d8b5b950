//! Every way a session can end by our decision: one table for wire, metrics and documentation.

use std::borrow::Cow;

/// An RFC 6455 section 7.4 close code: 1000 to 4999.
pub type CloseCode = u16;

/// Why a session ends, as a row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// The peer closed, or its connection broke.
    ClientClosed,
    /// The gateway is going away.
    Shutdown,
    /// The session did not keep up: its outbox was over its bounds.
    SlowConsumer,
    /// Its token expired.
    TokenExpired,
    /// The application asked for it.
    Kicked,
    /// It did not answer a ping in time.
    PingTimeout,
    /// It broke RFC 6455.
    ProtocolError,
    /// A text message was not UTF-8.
    InvalidUtf8,
    /// A message was longer than the limit.
    MessageTooBig,
    /// It broke a limit of ours: floods, fragments, a frame that drips.
    PolicyViolation,
    /// Something of ours failed.
    InternalError,
    /// It sent what its protocol has no place for.
    UnsupportedData,
    /// The node's memory was tight, and it held a part of it.
    Shed,
}

/// How much an operator has to know of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Nothing: sessions come and go.
    Ordinary,
    /// The peer did something that it should not, or could not keep up.
    Notable,
    /// It is our side that is in trouble.
    Alarming,
}

impl Reason {
    /// Every row, in order.
    pub const ALL: [Reason; 13] = [
        Reason::ClientClosed,
        Reason::Shutdown,
        Reason::SlowConsumer,
        Reason::TokenExpired,
        Reason::Kicked,
        Reason::PingTimeout,
        Reason::ProtocolError,
        Reason::InvalidUtf8,
        Reason::MessageTooBig,
        Reason::PolicyViolation,
        Reason::InternalError,
        Reason::UnsupportedData,
        Reason::Shed,
    ];

    /// The row: name in metrics and logs, close code on a plain WebSocket, text beside the code,
    /// and whether a client does well to come back.
    const fn row(self) -> (&'static str, CloseCode, &'static str, bool) {
        match self {
            Reason::ClientClosed => ("client_closed", 1000, "", true),
            Reason::Shutdown => ("shutdown", 1001, "going away", true),
            Reason::SlowConsumer => ("slow_consumer", 4408, "slow consumer", true),
            Reason::TokenExpired => ("token_expired", 4401, "token expired", true),
            Reason::Kicked => ("kicked", 4403, "disconnected by the application", false),
            Reason::PingTimeout => ("ping_timeout", 4407, "no answer to a ping", true),
            Reason::ProtocolError => ("protocol_error", 1002, "protocol error", false),
            Reason::InvalidUtf8 => ("invalid_utf8", 1007, "text is not UTF-8", false),
            Reason::MessageTooBig => ("message_too_big", 1009, "message too big", false),
            Reason::PolicyViolation => ("policy_violation", 1008, "policy violation", false),
            Reason::InternalError => ("internal_error", 1011, "internal error", true),
            Reason::UnsupportedData => ("unsupported_data", 1003, "unsupported data", false),
            Reason::Shed => ("shed", 1013, "the node is short of memory", true),
        }
    }

    /// How much an operator has to know of it: the level of its log line.
    pub const fn weight(self) -> Weight {
        match self {
            Reason::ClientClosed
            | Reason::Shutdown
            | Reason::TokenExpired
            | Reason::Kicked
            | Reason::PingTimeout => Weight::Ordinary,
            Reason::SlowConsumer
            | Reason::ProtocolError
            | Reason::InvalidUtf8
            | Reason::MessageTooBig
            | Reason::PolicyViolation
            | Reason::UnsupportedData => Weight::Notable,
            Reason::InternalError | Reason::Shed => Weight::Alarming,
        }
    }

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The close code a plain WebSocket gets.
    pub const fn code(self) -> CloseCode {
        self.row().1
    }

    /// The text beside the code.
    pub const fn text(self) -> &'static str {
        self.row().2
    }

    /// Whether the same client may expect success when it connects again.
    pub const fn reconnect(self) -> bool {
        self.row().3
    }
}

/// A decision to end a session: the row, with a code and a text of the application's if it gave any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    reason: Reason,
    code: CloseCode,
    text: Cow<'static, str>,
}

impl Disconnect {
    /// With the table's code and text.
    pub const fn new(reason: Reason) -> Self {
        Self { reason, code: reason.code(), text: Cow::Borrowed(reason.text()) }
    }

    /// With a text of its own, cut to the 123 bytes that a close frame holds (RFC 6455 section 5.5).
    #[must_use]
    pub fn with_text(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        let mut text = text.into();
        if text.len() > 123 {
            let end = (0..=123).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            text.to_mut().truncate(end);
        }
        self.text = text;
        self
    }

    /// With a code of its own. A code that may not be sent (RFC 6455 section 7.4) is ignored.
    #[must_use]
    pub fn with_code(mut self, code: CloseCode) -> Self {
        if matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
            self.code = code;
        }
        self
    }

    /// The row.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The close code to send.
    pub fn code(&self) -> CloseCode {
        self.code
    }

    /// The text to send.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_every_row_in_order() {
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
        }
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        let disconnect = Disconnect::new(Reason::Kicked).with_text("ä".repeat(100));
        assert_eq!(disconnect.text().len(), 122);
    }

    #[test]
    fn a_code_that_may_not_be_sent_is_ignored() {
        for bad in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            assert_eq!(Disconnect::new(Reason::Kicked).with_code(bad).code(), 4403);
        }
        assert_eq!(Disconnect::new(Reason::Kicked).with_code(3500).code(), 3500);
    }
}
