//! The operator's listener: `/metrics`, `/healthz`, `/readyz`. Loopback unless told otherwise; asks nobody who they are.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use service_kit::bounds::{Acceptor, HttpLimits, PlaceLimits, Places, WhenFull, serve_http};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::readiness::Readiness;

/// A few scrapers, and the operator.
const CONNECTIONS_MAX: usize = 32;
const HTTP_LIMITS: HttpLimits = HttpLimits {
    head_timeout: Duration::from_secs(10),
    head_bytes_max: 16 * 1024,
};

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
    connections: TaskTracker,
    shutdown: CancellationToken,
) {
    let routes = Router::new()
        .route("/metrics", get(render))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(Admin { readiness, metrics });
    let places = Places::new(PlaceLimits::shared(CONNECTIONS_MAX));
    let acceptor = Acceptor::new(listener, places, WhenFull::ServiceUnavailable);
    serve_http(acceptor, routes, HTTP_LIMITS, connections, shutdown).await;
}

async fn render(State(admin): State<Admin>) -> impl IntoResponse {
    let text = admin
        .metrics
        .map(|handle| handle.render())
        .unwrap_or_default();
    ([("content-type", "text/plain; version=0.0.4")], text)
}

/// Ready: clients that ask this node are served, or told who serves them.
/// A word; with `accept: application/json` also what an operator should look at, though the node is ready.
async fn ready(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let (code, word) = match admin.readiness.get() {
        Ok(role) => (StatusCode::OK, role.to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    };
    let wants_json = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json"));
    if !wants_json {
        return (code, format!("{word}\n")).into_response();
    }
    let ready = code == StatusCode::OK;
    let reasons = admin.readiness.reasons();
    let body = json!({"ready": ready, "status": word, "reasons": reasons});
    (code, axum::Json(body)).into_response()
}
