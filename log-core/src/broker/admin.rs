//! The operator's listener: `/metrics`, `/healthz`, `/readyz`. Loopback unless told otherwise; asks nobody who they are.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::readiness::Readiness;

#[derive(Clone)]
struct Admin {
    readiness: Readiness,
    metrics: Option<PrometheusHandle>,
}

/// Serves until the token is cancelled.
pub(super) async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: Option<PrometheusHandle>,
    shutdown: CancellationToken,
) {
    let routes = Router::new()
        .route("/metrics", get(render))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(Admin { readiness, metrics });
    let served = axum::serve(listener, routes)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(
            error = &error as &(dyn std::error::Error + 'static),
            "admin listener stopped"
        );
    }
}

async fn render(State(admin): State<Admin>) -> impl IntoResponse {
    let text = admin
        .metrics
        .map(|handle| handle.render())
        .unwrap_or_default();
    ([("content-type", "text/plain; version=0.0.4")], text)
}

/// Ready: clients that ask this node are served, or told who serves them.
async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    match admin.readiness.get() {
        Ok(role) => (StatusCode::OK, format!("{role}\n")),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}
