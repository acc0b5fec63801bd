//! What became of a command: an answer, and what must now happen to the partitions' files.

use bytes::Bytes;

use super::command_error::CommandError;
use super::response::Response;
use crate::ids::{Offset, TimestampMs, TopicId, TopicPartition};
use crate::record::SegmentSettings;

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What its proposer's client is told.
    pub outcome: Result<Response, CommandError>,
    /// What must now happen to the partitions' files, in this order.
    pub changes: Vec<Change>,
}

/// What must happen to a partition's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A partition is new.
    PartitionCreated {
        /// Which.
        partition: TopicPartition,
        /// Its topic's identity.
        topic_id: TopicId,
        /// When its segments roll.
        segment: SegmentSettings,
    },
    /// Its segments roll by other settings from here on.
    PartitionConfigured {
        /// Which.
        partition: TopicPartition,
        /// When its segments roll.
        segment: SegmentSettings,
    },
    /// A partition is gone with all its records.
    PartitionDeleted {
        /// Which.
        partition: TopicPartition,
    },
    /// A batch has its place.
    Appended {
        /// Where.
        partition: TopicPartition,
        /// Offset of its first record.
        base_offset: Offset,
        /// The batch, base offset and leader epoch patched in.
        batch: Bytes,
        /// The command's time; `None` as long as the cluster's level keeps none with the segments.
        at: Option<TimestampMs>,
    },
    /// From here on all segments know the command times of their appends. Those that have some already count them as of
    /// this time: none was later.
    AppendsTimed {
        /// The command's time.
        since: TimestampMs,
    },
    /// Records before this offset are gone.
    LogStartMoved {
        /// Where.
        partition: TopicPartition,
        /// First readable offset.
        log_start_offset: Offset,
    },
}
