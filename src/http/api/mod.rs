//! `POST /api/{method}`: the API for backends, in the shape that clients of Centrifugo's API speak.
//!
//! The body is a JSON object, the answer `{"result":{…}}` or `{"error":{"code","message"}}`, both
//! with HTTP status 200. Other statuses: 400 for a body that is not the JSON that is due, 401 and
//! 403 for a caller that may not, 404 for no such method, 413 for a long body, and 503 with
//! `Retry-After` when the hub is overloaded or draining and took nothing at all of the request.
//!
//! | method | part |
//! |---|---|
//! | `publish`, `broadcast`, `publish_to_users` | [`publish`] |
//! | `subscribe`, `unsubscribe`, `disconnect` | [`sessions`] |
//! | `channels`, `info` | [`inspect`] |
//! | `history`, `history_remove` | [`history`] |
//! | `presence`, `presence_stats` | [`presence`] |
//! | `batch` | [`batch`] |
//!
//! Methods that this node does not have answer error 108, and so do those that ask a
//! channel for what its rule does not turn on. Members that
//! would change what happens and are not supported answer 108 as well; members that are not known
//! are passed over, as in Centrifugo.

mod batch;
mod error;
mod history;
mod inspect;
mod number;
mod presence;
mod publish;
mod sessions;

use std::sync::Arc;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::state::State;
use super::{body, guard, router, traced};
use crate::hub::traced::Drawn;
use error::{ApiError, Code};

/// The methods that are served.
pub(super) const METHODS: [&str; 13] = [
    "publish",
    "broadcast",
    "publish_to_users",
    "subscribe",
    "unsubscribe",
    "disconnect",
    "history",
    "history_remove",
    "presence",
    "presence_stats",
    "channels",
    "info",
    "batch",
];

/// Methods of Centrifugo's API that are known and not served.
const NOT_AVAILABLE: [&str; 8] = [
    "refresh",
    "rpc",
    "connections",
    "update_user_status",
    "get_user_status",
    "delete_user_status",
    "block_user",
    "unblock_user",
];

/// What a method answers.
type Outcome = Result<Value, ApiError>;

/// One request while it is served: what its methods share.
struct Call<'a> {
    state: &'a State,
    /// Items that it may still have, over all commands of a batch.
    items_left: usize,
    is_batch: bool,
    /// Publications that the hub took, and those it refused.
    accepted: usize,
    refused: usize,
    /// Whether its publications are to be sampled.
    drawn: Option<Drawn>,
}

/// Serves a request.
pub(super) async fn call(state: &Arc<State>, request: Request<Incoming>) -> Answer {
    let method = router::api_method(request.uri().path()).to_owned();
    let drawn = state.hub.draw(|| traced::parent(request.headers()));
    // A refusal before the body is read ends the connection: the body may be long.
    if let Err(refusal) = guard::check_key(state, &request) {
        return refuse(&refusal.closing());
    }
    if !is_method(&method) {
        return refuse(&no_method().closing());
    }
    match body::read(request, state.limits().body_bytes_max, state.hub.memory()).await {
        Ok(body) => answer(state, &method, &body, drawn).await,
        Err(refusal) => refuse(&refusal),
    }
}

/// Answers a request of a caller that may.
async fn answer(state: &State, method: &str, body: &[u8], drawn: Option<Drawn>) -> Answer {
    let mut call = Call { drawn, ..Call::new(state) };
    let params = match params(body) {
        Ok(params) => params,
        Err(text) => return refuse(&Refusal::bad_request(text)),
    };
    let value = match call.run(method, params).await {
        Ok(result) => json!({ "result": result }),
        Err(error) if error.code == Code::MethodNotFound => return refuse(&no_method()),
        Err(error) if error.is_malformed => return refuse(&Refusal::bad_request(error.message)),
        Err(error) => json!({ "error": error }),
    };
    let status = match call.refused > 0 && call.accepted == 0 {
        true => StatusCode::SERVICE_UNAVAILABLE,
        false => StatusCode::OK,
    };
    Refusal::new(status, "").answer_with(&value)
}

/// A refusal in the API's own shape.
fn refuse(refusal: &Refusal) -> Answer {
    let code = match refusal.status {
        StatusCode::UNAUTHORIZED => Code::Unauthorized,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::MethodNotFound,
        _ => Code::BadRequest,
    };
    refusal.answer_with(&json!({ "error": ApiError::new(code, refusal.text.clone()) }))
}

fn no_method() -> Refusal {
    let text = format!("there is no such method; there are {}", METHODS.join(", "));
    Refusal::new(StatusCode::NOT_FOUND, text)
}

fn is_method(method: &str) -> bool {
    METHODS.contains(&method) || NOT_AVAILABLE.contains(&method)
}

/// The object of a body. `info` and `channels` have no member that must be there, but a body that
/// is not there at all is more likely a mistake.
fn params(body: &[u8]) -> Result<&RawValue, String> {
    let text = super::json::text(body)?;
    if text.trim_ascii().is_empty() {
        return Err("the body is empty; it is a JSON object, {} at least".to_owned());
    }
    let params: &RawValue =
        serde_json::from_str(text).map_err(|error| super::json::invalid(&error))?;
    match is_object(params) {
        true => Ok(params),
        false => Err("the body is not a JSON object".to_owned()),
    }
}

impl<'a> Call<'a> {
    fn new(state: &'a State) -> Self {
        let items_left = state.limits().batch_items_max;
        Self { state, items_left, is_batch: false, accepted: 0, refused: 0, drawn: None }
    }

    async fn run(&mut self, method: &str, params: &RawValue) -> Outcome {
        match method {
            "publish" => publish::publish(self, &parse(params)?).await,
            "broadcast" => publish::broadcast(self, &parse(params)?).await,
            "publish_to_users" => publish::publish_to_users(self, &parse(params)?),
            "subscribe" => sessions::subscribe(self, &parse(params)?),
            "unsubscribe" => sessions::unsubscribe(self, &parse(params)?),
            "disconnect" => sessions::disconnect(self, &parse(params)?),
            "history" => history::history(self, &parse(params)?).await,
            "history_remove" => history::remove(self, &parse(params)?).await,
            "presence" => presence::presence(self, &parse(params)?).await,
            "presence_stats" => presence::stats(self, &parse(params)?).await,
            "channels" => inspect::channels(self, &parse(params)?),
            "info" => Ok(inspect::info(self)),
            "batch" => batch::batch(self, &parse(params)?).await,
            method if NOT_AVAILABLE.contains(&method) => {
                Err(ApiError::not_available("this method is not available on this node"))
            }
            _ => Err(ApiError::new(Code::MethodNotFound, no_method().text)),
        }
    }

    /// Counts items in, before anything is done with them.
    fn take_items(&mut self, items: usize) -> Result<(), ApiError> {
        match self.items_left.checked_sub(items) {
            Some(left) => {
                self.items_left = left;
                Ok(())
            }
            None => {
                let most = self.state.limits().batch_items_max;
                let text =
                    format!("a request may have {most} channels, users and commands at most");
                Err(ApiError::new(Code::LimitExceeded, text))
            }
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(params: &'a RawValue) -> Result<T, ApiError> {
    match is_object(params) {
        true => serde_json::from_str(params.get()).map_err(|error| ApiError::malformed(&error)),
        false => Err(ApiError::bad_request("the parameters are not a JSON object")),
    }
}

/// To be asked first: what derives `Deserialize` takes a list for its members one by one as well.
fn is_object(json: &RawValue) -> bool {
    json.get().starts_with('{')
}

/// A member that is an object, or null, or not there.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    match <Option<&'de RawValue>>::deserialize(from)? {
        None => Ok(None),
        Some(json) if is_object(json) => serde_json::from_str(json.get()).map_err(D::Error::custom),
        Some(_) => Err(D::Error::custom("not an object")),
    }
}

#[cfg(test)]
mod tests;
