//! Why a node does not start.

use std::path::PathBuf;

use journal::FolderLockError;

use crate::consensus::InvalidMembership;
use crate::state::StateDecodeError;
use crate::storage::{IdentityError, RecoveryError};

/// Why a node does not start. Nothing was changed in the folder but what recovery itself mends.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The folder is not there and cannot be made.
    #[error("{path}: this data folder cannot be made or written")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Another process uses it, or it cannot be locked.
    #[error(transparent)]
    Lock(FolderLockError),
    /// Who the folder is.
    #[error(transparent)]
    Identity(IdentityError),
    /// What is in the folder does not fit together.
    #[error(transparent)]
    Recovery(RecoveryError),
    /// The checkpoint's state is of another version.
    #[error("{path}: the checkpoint's state cannot be read by this version")]
    State {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: StateDecodeError,
    },
    /// The checkpoint's members are of another version.
    #[error("{path}: the checkpoint's members cannot be read by this version")]
    Membership {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: InvalidMembership,
    },
    /// The system gives no thread.
    #[error("the system gives no thread")]
    Thread(#[source] std::io::Error),
}
