//! What a channel keeps, for those who ask: its history and where it is.

use tokio::sync::oneshot;

use super::Hub;
use super::channel::Letter;
use super::encoded::Encoded;
use super::history::Most;
use super::letters::Question;
use super::shared::Shared;
use super::stream::Stream;
use crate::base::ids::ChannelName;
use crate::base::message::Message;
use crate::base::position::{Epoch, StreamPosition};

/// Which part of a history is wanted.
#[derive(Clone, Copy, Debug)]
pub struct HistoryQuery {
    /// At most this many publications; 0 asks for the position alone.
    pub limit: usize,
    /// Only those after this position, or before it if `is_reverse`.
    pub since: Option<StreamPosition>,
    /// The newest first.
    pub is_reverse: bool,
}

/// A part of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// Where the channel is.
    pub position: StreamPosition,
    /// Each with its offset.
    pub publications: Vec<(u64, Message)>,
}

/// Why there is no answer about a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryError {
    /// The channel keeps none.
    NotKept,
    /// What follows the position is not all here any more, or it is of another epoch.
    Unrecoverable,
    /// The hub has as many channels as it may have, or it is gone.
    Unavailable,
}

impl std::fmt::Display for HistoryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotKept => {
                "this channel keeps no history; a rule under channels.rules turns it on"
            }
            Self::Unrecoverable => "the history does not reach back to that position",
            Self::Unavailable => "the hub takes no more channels",
        })
    }
}

impl std::error::Error for HistoryError {}

impl Hub {
    /// A part of what the channel keeps, at most as many bytes of messages as an outbox may hold.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn history(
        &self,
        channel: &ChannelName,
        query: HistoryQuery,
    ) -> Result<HistoryPage, HistoryError> {
        let most =
            Most { publications: query.limit, bytes: self.inner.shared.limits.outbox_bytes_max };
        let page = self.ask(channel, move |stream, _| {
            let page = stream.history.page(query.since, query.is_reverse, most);
            (stream.history.position(), page)
        });
        let (position, page) = page.await?;
        let entry = |encoded: &std::sync::Arc<Encoded>| {
            (encoded.offset().unwrap_or_default(), encoded.publication.message.clone())
        };
        let publications =
            page.ok_or(HistoryError::Unrecoverable)?.iter().map(entry).collect::<Vec<_>>();
        Ok(HistoryPage { position, publications })
    }

    /// In which life the channel is, if there is one now.
    pub(crate) fn epoch(&self, channel: &ChannelName) -> Option<Epoch> {
        let found = self.inner.shared.directory.get(channel.as_str());
        found.map(|channel| channel.epoch)
    }

    /// Forgets what the channel keeps. Sessions that were there before cannot recover any more.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn history_remove(&self, channel: &ChannelName) -> Result<(), HistoryError> {
        self.ask(channel, |stream, shared| stream.history.clear(&shared.counters.history_bytes))
            .await
    }

    async fn ask<T: Send + 'static>(
        &self,
        channel: &ChannelName,
        question: impl FnOnce(&mut Stream, &Shared) -> T + Send + 'static,
    ) -> Result<T, HistoryError> {
        let shared = &self.inner.shared;
        if !self.keeps_history(channel) {
            return Err(HistoryError::NotKept);
        }
        let (answer, answered) = oneshot::channel();
        let question = Question(Box::new(move |stream, shared| {
            let _ = answer.send(question(stream, shared));
        }));
        let create = || self.create_channel(channel).ok_or(HistoryError::Unavailable);
        let letter = |_: &super::channel::Channel| Ok(Letter::Ask(question));
        let (found, duty) = shared.directory.post_or_create(channel, create, letter)?;
        if let Some(duty) = duty {
            found.drain(duty, shared);
        }
        answered.await.map_err(|_| HistoryError::Unavailable)
    }
}
