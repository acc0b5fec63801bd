//! What a segment says of itself to those who do not read it.

use serde::{Deserialize, Serialize};

use crate::ids::{LeaderEpoch, Offset, TimestampMs};

/// What retention wants to know of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset after its last record.
    pub end_offset: Offset,
    /// Size of its log; the indexes are not counted, as in Kafka.
    pub bytes: u64,
    /// Its latest timestamp, if any record has one.
    pub max_timestamp: Option<TimestampMs>,
    /// The command times of its appends; `None` where there was none, or as long as they are not kept.
    pub appended: Option<AppendTimes>,
}

/// When a segment was appended to, in command time: what the leaders said, not what producers wrote into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendTimes {
    /// Rolling by time counts from the first append.
    pub first: TimestampMs,
    /// Retention by time counts from the last append.
    pub last: TimestampMs,
}

/// A record found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// Where it is.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: TimestampMs,
    /// The epoch of the leader that appended it.
    pub epoch: LeaderEpoch,
}
