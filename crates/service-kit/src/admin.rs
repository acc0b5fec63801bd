//! The operators' listener: `/metrics`, `/healthz`, `/readyz`, the same at every service. It has no login: it belongs on
//! loopback, or behind one.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::bounds::{Acceptor, HttpLimits, PlaceLimits, Places, WhenFull, serve_http};

/// A few scrapers, and the operator.
const CONNECTIONS_MAX: usize = 32;
const HTTP_LIMITS: HttpLimits = HttpLimits {
    head_timeout: Duration::from_secs(10),
    head_bytes_max: 16 * 1024,
};

/// What a service answers at `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness<B> {
    /// Whether it does its work now: `200`, or `503`.
    pub is_ready: bool,
    /// The body, in JSON: `ready` again, and the reason why not.
    pub body: B,
}

/// Answers until `stop`; the connections end by themselves in `connections`. `readiness` is asked at each `/readyz`.
/// Without `metrics` there is nothing at `/metrics`.
pub async fn serve<B: Serialize + 'static>(
    listener: TcpListener,
    metrics: Option<PrometheusHandle>,
    readiness: impl Fn() -> Readiness<B> + Send + Sync + 'static,
    connections: TaskTracker,
    stop: CancellationToken,
) {
    let places = Places::new(PlaceLimits::shared(CONNECTIONS_MAX));
    let acceptor = Acceptor::new(listener, places, WhenFull::ServiceUnavailable);
    let router = router(metrics, readiness);
    serve_http(acceptor, router, HTTP_LIMITS, connections, stop).await;
}

fn router<B: Serialize + 'static>(
    metrics: Option<PrometheusHandle>,
    readiness: impl Fn() -> Readiness<B> + Send + Sync + 'static,
) -> Router {
    let readiness = Arc::new(readiness);
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || readiness()));
    let router = match metrics {
        Some(metrics) => router.route("/metrics", get(render).with_state(metrics)),
        None => router,
    };
    router.fallback(async || not_found())
}

/// As `/readyz` answers it.
impl<B: Serialize> IntoResponse for Readiness<B> {
    fn into_response(self) -> Response {
        let status = if self.is_ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        (status, Json(self.body)).into_response()
    }
}

async fn render(State(metrics): State<PrometheusHandle>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (content_type, metrics.render()).into_response()
}

/// RFC 9457, in the words of the api.
fn not_found() -> Response {
    let problem = r#"{"type":"about:blank","title":"Nothing here","status":404,"detail":"there is nothing at this address","code":"not_found","retryable":false}"#;
    let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
    (StatusCode::NOT_FOUND, content_type, problem).into_response()
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tower::ServiceExt;

    use super::*;

    async fn get(router: &Router, path: &str) -> (u16, String, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let content_type = response.headers()[header::CONTENT_TYPE].to_str().unwrap();
        let (status, content_type) = (response.status().as_u16(), content_type.to_owned());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (
            status,
            content_type,
            String::from_utf8(body.into()).unwrap(),
        )
    }

    fn not_ready() -> Readiness<&'static str> {
        Readiness {
            is_ready: false,
            body: "the log is away",
        }
    }

    #[tokio::test]
    async fn a_service_that_is_not_ready_says_why_and_lives() {
        let router = router(None, not_ready);

        let (status, content_type, body) = get(&router, "/readyz").await;
        assert_eq!((status, &*content_type), (503, "application/json"));
        assert_eq!(body, r#""the log is away""#);
        let (status, _, body) = get(&router, "/healthz").await;
        assert_eq!((status, &*body), (200, "ok\n"));
    }

    #[tokio::test]
    async fn metrics_are_shown_where_something_records_them_and_everything_else_is_a_problem() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let ready = || Readiness {
            is_ready: true,
            body: (),
        };
        let (status, content_type, _) =
            get(&router(Some(recorder.handle()), ready), "/metrics").await;
        assert_eq!((status, &*content_type), (200, "text/plain; version=0.0.4"));

        for path in ["/metrics", "/nowhere"] {
            let (status, content_type, body) = get(&router(None, ready), path).await;
            assert_eq!((status, &*content_type), (404, "application/problem+json"));
            assert!(body.contains(r#""code":"not_found""#), "{body}");
        }
        let (status, _, _) = get(&router(None, ready), "/readyz").await;
        assert_eq!(status, 200);
    }
}
