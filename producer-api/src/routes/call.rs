//! `GET /calls/{id}`: where a call of the last 25 hours is.

use std::sync::Arc;

use axum::extract::{Path, State};
use event_model::EventId;

use crate::{answer::Whereabouts, api_error::ApiError, household::Household, state::AppState};

/// Whoever did not make the call hears what they would hear of one that never was.
pub(super) async fn whereabouts(
    State(state): State<Arc<AppState>>,
    caller: Household,
    Path(id): Path<String>,
) -> Result<Whereabouts, ApiError> {
    let id: EventId = id.parse().map_err(|_| ApiError::NotFound)?;
    state
        .intake
        .whereabouts(id, &caller.owner)
        .ok_or(ApiError::NotFound)
}
