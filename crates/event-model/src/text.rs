//! What the caller says, made safe to store and to show.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use unicode_normalization::UnicodeNormalization;

use crate::Warning;

/// NFC, at most [`Text::CHARACTERS_MAX`] characters and [`Text::BYTES_MAX`] bytes, no control but newline and tab. May be empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct Text(Arc<str>);

impl Text {
    /// The most characters (Unicode scalar values) a text keeps.
    pub const CHARACTERS_MAX: usize = 500;
    /// The most bytes of its UTF-8, which follows: no character has more than four.
    pub const BYTES_MAX: usize = 2_048;

    /// Normalises `raw`. A text that is too long is cut at a character boundary, never refused: half a cry for help is
    /// better than none.
    pub fn new(raw: &str) -> (Self, Option<Warning>) {
        let whole: String = raw.nfc().map(blank_control).collect();
        let end = cut_position(&whole);
        let warning = (end < whole.len()).then_some(Warning::TextCut);
        (Self(whole[..end].into()), warning)
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn blank_control(character: char) -> char {
    match character {
        '\n' | '\t' => character,
        control if control.is_control() => ' ',
        other => other,
    }
}

const _: () = assert!(char::MAX_LEN_UTF8 * Text::CHARACTERS_MAX <= Text::BYTES_MAX);

/// Where the first character that is too much begins.
fn cut_position(text: &str) -> usize {
    let too_much = text.char_indices().nth(Text::CHARACTERS_MAX);
    too_much.map_or(text.len(), |(start, _)| start)
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Text> for String {
    fn from(text: Text) -> String {
        text.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_within_its_limits_is_kept_as_it_is() {
        let (text, warning) = Text::new("도와주세요\n3층\t왼쪽");
        assert_eq!((text.as_str(), warning), ("도와주세요\n3층\t왼쪽", None));
    }

    #[test]
    fn a_text_of_too_many_characters_is_cut_after_the_last_that_fits() {
        let (text, warning) = Text::new(&"a".repeat(501));
        assert_eq!(
            (text.as_str().len(), warning),
            (500, Some(Warning::TextCut))
        );
    }

    #[test]
    fn characters_are_counted_after_composing_them() {
        let (text, warning) = Text::new(&"\u{1100}\u{1161}".repeat(500));
        assert_eq!((text.as_str(), warning), (&*"가".repeat(500), None));
        let (text, warning) = Text::new(&"😀".repeat(501));
        assert_eq!(
            (text.as_str(), warning),
            (&*"😀".repeat(500), Some(Warning::TextCut))
        );
    }

    #[test]
    fn controls_become_spaces() {
        let (text, warning) = Text::new("a\0b\u{9b}c\r\n");
        assert_eq!((text.as_str(), warning), ("a b c \n", None));
    }
}
