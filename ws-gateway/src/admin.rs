//! The listener for operators: `/metrics`, `/healthz`, `/readyz`.

use std::time::Duration;

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use service_kit::bounds::{Acceptor, HttpLimits, PlaceLimits, Places, WhenFull, serve_http};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::readiness::Readiness;

/// A few scrapers, and the operator.
const CONNECTIONS_MAX: usize = 32;
const HTTP_LIMITS: HttpLimits = HttpLimits {
    head_timeout: Duration::from_secs(10),
    head_bytes_max: 16 * 1024,
};

#[derive(Clone)]
struct Admin {
    metrics: Option<PrometheusHandle>,
    readiness: Readiness,
    stop: CancellationToken,
}

/// Answers until `stop`.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: Option<PrometheusHandle>,
    readiness: Readiness,
    connections: TaskTracker,
    stop: CancellationToken,
) {
    let router = Router::new()
        .route("/metrics", get(render))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(Admin {
            metrics,
            readiness,
            stop: stop.clone(),
        });
    let places = Places::new(PlaceLimits::shared(CONNECTIONS_MAX));
    let acceptor = Acceptor::new(listener, places, WhenFull::ServiceUnavailable);
    serve_http(acceptor, router, HTTP_LIMITS, connections, stop).await;
}

async fn render(State(admin): State<Admin>) -> (StatusCode, String) {
    match admin.metrics {
        Some(metrics) => (StatusCode::OK, metrics.render()),
        None => (
            StatusCode::NOT_FOUND,
            "nothing collects metrics in this process\n".to_owned(),
        ),
    }
}

/// Ready: sockets are taken, and what is heard on them is what happens now. If not, why not.
async fn ready(State(admin): State<Admin>) -> (StatusCode, Json<Value>) {
    let mut report = admin.readiness.report();
    if admin.stop.is_cancelled() {
        report.is_ready = false;
        report.reasons.insert(0, "draining");
    }
    let status = if report.is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({
        "ready": report.is_ready,
        "reasons": report.reasons,
        "viewAgeMs": report.view_age.map(|age| age.as_millis()),
        "clockAheadMs": report.clock_ahead_ms,
    });
    (status, Json(body))
}
