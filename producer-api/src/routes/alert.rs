//! `POST /alert`: a house calls for help.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap};
use event_model::{Event, EventId, Warning};

use super::headers::{is_json, traceparent};
use crate::{
    api_error::ApiError,
    call_body::{Extent, read_alert},
    call_response::CallResponse,
    caller::Caller,
    clock,
    idempotency::{IdempotencyKey, InvalidKey},
    request_body::AlertBody,
    response_warning::ResponseWarning,
    state::AppState,
    submission::Submission,
};

pub(super) async fn raise(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    headers: HeaderMap,
    AlertBody { bytes, whole }: AlertBody,
) -> Result<CallResponse, ApiError> {
    let at = clock::wall();
    let end = bytes.len().min(state.body_bytes_max);
    let extent = if whole && end == bytes.len() {
        Extent::Whole
    } else {
        Extent::Beginning
    };
    let alert = read_alert(
        &bytes[..end],
        extent,
        &caller,
        EventId::new(at, rand::random()),
        at,
    )?;
    let mut warnings = ResponseWarning::of_all(&alert.warnings);
    if is_json(&headers) == Some(false) {
        warnings.push(ResponseWarning::CONTENT_TYPE);
    }
    let key = key_or_warning(IdempotencyKey::of(&headers), &mut warnings);
    let unreadable = alert.warnings.contains(&Warning::BodyUnreadable);
    let mut submission = Submission::new(Event::Raised(alert), &caller, traceparent(&headers));
    if let Some(key) = key {
        submission = submission.under(&key, unreadable.then_some(&bytes[..]));
    }
    state.intake.submit(submission, warnings).await
}

/// A key that is none does not stop an alert: it is taken without one, and the client is told.
fn key_or_warning(
    key: Result<Option<IdempotencyKey>, InvalidKey>,
    warnings: &mut Vec<ResponseWarning>,
) -> Option<IdempotencyKey> {
    key.unwrap_or_else(|InvalidKey| {
        warnings.push(ResponseWarning::IDEMPOTENCY_KEY_IGNORED);
        None
    })
}
