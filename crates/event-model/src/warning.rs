//! What was degraded in a call that was taken anyway: said to the caller, and kept with the record for the statistics.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// One thing that was taken differently from how it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Warning {
    /// The line was missing or no name: the token's was taken.
    LineFromToken,
    /// The house was missing or no name: the token's was taken.
    HouseFromToken,
    /// A number or truth value stood where text belongs: it was read as text.
    ReadAsText,
    /// The text was longer than [`crate::Text`] keeps.
    TextCut,
    /// The text was a list or an object: it was left out.
    TextDropped,
    /// Half a surrogate pair or broken UTF-8 became U+FFFD.
    CharacterReplaced,
    /// A coordinate was missing, not a number or out of range: the call has no position.
    PositionDropped,
    /// The accuracy was no number of metres: it was left out.
    AccuracyDropped,
    /// The floor was too long or no text: it was left out.
    FloorDropped,
    /// The time of the position was no RFC 3339 time: it was left out.
    LocatedAtDropped,
    /// The status was none we know: the call counts as a real one.
    StatusUnknown,
    /// The named alert id was none: the accept is bound by its target house.
    AlertIdDropped,
    /// A word was none we know: it counts as `other`, or `cannot`.
    WordUnknown,
    /// The named accept id was none: what is left of them was taken.
    AcceptIdDropped,
    /// The body was no JSON object: the call holds what could be read of it.
    BodyUnreadable,
}

impl Warning {
    /// Every warning there is.
    pub const ALL: [Self; 15] = [
        Self::LineFromToken,
        Self::HouseFromToken,
        Self::ReadAsText,
        Self::TextCut,
        Self::TextDropped,
        Self::CharacterReplaced,
        Self::PositionDropped,
        Self::AccuracyDropped,
        Self::FloorDropped,
        Self::LocatedAtDropped,
        Self::StatusUnknown,
        Self::AlertIdDropped,
        Self::WordUnknown,
        Self::AcceptIdDropped,
        Self::BodyUnreadable,
    ];

    /// The stable name in answers and records.
    pub fn code(self) -> &'static str {
        match self {
            Self::LineFromToken => "line_from_token",
            Self::HouseFromToken => "house_from_token",
            Self::ReadAsText => "read_as_text",
            Self::TextCut => "text_cut",
            Self::TextDropped => "text_dropped",
            Self::CharacterReplaced => "character_replaced",
            Self::PositionDropped => "position_dropped",
            Self::AccuracyDropped => "accuracy_dropped",
            Self::FloorDropped => "floor_dropped",
            Self::LocatedAtDropped => "located_at_dropped",
            Self::StatusUnknown => "status_unknown",
            Self::AlertIdDropped => "alert_id_dropped",
            Self::WordUnknown => "word_unknown",
            Self::AcceptIdDropped => "accept_id_dropped",
            Self::BodyUnreadable => "body_unreadable",
        }
    }

    /// A sentence for the caller.
    pub fn detail(self) -> &'static str {
        match self {
            Self::LineFromToken => {
                "line was missing or not a valid name; the token's line was used"
            }
            Self::HouseFromToken => {
                "house was missing or not a valid name; the token's house was used"
            }
            Self::ReadAsText => "a value that is not a string was read as text",
            Self::TextCut => "text was too long and was cut",
            Self::TextDropped => "text was not a string and was left out",
            Self::CharacterReplaced => "characters that are not valid Unicode were replaced",
            Self::PositionDropped => "lat and lng were not a valid pair and were left out",
            Self::AccuracyDropped => "accuracy was not a number of metres and was left out",
            Self::FloorDropped => "floor was not a short text and was left out",
            Self::LocatedAtDropped => "locatedAt was not an RFC 3339 time and was left out",
            Self::StatusUnknown => "status was not known; the call counts as an actual one",
            Self::AlertIdDropped => {
                "alertId was not an id; the accept is bound by its target house"
            }
            Self::WordUnknown => {
                "how, reason or why was not a known word; it counts as other, or cannot"
            }
            Self::AcceptIdDropped => "an accept id was not one and was left out",
            Self::BodyUnreadable => {
                "the body was not a JSON object; what could be read of it was taken, the rest left out"
            }
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The string names no warning that this version knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no warning")]
pub struct WarningError(String);

impl FromStr for Warning {
    type Err = WarningError;

    fn from_str(code: &str) -> Result<Self, WarningError> {
        let known = Self::ALL.into_iter().find(|warning| warning.code() == code);
        known.ok_or_else(|| WarningError(code.to_owned()))
    }
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
