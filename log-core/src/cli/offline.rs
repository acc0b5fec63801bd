//! A data folder that no process uses: found, and locked while we look into it.

use std::path::{Path, PathBuf};

use crate::storage::{Identity, IdentityError};
use journal::disk::SystemDisk;
use journal::{FolderLock, FolderLockError};

/// Whose folder it is. A backup may be looked at like the folder that it is of.
fn identity_of(path: &Path) -> Result<Option<Identity>, IdentityError> {
    match Identity::read(&SystemDisk, path) {
        Err(IdentityError::Backup { .. }) => Identity::read_backup(&SystemDisk, path),
        read => read,
    }
}

/// A folder that is ours to look at until this is dropped.
pub(super) struct OfflineFolder {
    pub(super) path: PathBuf,
    /// Whose it is; none where that is damaged, which is for `verify` to say.
    identity: Option<Identity>,
    _lock: FolderLock,
}

/// Why a folder cannot be looked at. Nothing in it was changed but for its empty lock file.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOffline {
    /// There is no such folder.
    #[error("there is no folder {}", folder.display())]
    Missing { folder: PathBuf },
    /// It holds no log.
    #[error("folder {} holds no log: it has no identity.json", folder.display())]
    NoLog { folder: PathBuf },
    /// It does not say whose log it is.
    #[error(transparent)]
    Identity(IdentityError),
    /// It cannot be told whether two folders belong together.
    #[error("folder {} does not say any more of which cluster it is: verify it alone", folder.display())]
    Nameless { folder: PathBuf },
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

impl OfflineFolder {
    pub(super) fn open(path: &Path) -> Result<Self, NotOffline> {
        let folder = || path.to_owned();
        // Locking would make the folder.
        if !path.is_dir() {
            return Err(NotOffline::Missing { folder: folder() });
        }
        let identity = match identity_of(path) {
            Ok(None) => return Err(NotOffline::NoLog { folder: folder() }),
            Err(
                IdentityError::Damaged { .. }
                | IdentityError::Missing { .. }
                | IdentityError::NoJournal { .. },
            ) => None,
            read => read.map_err(NotOffline::Identity)?,
        };
        let lock = FolderLock::acquire(path).map_err(NotOffline::Lock)?;
        Ok(Self {
            path: folder(),
            identity,
            _lock: lock,
        })
    }

    /// Fails where two folders are not of one cluster.
    pub(super) fn must_be_kin_of(&self, other: &Self) -> Result<(), NotOffline> {
        if self.cluster_id()? == other.cluster_id()? {
            return Ok(());
        }
        Err(NotOffline::OtherCluster {
            folder: self.path.clone(),
            other: other.path.clone(),
        })
    }

    fn cluster_id(&self) -> Result<&str, NotOffline> {
        let formed = self
            .identity
            .as_ref()
            .and_then(|known| known.formed.as_ref());
        let formed = formed.ok_or_else(|| NotOffline::Nameless {
            folder: self.path.clone(),
        })?;
        Ok(&formed.cluster_id)
    }
}
