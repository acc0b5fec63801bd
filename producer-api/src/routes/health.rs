//! Whether this process lives, and whether a call would come through.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;

use serde::Serialize;

use crate::{api_error::ApiError, intake::Intake, state::AppState};

/// What `/readyz` says.
#[derive(Debug, Serialize)]
struct Readiness {
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

impl Readiness {
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

/// `200` if a call could be stored now, in the log or in the outbox; `503` if it would be refused.
pub(super) async fn readyz(State(state): State<Arc<AppState>>) -> Response {
    let readiness = Readiness::of(&state.intake);
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}

/// The operator's listener.
pub(crate) fn admin_routes(state: Arc<AppState>, metrics: Option<PrometheusHandle>) -> Router {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz));
    let router = match metrics {
        Some(metrics) => router.route("/metrics", get(move || async move { metrics.render() })),
        None => router,
    };
    router
        .fallback(|| async { ApiError::NotFound })
        .with_state(state)
}
