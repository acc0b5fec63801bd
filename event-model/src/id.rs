//! What names an event: a UUID made or derived here, or, for records of the original system, their place in the log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{EventTime, Place};

/// The identity of an event. Two records with one id are one event, written twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum EventId {
    /// Given by producer-api: version 7, or version 8 where it is derived from an Idempotency-Key.
    Uuid(Uuid),
    /// A record without an id of its own, as the original system wrote them: `topic-partition-offset`.
    Place(Place),
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
            Self::Place(place) => place.fmt(f),
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
        uuid.or_else(|_| text.parse().map(Self::Place))
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
    pub(crate) fn derive(&self, body: &[&str]) -> EventId {
        let mut hash = Sha256::new_with_prefix("mayday idempotency 1");
        for field in [self.issuer, self.subject, self.path, self.key]
            .iter()
            .chain(body)
        {
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field.as_bytes());
        }
        let digest = hash.finalize();
        let (head, _) = digest
            .split_first_chunk::<16>()
            .expect("SHA-256 has 32 bytes");
        EventId::Uuid(uuid::Builder::from_custom_bytes(*head).into_uuid())
    }
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
        .derive(body)
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
        assert!(matches!("an-alert-0-7".parse(), Ok(EventId::Place(_))));
        assert!("7".parse::<EventId>().is_err());
    }
}
