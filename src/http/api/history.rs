//! `history` and `history_remove`.
//!
//! `limit` of 0, or none, asks for the position alone; a negative one for as much as there is, up to
//! [`LIMIT_MAX`]. With `since` the answer begins behind that position, or with `reverse` before it.
//! Error 112 says that the history does not reach back to it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::error::{ApiError, Code};
use super::number::{whole, whole_always};
use super::{Call, Outcome, object};
use crate::base::ids::ChannelName;
use crate::base::message::{Kind, Message};
use crate::base::position::{Epoch, StreamPosition};
use crate::hub::HistoryQuery;

/// Publications in one answer.
const LIMIT_MAX: usize = 1_000;

/// The parameters of both.
#[derive(Deserialize)]
pub(super) struct History {
    channel: Option<String>,
    #[serde(default, deserialize_with = "whole")]
    limit: Option<i64>,
    #[serde(default, deserialize_with = "object")]
    since: Option<Since>,
    reverse: Option<bool>,
}

#[derive(Deserialize)]
struct Since {
    #[serde(deserialize_with = "whole_always")]
    offset: u64,
    epoch: String,
}

impl History {
    fn channel(&self) -> Result<ChannelName, ApiError> {
        Ok(ChannelName::new(self.channel.as_deref().unwrap_or_default())?)
    }

    fn query(&self) -> Result<HistoryQuery, ApiError> {
        let limit = match self.limit.unwrap_or(0) {
            all if all < 0 => LIMIT_MAX,
            limit => usize::try_from(limit).unwrap_or(LIMIT_MAX).min(LIMIT_MAX),
        };
        let since = match &self.since {
            None => None,
            Some(Since { offset, epoch }) => {
                // An epoch that is none of ours is one that is gone.
                let gone = |_| {
                    let text = "the history does not reach back to that position";
                    ApiError::new(Code::UnrecoverablePosition, text)
                };
                let epoch: Epoch = epoch.parse().map_err(gone)?;
                Some(StreamPosition { epoch, offset: *offset })
            }
        };
        Ok(HistoryQuery { limit, since, is_reverse: self.reverse.unwrap_or(false) })
    }
}

pub(super) async fn history(call: &mut Call<'_>, params: &History) -> Outcome {
    if call.is_batch {
        // A thousand of these answers would be a quarter of a gigabyte and more.
        return Err(ApiError::bad_request("history is not for a batch"));
    }
    let page = call.state.hub.history(&params.channel()?, params.query()?).await?;
    let publications: Vec<Value> =
        page.publications.iter().map(|(offset, message)| publication(*offset, message)).collect();
    Ok(json!({
        "publications": publications,
        "epoch": page.position.epoch.to_string(),
        "offset": page.position.offset,
    }))
}

pub(super) async fn remove(call: &mut Call<'_>, params: &History) -> Outcome {
    call.state.hub.history_remove(&params.channel()?).await?;
    Ok(json!({}))
}

/// A text message is `text`, which Centrifugo's API does not know: there a message is JSON or bytes.
fn publication(offset: u64, message: &Message) -> Value {
    match (message.kind(), message.as_text()) {
        (Kind::Json, Some(text)) => {
            let data: Option<&RawValue> = serde_json::from_str(text).ok();
            json!({ "offset": offset, "data": data })
        }
        (_, Some(text)) => json!({ "offset": offset, "text": text }),
        (_, None) => json!({ "offset": offset, "b64data": STANDARD.encode(message.data()) }),
    }
}
