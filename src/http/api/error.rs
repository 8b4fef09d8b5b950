//! Errors of the API: a number that programs know and a text for people.

use std::borrow::Cow;
use std::fmt;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::base::ids::NameError;
use crate::hub::{HistoryError, PublishError, SubscribeError};

/// The numbers, as Centrifugo has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Code {
    Internal = 100,
    Unauthorized = 101,
    PermissionDenied = 103,
    MethodNotFound = 104,
    LimitExceeded = 106,
    BadRequest = 107,
    NotAvailable = 108,
    TooManyRequests = 111,
    UnrecoverablePosition = 112,
}

/// Why a method was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) code: Code,
    /// Never what was sent.
    pub(super) message: Cow<'static, str>,
    /// The parameters could not even be read: not what clients of the API produce.
    pub(super) is_malformed: bool,
}

impl ApiError {
    pub(super) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), is_malformed: false }
    }

    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    pub(super) fn not_available(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::NotAvailable, message)
    }

    /// A member of the wrong type.
    pub(super) fn malformed(error: &serde_json::Error) -> Self {
        let text = super::super::json::invalid(error);
        Self { is_malformed: true, ..Self::bad_request(text) }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code as u16)
    }
}

impl Serialize for ApiError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("error", 2)?;
        object.serialize_field("code", &(self.code as u16))?;
        object.serialize_field("message", &self.message)?;
        object.end()
    }
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<PublishError> for ApiError {
    fn from(error: PublishError) -> Self {
        let code = match error {
            PublishError::Overloaded => Code::TooManyRequests,
            PublishError::TooManyChannels => Code::LimitExceeded,
            _ => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<HistoryError> for ApiError {
    fn from(error: HistoryError) -> Self {
        let code = match error {
            HistoryError::NotKept => Code::NotAvailable,
            HistoryError::Unrecoverable => Code::UnrecoverablePosition,
            _ => Code::LimitExceeded,
        };
        Self::new(code, error.to_string())
    }
}

impl From<SubscribeError> for ApiError {
    fn from(error: SubscribeError) -> Self {
        let code = match error {
            SubscribeError::TooManySubscriptions(_)
            | SubscribeError::TooManyChannels
            | SubscribeError::ChannelFull(_) => Code::LimitExceeded,
            _ => Code::BadRequest,
        };
        Self::new(code, error.to_string())
    }
}
