//! `POST /alert`: a house calls for help.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap};
use event_model::{Event, EventId};

use super::{key_or_notice, notices, traceparent};
use crate::{
    answer::Answer,
    call::read_alert,
    door::{Call, Door, call_time},
    errors::Refusal,
    household::Household,
    idempotency::IdempotencyKey,
    payload::Payload,
};

pub(super) async fn raise(
    State(door): State<Arc<Door>>,
    caller: Household,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Result<Answer, Refusal> {
    let at = call_time();
    let alert = read_alert(&body, &caller, EventId::new(at, rand::random()), at)?;
    let mut notices = notices(&alert.warnings);
    let key = key_or_notice(IdempotencyKey::of(&headers), &mut notices);
    let call = Call {
        event: Event::Raised(alert),
        key,
        notices,
        traceparent: traceparent(&headers),
    };
    door.take(&caller, call).await
}
