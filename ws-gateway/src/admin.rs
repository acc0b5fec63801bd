//! The listener for operators: `/metrics`, `/healthz`, `/readyz`.

use std::time::Duration;

use axum::{Router, extract::State, http::StatusCode, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
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

/// Ready to take sockets: the log was read, and nobody has asked for the end.
async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.stop.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if admin.readiness.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "reading the log\n")
    }
}
