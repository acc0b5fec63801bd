//! What a caller hears when the call is stored.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use event_model::{EventId, EventTime, Place, Warning};
use serde::Serialize;

/// Says that an answer repeats an earlier one.
pub(crate) static IDEMPOTENT_REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");

/// A call that is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) id: EventId,
    pub(crate) place: Place,
    pub(crate) at: EventTime,
}

/// What was taken differently from how it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Notice {
    code: &'static str,
    detail: &'static str,
}

impl Notice {
    /// The header names no key: the call was taken without one.
    pub(crate) const IDEMPOTENCY_KEY_IGNORED: Self = Self {
        code: "idempotency_key_ignored",
        detail: "the Idempotency-Key was not 16 to 64 visible ASCII characters; a retry will be a second call",
    };
}

impl Notice {
    pub(crate) fn code(self) -> &'static str {
        self.code
    }
}

impl From<Warning> for Notice {
    fn from(warning: Warning) -> Self {
        Self {
            code: warning.code(),
            detail: warning.detail(),
        }
    }
}

/// `201`, made after the log said that the record is committed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) stored: Stored,
    pub(crate) warnings: Vec<Notice>,
    pub(crate) telling: Telling,
}

/// Whether this is told for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    First,
    Again,
}

#[derive(Serialize)]
struct Body {
    id: EventId,
    topic: &'static str,
    partition: u32,
    offset: u64,
    at: EventTime,
    warnings: Vec<Notice>,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let Stored { id, place, at } = self.stored;
        let body = Body {
            id,
            topic: place.topic.name(),
            partition: place.partition,
            offset: place.offset,
            at,
            warnings: self.warnings,
        };
        let mut response = (StatusCode::CREATED, Json(body)).into_response();
        if self.telling == Telling::Again {
            response
                .headers_mut()
                .insert(IDEMPOTENT_REPLAY.clone(), HeaderValue::from_static("true"));
        }
        response
    }
}
