//! A data folder that no process uses: checked, compared with another one, copied, and restored from a copy.
//!
//! A backup may be made while a node runs; everything else wants the folder for itself (`journal::FolderLock`).

pub use journal::disk::{Disk, SystemDisk};
pub use journal::{Finding, Severity};

pub use crate::broker::restore::{Restore, RestoreError, Restored, restore};
pub use crate::storage::verify::{
    CheckpointSummary, JournalSummary, PartitionSummary, Report, compare, verify,
};
pub use crate::storage::{BackedUp, BackupError, back_up};
