//! How far a partition goes.

use std::fmt;

use super::super::isolation::Isolation;
use crate::ids::Offset;
use crate::state::Partition;

/// What a partition shows of itself. None of the three ever falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// First readable offset.
    pub log_start: Offset,
    /// End of what is certain to count or not.
    pub last_stable: Offset,
    /// End of all that is committed by the cluster.
    pub high_watermark: Offset,
}

impl Bounds {
    pub(in super::super) fn of(partition: Option<&Partition>) -> Self {
        partition.map_or_else(Self::default, |partition| Self {
            log_start: partition.log_start_offset(),
            last_stable: partition.last_stable_offset(),
            high_watermark: partition.high_watermark(),
        })
    }

    pub(in super::super) fn end(self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::Uncommitted => self.high_watermark,
            Isolation::Committed => self.last_stable,
        }
    }

    pub(in super::super) fn are_within(self, later: Self) -> bool {
        self.log_start <= later.log_start
            && self.last_stable <= later.last_stable
            && self.high_watermark <= later.high_watermark
    }

    /// The furthest of both.
    pub(super) fn joined(self, other: Self) -> Self {
        Self {
            log_start: self.log_start.max(other.log_start),
            last_stable: self.last_stable.max(other.last_stable),
            high_watermark: self.high_watermark.max(other.high_watermark),
        }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            log_start,
            last_stable,
            high_watermark,
        } = self;
        write!(f, "{log_start} to {last_stable} to {high_watermark}")
    }
}
