//! Where a token may stand in a request: in the header, never in the URL (RFC 6750 sections 2.1 and 2.3).

use http::{HeaderMap, header::AUTHORIZATION};

use crate::TokenError;

/// The token of a request. Two `Authorization` headers are refused, whatever is in them: two readers on the way might each
/// believe another one.
///
/// # Errors
///
/// [`TokenError::Missing`] without the header; otherwise as [`bearer`].
pub fn bearer_of(headers: &HeaderMap) -> Result<&str, TokenError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(TokenError::Missing)?;
    if values.next().is_some() {
        return Err(TokenError::NotBearer);
    }
    bearer(value.as_bytes())
}

/// The token of an `Authorization` header's value. The scheme's case is free (RFC 9110 section 11.1).
///
/// # Errors
///
/// [`TokenError::Missing`] for an empty value, [`TokenError::NotBearer`] for another scheme or no token.
pub fn bearer(authorization: &[u8]) -> Result<&str, TokenError> {
    let value = str::from_utf8(authorization)
        .map_err(|_| TokenError::NotBearer)?
        .trim();
    if value.is_empty() {
        return Err(TokenError::Missing);
    }
    let (scheme, token) = value.split_once(' ').ok_or(TokenError::NotBearer)?;
    let token = token.trim_start();
    if !scheme.eq_ignore_ascii_case("bearer")
        || token.is_empty()
        || token.contains(char::is_whitespace)
    {
        return Err(TokenError::NotBearer);
    }
    Ok(token)
}

/// Query parameters under which tokens are commonly sent.
const TOKEN_PARAMETERS: [&str; 9] = [
    "access_token",
    "auth",
    "authorization",
    "bearer",
    "id_token",
    "jwt",
    "passcode",
    "session",
    "token",
];

/// Refuses a URL's query that carries a token, whether or not the token is any good: a URL ends up in the
/// logs of every proxy on the way.
///
/// # Errors
///
/// [`TokenError::InUrl`] if a parameter has a token's name or a value has a token's shape.
pub fn refuse_token_in_query(query: Option<&str>) -> Result<(), TokenError> {
    let carries_token = query
        .unwrap_or_default()
        .split(['&', ';', '?'])
        .any(parameter_carries_token);
    if carries_token {
        Err(TokenError::InUrl)
    } else {
        Ok(())
    }
}

fn parameter_carries_token(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or(("", parameter));
    let name = plain(name);
    TOKEN_PARAMETERS
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
        || looks_like_token(&plain(value))
}

/// Every JWT's header begins with `{"`, which is `eyJ` in base64.
fn looks_like_token(value: &str) -> bool {
    value
        .split(['+', ' ', ','])
        .any(|word| word.starts_with("eyJ") && 2 <= word.matches('.').count())
}

/// The text with its percent escapes of printable ASCII undone; other escapes stay as they are, since neither
/// a parameter's name that we know nor a token contains anything else.
fn plain(text: &str) -> String {
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match escaped_ascii(part) {
            Some(ascii) => {
                plain.push(ascii);
                plain.push_str(&part[2..]);
            }
            None => {
                plain.push('%');
                plain.push_str(part);
            }
        }
    }
    plain
}

fn escaped_ascii(part: &str) -> Option<char> {
    let digits = part.get(..2)?;
    let byte = u8::from_str_radix(digits, 16).ok()?;
    byte.is_ascii_graphic().then_some(char::from(byte))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_scheme_is_read_in_any_case_and_the_token_kept_as_it_is() {
        for value in [
            "Bearer aB.c.d",
            "bearer aB.c.d",
            "BEARER   aB.c.d",
            "  Bearer aB.c.d ",
        ] {
            assert_eq!(bearer(value.as_bytes()), Ok("aB.c.d"), "{value:?}");
        }
    }

    #[test]
    fn another_scheme_or_no_single_token_is_not_a_bearer() {
        for value in [
            "Basic aGk6aGk=",
            "Bearer",
            "aB.c.d",
            "Bearer a b",
            "Bearer a, Bearer b",
            "Bearera.b.c",
        ] {
            assert_eq!(
                bearer(value.as_bytes()),
                Err(TokenError::NotBearer),
                "{value:?}"
            );
        }
        assert_eq!(bearer(b"Bearer \xff\xfe"), Err(TokenError::NotBearer));
    }

    #[test]
    fn no_header_and_an_empty_header_are_a_missing_token() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer_of(&headers), Err(TokenError::Missing));
        headers.append(AUTHORIZATION, HeaderValue::from_static("  "));
        assert_eq!(bearer_of(&headers), Err(TokenError::Missing));
    }

    #[test]
    fn of_two_headers_none_is_believed() {
        let mut headers = HeaderMap::new();
        let token = HeaderValue::from_static("Bearer aB.c.d");
        headers.append(AUTHORIZATION, token.clone());
        assert_eq!(bearer_of(&headers), Ok("aB.c.d"));
        headers.append(AUTHORIZATION, token);
        assert_eq!(bearer_of(&headers), Err(TokenError::NotBearer));
    }

    #[test]
    fn a_token_in_the_query_is_refused_by_name_and_by_shape() {
        for query in [
            "token=x",
            "a=b&access_token=x",
            "a=b;ACCESS_TOKEN=x",
            "%61ccess_token=x",
            "Authorization=Bearer+x",
            "x=eyJhbGciOiJIUzI1NiJ9.e30.sig",
            "eyJhbGciOiJIUzI1NiJ9.e30.sig",
            "x=%65yJhbGciOiJIUzI1NiJ9%2Ee30%2Esig",
            "x=Bearer+eyJhbGciOiJIUzI1NiJ9.e30.sig",
        ] {
            assert_eq!(
                refuse_token_in_query(Some(query)),
                Err(TokenError::InUrl),
                "{query:?}"
            );
        }
    }

    #[test]
    fn an_ordinary_query_passes() {
        for query in [
            None,
            Some(""),
            Some("line=101"),
            Some("trace=a.b.c&x"),
            Some("n=%zz%"),
        ] {
            assert_eq!(refuse_token_in_query(query), Ok(()), "{query:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_and_no_query_makes_them_panic(header in any::<Vec<u8>>(), query in "\\PC*") {
            let _whatever = (bearer(&header).is_ok(), refuse_token_in_query(Some(&query)).is_ok());
        }
    }
}
