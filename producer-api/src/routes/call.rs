//! `GET /calls/{id}`: where a call of the last 25 hours is.

use std::sync::Arc;

use axum::extract::{Path, State};
use event_model::EventId;

use crate::{api_error::ApiError, call_status::CallStatus, caller::Caller, state::AppState};

/// A client that did not make the call gets the answer for a call that does not exist.
pub(super) async fn call_status(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<CallStatus, ApiError> {
    let id: EventId = id.parse().map_err(|_| ApiError::NotFound)?;
    state
        .intake
        .call_status(id, &caller.owner)
        .ok_or(ApiError::NotFound)
}
