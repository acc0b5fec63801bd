//! When a partition's files roll: named here because the state decides it and the storage does it, and the two are strangers.

use serde::{Deserialize, Serialize};

/// A topic's settings about its segments, under Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentSettings {
    /// `segment.bytes`: a segment that would grow beyond it is closed. Default 1 GiB. Too low: many files; too high:
    /// retention by size is coarse.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment whose first record is older is closed. Default 7 days. Too low: many files; too high:
    /// retention by time is coarse.
    pub segment_ms: u64,
    /// `index.interval.bytes`: bytes between two entries of an index. Default 4,096. Too low: large indexes; too high:
    /// longer scans.
    pub index_interval_bytes: u32,
}

impl Default for SegmentSettings {
    /// Kafka's.
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 60 * 60 * 1000,
            index_interval_bytes: 4096,
        }
    }
}
