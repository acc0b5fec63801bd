//! What our requests and answers say beyond Kafka's: tagged fields (KIP-482), which a client that does not know them skips.
//!
//! Kafka numbers its tags from 0; ours begin far above.

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

/// In AddRaftVoter: the directory id of the voter that the new one takes the place of, in one change.
const REPLACES: i32 = 10_000;
/// In DescribeQuorum, at a replica: one byte, a bit for each word of [`ReplicaStatus`].
const STANDING: i32 = 10_001;

/// In UpdateFeatures: an operator's word on the clock's jumps, [`ClockVerdict`].
const CLOCK_VERDICT: i32 = 10_002;
/// In DescribeQuorum, at the partition: [`ClockReport`].
const CLOCK_REPORT: i32 = 10_003;

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
pub struct ReplicaStatus {
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
pub fn replica_status(fields: &TaggedFields) -> Option<ReplicaStatus> {
    let bits = *fields.get(&STANDING)?.first()?;
    let bit = |number: u8| bits >> number & 1 == 1;
    Some(ReplicaStatus {
        active: bit(0),
        in_sync: bit(1),
        has_room: bit(2),
        waiting: bit(3),
    })
}

impl ReplicaStatus {
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

/// What an operator says of the jumps of the clock up to a command time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockVerdict {
    /// The last command time that the operator has seen, in milliseconds.
    pub until_ms: i64,
    /// Whether the time did pass; else the clock was wrong.
    pub time_passed: bool,
}

/// An operator's word, if the request carries one; an error where it makes no sense.
pub fn clock_verdict(fields: &TaggedFields) -> Option<Result<ClockVerdict, ()>> {
    let bytes = fields.get(&CLOCK_VERDICT)?;
    let read = |bytes: &[u8; 9]| {
        let [passed, until @ ..] = *bytes;
        let time_passed = match passed {
            0 => false,
            1 => true,
            _ => return Err(()),
        };
        Ok(ClockVerdict {
            until_ms: i64::from_be_bytes(until),
            time_passed,
        })
    };
    Some(bytes[..].try_into().map_err(|_| ()).and_then(read))
}

impl ClockVerdict {
    /// The field that says it.
    pub fn tagged(self) -> TaggedFields {
        let mut bytes = vec![u8::from(self.time_passed)];
        bytes.extend(self.until_ms.to_be_bytes());
        TaggedFields::from([(CLOCK_VERDICT, bytes.into())])
    }
}

/// Command time on the node that was asked, and the jumps in it that no leader lived through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockReport {
    /// Command time now, in milliseconds.
    pub now_ms: i64,
    /// The node's wall clock.
    pub wall_ms: i64,
    /// The jumps, in order.
    pub jumps: Vec<ReportedJump>,
}

/// A jump as it is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedJump {
    /// The first command time after it.
    pub at_ms: i64,
    /// How long it was.
    pub unwitnessed_ms: u64,
    /// Whether an operator has said that the clock was wrong.
    pub dismissed: bool,
}

/// What a node says of its clock; `None` where the answer is not ours, or makes no sense.
pub fn clock_report(fields: &TaggedFields) -> Option<ClockReport> {
    const JUMP_BYTES: usize = 17;
    let bytes = fields.get(&CLOCK_REPORT)?;
    let (now, rest) = bytes.split_first_chunk()?;
    let (wall, rest) = rest.split_first_chunk()?;
    if !rest.len().is_multiple_of(JUMP_BYTES) {
        return None;
    }
    let jump = |bytes: &[u8]| {
        let (at, rest) = bytes.split_first_chunk()?;
        let (unwitnessed, rest) = rest.split_first_chunk()?;
        Some(ReportedJump {
            at_ms: i64::from_be_bytes(*at),
            unwitnessed_ms: u64::from_be_bytes(*unwitnessed),
            dismissed: *rest.first()? != 0,
        })
    };
    Some(ClockReport {
        now_ms: i64::from_be_bytes(*now),
        wall_ms: i64::from_be_bytes(*wall),
        jumps: rest
            .chunks(JUMP_BYTES)
            .map(jump)
            .collect::<Option<Vec<_>>>()?,
    })
}

impl ClockReport {
    /// The field that says it.
    pub fn tagged(&self) -> TaggedFields {
        let mut bytes = self.now_ms.to_be_bytes().to_vec();
        bytes.extend(self.wall_ms.to_be_bytes());
        for jump in &self.jumps {
            bytes.extend(jump.at_ms.to_be_bytes());
            bytes.extend(jump.unwitnessed_ms.to_be_bytes());
            bytes.push(u8::from(jump.dismissed));
        }
        TaggedFields::from([(CLOCK_REPORT, bytes.into())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_and_the_word_on_them_are_read_back_and_cut_ones_are_not() {
        for time_passed in [true, false] {
            let said = ClockVerdict {
                until_ms: -7,
                time_passed,
            };
            assert_eq!(clock_verdict(&said.tagged()), Some(Ok(said)));
        }
        let cut = TaggedFields::from([(CLOCK_VERDICT, Bytes::from_static(b"cut"))]);
        assert_eq!(clock_verdict(&cut), Some(Err(())));
        assert_eq!(clock_verdict(&TaggedFields::new()), None);

        let jump = |at_ms, dismissed| ReportedJump {
            at_ms,
            unwitnessed_ms: u64::MAX,
            dismissed,
        };
        for jumps in [vec![], vec![jump(3, false), jump(4, true)]] {
            let said = ClockReport {
                now_ms: 5,
                wall_ms: i64::MIN,
                jumps,
            };
            assert_eq!(clock_report(&said.tagged()), Some(said.clone()));
            let whole = said.tagged().remove(&CLOCK_REPORT).expect("it is there");
            let cut = whole.slice(..whole.len() - 1);
            assert_eq!(
                clock_report(&TaggedFields::from([(CLOCK_REPORT, cut)])),
                None
            );
        }
    }

    #[test]
    fn what_is_said_in_a_tagged_field_is_read_back() {
        let directory = Uuid::from_u64_pair(0, 77);
        assert_eq!(replaces(&replacing(directory)), Some(directory));
        for bits in 0..16_u8 {
            let said = ReplicaStatus {
                active: bits & 1 == 1,
                in_sync: bits & 2 == 2,
                has_room: bits & 4 == 4,
                waiting: bits & 8 == 8,
            };
            assert_eq!(replica_status(&said.tagged()), Some(said));
        }
    }

    #[test]
    fn without_our_fields_nothing_is_said() {
        let others = TaggedFields::from([(0, Bytes::from_static(b"x"))]);
        assert_eq!(replaces(&others), None);
        assert_eq!(replica_status(&others), None);
        let cut = TaggedFields::from([
            (REPLACES, Bytes::from_static(b"cut")),
            (STANDING, Bytes::new()),
        ]);
        assert_eq!(replaces(&cut), None);
        assert_eq!(replica_status(&cut), None);
    }
}
