//! Names that are addresses: the line (complex) and the house (household).
//!
//! One name has one spelling here, whatever keyboard, phone or file system it came through: two spellings that look
//! the same to a resident reach the same partition and the same subscribers. The rule is PRECIS
//! UsernameCasePreserved (RFC 8265 section 3.4) over words divided by single spaces (the `username` construct of
//! RFC 8265 section 3.5), see `docs/decisions/0003-names-may-hold-spaces.md`. No case folding: `A동` and `a동` differ.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use precis_profiles::UsernameCasePreserved;
use precis_profiles::precis_core;
use precis_profiles::precis_core::profile::{PrecisFastInvocation, Rules};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// Names that begin so belong to the system (its canaries), never to a resident.
pub const RESERVED_PREFIX: &str = "__";

/// Why a string is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left after trimming.
    #[error("a name is empty")]
    Empty,
    /// More characters than the name may have.
    #[error("a name of {found} characters, at most {max} are allowed")]
    TooManyCharacters {
        /// How many there are after normalisation.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// A control, bidi or zero-width character, a symbol, a `/`: nothing that an address may hold.
    #[error("character U+{:04X} is not allowed in a name", u32::from(*.0))]
    Character(char),
    /// Right-to-left and left-to-right letters are mixed in a way that can be read as another name (RFC 5893).
    #[error("the direction of the writing is ambiguous")]
    Direction,
    /// It begins with [`RESERVED_PREFIX`].
    #[error("names that begin with {RESERVED_PREFIX} are reserved")]
    Reserved,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, characters_max: $characters_max:literal, bytes_max: $bytes_max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The most characters (Unicode scalar values) of a normalised name.
            pub const CHARACTERS_MAX: usize = $characters_max;
            /// The most bytes of its UTF-8, which follows: no character has more than four.
            pub const BYTES_MAX: usize = $bytes_max;

            /// Normalises what a resident, a token or a subscription says.
            ///
            /// # Errors
            /// [`NameError`], and then there is no such address.
            pub fn new(raw: &str) -> Result<Self, NameError> {
                let name = Self::even_reserved(raw)?;
                if name.is_reserved() {
                    return Err(NameError::Reserved);
                }
                Ok(name)
            }

            /// As [`Self::new`], for the system's own names too: canaries, and whatever is read back from the log.
            ///
            /// # Errors
            /// [`NameError`], but never [`NameError::Reserved`].
            pub fn even_reserved(raw: &str) -> Result<Self, NameError> {
                normalise(raw, Self::CHARACTERS_MAX).map(|name| Self(name.into()))
            }

            /// Does the name belong to the system itself?
            pub fn is_reserved(&self) -> bool {
                self.0.starts_with(RESERVED_PREFIX)
            }

            /// The normalised spelling.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        const _: () = assert!(char::MAX_LEN_UTF8 * $name::CHARACTERS_MAX <= $name::BYTES_MAX);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        // So that a map keyed by names can be asked with a plain string. Hash and order are those of `str`.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(raw: &str) -> Result<Self, NameError> {
                Self::new(raw)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(raw: String) -> Result<Self, NameError> {
                Self::even_reserved(&raw)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name!(
    /// An apartment complex: 1 to 64 characters, at most 256 bytes. The key of its records, the address of its pushes.
    Line,
    characters_max: 64,
    bytes_max: 256
);

name!(
    /// A household within a line: 1 to 32 characters, at most 128 bytes.
    House,
    characters_max: 32,
    bytes_max: 128
);

fn normalise(raw: &str, characters_max: usize) -> Result<String, NameError> {
    let composed = compose(raw);
    let mut name = String::with_capacity(composed.len());
    for word in composed
        .trim()
        .split(is_space)
        .filter(|word| !word.is_empty())
    {
        if !name.is_empty() {
            name.push(' ');
        }
        name.push_str(&normalise_word(word)?);
    }
    check_length(&name, characters_max)?;
    Ok(name)
}

/// Width mapping, then NFC. Both come before the profile, which looks at characters before it composes them: it would
/// refuse every decomposed Hangul name, because loose jamo are no identifier characters.
fn compose(raw: &str) -> String {
    let narrowed = UsernameCasePreserved::new().width_mapping_rule(raw);
    // The rule fails only where its own table names a number that is no character.
    narrowed.as_deref().unwrap_or(raw).nfc().collect()
}

/// A space separator (Unicode category Zs). Tab and line breaks are controls, and refused within a name.
fn is_space(character: char) -> bool {
    character.is_whitespace()
        && !character.is_control()
        && !matches!(character, '\u{2028}' | '\u{2029}')
}

fn normalise_word(word: &str) -> Result<String, NameError> {
    // The profile lets the joiners pass where some scripts need them; nobody can see them in an address.
    if let Some(refused) = word
        .chars()
        .find(|character| matches!(character, '/' | '\u{200c}' | '\u{200d}'))
    {
        return Err(NameError::Character(refused));
    }
    let enforced = UsernameCasePreserved::enforce(word).map_err(name_error)?;
    Ok(enforced.into_owned())
}

fn name_error(refusal: precis_core::Error) -> NameError {
    use precis_core::{Error, UnexpectedError};
    match refusal {
        Error::BadCodepoint(info)
        | Error::Unexpected(UnexpectedError::ContextRuleNotApplicable(info))
        | Error::Unexpected(UnexpectedError::MissingContextRule(info)) => {
            NameError::Character(char::from_u32(info.cp).unwrap_or(char::REPLACEMENT_CHARACTER))
        }
        Error::Unexpected(
            UnexpectedError::ProfileRuleNotApplicable | UnexpectedError::Undefined,
        ) => NameError::Character(char::REPLACEMENT_CHARACTER),
        Error::Invalid => NameError::Direction,
    }
}

fn check_length(name: &str, characters_max: usize) -> Result<(), NameError> {
    let characters = name.chars().count();
    if characters == 0 {
        return Err(NameError::Empty);
    }
    if characters_max < characters {
        return Err(NameError::TooManyCharacters {
            found: characters,
            max: characters_max,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_that_look_the_same_are_the_same_name() {
        let plain = House::new("101동 1203호").unwrap();
        let spellings = [
            "\u{ff11}\u{ff10}\u{ff11}동\u{3000}1203호",
            "101\u{1103}\u{1169}\u{11bc} 1203\u{1112}\u{1169}",
            "  101동\u{a0} 1203호\n",
        ];
        for spelling in spellings {
            assert_eq!(House::new(spelling).as_ref(), Ok(&plain), "{spelling:?}");
        }
    }

    #[test]
    fn letters_of_another_case_are_another_name() {
        assert_ne!(House::new("A동").unwrap(), House::new("a동").unwrap());
    }

    #[test]
    fn what_cannot_be_seen_or_would_end_the_address_is_refused() {
        let refused = [
            ('/', "101/1203"),
            ('/', "101\u{ff0f}1203"),
            ('\u{200b}', "101\u{200b}동"),
            ('\u{200d}', "क्\u{200d}ष"),
            ('\u{202e}', "\u{202e}101"),
            ('\u{feff}', "\u{feff}101"),
            ('\u{3164}', "\u{3164}"),
            ('\t', "101\t동"),
            ('\0', "101\0"),
            ('\u{2028}', "101\u{2028}동"),
        ];
        for (character, name) in refused {
            assert_eq!(
                House::new(name),
                Err(NameError::Character(character)),
                "{name:?}"
            );
        }
    }

    #[test]
    fn a_name_has_a_length_after_normalisation() {
        assert_eq!(Line::new(" \u{3000} "), Err(NameError::Empty));
        assert!(Line::new(&"가".repeat(64)).is_ok());
        assert!(Line::new(&"\u{1100}\u{1161}".repeat(64)).is_ok());
        assert_eq!(
            Line::new(&"가".repeat(65)),
            Err(NameError::TooManyCharacters { found: 65, max: 64 })
        );
        assert_eq!(
            House::new(&"𠀀".repeat(33)),
            Err(NameError::TooManyCharacters { found: 33, max: 32 })
        );
        assert!(House::new(&"𠀀".repeat(32)).is_ok());
    }

    #[test]
    fn the_systems_own_names_are_kept_from_residents() {
        assert_eq!(Line::new("__canary"), Err(NameError::Reserved));
        assert_eq!(Line::new("\u{ff3f}_canary"), Err(NameError::Reserved));
        assert!(Line::even_reserved("__canary").unwrap().is_reserved());
    }

    #[test]
    fn writing_that_reads_both_ways_is_refused() {
        assert_eq!(House::new("\u{5d0}a"), Err(NameError::Direction));
        assert!(House::new("\u{5d0}\u{5d1}").is_ok());
    }
}
