//! Files: the entries in the journal, the partitions' segments with their indexes, checkpoints, and recovery from all of them.
//!
//! Sync code over the [`journal::disk`] seam; who leads, and what a command means, is decided elsewhere. What is promised
//! is written at each file's head; the order of the steps between the files is in [`mod@recovery`] and [`checkpoint`].
//!
//! ```text
//! <data folder>/
//!   lock                                      held while a process uses the folder
//!   identity.json                             who this replica is
//!   journal/00000000000000000000.journal      named by the position of its first byte
//!   checkpoint                                one applied index and what was true there
//!   snapshots/<applied>/                      hard links of a checkpoint that is held for another replica
//!   incoming/                                 a snapshot that is being fetched
//!   installed/                                one that is whole, and takes its place at the next start
//!   topics/<topic id>/<topic>-<partition>/    Kafka's own folder and files:
//!     00000000000000000000.log                record batches
//!     00000000000000000000.index              offset -> byte, about every 4 KiB
//!     00000000000000000000.timeindex          timestamp -> offset
//! ```

pub mod backup;
mod batch_scan;
pub mod checkpoint;
mod config;
pub mod entry_log;
mod file_pool;
mod growing_file;
pub mod identity;
mod index_rebuild;
mod indexer;
pub mod journal_entries;
mod layout;
mod listed_files;
mod offset_index;
pub mod partition;
pub mod partitions;
mod read_error;
pub mod recovery;
mod recovery_error;
mod segment;
pub mod segment_summary;
pub mod snapshot;
mod sorted_entries;
mod time_index;
pub mod verify;

#[cfg(test)]
mod tests;

pub use backup::{BackedUp, BackupError, Restoring, RestoringError, back_up};
pub use checkpoint::{Checkpoint, CheckpointError, PendingCheckpoint};
pub use config::StorageConfig;
pub use entry_log::{EntryLog, EntryLogError, Synced};
pub use identity::{ClusterIdentity, Identity, IdentityError, InitialVoter, cluster_id_of};
pub use journal_entries::read_entries;
pub use partition::PartitionReader;
pub use partitions::{Partitions, PartitionsError};
pub use read_error::ReadError;
pub use recovery::{Recovered, recover};
pub use recovery_error::RecoveryError;
pub use segment_summary::{SegmentSummary, TimestampedOffset};
pub use snapshot::Outgoing;
#[cfg(any(test, feature = "testing"))]
pub use snapshot::{Incoming, Manifest, NextChunk, hold};
pub use verify::{Report, compare, verify};
