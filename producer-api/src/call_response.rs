//! The HTTP responses about a call that was taken.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use event_model::{EventId, EventTime, Place};
use serde::Serialize;

use crate::{
    call_status::CallStatus,
    receipt::{Receipt, StoredRecord},
    response_warning::ResponseWarning,
};

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

impl From<Place> for PlaceBody {
    fn from(
        Place {
            topic,
            partition,
            offset,
        }: Place,
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
        let warnings = Some(self.warnings);
        let (status, body) = match self.receipt {
            Receipt::Stored(StoredRecord { id, place, at }) => (
                StatusCode::CREATED,
                Body {
                    id,
                    status: None,
                    place: Some(place.into()),
                    at,
                    warnings,
                },
            ),
            Receipt::Queued { id, at } => (
                StatusCode::ACCEPTED,
                Body {
                    id,
                    status: Some("queued"),
                    place: None,
                    at,
                    warnings,
                },
            ),
        };
        let mut response = (status, Json(body)).into_response();
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
        let (id, status, place, at) = match self {
            CallStatus::Received(Receipt::Stored(StoredRecord { id, place, at })) => {
                (id, "stored", Some(place.into()), at)
            }
            CallStatus::Received(Receipt::Queued { id, at }) => (id, "queued", None, at),
            CallStatus::Dead { id, at } => (id, "dead", None, at),
        };
        Json(Body {
            id,
            status: Some(status),
            place,
            at,
            warnings: None,
        })
        .into_response()
    }
}
