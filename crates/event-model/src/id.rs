//! What names an event: a UUID made or derived here, or, for records of the original system, their place in the log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{EventTime, RecordPosition};

/// The identity of an event. Two records with one id are one event, written twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum EventId {
    /// Given by producer-api: version 7, or version 8 where it is derived from an Idempotency-Key.
    Uuid(Uuid),
    /// A record without an id of its own, as the original system wrote them: `topic-partition-offset`.
    Record(RecordPosition),
}

impl EventId {
    /// A new UUIDv7 (RFC 9562 section 5.7). Time and chance are the caller's: of the ten random bytes 74 bits are used.
    pub fn new(at: EventTime, random: [u8; 10]) -> Self {
        let millis = u64::try_from(at.as_millis()).expect("an EventTime is not before 1970");
        Self::Uuid(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => uuid.hyphenated().fmt(f),
            Self::Record(place) => place.fmt(f),
        }
    }
}

/// The string is neither a UUID nor a `topic-partition-offset`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no event id")]
pub struct EventIdError(String);

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, EventIdError> {
        let uuid = Uuid::try_parse(text).map(Self::Uuid);
        uuid.or_else(|_| text.parse().map(Self::Record))
            .map_err(|_| EventIdError(text.to_owned()))
    }
}

impl TryFrom<String> for EventId {
    type Error = EventIdError;

    fn try_from(text: String) -> Result<Self, EventIdError> {
        text.parse()
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> String {
        id.to_string()
    }
}

/// Who asked for what under which Idempotency-Key: what an id is derived from, besides what the call says.
#[derive(Clone, Copy, Debug)]
pub struct IdempotencyScope<'a> {
    /// The token's `iss`, empty if it has none.
    pub issuer: &'a str,
    /// The token's `sub`.
    pub subject: &'a str,
    /// The path that was called: `/alert` or `/accept`.
    pub path: &'a str,
    /// The key itself, without quotes.
    pub key: &'a str,
}

impl IdempotencyScope<'_> {
    /// UUIDv8 over the scope and the body's fields. Each field goes in with its length, so no two lists of fields
    /// look the same to the hash.
    pub(crate) fn derive(&self, body: &[&[u8]]) -> EventId {
        let scope = self.fields().map(str::as_bytes);
        let fields = scope.iter().chain(body).copied();
        let head = hash_of("mayday idempotency 1", fields);
        EventId::Uuid(uuid::Builder::from_custom_bytes(head).into_uuid())
    }

    /// What a record carries of its key (header `ce_idempotencykey`): the same for every call under one key, and
    /// nothing that the key or its owner could be read from.
    pub fn tag(&self) -> Tag {
        let fields = self.fields();
        Tag(hash_of(
            "mayday key 1",
            fields.iter().map(|field| field.as_bytes()),
        ))
    }

    fn fields(&self) -> [&str; 4] {
        [self.issuer, self.subject, self.path, self.key]
    }
}

/// A fingerprint of 128 bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag([u8; 16]);

impl Tag {
    /// What a record carries of its caller (header `ce_caller`), so that only the same subject is told about it. The
    /// event's id goes in: two records of one caller do not show that they are.
    pub fn of_caller(id: EventId, issuer: &str, subject: &str) -> Self {
        let id = id.to_string();
        let fields = [id.as_str(), issuer, subject];
        Self(hash_of(
            "mayday caller 1",
            fields.iter().map(|field| field.as_bytes()),
        ))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// The string is no [`Tag`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not 32 hexadecimal digits")]
pub struct TagError(String);

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let digits = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = digits
            .then(|| u128::from_str_radix(text, 16).ok())
            .flatten();
        number
            .map(|number| Self(number.to_be_bytes()))
            .ok_or_else(|| TagError(text.to_owned()))
    }
}

/// The first 128 bits of SHA-256 over a prefix and fields, each with its length.
fn hash_of<'a>(prefix: &str, fields: impl Iterator<Item = &'a [u8]>) -> [u8; 16] {
    let mut hash = Sha256::new_with_prefix(prefix);
    for field in fields {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    let digest = hash.finalize();
    let (head, _) = digest
        .split_first_chunk::<16>()
        .expect("SHA-256 has 32 bytes");
    *head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derive(scope: [&str; 4], body: &[&str]) -> EventId {
        let [issuer, subject, path, key] = scope;
        IdempotencyScope {
            issuer,
            subject,
            path,
            key,
        }
        .derive(
            &body
                .iter()
                .map(|field| field.as_bytes())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_tag_tells_neither_its_key_nor_that_two_calls_have_one_caller() {
        let scope = |subject, key| IdempotencyScope {
            issuer: "iss",
            subject,
            path: "/alert",
            key,
        };
        let id = |random| EventId::new(EventTime::MIN, [random; 10]);

        let tag = scope("kim", "0123456789abcdef").tag();

        assert_eq!(tag, scope("kim", "0123456789abcdef").tag());
        assert_ne!(tag, scope("lee", "0123456789abcdef").tag());
        assert_ne!(tag, scope("kim", "0123456789abcdeg").tag());
        assert_eq!(tag.to_string().parse(), Ok(tag));
        assert_ne!(
            Tag::of_caller(id(1), "iss", "kim"),
            Tag::of_caller(id(2), "iss", "kim")
        );
        for bad in ["", "0", "+0000000000000000000000000000000", &"g".repeat(32)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_begins_with_its_time() {
        let at: EventTime = "2022-02-22T19:22:22.000Z".parse().unwrap();
        // The example of RFC 9562 appendix A.6: rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F.
        let id = EventId::new(
            at,
            [0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f],
        );
        assert_eq!(id.to_string(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn a_derived_id_depends_on_every_field_and_on_where_fields_end() {
        let id = derive(["iss", "sub", "/alert", "key"], &["a", "bc"]);
        assert_eq!(id, derive(["iss", "sub", "/alert", "key"], &["a", "bc"]));
        let others = [
            derive(["is", "ssub", "/alert", "key"], &["a", "bc"]),
            derive(["iss", "sub", "/accept", "key"], &["a", "bc"]),
            derive(["iss", "sub", "/alert", "kez"], &["a", "bc"]),
            derive(["iss", "sub", "/alert", "key"], &["ab", "c"]),
            derive(["iss", "sub", "/alert", "key"], &["a", "bc", ""]),
        ];
        assert!(others.iter().all(|other| *other != id));
        let EventId::Uuid(uuid) = id else {
            panic!("a derived id is a UUID")
        };
        assert_eq!(
            (uuid.get_version_num(), uuid.get_variant()),
            (8, uuid::Variant::RFC4122)
        );
    }

    #[test]
    fn an_id_is_a_uuid_or_a_place() {
        assert!(matches!("an-alert-0-7".parse(), Ok(EventId::Record(_))));
        assert!("7".parse::<EventId>().is_err());
    }
}
