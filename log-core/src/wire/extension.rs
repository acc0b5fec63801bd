//! What our requests and answers say beyond Kafka's: tagged fields (KIP-482), which whoever does not know them skips.
//!
//! Kafka numbers its tags from 0; ours begin far above.

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

/// In AddRaftVoter: the directory id of the voter that the new one takes the place of, in one change.
const REPLACES: i32 = 10_000;
/// In DescribeQuorum, at a replica: one byte, a bit for each word of [`Standing`].
const STANDING: i32 = 10_001;

/// The tagged fields of a request or an answer, as the codec has them.
pub type TaggedFields = BTreeMap<i32, Bytes>;

/// Whom a new voter replaces, if it replaces one. Other than 16 bytes are as good as none.
pub fn replaces(fields: &TaggedFields) -> Option<Uuid> {
    let bytes = fields.get(&REPLACES)?;
    Uuid::from_slice(bytes).ok()
}

/// The field that says it.
pub fn replacing(directory: Uuid) -> TaggedFields {
    TaggedFields::from([(REPLACES, Bytes::copy_from_slice(directory.as_bytes()))])
}

/// How a replica stands, as its leader sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// It was heard of lately.
    pub active: bool,
    /// Its journal is close to the leader's.
    pub in_sync: bool,
    /// Its disk has room for records.
    pub has_room: bool,
    /// It is no member, and waits for the operator to add it.
    pub waiting: bool,
}

/// How a replica stands; `None` where the answer is not ours.
pub fn standing(fields: &TaggedFields) -> Option<Standing> {
    let bits = *fields.get(&STANDING)?.first()?;
    let bit = |number: u8| bits >> number & 1 == 1;
    Some(Standing {
        active: bit(0),
        in_sync: bit(1),
        has_room: bit(2),
        waiting: bit(3),
    })
}

impl Standing {
    /// The field that says it.
    pub fn tagged(self) -> TaggedFields {
        let words = [self.active, self.in_sync, self.has_room, self.waiting];
        let bits = (0..)
            .zip(words)
            .map(|(number, word)| u8::from(word) << number)
            .sum::<u8>();
        TaggedFields::from([(STANDING, Bytes::copy_from_slice(&[bits]))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_in_a_tagged_field_is_read_back() {
        let directory = Uuid::from_u64_pair(0, 77);
        assert_eq!(replaces(&replacing(directory)), Some(directory));
        for bits in 0..16_u8 {
            let said = Standing {
                active: bits & 1 == 1,
                in_sync: bits & 2 == 2,
                has_room: bits & 4 == 4,
                waiting: bits & 8 == 8,
            };
            assert_eq!(standing(&said.tagged()), Some(said));
        }
    }

    #[test]
    fn without_our_fields_nothing_is_said() {
        let others = TaggedFields::from([(0, Bytes::from_static(b"x"))]);
        assert_eq!(replaces(&others), None);
        assert_eq!(standing(&others), None);
        let cut = TaggedFields::from([
            (REPLACES, Bytes::from_static(b"cut")),
            (STANDING, Bytes::new()),
        ]);
        assert_eq!(replaces(&cut), None);
        assert_eq!(standing(&cut), None);
    }
}
