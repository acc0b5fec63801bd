//! The operator's listener: `/metrics`, `/healthz`, `/readyz`. Loopback unless told otherwise; asks nobody who they are.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::replica_handle::{Leadership, ReplicaHandle};

/// How far a node has come.
#[derive(Clone)]
pub(super) enum Standing {
    /// Its replica does not run yet, for this reason.
    Waiting(String),
    /// It takes part.
    Running(ReplicaHandle),
}

#[derive(Clone)]
struct Admin {
    standing: watch::Receiver<Standing>,
    metrics: Option<PrometheusHandle>,
}

/// Serves until the token is cancelled.
pub(super) async fn serve(
    listener: TcpListener,
    standing: watch::Receiver<Standing>,
    metrics: Option<PrometheusHandle>,
    shutdown: CancellationToken,
) {
    let routes = Router::new()
        .route("/metrics", get(render))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(readiness))
        .with_state(Admin { standing, metrics });
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
async fn readiness(State(admin): State<Admin>) -> (StatusCode, String) {
    let replica = match &*admin.standing.borrow() {
        Standing::Waiting(reason) => {
            return (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n"));
        }
        Standing::Running(replica) => replica.clone(),
    };
    let (code, text) = match replica.leadership() {
        Leadership::Leader { .. } => (StatusCode::OK, "leader\n"),
        Leadership::Follower { leader: Some(_) } => (StatusCode::OK, "follower\n"),
        Leadership::Follower { leader: None } => (StatusCode::SERVICE_UNAVAILABLE, "no leader\n"),
        Leadership::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
    };
    (code, text.to_owned())
}
