//! `POST /alert`: a house calls for help.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap};
use event_model::{Event, EventId, Warning};

use super::headers::{is_json, traceparent};
use crate::{
    answer::{Answer, Notice},
    call::{Extent, read_alert},
    door::{Call, Door, call_time},
    errors::Refusal,
    household::Household,
    idempotency::{IdempotencyKey, NotAKey},
    payload::CallBody,
};

pub(super) async fn raise(
    State(door): State<Arc<Door>>,
    caller: Household,
    headers: HeaderMap,
    CallBody { bytes, whole }: CallBody,
) -> Result<Answer, Refusal> {
    let at = call_time();
    let end = bytes.len().min(door.body_bytes_max);
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
    let mut notices = Notice::of_all(&alert.warnings);
    if is_json(&headers) == Some(false) {
        notices.push(Notice::CONTENT_TYPE);
    }
    let key = key_or_notice(IdempotencyKey::of(&headers), &mut notices);
    let unreadable = alert.warnings.contains(&Warning::BodyUnreadable);
    let call = Call {
        event: Event::Raised(alert),
        key,
        notices,
        traceparent: traceparent(&headers),
        unreadable_body: unreadable.then_some(bytes),
    };
    door.take(&caller, call).await
}

/// A key that is none does not stop an alert: it is taken without, and its caller told.
fn key_or_notice(
    key: Result<Option<IdempotencyKey>, NotAKey>,
    notices: &mut Vec<Notice>,
) -> Option<IdempotencyKey> {
    key.unwrap_or_else(|NotAKey| {
        notices.push(Notice::IDEMPOTENCY_KEY_IGNORED);
        None
    })
}
