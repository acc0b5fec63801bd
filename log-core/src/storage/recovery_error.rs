//! Why a data folder cannot be gone on with.

use std::io;
use std::path::{Path, PathBuf};

use super::entry_log::EntryLogError;
use super::layout::ADVICE;
use super::read_error::ReadError;
use crate::ids::EntryIndex;

/// Why a data folder cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The journal is damaged, or does not meet the checkpoint.
    #[error(transparent)]
    Log(#[from] EntryLogError),
    /// The checkpoint cannot be read.
    #[error("checkpoint {path}: {found}. {ADVICE}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        found: &'static str,
    },
    /// A file that the checkpoint lists is gone, or shorter than it was.
    #[error("{path} is not as the checkpoint of entry {checkpoint} lists it. {ADVICE}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The checkpoint's entry.
        checkpoint: EntryIndex,
        /// What was found.
        #[source]
        source: io::Error,
    },
    /// A partition's files do not hold what they should.
    #[error(transparent)]
    Damaged(#[from] ReadError),
    /// A file or folder could not be read or changed.
    #[error("recovery: {action} {path}")]
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

pub(super) fn io_error(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> RecoveryError {
    let path = path.to_owned();
    move |source| RecoveryError::Io {
        action,
        path,
        source,
    }
}
