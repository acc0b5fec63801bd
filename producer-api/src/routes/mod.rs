//! The addresses of this door, one noun per file.

mod accept;
mod alert;
mod call;
mod health;
mod manual;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    routing::{get, post},
};
use event_model::Warning;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{
    answer::{IDEMPOTENT_REPLAY, Notice},
    door::Door,
    errors::Refusal,
    idempotency::{IdempotencyKey, NotAKey},
};

pub(crate) use health::admin_routes;

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

pub(crate) fn routes(door: Arc<Door>, allowed_origins: AllowOrigin) -> Router {
    Router::new()
        .route("/alert", post(alert::raise))
        .route("/accept", post(accept::accept))
        // A slash too many must not cost a call.
        .route("/alert/", post(alert::raise))
        .route("/accept/", post(accept::accept))
        .route("/calls/{id}", get(call::whereabouts))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/openapi.json", get(manual::description))
        .route("/", get(manual::page))
        .route("/manual.js", get(manual::script))
        .fallback(|| async { Refusal::NotFound })
        .method_not_allowed_fallback(|| async { Refusal::MethodNotAllowed })
        .layer(cors(allowed_origins))
        .with_state(door)
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

/// The origins a page may call from; `*` is all of them.
pub(crate) fn origins(allowed: &[String]) -> Result<AllowOrigin, String> {
    if allowed.iter().any(|origin| origin == "*") {
        return Ok(AllowOrigin::any());
    }
    let origins: Result<Vec<HeaderValue>, String> =
        allowed.iter().map(|origin| origin_value(origin)).collect();
    Ok(AllowOrigin::list(origins?))
}

fn origin_value(origin: &str) -> Result<HeaderValue, String> {
    let no_origin = || {
        format!("{origin:?} is no origin: write it as browsers do, like https://calls.example:8443")
    };
    let (scheme, host) = origin.split_once("://").ok_or_else(no_origin)?;
    if scheme.is_empty() || host.is_empty() || host.contains(['/', '?', '#', ' ']) {
        return Err(no_origin());
    }
    HeaderValue::from_str(origin).map_err(|_| no_origin())
}

/// The warnings of a call as its caller reads them.
fn notices(warnings: &[Warning]) -> Vec<Notice> {
    let notices = warnings.iter().copied().map(Notice::from);
    notices
        .inspect(|notice| {
            metrics::counter!("producer_api_warnings_total", "code" => notice.code()).increment(1)
        })
        .collect()
}

/// A key that is none does not stop an alert: it is taken without, and its caller told.
fn key_or_notice(
    key: Result<Option<IdempotencyKey>, NotAKey>,
    notices: &mut Vec<Notice>,
) -> Option<IdempotencyKey> {
    key.unwrap_or_else(|NotAKey| {
        notices.push(Notice::IDEMPOTENCY_KEY_IGNORED);
        None
    })
}

/// Whether the body is said to be `application/json` or any `application/*+json`, with whatever parameters. `None`: the
/// head does not say what it is.
fn is_json(headers: &HeaderMap) -> Option<bool> {
    let content_type = headers.get(header::CONTENT_TYPE)?;
    let essence = content_type
        .to_str()
        .ok()
        .and_then(|value| value.split(';').next());
    let essence = essence.unwrap_or_default().trim().to_ascii_lowercase();
    let of_application = essence.strip_prefix("application/");
    Some(of_application.is_some_and(|kind| kind == "json" || kind.ends_with("+json")))
}

/// The W3C trace context that came with the call, if it is one.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<&str> = value.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let hexadecimal = value
        .bytes()
        .all(|byte| byte == b'-' || matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (hexadecimal && lengths == [2, 32, 16, 2]).then(|| value.to_owned())
}

#[cfg(test)]
mod tests;
