//! The Idempotency-Key as it stands in a request's head.

use axum::http::HeaderMap;
use event_model::IdempotencyScope;

use crate::owner::Owner;

const HEADER: &str = "idempotency-key";
const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// 16 to 64 visible ASCII characters, without the quotes they may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(String);

/// The header is there, but is no key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidKey;

impl IdempotencyKey {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, InvalidKey> {
        let mut values = headers.get_all(HEADER).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(InvalidKey);
        }
        let value = value.to_str().map_err(|_| InvalidKey)?.trim();
        let quoted = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let key = quoted.unwrap_or(value);
        let visible = key
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"');
        if visible && KEY_BYTES.contains(&key.len()) {
            Ok(Some(Self(key.to_owned())))
        } else {
            Err(InvalidKey)
        }
    }

    /// What an id under this key is derived from.
    pub(crate) fn scope<'a>(&'a self, owner: &'a Owner, path: &'a str) -> IdempotencyScope<'a> {
        IdempotencyScope {
            issuer: &owner.issuer,
            subject: &owner.subject,
            path,
            key: &self.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_key_is_the_same_with_and_without_its_quotes_and_nothing_else_is_one() {
        let key = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            IdempotencyKey::of(&headers)
        };
        let good = IdempotencyKey("0123456789abcdef".to_owned());

        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&["0123456789abcdef"]), Ok(Some(good.clone())));
        assert_eq!(key(&[" \"0123456789abcdef\" "]), Ok(Some(good)));
        for bad in [
            "0123456789abcde",
            "0123456789abcde\"",
            "\"0123456789abcdef",
            "0123456789 abcdef",
            "0123456789abcdéf",
        ] {
            assert_eq!(key(&[bad]), Err(InvalidKey), "{bad}");
        }
        assert_eq!(
            key(&["0123456789abcdef", "0123456789abcdef"]),
            Err(InvalidKey)
        );
    }
}
