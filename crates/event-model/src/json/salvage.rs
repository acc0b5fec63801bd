//! What can be read of bytes that are no JSON: the pairs of a name and a value, as far as they can be made out.
//!
//! No crate is taken for this: those that repair JSON are written for the output of language models, are used by few, and
//! this stands where nothing may panic or take long on any bytes. One pass, no recursion, nothing nested is kept.

use serde_json::{Map, Value};

use super::replace_broken_characters;

/// Reads the pairs of the first object in the text, also where it is cut short or broken in between. A value that is no
/// JSON is kept as a text (`NaN`, a word without quotes); what is nested is left out. A string without its end counts
/// only as `text`: the beginning of a name or a number is another name or number. Without any object, words are a `text`.
pub fn salvage(bytes: &[u8]) -> Map<String, Value> {
    let text = replace_broken_characters(bytes);
    let mut pairs = Map::new();
    let Some(start) = text.find('{') else {
        pairs.extend(words(&text).map(|words| (TEXT.to_owned(), Value::String(words))));
        return pairs;
    };
    let mut reader = Reader {
        rest: &text[start + 1..],
    };
    while let Some(name) = reader.name() {
        if let Some(value) = reader.value(name == TEXT) {
            pairs.insert(name, value);
        }
    }
    pairs
}

const TEXT: &str = "text";

/// The body as a sentence, if it is one and not the remains of something else.
fn words(text: &str) -> Option<String> {
    let text =
        text.trim_matches(|character: char| character.is_whitespace() || character.is_control());
    let text = match text.strip_prefix('"') {
        Some(quoted) => Reader { rest: quoted }.string().0,
        None => text.to_owned(),
    };
    let sentence = text.chars().any(char::is_alphabetic)
        && !text.contains(char::REPLACEMENT_CHARACTER)
        && !text.starts_with(['[', '<'])
        && !text
            .chars()
            .any(|character| character.is_control() && !character.is_whitespace());
    sentence.then_some(text)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// The next name before a colon. `None`: the object is over.
    fn name(&mut self) -> Option<String> {
        loop {
            let next = self.rest.chars().next()?;
            match next {
                '}' => return None,
                '"' => {
                    self.skip(next);
                    let (name, _) = self.string();
                    self.skip_space();
                    if let Some(rest) = self.rest.strip_prefix(':') {
                        self.rest = rest;
                        return Some(name);
                    }
                }
                _ => self.skip(next),
            }
        }
    }

    fn value(&mut self, is_text: bool) -> Option<Value> {
        self.skip_space();
        match self.rest.chars().next()? {
            '"' => {
                self.skip('"');
                let (text, ended) = self.string();
                (ended || is_text).then_some(Value::String(text))
            }
            '{' | '[' => {
                self.skip_nested();
                None
            }
            _ => self.word(),
        }
    }

    /// The rest of a string whose opening quote is read, and whether it has an end. Line breaks in it are part of it.
    fn string(&mut self) -> (String, bool) {
        let mut string = String::new();
        while let Some(next) = self.rest.chars().next() {
            self.skip(next);
            match next {
                '"' => return (string, true),
                '\\' => string.extend(self.escape()),
                _ => string.push(next),
            }
        }
        (string, false)
    }

    /// What follows a backslash. Halves of surrogate pairs are replaced already.
    fn escape(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.skip(next);
        Some(match next {
            'n' => '\n',
            't' => '\t',
            'r' | 'b' | 'f' => ' ',
            'u' => return self.utf16_escape(),
            other => other,
        })
    }

    fn utf16_escape(&mut self) -> Option<char> {
        let unit = self.hexadecimal()?;
        if !(0xd800..0xdc00).contains(&unit) {
            return char::from_u32(unit);
        }
        let low = self.rest.strip_prefix("\\u")?;
        self.rest = low;
        let low = self.hexadecimal()?;
        char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + low.checked_sub(0xdc00)?)
    }

    fn hexadecimal(&mut self) -> Option<u32> {
        let digits = self.rest.get(..4)?;
        let number = u32::from_str_radix(digits, 16).ok()?;
        self.rest = &self.rest[4..];
        Some(number)
    }

    /// Passes over a list or an object and all in it; a bracket within a string is none.
    fn skip_nested(&mut self) {
        let mut depth = 0usize;
        while let Some(next) = self.rest.chars().next() {
            self.skip(next);
            match next {
                '"' => drop(self.string()),
                '{' | '[' => depth += 1,
                '}' | ']' => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    /// A value without quotes, up to the next comma, bracket, quote or line break.
    fn word(&mut self) -> Option<Value> {
        let ends =
            |character: char| matches!(character, ',' | '}' | ']' | '"') || character.is_control();
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let cut_short = rest.is_empty();
        self.rest = rest;
        let word = word.trim();
        if word.is_empty() || cut_short {
            return None;
        }
        Some(serde_json::from_str(word).unwrap_or_else(|_| Value::String(word.to_owned())))
    }

    fn skip(&mut self, character: char) {
        self.rest = &self.rest[character.len_utf8()..];
    }

    fn skip_space(&mut self) {
        let space = |character: char| character.is_whitespace() || character.is_control();
        self.rest = self.rest.trim_start_matches(space);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(bytes: &[u8]) -> Value {
        Value::Object(salvage(bytes))
    }

    #[test]
    fn what_is_broken_costs_no_other_field() {
        for (bytes, pairs) in [
            (
                &b"{\"lat\":NaN,\"text\":\"fire\"}"[..],
                json!({"lat": "NaN", "text": "fire"}),
            ),
            (b"{\"text\":\"fire\"}\0", json!({"text": "fire"})),
            (
                b"{\"text\":\"fire\nin the \\\"kitchen\\\"\",\"lat\":\"1\"}",
                json!({"text": "fire\nin the \"kitchen\"", "lat": "1"}),
            ),
            (
                b"{\"lat\":1,,\"lng\":2;\"text\":\"fire\"",
                json!({"lat": 1, "lng": "2;", "text": "fire"}),
            ),
            (
                b"{\"text\":fire,\"floor\":{\"a\":[\"}\"]},\"house\":\"1502\"}",
                json!({"text": "fire", "house": "1502"}),
            ),
            (
                "{\"text\":\"불\\uBD88\\uD83D\\uDE00\\uD83D\",}".as_bytes(),
                json!({"text": "불불😀\u{fffd}"}),
            ),
            (
                b"xx{\"text\":\"fire\"}{\"text\":\"no\"}",
                json!({"text": "fire"}),
            ),
        ] {
            assert_eq!(read(bytes), pairs, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn of_a_body_cut_short_only_the_text_counts_without_its_end() {
        assert_eq!(read(b"{\"line\":\"dong-10"), json!({}));
        assert_eq!(
            read(b"{\"line\":\"dong-101\",\"house\":\"15"),
            json!({"line": "dong-101"})
        );
        assert_eq!(
            read(b"{\"lat\":37.5"),
            json!({}),
            "it may have been 37.5665"
        );
        assert_eq!(
            read(b"{\"text\":\"fire in the kit"),
            json!({"text": "fire in the kit"})
        );
        assert_eq!(read(b"{\"text\":\"fire\\"), json!({"text": "fire"}));
        assert_eq!(read(b"{\"text"), json!({}));
    }

    #[test]
    fn words_without_an_object_are_the_text() {
        assert_eq!(
            read("불이야! fire\r\n".as_bytes()),
            json!({"text": "불이야! fire"})
        );
        assert_eq!(read(b"\"fire\""), json!({"text": "fire"}));
        for remains in [
            &b""[..],
            b"\0\0",
            b"[1,\"fire\"]",
            b"37.5",
            b"\xff\xfe\x01",
            b"<html>fire",
        ] {
            assert_eq!(read(remains), json!({}), "{remains:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_json_is_read_as_json_reads_it(
            pairs in prop::collection::btree_map("[a-z]{1,5}", prop_oneof![
                "\\PC{0,20}".prop_map(Value::from), any::<i32>().prop_map(Value::from), any::<bool>().prop_map(Value::from),
            ], 0..6),
        ) {
            let written = json!(pairs);
            prop_assert_eq!(read(written.to_string().as_bytes()), written);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            salvage(&bytes);
        }

        #[test]
        fn no_characters_panic(text in r#"[{}\[\],:"\\u0-9a-fé\n ]{0,100}"#) {
            salvage(text.as_bytes());
        }
    }
}
