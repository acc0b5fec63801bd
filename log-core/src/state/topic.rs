//! One topic: its identity, its settings and its partitions.

use serde::{Deserialize, Serialize};

use super::partition::Partition;
use super::topic_config::TopicConfig;
use crate::ids::{PartitionIndex, TimestampMs, TopicId};
use crate::record::BatchLimits;

/// Partitions that a topic may have. Each costs files and memory on every node; far above any use we know.
pub const PARTITIONS_MAX: u32 = 10_000;

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    pub(super) id: TopicId,
    pub(super) created_at: TimestampMs,
    pub(super) replication_factor: u16,
    pub(super) config: TopicConfig,
    pub(super) partitions: Vec<Partition>,
}

impl Topic {
    /// Its identity.
    pub fn id(&self) -> TopicId {
        self.id
    }

    /// When it was made.
    pub fn created_at(&self) -> TimestampMs {
        self.created_at
    }

    /// What its creator asked for. All voters hold it, whatever this says.
    pub fn replication_factor(&self) -> u16 {
        self.replication_factor
    }

    /// Its settings.
    pub fn config(&self) -> &TopicConfig {
        &self.config
    }

    /// One of its partitions.
    pub fn partition(&self, partition: PartitionIndex) -> Option<&Partition> {
        self.partitions.get(usize::try_from(partition.0).ok()?)
    }

    pub(super) fn partition_mut(&mut self, partition: PartitionIndex) -> Option<&mut Partition> {
        self.partitions.get_mut(usize::try_from(partition.0).ok()?)
    }

    /// How many partitions it has.
    pub fn partition_count(&self) -> u32 {
        u32::try_from(self.partitions.len()).expect("at most PARTITIONS_MAX")
    }

    /// All its partitions, in order.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionIndex, &Partition)> + '_ {
        (0..).map(PartitionIndex).zip(&self.partitions)
    }

    /// What a batch for it must keep to at this time.
    pub fn batch_limits(&self, now: TimestampMs) -> BatchLimits {
        self.config.settings().batch_limits(now)
    }
}
