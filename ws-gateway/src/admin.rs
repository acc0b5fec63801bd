//! The listener for operators: `/metrics`, `/healthz`, `/readyz`.

use std::io;

use axum::{Router, extract::State, http::StatusCode, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::readiness::Readiness;

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
    stop: CancellationToken,
) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(render))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(Admin {
            metrics,
            readiness,
            stop: stop.clone(),
        });
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
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
