//! The description of this service for programs (`/openapi.json`) and for people (`/`).

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

/// OpenAPI 3.1, written by hand and tested against the routes and the refusals.
pub(crate) const OPENAPI: &str = include_str!("docs/openapi.json");
const PAGE: &str = include_str!("docs/page.html");
const SCRIPT: &str = include_str!("docs/manual.js");

pub(super) async fn openapi() -> Response {
    let mut response = typed("application/json", OPENAPI);
    // Public, and the same for everybody: tools on any page may read it.
    response.headers_mut().insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    response
}

pub(super) async fn page() -> Response {
    let mut response = typed("text/html; charset=utf-8", PAGE);
    let policy = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; \
                  base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(policy),
    );
    response
}

pub(super) async fn script() -> Response {
    typed("text/javascript; charset=utf-8", SCRIPT)
}

fn typed(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
