//! A publication and its encoded forms.

use std::sync::Arc;

use bytes::Bytes;

use super::{json, sse};
use crate::base::access::Info;
use crate::base::disconnect::Disconnect;
use crate::base::ids::{ChannelName, SessionId, UserId};
use crate::base::message::{Kind, Message};
use crate::base::position::StreamPosition;
use crate::frame::{self, Opcode, WindowBits};

/// Whom a publication is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every subscriber of the channel.
    Channel(ChannelName),
    /// Every session of the user.
    User(UserId),
    /// Those who asked who comes and goes. There is no message to it but this.
    Presence(Box<PresenceEvent>),
}

/// Somebody came into a channel, or left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceEvent {
    /// The channel.
    pub channel: ChannelName,
    /// Whether somebody came.
    pub is_join: bool,
    /// Who.
    pub session: SessionId,
    /// The user of the session, if any.
    pub user: Option<UserId>,
    /// What others may see of it.
    pub info: Option<Arc<Info>>,
    /// Events before this one that could not be told.
    pub missed: u64,
}

/// A message on its way to its subscribers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Whom it is for.
    pub target: Target,
    /// What they get.
    pub message: Message,
}

/// How a session wants its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum WireFormat {
    /// The message itself, as a WebSocket message of its kind.
    Raw,
    /// The JSON envelope of [`json`].
    Json,
    /// The same in server-sent events ([`sse`]).
    Sse,
}

impl WireFormat {
    /// How many there are.
    pub(crate) const COUNT: usize = 3;

    /// Its name in spans.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Json => "json",
            Self::Sse => "sse",
        }
    }

    /// The publication as one whole WebSocket frame (RFC 6455 section 5.2) or event. `position` is
    /// where it is in the channel, if subscribers are told.
    pub fn encode(self, publication: &Publication, position: Option<StreamPosition>) -> Bytes {
        let message = &publication.message;
        if let Target::Presence(event) = &publication.target {
            return self.text(&json::encode_presence_event(event));
        }
        match (self, message.kind()) {
            (Self::Raw, Kind::Binary) => frame::encode(Opcode::Binary, message.data()),
            (Self::Raw, Kind::Text | Kind::Json) => frame::encode(Opcode::Text, message.data()),
            (Self::Json | Self::Sse, _) => {
                let target = match &publication.target {
                    Target::Channel(channel) => json::Target::Channel(channel),
                    Target::User(user) => json::Target::User(user),
                    Target::Presence(event) => json::Target::Channel(&event.channel),
                };
                let offset = position.map(|position| position.offset);
                let text = json::encode_message(target, message, offset);
                match self {
                    Self::Sse => sse::event(position, &text),
                    _ => frame::encode(Opcode::Text, &text),
                }
            }
        }
    }

    /// A text of ours, as one whole frame or event.
    pub fn text(self, text: &[u8]) -> Bytes {
        match self {
            Self::Raw | Self::Json => frame::encode(Opcode::Text, text),
            Self::Sse => sse::event(None, text),
        }
    }

    /// What keeps a silent connection alive.
    pub fn heartbeat(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Raw | Self::Json => frame::PING,
            Self::Sse => sse::HEARTBEAT,
        })
    }

    /// Whether the peer answers a [`heartbeat`](Self::heartbeat).
    pub fn answers_heartbeats(self) -> bool {
        self != Self::Sse
    }

    /// The last thing that is written.
    pub fn close(self, disconnect: &Disconnect) -> Bytes {
        match self {
            Self::Raw | Self::Json => frame::encode_close(disconnect.code(), disconnect.text()),
            Self::Sse => sse::disconnect(disconnect),
        }
    }
}

/// The form in which a session gets publications: a wire format, deflated or not. Sessions of one
/// form get the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Form {
    /// The wire format.
    pub format: WireFormat,
    /// The window to deflate with, if permessage-deflate was agreed on (RFC 7692).
    pub deflate: Option<WindowBits>,
}

impl Form {
    /// How many there are besides the plain ones.
    pub(crate) const DEFLATED_COUNT: usize = WireFormat::COUNT * WindowBits::ALL.len();

    /// The wire format alone.
    pub const fn plain(format: WireFormat) -> Self {
        Self { format, deflate: None }
    }

    /// Its place among those that are deflated; `None` for a plain one.
    pub(crate) fn deflated_index(self) -> Option<usize> {
        let window = self.deflate?.index();
        Some(window * WireFormat::COUNT + self.format as usize)
    }
}
