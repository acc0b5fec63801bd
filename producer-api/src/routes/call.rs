//! `GET /calls/{id}`: where a call of the last 25 hours is.

use std::sync::Arc;

use axum::extract::{Path, State};
use event_model::EventId;

use crate::{
    answer::Whereabouts, door::Door, errors::Refusal, household::Household, outbox::Owner,
};

/// Whoever did not make the call hears what they would hear of one that never was.
pub(super) async fn whereabouts(
    State(door): State<Arc<Door>>,
    caller: Household,
    Path(id): Path<String>,
) -> Result<Whereabouts, Refusal> {
    let id: EventId = id.parse().map_err(|_| Refusal::NotFound)?;
    door.whereabouts(id, &Owner::of(&caller))
        .ok_or(Refusal::NotFound)
}
