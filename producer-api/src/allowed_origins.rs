//! The origins whose pages may call.

use axum::http::HeaderValue;
use tower_http::cors::AllowOrigin;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_that_browsers_would_never_send_is_refused_at_start() {
        assert!(
            origins(&[
                "https://a.example".to_owned(),
                "http://localhost:8083".to_owned()
            ])
            .is_ok()
        );
        assert!(origins(&["*".to_owned()]).is_ok());
        for bad in [
            "a.example",
            "https://a.example/",
            "https://",
            "https://a example",
            "",
        ] {
            assert!(
                origins(&[bad.to_owned()])
                    .unwrap_err()
                    .contains("is no origin"),
                "{bad}"
            );
        }
    }
}
