//! The addresses that the service answers, one noun per file.

mod accept;
mod alert;
mod call;
mod docs;
mod headers;
mod health;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderName, Method, header},
    routing::{get, post},
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{api_error::ApiError, call_response::IDEMPOTENT_REPLAY, state::AppState};

pub(crate) use health::readiness;

/// Every address that answers, with its method: what `/openapi.json` must describe.
#[cfg(test)]
pub(crate) const ADDRESSES: [(&str, &str); 8] = [
    ("post", "/alert"),
    ("post", "/accept"),
    ("get", "/calls/{id}"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/openapi.json"),
    ("get", "/"),
    ("get", "/manual.js"),
];

pub(crate) fn routes(state: Arc<AppState>, allowed_origins: AllowOrigin) -> Router {
    Router::new()
        .route("/alert", post(alert::raise))
        .route("/accept", post(accept::accept))
        // A slash too many must not cost a call.
        .route("/alert/", post(alert::raise))
        .route("/accept/", post(accept::accept))
        .route("/calls/{id}", get(call::call_status))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/openapi.json", get(docs::openapi))
        .route("/", get(docs::page))
        .route("/manual.js", get(docs::script))
        .fallback(|| async { ApiError::NotFound })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(cors(allowed_origins))
        .with_state(state)
}

/// What pages of other origins may send and read. Never cookies.
fn cors(allowed_origins: AllowOrigin) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(allowed_origins)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            // Put on every request by a page that is traced.
            HeaderName::from_static("traceparent"),
            HeaderName::from_static("tracestate"),
        ])
        .expose_headers([header::RETRY_AFTER, IDEMPOTENT_REPLAY.clone()])
        .max_age(std::time::Duration::from_secs(600))
}

#[cfg(test)]
mod tests;
