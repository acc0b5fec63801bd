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

use crate::{door::Door, errors::Refusal};

/// The process runs and answers. Says nothing about the log: restarting this process would not mend that.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// `200` if a call could be stored now, in the log or in the outbox; `503` if it would be refused.
pub(super) async fn readyz(State(door): State<Arc<Door>>) -> Response {
    let readiness = door.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}

/// The operator's listener.
pub(crate) fn admin_routes(door: Arc<Door>, metrics: Option<PrometheusHandle>) -> Router {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz));
    let router = match metrics {
        Some(metrics) => router.route("/metrics", get(move || async move { metrics.render() })),
        None => router,
    };
    router
        .fallback(|| async { Refusal::NotFound })
        .with_state(door)
}
