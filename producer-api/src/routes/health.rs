//! Whether this process lives, and whether a call would come through.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use service_kit::admin::Readiness;

use crate::{intake::Intake, state::AppState};

/// What `/readyz` says.
#[derive(Debug, Serialize)]
pub(crate) struct ReadinessReport {
    /// A call could be stored now: `201`, or `202` with an outbox that can be written.
    ready: bool,
    /// The log answers and has its topics.
    log: bool,
    /// The producers have their ids.
    producers: bool,
    /// Whether the outbox can be written. Absent: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    outbox: Option<bool>,
    /// Whether the keys of the last 25 hours are known again.
    keys: bool,
    /// What is in the way of a `201`, or was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl ReadinessReport {
    fn of(intake: &Intake) -> Self {
        let log = intake.log.readiness();
        let outbox = intake.outbox.as_ref().map(|outbox| outbox.readiness());
        let usable = outbox.as_ref().map(|outbox| outbox.usable);
        let ready = log.is_ok() || usable == Some(true);
        let reasons = [log.err(), outbox.and_then(|outbox| outbox.trouble)];
        Self {
            ready,
            log: intake.log.health().is_available(),
            producers: intake.log.has_producer_id(),
            outbox: usable,
            keys: intake.recent.is_caught_up(),
            reason: reasons
                .into_iter()
                .flatten()
                .reduce(|all, one| format!("{all}; {one}")),
        }
    }
}

/// The process runs and answers. Says nothing about the log: restarting this process would not mend that.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready: a call could be stored now, in the log or in the outbox.
pub(crate) fn readiness(state: &AppState) -> Readiness<ReadinessReport> {
    let body = ReadinessReport::of(&state.intake);
    let is_ready = body.ready;
    Readiness { is_ready, body }
}

/// The same answer as at the operator's listener.
pub(super) async fn readyz(State(state): State<Arc<AppState>>) -> Response {
    readiness(&state).into_response()
}
