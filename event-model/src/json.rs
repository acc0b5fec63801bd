//! JSON taken as it comes: what a person in need sent is read if there is any way to read it.

use std::borrow::Cow;

use serde_json::Value;

/// A JSON text that was read, perhaps after a repair.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// What it says.
    pub value: Value,
    /// Whether broken characters were replaced by U+FFFD on the way.
    pub repaired: bool,
}

/// Reads JSON. Where it is broken only in its characters (halves of surrogate pairs, as JavaScript strings may hold them,
/// or bytes that are no UTF-8) those become U+FFFD.
///
/// # Errors
/// What is wrong with the text, if no such repair makes it JSON.
pub fn parse(bytes: &[u8]) -> Result<Parsed, serde_json::Error> {
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(Parsed {
            value,
            repaired: false,
        }),
        Err(error) => {
            let text = repair(bytes);
            let value = serde_json::from_str(&text).map_err(|_| error)?;
            Ok(Parsed {
                value,
                repaired: true,
            })
        }
    }
}

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
fn repair(bytes: &[u8]) -> String {
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

/// The code unit of a `\uXXXX` that `text` begins with.
fn utf16_escape(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits
        .bytes()
        .all(|digit| digit.is_ascii_hexdigit())
        .then(|| u16::from_str_radix(digits, 16).ok())?
}
