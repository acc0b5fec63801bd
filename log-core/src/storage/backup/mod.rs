//! A node's folder, copied so that it can be made into a cluster again when all else is lost.
//!
//! A backup holds what a start of the node would find at that moment: the newest durable checkpoint with every file that
//! it lists, and the entries of the journal after it. So it holds everything that this node had on its disk when it was
//! begun: of a cluster of one, everything acknowledged; of the leader of a larger one, the same; of a follower, what had
//! reached it.
//!
//! ```text
//! <backup>/
//!   checkpoint, topics/..     copies, as the checkpoint lists them: not a byte more
//!   journal/..                a journal of its own with the entries after the checkpoint
//!   backup.json               whose it is; written last, so that half a backup is known
//! ```
//!
//! The node may run meanwhile. It only ever appends to the files that a checkpoint lists, and what is copied is checked
//! against the checkpoint's checksums; when a new checkpoint has a file unlinked or the journal trimmed under our hands,
//! the copy goes on from the newer one. Nothing in the node's folder is written.

mod copy;
mod restoring;

use std::io;
use std::path::{Path, PathBuf};

pub use self::copy::{BackedUp, back_up};
pub use self::restoring::{Restoring, RestoringError};
use super::entry_log::EntryLogError;
use super::identity::IdentityError;

/// Why there is no backup. What was begun of it is removed again.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The folder does not say whose it is.
    #[error(transparent)]
    Identity(IdentityError),
    /// There is nothing to back up.
    #[error("{folder} holds no log: its node was never part of a cluster")]
    NoLog {
        /// The folder.
        folder: PathBuf,
    },
    /// Something is there already.
    #[error("{folder} is not empty: give a folder of its own to each backup")]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder is about to become another one.
    #[error(
        "{folder} is being replaced by a snapshot from its leader: start its node, so that it finishes, and try again"
    )]
    Installing {
        /// The folder.
        folder: PathBuf,
    },
    /// A file is not as it was written. A backup of it would only look like one.
    #[error(
        "{path} is damaged: {found}. Nothing was backed up: `log-core verify` tells how much of the folder is damaged; \
         back up another node, and replace this one"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// The journal makes no sense.
    #[error(transparent)]
    Log(#[from] EntryLogError),
    /// A file or folder could not be read or written.
    #[error("backup: {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What came of it.
        #[source]
        source: io::Error,
    },
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io {
        action,
        path,
        source,
    }
}
