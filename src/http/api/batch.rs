//! `batch`: several commands in one request, carried out one after the other. `parallel` is passed
//! over: none of them waits for anything but a channel's letters before it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::error::ApiError;
use super::{Call, Outcome};

/// The parameters.
#[derive(Deserialize)]
pub(super) struct Batch<'a> {
    #[serde(borrow)]
    commands: Option<Vec<Command<'a>>>,
}

/// One member: the method and its parameters.
#[derive(Deserialize)]
struct Command<'a>(#[serde(borrow)] BTreeMap<Cow<'a, str>, &'a RawValue>);

/// A reply for each command, in order: `{"METHOD":{…}}` or `{"error":{…}}`.
pub(super) async fn batch(call: &mut Call<'_>, params: &Batch<'_>) -> Outcome {
    if call.is_batch {
        return Err(ApiError::bad_request("a batch is not for a batch"));
    }
    let Some(commands) = params.commands.as_deref().filter(|commands| !commands.is_empty()) else {
        return Err(ApiError::bad_request("commands is missing or empty"));
    };
    call.take_items(commands.len())?;
    call.is_batch = true;
    let mut replies = Vec::with_capacity(commands.len());
    for command in commands {
        replies.push(reply(call, command).await);
    }
    Ok(json!({ "replies": replies }))
}

async fn reply(call: &mut Call<'_>, Command(command): &Command<'_>) -> Value {
    let mut members = command.iter();
    let (Some((method, params)), None) = (members.next(), members.next()) else {
        let text = "a command is an object with one member: the method and its parameters";
        return json!({ "error": ApiError::bad_request(text) });
    };
    // Boxed: a batch is a method itself, though not one for a batch.
    match Box::pin(call.run(method, params)).await {
        Ok(result) => json!({ &**method: result }),
        Err(error) => json!({ "error": error }),
    }
}
