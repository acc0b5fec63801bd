//! Why a call was refused, and the one place that says so in HTTP (RFC 9457).
//!
//! The caller gets a sentence and whether trying again can help; the cause is logged where the refusal is made.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use event_model::EventId;
use resident_token::{TokenCode, TokenError};
use serde::Serialize;

/// Why a request was refused. In every case but [`ApiError::OutcomeUnknown`] nothing was stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{0}")]
    Token(#[from] TokenError),
    #[error("this token may listen, but speaks for no house")]
    RoleMissing,
    #[error("the call names another line than its token")]
    LineMismatch,
    #[error("the call names another house than its token")]
    HouseMismatch,
    #[error("the body is longer than {bytes_max} bytes")]
    BodyTooLarge { bytes_max: usize },
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error("the body is not a JSON object: {detail}")]
    InvalidJson { detail: String },
    #[error("the content type is not application/json")]
    UnsupportedMediaType,
    #[error("some fields are missing or not usable")]
    Validation(Vec<FieldError>),
    #[error("the Idempotency-Key was used for another accept")]
    IdempotencyKeyReused,
    #[error("this house has called several times; its earlier calls were taken")]
    HouseRateLimited { wait: Duration },
    #[error("too many requests without a valid token came from this address")]
    AddressRateLimited { wait: Duration },
    #[error("the log cannot be reached: nothing was stored")]
    LogUnavailable,
    #[error("more calls are on their way than fit: nothing was stored")]
    ProducerQueueFull,
    #[error("the log refused the record: nothing was stored")]
    LogRefused,
    #[error("it is not known whether the call was stored")]
    OutcomeUnknown { id: EventId },
    #[error("there is nothing at this address")]
    NotFound,
    #[error("this address does not take this method")]
    MethodNotAllowed,
}

/// What is wrong with one field, by its JSON pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FieldError {
    pub(crate) pointer: &'static str,
    pub(crate) detail: String,
}

/// What RFC 9457 calls a problem type: how an error looks to the client.
struct ProblemType {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    retry: RetryAdvice,
}

/// Whether the same request may succeed later.
enum RetryAdvice {
    Never,
    After(Duration),
    /// At once, with a new token.
    NewToken,
}

/// After an election of the log or a restart, the next try comes through.
const LOG_RETRY_AFTER: Duration = Duration::from_secs(1);

impl ApiError {
    fn problem(&self) -> ProblemType {
        use RetryAdvice::{After, Never, NewToken};
        let (status, code, title, retry) = match self {
            Self::Token(error) => {
                let (code, status) = (error.code(), TokenCode::STATUS.as_u16());
                let title = match code {
                    TokenCode::Missing => "No token",
                    TokenCode::Invalid => "Invalid token",
                    TokenCode::Expired => "Expired token",
                    TokenCode::InUrl => "Token in the URL",
                };
                (status, code.as_str(), title, NewToken)
            }
            Self::RoleMissing => (403, "role_missing", "No house to speak for", Never),
            Self::LineMismatch => (403, "line_mismatch", "Another line", Never),
            Self::HouseMismatch => (403, "house_mismatch", "Another house", Never),
            Self::BodyTooLarge { .. } => (413, "body_too_large", "Body too large", Never),
            Self::BodyTimeout => (408, "body_timeout", "Body too slow", After(Duration::ZERO)),
            Self::InvalidJson { .. } => (400, "invalid_json", "Not readable", Never),
            Self::UnsupportedMediaType => (415, "unsupported_media_type", "Not JSON", Never),
            Self::Validation(_) => (422, "validation", "Not usable", Never),
            Self::IdempotencyKeyReused => (
                422,
                "idempotency_key_reused",
                "Idempotency-Key used before",
                Never,
            ),
            Self::HouseRateLimited { wait } | Self::AddressRateLimited { wait } => {
                (429, "rate_limited", "Too many calls", After(*wait))
            }
            Self::LogUnavailable
            | Self::ProducerQueueFull
            | Self::LogRefused
            | Self::OutcomeUnknown { .. } => (
                503,
                "log_unavailable",
                "Not stored yet",
                After(LOG_RETRY_AFTER),
            ),
            Self::NotFound => (404, "not_found", "Nothing here", Never),
            Self::MethodNotAllowed => (405, "method_not_allowed", "Wrong method", Never),
        };
        ProblemType {
            status: StatusCode::from_u16(status).expect("each of them is one of HTTP's"),
            code,
            title,
            retry,
        }
    }

    fn field_errors(&self) -> &[FieldError] {
        if let Self::Validation(errors) = self {
            errors
        } else {
            &[]
        }
    }

    /// The id under which the call may be in the log after all.
    fn id(&self) -> Option<EventId> {
        if let Self::OutcomeUnknown { id } = self {
            Some(*id)
        } else {
            None
        }
    }
}

/// `application/problem+json`, with our own members after the standard ones.
#[derive(Serialize)]
struct ProblemBody<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    retryable: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<EventId>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let ProblemType {
            status,
            code,
            title,
            retry,
        } = self.problem();
        metrics::counter!("producer_api_refusals_total", "code" => code).increment(1);
        let body = ProblemBody {
            kind: format!("/#{code}"),
            title,
            status: status.as_u16(),
            detail: self.to_string(),
            code,
            retryable: matches!(retry, RetryAdvice::After(_)),
            errors: self.field_errors(),
            id: self.id(),
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        match retry {
            RetryAdvice::Never => {}
            RetryAdvice::After(wait) => {
                headers.insert(header::RETRY_AFTER, whole_seconds(wait).into());
            }
            RetryAdvice::NewToken => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
        }
        response
    }
}

/// `Retry-After` counts in whole seconds: rounded up, so that a client that obeys is not refused again.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(0 < wait.subsec_nanos())
}
