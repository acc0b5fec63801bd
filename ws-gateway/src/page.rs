//! The residents' page: files that are part of the binary, and the headers that keep it to itself.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// A file of the page.
struct PageFile {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal is $name:literal as $content_type:expr),+ $(,)?) => {
        &[$(PageFile {
            path: $path,
            content_type: $content_type,
            bytes: include_bytes!(concat!("../page/", $name)),
        }),+]
    };
}

const FILES: &[PageFile] = files![
    "/" is "index.html" as HTML,
    "/index.html" is "index.html" as HTML,
    "/page.css" is "page.css" as CSS,
    "/page.js" is "page.js" as JAVASCRIPT,
    "/card.js" is "card.js" as JAVASCRIPT,
    "/raise.js" is "raise.js" as JAVASCRIPT,
    "/strings.js" is "strings.js" as JAVASCRIPT,
    "/alerts.js" is "alerts.js" as JAVASCRIPT,
    "/api-watch.js" is "api-watch.js" as JAVASCRIPT,
    "/siren.js" is "siren.js" as JAVASCRIPT,
    "/sketch.js" is "sketch.js" as JAVASCRIPT,
    "/resident-client.js" is "resident-client.js" as JAVASCRIPT,
    "/icon.svg" is "icon.svg" as SVG,
];

/// Answers a request for a file of the page.
pub(crate) fn file(path: &str, api: &str, request: &HeaderMap) -> Response {
    let Some(file) = FILES.iter().find(|file| file.path == path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = entity_tag(file.bytes);
    let is_known = request
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        (
            [(header::CONTENT_TYPE, file.content_type)],
            Body::from(file.bytes),
        )
            .into_response()
    };
    protect(response.headers_mut(), api);
    insert(response.headers_mut(), header::ETAG, &tag);
    response
}

/// What the page must know of this installation.
pub(crate) fn config(api: &str) -> Response {
    let body = serde_json::json!({ "api": api }).to_string();
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    protect(response.headers_mut(), api);
    response
}

/// The api's origin: as configured, else on the host that the page was asked from, so that a phone in the same
/// network finds it.
pub(crate) fn api_origin(configured: Option<&str>, port: u16, request: &HeaderMap) -> String {
    if let Some(origin) = configured {
        return origin.trim_end_matches('/').to_owned();
    }
    let host = request
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .and_then(host_name);
    format!("http://{}:{port}", host.unwrap_or("localhost"))
}

/// The host without its port, if it is one: it goes into a header.
fn host_name(host: &str) -> Option<&str> {
    let name = match host.rfind(']') {
        Some(end) => &host[..=end],
        None => host.split(':').next()?,
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    (!name.is_empty() && name.chars().all(is_plain)).then_some(name)
}

/// Nothing but the page's own files runs, no other page may frame it, and it speaks to this gateway and the api only.
fn protect(headers: &mut HeaderMap, api: &str) {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' {api}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    insert(headers, header::CONTENT_SECURITY_POLICY, &policy);
    insert(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    insert(headers, header::REFERRER_POLICY, "no-referrer");
    insert(headers, header::CACHE_CONTROL, "no-cache");
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// FNV-1a, 64 bits: the files change with the binary only.
fn entity_tag(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("\"{hash:016x}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_from(host: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).unwrap())])
    }

    #[test]
    fn the_api_is_looked_for_where_the_page_was_found() {
        assert_eq!(
            api_origin(None, 8082, &asked_from("192.168.0.7:8083")),
            "http://192.168.0.7:8082"
        );
        assert_eq!(
            api_origin(None, 8082, &asked_from("[::1]:8083")),
            "http://[::1]:8082"
        );
        assert_eq!(
            api_origin(Some("https://api.example/"), 8082, &asked_from("x")),
            "https://api.example"
        );
    }

    #[test]
    fn an_api_on_another_port_is_named_with_that_port() {
        let found = api_origin(None, 9182, &asked_from("192.168.0.7:8083"));
        assert_eq!(found, "http://192.168.0.7:9182");
    }

    #[test]
    fn a_host_that_is_none_does_not_reach_the_policy() {
        assert_eq!(
            api_origin(None, 8082, &asked_from("x; script-src *")),
            "http://localhost:8082"
        );
        assert_eq!(
            api_origin(None, 8082, &HeaderMap::new()),
            "http://localhost:8082"
        );
    }

    #[test]
    fn a_file_that_has_not_changed_is_not_sent_again() {
        let first = file("/page.css", "http://api", &HeaderMap::new());
        let tag = first.headers()[header::ETAG].clone();

        let second = file(
            "/page.css",
            "http://api",
            &HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]),
        );

        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn every_module_that_the_page_is_made_of_is_served() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/page")).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        for name in names.filter(|name| name.ends_with(".js")) {
            assert!(
                FILES.iter().any(|file| file.path[1..] == name),
                "{name} is in the folder and not served"
            );
        }
    }

    #[test]
    fn every_file_of_the_page_keeps_the_page_to_itself() {
        for known in FILES {
            let response = file(known.path, "http://api", &HeaderMap::new());
            let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap();
            assert!(
                policy.contains("default-src 'none'")
                    && policy.contains("connect-src 'self' http://api")
            );
        }
    }
}
