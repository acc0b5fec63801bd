//! Sizes of the files.

use journal::JournalConfig;

/// Sizes of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// Of the journal.
    pub journal: JournalConfig,
    /// Files of partitions that are open at once; the others are opened when they are used. Default 2,961, the share of a
    /// process that may open 20,000. Too low opens and closes files all the time, and refuses topics (a partition counts
    /// as three); too high, with what else the process opens, meets the process's own limit.
    pub open_partition_files_max: usize,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            journal: JournalConfig::default(),
            open_partition_files_max: 2_961,
        }
    }
}
