//! The topics, their settings, and the place of a record in them.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use crate::Line;

/// Partitions of every topic of ours: the same number everywhere, so that a line has one partition in each.
pub const PARTITIONS: NonZeroU32 = NonZeroU32::new(2).expect("2 is not 0");

/// How long the log keeps calls unless it is told otherwise: retention is the means of erasure.
pub const RETENTION_DEFAULT: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The topics that events are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Calls for help.
    Alert,
    /// Neighbours who accepted one.
    Accept,
    /// What happens to a call after it was raised.
    Life,
}

impl Topic {
    /// Those of the calls: what every service makes, writes, reads and waits for. [`Topic::Life`] is not among them: a reader of it
    /// is ready without it, and takes a topic that is missing for one that is empty.
    pub const ALL: [Self; 2] = [Self::Alert, Self::Accept];

    /// The name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alert => "an-alert",
            Self::Accept => "an-accept",
            Self::Life => "an-life",
        }
    }

    /// Where records go that nobody could read (a dead letter topic).
    pub fn dead_letter_name(self) -> &'static str {
        match self {
            Self::Alert => "an-alert.DLT",
            Self::Accept => "an-accept.DLT",
            Self::Life => "an-life.DLT",
        }
    }

    /// The topic of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        let every = [Self::Alert, Self::Accept, Self::Life];
        every.into_iter().find(|topic| topic.name() == name)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a record stands in the log. Ordered by topic, partition, offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordPosition {
    /// The topic it was written to.
    pub topic: Topic,
    /// Its partition of the topic, from 0.
    pub partition: u32,
    /// Its offset in the partition, from 0.
    pub offset: u64,
}

impl fmt::Display for RecordPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.topic, self.partition, self.offset)
    }
}

/// The string is no `topic-partition-offset`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no topic-partition-offset")]
pub struct PlaceError(String);

impl FromStr for RecordPosition {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        read_place(text).ok_or_else(|| PlaceError(text.to_owned()))
    }
}

fn read_place(text: &str) -> Option<RecordPosition> {
    let (rest, offset) = text.rsplit_once('-')?;
    let (topic, partition) = rest.rsplit_once('-')?;
    let place = RecordPosition {
        topic: Topic::from_name(topic)?,
        partition: partition.parse().ok()?,
        offset: offset.parse().ok()?,
    };
    // One place has one spelling: `an-alert-00-+7` is none.
    (place.to_string() == text).then_some(place)
}

/// A topic as it should be in the log. Services create what is missing and warn about what differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedTopic {
    /// The topic's name.
    pub name: &'static str,
    /// How many partitions it has.
    pub partitions: NonZeroU32,
    /// How many copies of it there are.
    pub replication_factor: u32,
    /// Its settings by Kafka's names, and one of ours: [`ACKS_MIN`].
    pub settings: Vec<(&'static str, String)>,
}

/// log-core's own setting: the weakest `acks` that a topic takes. Apache Kafka refuses to know it.
pub const ACKS_MIN: &str = "mayday.acks.min";

/// The four topics (two for events, two for dead letters) on a log of so many brokers.
pub fn expected_topics(brokers: u32, retention: Duration) -> Vec<ExpectedTopic> {
    let names = Topic::ALL
        .into_iter()
        .flat_map(|topic| [topic.name(), topic.dead_letter_name()]);
    names
        .map(|name| expected_topic(name, brokers, retention))
        .collect()
}

fn expected_topic(name: &'static str, brokers: u32, retention: Duration) -> ExpectedTopic {
    let replication_factor = brokers.clamp(1, 3);
    let in_sync_min = if replication_factor == 3 { 2 } else { 1 };
    ExpectedTopic {
        name,
        partitions: PARTITIONS,
        replication_factor,
        settings: vec![
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", retention.as_millis().to_string()),
            ("retention.bytes", "-1".to_owned()),
            ("min.insync.replicas", in_sync_min.to_string()),
            (ACKS_MIN, "all".to_owned()),
        ],
    }
}

/// The partition of a line: what Kafka's default partitioner answers for its name as the key.
pub fn partition_for(line: &Line, partitions: NonZeroU32) -> u32 {
    (murmur2(line.as_str().as_bytes()) & 0x7fff_ffff) % partitions
}

/// Kafka's hash of a key (`org.apache.kafka.common.utils.Utils.murmur2`, MurmurHash2 with the seed 0x9747b28c).
fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;

    // Java's `int` length: keys beyond 4 GiB do not exist.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the hash takes the length modulo 2^32"
    )]
    let mut hash = SEED ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_key_is_kafkas() {
        // Kafka's own: clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java, testMurmur2.
        let known: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ];
        for (key, hash) in known {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn three_brokers_keep_three_copies_and_ask_two_of_them() {
        let setting = |brokers, name| {
            let topic = expected_topics(brokers, RETENTION_DEFAULT).remove(0);
            let found = topic
                .settings
                .into_iter()
                .find(|(candidate, _)| *candidate == name);
            (topic.replication_factor, found.unwrap().1)
        };
        assert_eq!(setting(1, "min.insync.replicas"), (1, "1".to_owned()));
        assert_eq!(setting(3, "min.insync.replicas"), (3, "2".to_owned()));
        assert_eq!(setting(5, "retention.ms"), (3, "34560000000".to_owned()));
    }

    #[test]
    fn a_place_is_read_back_from_its_one_spelling() {
        let place = RecordPosition {
            topic: Topic::Accept,
            partition: 1,
            offset: 42,
        };
        assert_eq!("an-accept-1-42".parse(), Ok(place));
        let topic = Topic::Life;
        assert_eq!(
            "an-life-1-42".parse(),
            Ok(RecordPosition { topic, ..place })
        );
        for other in [
            "an-accept-01-42",
            "an-accept-1-+42",
            "an-accept-1",
            "other-1-42",
            "",
            "-",
        ] {
            assert!(other.parse::<RecordPosition>().is_err(), "{other}");
        }
    }
}
