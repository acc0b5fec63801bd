//! A data folder that no process uses: found, and locked while we look into it.

use std::path::{Path, PathBuf};

use log_core::disk::SystemDisk;
use log_core::storage::{FolderLock, FolderLockError, Identity, IdentityError};

/// Whose folder it is. A backup may be looked at like the folder that it is of.
fn identity_of(path: &Path) -> Result<Option<Identity>, NotResting> {
    let read = match Identity::read(&SystemDisk, path) {
        Err(IdentityError::Backup { .. }) => Identity::read_backup(&SystemDisk, path),
        read => read,
    };
    read.map_err(NotResting::Identity)
}

/// A folder that is ours to look at until this is dropped.
pub(super) struct RestingFolder {
    pub(super) path: PathBuf,
    identity: Identity,
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
    /// It does not say whose log it is.
    #[error(transparent)]
    Identity(IdentityError),
    /// Two clusters have no record in common that could differ.
    #[error(
        "{} and {} are of different clusters: there is nothing to compare",
        folder.display(),
        other.display()
    )]
    OtherCluster { folder: PathBuf, other: PathBuf },
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
        let identity = identity_of(path)?.ok_or_else(|| NotResting::NoLog { folder: folder() })?;
        let lock = FolderLock::acquire(path).map_err(NotResting::Lock)?;
        Ok(Self {
            path: folder(),
            identity,
            _lock: lock,
        })
    }

    /// Fails where two folders are not of one cluster.
    pub(super) fn must_be_kin_of(&self, other: &Self) -> Result<(), NotResting> {
        let cluster_id = |folder: &Self| {
            let formed = folder.identity.formed.as_ref();
            formed.map(|formed| formed.cluster_id.clone())
        };
        if cluster_id(self) == cluster_id(other) {
            return Ok(());
        }
        Err(NotResting::OtherCluster {
            folder: self.path.clone(),
            other: other.path.clone(),
        })
    }
}
