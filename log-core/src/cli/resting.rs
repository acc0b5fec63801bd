//! A data folder that no process uses: found, and locked while we look into it.

use std::path::{Path, PathBuf};

use log_core::storage::{FolderLock, FolderLockError};

/// A folder that is ours to look at until this is dropped.
pub(super) struct RestingFolder {
    pub(super) path: PathBuf,
    _lock: FolderLock,
}

/// Why a folder cannot be looked at. Nothing in it was changed but for its empty lock file.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotResting {
    /// There is no such folder.
    #[error("there is no folder {}", folder.display())]
    Missing { folder: PathBuf },
    /// It holds no log.
    #[error("folder {} holds no log: it has no identity.json", folder.display())]
    NoLog { folder: PathBuf },
    /// A process uses it.
    #[error(transparent)]
    Lock(FolderLockError),
}

impl RestingFolder {
    pub(super) fn open(path: &Path) -> Result<Self, NotResting> {
        let folder = || path.to_owned();
        // Locking would make the folder.
        if !path.is_dir() {
            return Err(NotResting::Missing { folder: folder() });
        }
        if !path.join("identity.json").exists() {
            return Err(NotResting::NoLog { folder: folder() });
        }
        let lock = FolderLock::acquire(path).map_err(NotResting::Lock)?;
        Ok(Self {
            path: folder(),
            _lock: lock,
        })
    }
}
