//! JSON taken as it comes: what a person in need sent is read if there is any way to read it.

mod salvage;

use std::borrow::Cow;

use serde_json::Value;

pub use salvage::salvage;

/// A JSON text that was read, perhaps after a repair.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// What it says.
    pub value: Value,
    /// Whether broken characters were replaced by U+FFFD on the way.
    pub repaired: bool,
}

/// Reads JSON, after a byte order mark if there is one. Where it is broken only in its characters (halves of surrogate
/// pairs, as JavaScript strings may hold them, or bytes that are no UTF-8) those become U+FFFD. A number that no float
/// can hold becomes a text, so that it spoils its own field and not its neighbours.
///
/// # Errors
/// What is wrong with the text, if no such repair makes it JSON.
pub fn parse(bytes: &[u8]) -> Result<Parsed, serde_json::Error> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(Parsed {
            value,
            repaired: false,
        }),
        Err(error) => {
            let text = replace_broken_characters(bytes);
            let repaired = text.as_bytes() != bytes;
            let value =
                serde_json::from_str(&quote_numbers_out_of_range(&text)).map_err(|_| error)?;
            Ok(Parsed { value, repaired })
        }
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The text of a scalar: strings as they are, numbers and truth values as JSON writes them. `None` for null, lists and objects.
pub fn scalar_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Replaces what is no UTF-8, and each `\uD800` to `\uDFFF` that is not one half of a pair.
fn replace_broken_characters(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut repaired = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\\') {
        repaired.push_str(&rest[..at]);
        let escape = &rest[at..];
        let length = match (utf16_escape(escape), escape.get(6..).and_then(utf16_escape)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                repaired.push(char::REPLACEMENT_CHARACTER);
                rest = &escape[6..];
                continue;
            }
            (Some(_), _) => 6,
            // Any other escape, `\\` above all: its second character must not be taken for the start of the next one.
            (None, _) => 1 + escape[1..].chars().next().map_or(0, char::len_utf8),
        };
        repaired.push_str(&escape[..length]);
        rest = &escape[length..];
    }
    repaired.push_str(rest);
    repaired
}

/// Puts quotes around the numbers that would be infinite, as in `{"lat":1e999}`.
fn quote_numbers_out_of_range(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let token = match first {
            '"' => &rest[..string_length(rest)],
            '-' | '0'..='9' => &rest[..number_length(rest)],
            other => &rest[..other.len_utf8()],
        };
        rest = &rest[token.len()..];
        if first != '"' && token.parse().is_ok_and(f64::is_infinite) {
            quoted.extend(["\"", token, "\""]);
        } else {
            quoted.push_str(token);
        }
    }
    quoted
}

/// The length of the string that `text` begins with, quotes included; all of it if the string has no end.
fn string_length(text: &str) -> usize {
    let mut escaped = true;
    for (at, character) in text.char_indices() {
        match character {
            '"' if !escaped => return at + 1,
            // The opening quote counts as escaped, so that it does not close the string.
            _ => escaped = character == '\\' && !escaped,
        }
    }
    text.len()
}

fn number_length(text: &str) -> usize {
    let of_number = |character: char| matches!(character, '-' | '+' | '.' | 'e' | 'E' | '0'..='9');
    text.find(|character| !of_number(character))
        .unwrap_or(text.len())
}

/// The code unit of a `\uXXXX` that `text` begins with.
fn utf16_escape(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits
        .bytes()
        .all(|digit| digit.is_ascii_hexdigit())
        .then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(json: &[u8]) -> Result<(String, bool), serde_json::Error> {
        parse(json).map(|parsed| (parsed.value.as_str().unwrap().to_owned(), parsed.repaired))
    }

    #[test]
    fn halves_of_surrogate_pairs_are_replaced_and_the_rest_is_kept() {
        let read = |json: &str| text_of(json.as_bytes()).unwrap();
        assert_eq!(read(r#""a\uD83D""#), ("a\u{fffd}".to_owned(), true));
        assert_eq!(
            read(r#""\uDE00\uD83D\uDE00\uD83D.""#),
            ("\u{fffd}😀\u{fffd}.".to_owned(), true)
        );
        assert_eq!(
            read(r#""\uD83D\uD83D\uDE00""#),
            ("\u{fffd}😀".to_owned(), true)
        );
        assert_eq!(
            read(r#""\\uD83D \uD83D""#),
            ("\\uD83D \u{fffd}".to_owned(), true)
        );
        assert_eq!(read(r#""\uD83D\uDE00""#), ("😀".to_owned(), false));
    }

    #[test]
    fn bytes_that_are_no_utf8_are_replaced() {
        assert_eq!(
            text_of(b"\"fire\xff\"").unwrap(),
            ("fire\u{fffd}".to_owned(), true)
        );
    }

    #[test]
    fn a_number_that_no_float_can_hold_spoils_only_its_own_field() {
        let parsed =
            parse(br#"{"lat":1e999,"lng":-2E+400,"text":"\\\"1e999 ","floor":[1e5,1e999]}"#)
                .unwrap();
        let expected = serde_json::json!({"lat": "1e999", "lng": "-2E+400", "text": "\\\"1e999 ", "floor": [1e5, "1e999"]});
        assert_eq!((parsed.value, parsed.repaired), (expected, false));
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(
            text_of("\u{feff}\"fire\"".as_bytes()).unwrap(),
            ("fire".to_owned(), false)
        );
    }

    #[test]
    fn what_is_no_json_stays_none() {
        for broken in [
            &b""[..],
            b"{",
            b"\"\\",
            b"\"\\u",
            b"\"\\uD8",
            b"\xff",
            b"{\"a\":\"\\q\"}",
        ] {
            assert!(parse(broken).is_err(), "{broken:?}");
        }
    }
}
