//! The HTTP responses about a call that was taken.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use event_model::{EventId, EventTime, RecordPosition};
use serde::Serialize;

use crate::{call_status::CallStatus, receipt::Receipt, response_warning::ResponseWarning};

/// Says that an answer repeats an earlier one.
pub(crate) static IDEMPOTENT_REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");

/// `201` after the log said that the record is committed, `202` after this machine's disk has it.
#[derive(Debug)]
pub(crate) struct CallResponse {
    pub(crate) receipt: Receipt,
    pub(crate) warnings: Vec<ResponseWarning>,
    /// An earlier request submitted the call.
    pub(crate) is_replay: bool,
}

/// The body of every answer about a call; what does not apply is left out.
#[derive(Serialize)]
struct Body {
    id: EventId,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(flatten)]
    place: Option<PlaceBody>,
    at: EventTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<ResponseWarning>>,
}

#[derive(Serialize)]
struct PlaceBody {
    topic: &'static str,
    partition: u32,
    offset: u64,
}

impl From<RecordPosition> for PlaceBody {
    fn from(
        RecordPosition {
            topic,
            partition,
            offset,
        }: RecordPosition,
    ) -> Self {
        Self {
            topic: topic.name(),
            partition,
            offset,
        }
    }
}

impl IntoResponse for CallResponse {
    fn into_response(self) -> Response {
        let Receipt { id, at, place } = self.receipt;
        let (code, status) = match place {
            Some(_) => (StatusCode::CREATED, None),
            None => (StatusCode::ACCEPTED, Some("queued")),
        };
        let body = Body {
            id,
            status,
            place: place.map(PlaceBody::from),
            at,
            warnings: Some(self.warnings),
        };
        let mut response = (code, Json(body)).into_response();
        if self.is_replay {
            response
                .headers_mut()
                .insert(IDEMPOTENT_REPLAY.clone(), HeaderValue::from_static("true"));
        }
        response
    }
}

/// `200`, to a question what became of a call.
impl IntoResponse for CallStatus {
    fn into_response(self) -> Response {
        let (id, at, place, status) = match self {
            CallStatus::Received(Receipt { id, at, place }) => {
                let status = if place.is_some() { "stored" } else { "queued" };
                (id, at, place, status)
            }
            CallStatus::Dead { id, at } => (id, at, None, "dead"),
        };
        Json(Body {
            id,
            status: Some(status),
            place: place.map(PlaceBody::from),
            at,
            warnings: None,
        })
        .into_response()
    }
}
