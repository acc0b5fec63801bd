//! What the head of a request says about its call.

use axum::http::{HeaderMap, header};

/// Whether the body is said to be `application/json` or any `application/*+json`, with whatever parameters. `None`: the
/// head does not say what it is.
pub(super) fn is_json(headers: &HeaderMap) -> Option<bool> {
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
pub(super) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<&str> = value.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let hexadecimal = value
        .bytes()
        .all(|byte| byte == b'-' || matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (hexadecimal && lengths == [2, 32, 16, 2]).then(|| value.to_owned())
}
