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
    /// The most bytes of UTF-8 a text keeps.
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

/// The end of the longest prefix that keeps both limits.
fn cut_position(text: &str) -> usize {
    let ends = text
        .char_indices()
        .map(|(start, character)| start + character.len_utf8());
    ends.take(Text::CHARACTERS_MAX)
        .take_while(|end| *end <= Text::BYTES_MAX)
        .last()
        .unwrap_or(0)
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
