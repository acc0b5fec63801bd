//! The one topic that everybody uses, and the values in it; and the one whose records are kept for seconds only.

use uuid::Uuid;

use crate::ids::{PartitionIndex, TimestampMs, TopicId, TopicName, TopicPartition};
use crate::record::{Attributes, BatchBuilder, NewRecord, ProducerStamp};
use crate::state::{Command, CreateTopic, Produce};

/// Its partitions.
pub(super) const PARTITIONS: u32 = 2;

/// A segment is closed once its appends span more than this.
const SEGMENT_MS: i64 = 2_000;
/// The time of a producer's first record.
const FIRST_RECORD: TimestampMs = TimestampMs(1_790_000_000_000);
/// Between the times of two records of a producer.
const RECORD_EVERY_MS: i64 = 7_000;

const DAY_MS: i64 = 86_400_000;
/// How old records must be to go. No life is as long: whatever clocks say, nothing is due.
pub(super) const RETENTION_MS: i64 = 400 * DAY_MS;

/// How old records must be to go in the topic that keeps them briefly: more than one of its segments spans.
pub(super) const BRIEF_RETENTION_MS: u64 = 3_000;

/// A value is written by one client in one of its tries, and never again.
pub(super) type Value = u64;

/// The value that a client gives to what it writes first in this try.
pub(super) fn value_of(client: usize, attempt: u64) -> Value {
    (u64::try_from(client).expect("few") << 32) | attempt
}

pub(super) fn topic_id() -> TopicId {
    TopicId(Uuid::from_u128(0x6d61_7964_6179))
}

pub(super) fn place(partition: PartitionIndex) -> TopicPartition {
    let topic = TopicName::parse("an-alert").expect("a good name");
    TopicPartition::new(topic, partition)
}

pub(super) fn partitions() -> impl Iterator<Item = PartitionIndex> {
    (0..PARTITIONS).map(PartitionIndex)
}

/// Makes the topic.
pub(super) fn creation() -> Command {
    Command::CreateTopic(CreateTopic {
        name: place(PartitionIndex(0)).topic,
        id: topic_id(),
        partitions: PARTITIONS,
        replication_factor: 1,
        configs: [
            ("segment.ms".to_owned(), SEGMENT_MS.to_string()),
            ("retention.ms".to_owned(), RETENTION_MS.to_string()),
        ]
        .into(),
    })
}

/// Writes one value. A batch that is sent again is the very same one, so its time comes from its number.
pub(super) fn produce(
    partition: PartitionIndex,
    value: Value,
    number: u32,
    stamp: Option<ProducerStamp>,
    transactional: bool,
) -> Command {
    let attributes = Attributes {
        transactional,
        ..Attributes::PLAIN
    };
    let mut builder = BatchBuilder::new(attributes);
    if let Some(stamp) = stamp {
        builder = builder.producer(stamp);
    }
    // Producers' clocks: years behind in one partition, now and then years ahead in the other.
    let stray = match (partition.0, number % 7) {
        (1, _) => -500 * DAY_MS,
        (_, 5) => 3_650 * DAY_MS,
        _ => 0,
    };
    builder.push(NewRecord {
        timestamp: TimestampMs(FIRST_RECORD.0 + RECORD_EVERY_MS * i64::from(number) + stray),
        value: Some(value.to_be_bytes().to_vec().into()),
        ..NewRecord::default()
    });
    Command::Produce(Produce {
        topic_id: topic_id(),
        partition: place(partition),
        batch: builder.build(),
    })
}

pub(super) fn brief_topic_id() -> TopicId {
    TopicId(Uuid::from_u128(0x62_7269_6566))
}

pub(super) fn brief_place() -> TopicPartition {
    let topic = TopicName::parse("brief").expect("a good name");
    TopicPartition::new(topic, PartitionIndex(0))
}

/// Makes the topic that keeps its records briefly.
pub(super) fn brief_creation() -> Command {
    Command::CreateTopic(CreateTopic {
        name: brief_place().topic,
        id: brief_topic_id(),
        partitions: 1,
        replication_factor: 1,
        configs: [
            ("segment.ms".to_owned(), SEGMENT_MS.to_string()),
            ("retention.ms".to_owned(), BRIEF_RETENTION_MS.to_string()),
        ]
        .into(),
    })
}

/// Writes there.
pub(super) fn produce_brief(number: u32) -> Command {
    let mut builder = BatchBuilder::new(Attributes::PLAIN);
    builder.push(NewRecord {
        value: Some(number.to_be_bytes().to_vec().into()),
        ..NewRecord::default()
    });
    Command::Produce(Produce {
        topic_id: brief_topic_id(),
        partition: brief_place(),
        batch: builder.build(),
    })
}
