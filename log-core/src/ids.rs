//! The numbers and names of the log, each with a type of its own, so that an offset is never added to a byte count.
//!
//! Not here: the wire's `-1` for "none". That turns into `Option` in the room `wire`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A record's position in its partition, from 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset `records` further on.
    pub fn plus(self, records: u64) -> Self {
        Self(self.0 + records)
    }
}

/// Counts successive leaders: the Raft term, under Kafka's name. Never falls; fits Kafka's 31 bits.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct LeaderEpoch(pub u32);

impl LeaderEpoch {
    /// The last one that Kafka's 31 bits can hold.
    pub const MAX: Self = Self(i32::MAX.unsigned_abs());
}

/// The place of an entry in the journal, from 1. 0 is "before the first".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct EntryIndex(pub u64);

/// A broker as Kafka's clients know it (`broker.id`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct NodeId(pub u32);

/// A voter or learner as Raft knows it: random, made once per data folder, never 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ReplicaId(pub u64);

/// Which of a topic's partitions, from 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct PartitionIndex(pub u32);

/// Names a request that a node answers: its driver's own number, so that the answer finds who waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names one idempotent or transactional producer (KIP-98).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ProducerId(pub u64);

/// Fences earlier incarnations of the same producer id (KIP-98). 0 to 32,767.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ProducerEpoch(pub u16);

/// A producer's own count of its records in one partition: 0 to 2,147,483,647, then 0 again (KIP-98).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Sequence(pub u32);

impl Sequence {
    /// The sequence `records` further on, wrapping as Kafka's `DefaultRecordBatch.incrementSequence` does.
    pub fn plus(self, records: u32) -> Self {
        const PERIOD: u64 = 1 << 31;
        let next = (u64::from(self.0) + u64::from(records)) % PERIOD;
        Self(u32::try_from(next).expect("below 2^31"))
    }
}

/// Counts the completed rebalances of a consumer group.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Generation(pub u32);

/// Milliseconds since 1970-01-01 UTC, as Kafka stamps its records.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct TimestampMs(pub i64);

/// A topic's identity: a topic deleted and made again under the same name has another one (KIP-516).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicId(pub Uuid);

/// A topic's name: 1 to 249 of `[a-zA-Z0-9._-]`, neither `.` nor `..`, so it can name a folder (Kafka's `Topic.validate`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicName(Arc<str>);

/// Why a string is no topic name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "topic name {name:?}: needs 1 to 249 characters of [a-zA-Z0-9._-], and neither \".\" nor \"..\""
)]
pub struct InvalidTopicName {
    /// What was given, cut to 260 characters.
    pub name: String,
}

impl TopicName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`InvalidTopicName`] where Kafka would answer INVALID_TOPIC_EXCEPTION.
    pub fn parse(name: &str) -> Result<Self, InvalidTopicName> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=249).contains(&name.len()) && name != "." && name != "..";
        if fits && name.bytes().all(legal) {
            return Ok(Self(name.into()));
        }
        Err(InvalidTopicName {
            name: name.chars().take(260).collect(),
        })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TopicName {
    type Error = InvalidTopicName;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name)
    }
}

impl From<TopicName> for String {
    fn from(name: TopicName) -> Self {
        name.0.as_ref().to_owned()
    }
}

/// One partition of one topic; written `an-alert-0`, as Kafka names its folders.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// Its partition.
    pub partition: PartitionIndex,
}

impl TopicPartition {
    /// Puts the two together.
    pub fn new(topic: TopicName, partition: PartitionIndex) -> Self {
        Self { topic, partition }
    }
}

macro_rules! names {
    ($($(#[$doc:meta])+ $name:ident;)+) => {
        $(
            $(#[$doc])+
            #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
            pub struct $name(Arc<str>);

            impl $name {
                /// Takes any text: a client chose it, or the door has checked it.
                pub fn new(name: impl Into<Arc<str>>) -> Self {
                    Self(name.into())
                }

                /// The name as text.
                pub fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.0.fmt(f)
                }
            }
        )+
    };
}
names! {
    /// Names a consumer group (`group.id`).
    GroupId;
    /// Names one member of a consumer group; made by the coordinator when the member joins.
    MemberId;
    /// Names a static member across its restarts (`group.instance.id`, KIP-345).
    GroupInstanceId;
    /// Names a transactional producer across its restarts (`transactional.id`, KIP-98).
    TransactionalId;
}

macro_rules! displayed_as_its_number {
    ($($name:ident),+) => {
        $(impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        })+
    };
}
displayed_as_its_number!(
    Offset,
    LeaderEpoch,
    EntryIndex,
    NodeId,
    ReplicaId,
    PartitionIndex,
    ProducerId,
    ProducerEpoch,
    Sequence,
    Generation,
    TimestampMs,
    TopicId,
    TopicName
);

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_name_can_always_name_a_folder() {
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a\\b",
            "한글",
            "a b",
            "a\0",
            &"x".repeat(250),
        ] {
            assert!(TopicName::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["an-alert", "an-accept.DLT", "__x", &"x".repeat(249)] {
            assert!(TopicName::parse(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_sequence_wraps_to_zero_after_the_largest_31_bit_number() {
        assert_eq!(Sequence(2_147_483_647).plus(1), Sequence(0));
        assert_eq!(Sequence(2_147_483_646).plus(3), Sequence(1));
    }
}
