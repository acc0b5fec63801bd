//! Kafka's `.timeindex`: the latest timestamp of a segment up to an offset.
//!
//! ```text
//! entry  0  the latest timestamp so far                                     i64
//!        8  last offset of the batch that has it, less the base offset      u32
//! ```
//!
//! Entries grow in both numbers; no batch before the entry's own has a timestamp as late. A closed segment's last entry
//! is that of the whole segment.

use std::io;

use super::growing_file::GrowingFile;
use super::offset_index::relative;
use super::sorted_entries::{self, EntryAt};
use crate::ids::{Offset, TimestampMs};

pub(super) const ENTRY_BYTES: usize = 12;

/// One entry, and what a segment remembers of its latest batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeEntry {
    pub(super) timestamp: TimestampMs,
    pub(super) last_offset: Offset,
}

impl TimeEntry {
    pub(super) fn encode(self, base_offset: Offset) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.timestamp.0.to_be_bytes());
        bytes[8..].copy_from_slice(&relative(self.last_offset, base_offset).to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: [u8; ENTRY_BYTES], base_offset: Offset) -> Self {
        let [t0, t1, t2, t3, t4, t5, t6, t7, o0, o1, o2, o3] = bytes;
        let timestamp = TimestampMs(i64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]));
        Self {
            timestamp,
            last_offset: base_offset.plus(u64::from(u32::from_be_bytes([o0, o1, o2, o3]))),
        }
    }
}

/// The last entry that is not later than `at`: batches before its own are all earlier than `at`.
pub(super) fn last_not_after(
    index: &GrowingFile,
    base_offset: Offset,
    at: TimestampMs,
) -> io::Result<Option<EntryAt<TimeEntry>>> {
    let decode = |bytes| TimeEntry::decode(bytes, base_offset);
    sorted_entries::last_where(index, decode, |entry| entry.timestamp <= at)
}

/// The last entry of a batch that ends below `below`.
pub(super) fn last_below(
    index: &GrowingFile,
    base_offset: Offset,
    below: Offset,
) -> io::Result<Option<EntryAt<TimeEntry>>> {
    let decode = |bytes| TimeEntry::decode(bytes, base_offset);
    sorted_entries::last_where(index, decode, |entry| entry.last_offset < below)
}

/// The newest entry.
pub(super) fn last(
    index: &GrowingFile,
    base_offset: Offset,
) -> io::Result<Option<EntryAt<TimeEntry>>> {
    sorted_entries::last_where(
        index,
        |bytes| TimeEntry::decode(bytes, base_offset),
        |_| true,
    )
}
