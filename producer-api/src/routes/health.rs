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

use crate::{door::Door, errors::Refusal};

/// The process runs and answers. Says nothing about the log: restarting this process would not mend that.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    log: bool,
    producers: bool,
}

/// `200` if the next call would be stored, `503` if it would have to wait.
pub(super) async fn readyz(State(door): State<Arc<Door>>) -> Response {
    let (ready, log, producers) = (
        door.is_ready(),
        door.log.reach().is_good(),
        door.log.is_warm(),
    );
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(Readiness {
            ready,
            log,
            producers,
        }),
    )
        .into_response()
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
