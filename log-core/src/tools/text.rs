//! What others wrote, made fit for a terminal: it must not move the cursor, ring the bell or turn the line around.

use serde::{Serialize, Serializer};

/// Bytes that are text more often than not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Payload(bytes::Bytes);

impl Payload {
    pub(super) fn new(bytes: bytes::Bytes) -> Self {
        Self(bytes)
    }

    /// For a terminal: U+FFFD where it is no UTF-8, escapes where it would command.
    pub(super) fn shown(&self) -> String {
        escaped(&String::from_utf8_lossy(&self.0))
    }

    /// Whether it contains `text`.
    pub(super) fn contains(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.0).contains(text)
    }
}

/// Text stays text; other bytes become `{"hex": ".."}`, so that JSON loses nothing.
impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Hex { hex: hex(&self.0) }.serialize(serializer),
        }
    }
}

#[derive(Serialize)]
struct Hex {
    hex: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Control characters, and those that steer the direction of text, as Rust would write them.
pub(super) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || steers(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Line and paragraph separators, marks of direction, overrides and isolates (UAX #9).
fn steers(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_command_a_terminal_is_shown_and_not_sent() {
        assert_eq!(
            escaped("불이야\n\u{1b}[2J\u{7}\u{202e}\t"),
            "불이야\\n\\u{1b}[2J\\u{7}\\u{202e}\\t"
        );
    }

    #[test]
    fn bytes_that_are_no_text_come_whole_in_json_and_readable_on_a_terminal() {
        let payload = Payload::new(bytes::Bytes::from_static(b"a\xff"));
        assert_eq!(payload.shown(), "a\u{fffd}");
        let json = serde_json::to_string(&payload).expect("serialises");
        assert_eq!(json, r#"{"hex":"61ff"}"#);
    }
}
