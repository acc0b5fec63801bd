//! What a check of a data folder found.

use std::fmt;
use std::path::Path;

use journal::{Finding, Severity};
use serde::Serialize;

use crate::ids::{EntryIndex, LeaderEpoch, Offset};

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The checkpoint, if there is one that can be read.
    pub checkpoint: Option<CheckpointSummary>,
    /// The journal.
    pub journal: JournalSummary,
    /// The partitions that the checkpoint lists.
    pub partitions: Vec<PartitionSummary>,
    /// What is not as it should be; empty after a clean stop.
    pub findings: Vec<Finding>,
}

/// What a checkpoint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointSummary {
    /// The entry it is of.
    pub applied: EntryIndex,
    /// That entry's epoch.
    pub epoch: LeaderEpoch,
}

/// What a journal holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JournalSummary {
    /// Whole records.
    pub records: usize,
    /// Its first entry; 0 where it has none.
    pub first: EntryIndex,
    /// Its last entry.
    pub last: EntryIndex,
    /// What is known to be committed.
    pub commit: EntryIndex,
}

/// What a partition holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionSummary {
    /// Its name, as Kafka names its folder.
    pub partition: String,
    /// Its topic's id.
    pub topic_id: String,
    /// The first readable offset.
    pub log_start_offset: Offset,
    /// The offset after the last record.
    pub log_end_offset: Offset,
    /// How many segments.
    pub segments: usize,
    /// Size of their logs.
    pub bytes: u64,
}

impl Report {
    /// Whether nothing is damaged; leftovers may be there.
    pub fn is_sound(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity < Severity::Damage)
    }

    pub(super) fn damage(&mut self, path: &Path, byte: Option<u64>, found: impl fmt::Display) {
        self.add(Severity::Damage, path, byte, found);
    }

    pub(super) fn leftover(&mut self, path: &Path, byte: Option<u64>, found: impl fmt::Display) {
        self.add(Severity::Leftover, path, byte, found);
    }

    fn add(
        &mut self,
        severity: Severity,
        path: &Path,
        byte: Option<u64>,
        found: impl fmt::Display,
    ) {
        self.findings.push(Finding {
            severity,
            path: path.to_owned(),
            byte,
            found: found.to_string(),
        });
    }
}
