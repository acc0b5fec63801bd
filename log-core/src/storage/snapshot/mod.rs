//! Snapshots: a checkpoint's files on their way from a leader to a replica whose journal ends too far back.
//!
//! ```text
//! leader      checkpoint and what it lists --hard links--> snapshots/<applied>/ --chunks--> ...
//! follower    ... --> incoming/  --all whole, all synced, one rename--> installed/  --at the next start--> in force
//! ```
//!
//! The message that announces a snapshot carries its [`Manifest`]: each file with its length and CRC-32C, as the
//! checkpoint lists them. Logs and indexes only ever grow, so the hard link of a file that is being written goes on
//! showing the bytes that the manifest means, and more behind them: nobody reads past the manifest's lengths.
//!
//! Each chunk carries a checksum over itself and its place, each file is checked as a whole, and the checkpoint that came
//! must list just what the manifest promised. Until the rename the folder stands as it was; after it the snapshot takes
//! its place, however often the power goes in between: see `install`. A fetch that was broken off goes on with what is
//! there, also after a start, and also from another leader: files are known by name, length and checksum.

pub(super) mod chunk;
mod incoming;
pub(super) mod install;
pub(super) mod manifest;
mod outgoing;

use std::io;
use std::path::{Path, PathBuf};

pub use self::incoming::{Incoming, NextChunk};
pub use self::manifest::{InvalidManifest, Manifest};
pub use self::outgoing::{Outgoing, hold};

/// Why a snapshot was not held, served or fetched. The data folder stands as it was.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file or folder could not be read or written.
    #[error("snapshot: {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What came of it.
        #[source]
        source: io::Error,
    },
    /// The own checkpoint cannot be read, so nothing can be held.
    #[error(
        "checkpoint {path}: {found}. The disk deserves a look: `log-core verify` tells how much of the folder is damaged, \
         once this node is stopped"
    )]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: &'static str,
    },
    /// What was announced is no snapshot of ours.
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
    /// The checkpoint lists more files than a manifest can name.
    #[error(
        "the checkpoint lists {files} files, more than a snapshot can hold: larger segments (`segment.bytes`) make fewer"
    )]
    TooManyFiles {
        /// How many.
        files: usize,
    },
    /// A chunk was asked for that the snapshot does not have.
    #[error("the snapshot has no byte {position} of a file {file}")]
    NotThere {
        /// The file's place in the manifest.
        file: u32,
        /// The byte.
        position: u64,
    },
    /// What came is not the chunk that was asked for, or was damaged on the way. It may be asked for again.
    #[error("a chunk of {name} from byte {position} came damaged: {found}")]
    Chunk {
        /// The file.
        name: String,
        /// Where the chunk begins.
        position: u64,
        /// What is wrong with it.
        found: &'static str,
    },
    /// All chunks of a file came, and it is not the one that was promised. It was dropped and may be fetched again.
    #[error(
        "{name} came whole and is not as its sender's checkpoint lists it. Should this happen again and again, the sender's \
         own file is damaged: stop that node and `log-core verify` its folder"
    )]
    File {
        /// The file.
        name: String,
    },
    /// The checkpoint that came is not the one that the manifest promised. What was fetched was dropped.
    #[error("the checkpoint that came is not the one that was promised: {found}")]
    Unlike {
        /// How they differ.
        found: &'static str,
    },
    /// Not everything is fetched yet.
    #[error("{name} is not fetched yet")]
    Incomplete {
        /// The first file that is missing.
        name: String,
    },
    /// The disk does not hold another copy of the log.
    #[error(
        "the snapshot needs {needed_bytes} more bytes, and the disk of {folder} has {free_bytes}: free some, or move the \
         folder to a larger disk"
    )]
    NoRoom {
        /// Where.
        folder: PathBuf,
        /// What is still to be fetched.
        needed_bytes: u64,
        /// What there is.
        free_bytes: u64,
    },
    /// A snapshot was fetched and is not installed yet.
    #[error("{path} waits to be installed: start again from the folder first")]
    Waiting {
        /// Its folder.
        path: PathBuf,
    },
}

impl SnapshotError {
    /// Whether the same may be asked for again: something was lost on the way. A few times, not for ever.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Chunk { .. } | Self::File { .. })
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
    let path = path.to_owned();
    move |source| SnapshotError::Io {
        action,
        path,
        source,
    }
}
