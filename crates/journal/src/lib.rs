//! The journal: an append-only file of records that are still there after a power cut.
//!
//! Knows nothing of what the records mean. The caller has its records synced when [`Journal::append`] returns; after
//! a start they come back in order, with nothing added and nothing missing. Old records are let go of in whole segments.
//!
//! ```
//! # use std::sync::Arc;
//! # let folder = tempfile::tempdir()?;
//! use journal::disk::SystemDisk;
//! use journal::{Journal, JournalConfig};
//!
//! let open = || Journal::open(Arc::new(SystemDisk), folder.path(), JournalConfig::default());
//! let (mut journal, found) = open()?;
//! assert!(found.records.is_empty());
//!
//! let positions = journal.append(&["first", "second"])?; // both are on the disk now
//! drop(journal);
//!
//! let (mut journal, found) = open()?;
//! let (position, record) = &found.records[1];
//! assert_eq!((*position, record.as_ref()), (positions[1], b"second".as_slice()));
//!
//! // "first" is done with. It may still come back after a start: records go by whole segments.
//! journal.trim_before(positions[1])?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it lasts
//!
//! A segment is a file of fixed length, written full of zeros and synced before its name is (overwriting is faster than
//! extending, and what must be zero can be checked); it is filled bit by bit while the one before it is in use. Records go in as batches, each with one write and one sync, and none
//! spans two segments. The next batch is written only after the sync of the previous one returned, so after a power cut at
//! most one batch is incomplete. Each batch carries `synced_to`, the end of the last completed sync, and after each sync a
//! marker with the new `synced_to` is written behind it, unsynced; the next batch overwrites it. The last marker of a
//! segment says that another one follows, and is synced.
//!
//! # What a start finds
//!
//! Let S be the highest `synced_to` in any whole header, and at least the start of the newest segment.
//!
//! - Bytes before S that are not whole records are damage: [`JournalError::Damaged`], and nothing is changed.
//! - From S on there is at most one batch. It is cut at its first record that is not whole, and what lies behind becomes
//!   zeros. Everything from S to the segment's end is then written once more and synced before anything relies on it: the
//!   page cache may show what a failed sync never got to the disk, and zeros that are not there.
//!
//! The limit: when the last batch rots and the power goes before the marker behind it is on the disk, the batch looks as
//! if it had never been synced, and is cut. Flipped bits in the unused end of a segment are of no consequence.
//!
//! A write or sync that fails is never tried again: what reached the disk is unknown. The journal refuses everything from
//! then on ([`JournalError::Broken`]); a new [`Journal::open`] finds out what is there.

pub mod disk;
mod error;
mod finding;
mod folder;
mod folder_lock;
mod frame;
mod inspection;
mod journal;
mod position;
mod preallocation;
mod scan;
mod segment_file;
#[cfg(any(test, feature = "testing"))]
pub mod sim_disk;

pub use error::JournalError;
pub use finding::{Finding, Severity};
pub use folder::make_lasting;
pub use folder_lock::{FolderLock, FolderLockError};
pub use inspection::{Inspection, inspect};
pub use journal::{Journal, JournalConfig, RecoveredJournal};
pub use position::{Cut, JournalPosition};
