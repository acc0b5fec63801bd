//! `POST /accept`: a neighbour answers a call.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap};
use event_model::{AlertAccepted, Event, EventId};

use super::headers::{is_json, traceparent};
use crate::{
    api_error::{ApiError, FieldError},
    call_body::read_accept,
    call_response::CallResponse,
    caller::Caller,
    clock,
    idempotency::{IdempotencyKey, InvalidKey},
    request_body::AcceptBody,
    response_warning::ResponseWarning,
    state::AppState,
    submission::Submission,
};

pub(super) async fn accept(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    headers: HeaderMap,
    AcceptBody(body): AcceptBody,
) -> Result<CallResponse, ApiError> {
    require_json(&headers)?;
    let key = IdempotencyKey::of(&headers).map_err(|InvalidKey| invalid_key())?;
    let at = clock::wall();
    let accept = read_accept(&body, &caller, EventId::new(at, rand::random()), at)?;
    let mut warnings = ResponseWarning::of_all(&accept.warnings);
    let AlertAccepted {
        line,
        target,
        alert_id,
        ..
    } = &accept;
    let recent = &state.intake.recent;
    // The accept is taken all the same: what this process knows may be behind, and help that is offered is told.
    if recent.has_live_call(line, target, *alert_id, clock::steady()) == Some(false) {
        warnings.push(ResponseWarning::NO_LIVE_CALL);
    }
    let mut submission = Submission::new(Event::Accepted(accept), &caller, traceparent(&headers));
    if let Some(key) = key {
        submission = submission.under(&key, None);
    }
    state.intake.submit(submission, warnings).await
}

fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    match is_json(headers) {
        Some(true) => Ok(()),
        Some(false) | None => Err(ApiError::UnsupportedMediaType),
    }
}

fn invalid_key() -> ApiError {
    let detail = "the Idempotency-Key header is not 16 to 64 visible ASCII characters".to_owned();
    ApiError::Validation(vec![FieldError {
        pointer: "",
        detail,
    }])
}
