//! Commands about topics, their partitions and their records.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{Offset, PartitionIndex, TimestampMs, TopicId, TopicName, TopicPartition};
use crate::state::config_change::ConfigChange;

/// Make a topic. Answered by [`crate::state::Response::TopicCreated`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTopic {
    /// Its name.
    pub name: TopicName,
    /// Its identity, random, from the leader.
    pub id: TopicId,
    /// How many partitions.
    pub partitions: u32,
    /// How many replicas its creator asked for; the door has checked it against the voters.
    pub replication_factor: u16,
    /// Settings that differ from the defaults.
    pub configs: BTreeMap<String, String>,
}

/// Remove a topic. By identity, so that one made again under the same name stays. Answered by [`crate::state::Response::Done`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTopic {
    /// Which.
    pub id: TopicId,
}

/// Append a batch. Answered by [`crate::state::Response::Produced`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Produce {
    /// The identity of the topic that the leader meant.
    pub topic_id: TopicId,
    /// Where to.
    pub partition: TopicPartition,
    /// The bytes of a [`crate::record::ValidBatch`].
    pub batch: Bytes,
}

/// Forget producers that were idle. Answered by [`crate::state::Response::Expired`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpireProducers {
    /// Those last used before this time (`producer.id.expiration.ms` ago).
    pub used_before: TimestampMs,
}

/// Change a topic's settings. Answered by [`crate::state::Response::Done`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterTopicConfigs {
    /// Which topic.
    pub topic_id: TopicId,
    /// What changes.
    pub change: ConfigChange,
}

/// Give a topic more partitions. Answered by [`crate::state::Response::Done`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePartitions {
    /// Which topic.
    pub topic_id: TopicId,
    /// How many it shall have in all.
    pub count: u32,
}

/// Delete records from the front of a partition. Answered by [`crate::state::Response::LogStart`].
///
/// The offset is in the command, computed by the leader from what its storage holds: so retention by time and by bytes
/// needs no account of segments in the state, and replicas delete the same records though they would have looked at
/// different moments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveLogStart {
    /// Which topic.
    pub topic_id: TopicId,
    /// Which of its partitions.
    pub partition: PartitionIndex,
    /// The new first readable offset; `None` for the high watermark. Where it already is further, nothing happens.
    pub offset: Option<Offset>,
    /// Who wants it.
    pub cause: LogStartCause,
}

/// Who deletes records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogStartCause {
    /// A person or a client. Refused where `mayday.acks.min=all`.
    DeleteRecords,
    /// `retention.ms` or `retention.bytes`. Stops before the oldest open transaction.
    Retention,
}

impl CreateTopic {
    pub(super) fn payload_bytes(&self) -> usize {
        self.configs
            .iter()
            .map(|(key, value)| key.len() + value.len() + 10)
            .sum()
    }
}
