//! `POST /accept`: a neighbour answers a call.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap};
use event_model::{Event, EventId};

use super::headers::{is_json, traceparent};
use crate::{
    answer::{Answer, Notice},
    call::read_accept,
    door::{Call, Door, call_time},
    errors::{FieldError, Refusal},
    household::Household,
    idempotency::{IdempotencyKey, NotAKey},
    payload::Payload,
};

pub(super) async fn accept(
    State(door): State<Arc<Door>>,
    caller: Household,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Result<Answer, Refusal> {
    require_json(&headers)?;
    let key = IdempotencyKey::of(&headers).map_err(|NotAKey| not_a_key())?;
    let at = call_time();
    let accept = read_accept(&body, &caller, EventId::new(at, rand::random()), at)?;
    let notices = Notice::of_all(&accept.warnings);
    let call = Call {
        event: Event::Accepted(accept),
        key,
        notices,
        traceparent: traceparent(&headers),
        unreadable_body: None,
    };
    door.take(&caller, call).await
}

fn require_json(headers: &HeaderMap) -> Result<(), Refusal> {
    match is_json(headers) {
        Some(true) => Ok(()),
        Some(false) | None => Err(Refusal::UnsupportedMediaType),
    }
}

fn not_a_key() -> Refusal {
    let detail = "the Idempotency-Key header is not 16 to 64 visible ASCII characters".to_owned();
    Refusal::Validation(vec![FieldError {
        pointer: "",
        detail,
    }])
}
