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

/// A call that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// In the log: on the disks of a majority.
    Stored(Stored),
    /// On this machine's disk, on its way to the log.
    Queued {
        /// Its id, there and here.
        id: EventId,
        /// When it was made.
        at: EventTime,
    },
}

/// Where a call is that was taken before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallStatus {
    /// Where it was taken to.
    Received(Receipt),
    /// Nowhere: the log will never take it.
    Dead {
        /// Its id.
        id: EventId,
        /// When it was made.
        at: EventTime,
    },
}

/// What was taken differently from how it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct ResponseWarning {
    code: &'static str,
    detail: &'static str,
}

impl ResponseWarning {
    /// The header names no key: the call was taken without one.
    pub(crate) const IDEMPOTENCY_KEY_IGNORED: Self = Self {
        code: "idempotency_key_ignored",
        detail: "the Idempotency-Key was not 16 to 64 visible ASCII characters; a retry will be a second call",
    };

    /// Nothing is known to be answered by this accept.
    pub(crate) const NO_LIVE_CALL: Self = Self {
        code: "no_live_call",
        detail: "no live call of the target house is known; the accept was taken all the same",
    };

    /// The body was read as JSON although the header says otherwise, or nothing.
    pub(crate) const CONTENT_TYPE: Self = Self {
        code: "content_type",
        detail: "the Content-Type was not application/json; the body was read as JSON all the same",
    };

    #[cfg(test)]
    pub(crate) const ALL: [Self; 3] = [
        Self::IDEMPOTENCY_KEY_IGNORED,
        Self::NO_LIVE_CALL,
        Self::CONTENT_TYPE,
    ];
}

impl ResponseWarning {
    /// The warnings of an event as its caller reads them. Counts them.
    pub(crate) fn of_all(warnings: &[Warning]) -> Vec<Self> {
        let warnings = warnings.iter().copied().map(Self::from);
        warnings
            .inspect(|warning| {
                metrics::counter!("producer_api_warnings_total", "code" => warning.code)
                    .increment(1)
            })
            .collect()
    }

    #[cfg(test)]
    pub(crate) fn code(self) -> &'static str {
        self.code
    }
}

impl From<Warning> for ResponseWarning {
    fn from(warning: Warning) -> Self {
        Self {
            code: warning.code(),
            detail: warning.detail(),
        }
    }
}

/// `201` after the log said that the record is committed, `202` after this machine's disk has it.
#[derive(Debug)]
pub(crate) struct CallResponse {
    pub(crate) receipt: Receipt,
    pub(crate) warnings: Vec<ResponseWarning>,
    pub(crate) telling: Telling,
}

/// Whether this is told for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    First,
    Again,
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
            Receipt::Stored(Stored { id, place, at }) => (
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
        if self.telling == Telling::Again {
            response
                .headers_mut()
                .insert(IDEMPOTENT_REPLAY.clone(), HeaderValue::from_static("true"));
        }
        response
    }
}

/// `200`, to who asks what became of a call.
impl IntoResponse for CallStatus {
    fn into_response(self) -> Response {
        let (id, status, place, at) = match self {
            CallStatus::Received(Receipt::Stored(Stored { id, place, at })) => {
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
