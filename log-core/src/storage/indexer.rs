//! Which index entries the batches of one segment get: a function of the batches alone, so that every replica writes the
//! same bytes, and a check can write them again.
//!
//! Kafka's rule (`LogSegment.append`): an entry in both indexes for a batch that comes after more than
//! `index.interval.bytes` since the last one, and a last time entry when the segment is closed; a time entry only when it
//! is later than the one before.

use super::offset_index::OffsetEntry;
use super::time_index::TimeEntry;
use crate::ids::TimestampMs;
use crate::record::BatchHeader;

#[derive(Clone, Debug)]
pub(super) struct Indexer {
    interval_bytes: u64,
    bytes_since_entry: u64,
    /// The latest timestamp so far.
    latest: Option<TimeEntry>,
    /// The timestamp of the last time entry.
    indexed: Option<TimestampMs>,
}

/// Entries to be appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NewEntries {
    pub(super) offset: Option<OffsetEntry>,
    pub(super) time: Option<TimeEntry>,
}

impl Indexer {
    /// For a new segment.
    pub(super) fn new(interval_bytes: u32) -> Self {
        Self {
            interval_bytes: interval_bytes.into(),
            bytes_since_entry: 0,
            latest: None,
            indexed: None,
        }
    }

    /// For a segment that was written before: its last time entry, and the bytes of log since its last offset entry. The
    /// batches since then are still to be shown with [`Self::remember`].
    pub(super) fn resume(
        interval_bytes: u32,
        last_time_entry: Option<TimeEntry>,
        bytes_since_entry: u64,
    ) -> Self {
        Self {
            interval_bytes: interval_bytes.into(),
            bytes_since_entry,
            latest: last_time_entry,
            indexed: last_time_entry.map(|entry| entry.timestamp),
        }
    }

    /// The segment's latest timestamp and the batch that has it.
    pub(super) fn latest(&self) -> Option<TimeEntry> {
        self.latest
    }

    /// Takes note of a batch's timestamp.
    pub(super) fn remember(&mut self, header: &BatchHeader) {
        let later = self
            .latest
            .is_none_or(|latest| latest.timestamp < header.max_timestamp);
        // Kafka's -1 says that the records have no timestamps.
        if later && TimestampMs(-1) < header.max_timestamp {
            self.latest = Some(TimeEntry {
                timestamp: header.max_timestamp,
                last_offset: header.last_offset(),
            });
        }
    }

    /// The entries for a batch that was appended at `position`.
    pub(super) fn append(&mut self, header: &BatchHeader, position: u64) -> NewEntries {
        self.remember(header);
        let mut entries = NewEntries::default();
        if self.interval_bytes < self.bytes_since_entry {
            let position = u32::try_from(position).expect("segments roll below 4 GiB");
            entries.offset = Some(OffsetEntry {
                last_offset: header.last_offset(),
                position,
            });
            entries.time = self.close();
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += header.size_bytes as u64;
        entries
    }

    /// The time entry for all that was not indexed yet.
    pub(super) fn close(&mut self) -> Option<TimeEntry> {
        let latest = self.latest?;
        if self
            .indexed
            .is_some_and(|indexed| latest.timestamp <= indexed)
        {
            return None;
        }
        self.indexed = Some(latest.timestamp);
        Some(latest)
    }
}
