//! `presence` and `presence_stats`: who is in a channel whose rule turns presence on.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::{Call, Outcome};
use crate::base::ids::ChannelName;
use crate::hub::{Presence, Present};

/// Sessions in one answer; with names and infos of the longest kind it has 12 MB.
const SESSIONS_MAX: usize = 10_000;

/// The parameters of both.
#[derive(Deserialize)]
pub(super) struct Asked {
    channel: Option<String>,
}

/// The sessions by their ids. `truncated` says that there are more than are listed.
pub(super) async fn presence(call: &mut Call<'_>, params: &Asked) -> Outcome {
    if call.is_batch {
        // A thousand of these answers would be twelve gigabytes.
        return Err(ApiError::bad_request("presence is not for a batch"));
    }
    let presence = ask(call, params, SESSIONS_MAX).await?;
    let sessions: Map<String, Value> =
        presence.sessions.iter().map(|who| (who.session.to_string(), client(who))).collect();
    Ok(match presence.sessions_count > sessions.len() {
        false => json!({ "presence": sessions }),
        true => json!({ "presence": sessions, "truncated": true }),
    })
}

pub(super) async fn stats(call: &mut Call<'_>, params: &Asked) -> Outcome {
    let presence = ask(call, params, 0).await?;
    Ok(json!({ "num_clients": presence.sessions_count, "num_users": presence.users_count }))
}

async fn ask(call: &Call<'_>, params: &Asked, most: usize) -> Result<Presence, ApiError> {
    let channel = ChannelName::new(params.channel.as_deref().unwrap_or_default())?;
    let presence = call.state.hub.presence(&channel, most).await;
    presence.ok_or_else(|| ApiError::not_available("presence is not turned on for this channel"))
}

/// As Centrifugo names the parts.
fn client(who: &Present) -> Value {
    let mut client = json!({
        "client": who.session.to_string(),
        "user": who.user.as_ref().map_or("", |user| user.as_str()),
    });
    let info =
        who.info.as_deref().and_then(|info| serde_json::from_str::<&RawValue>(info.as_json()).ok());
    if let Some(info) = info {
        client["conn_info"] = json!(info);
    }
    client
}
