//! One process at a time in a folder of files. The lock is the system's, so it ends with the process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::disk::{Disk as _, SystemDisk};

/// The name of the file that is locked.
const NAME: &str = "lock";

/// A folder that is ours until this is dropped.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Why a folder is not ours. Nothing in it was changed but for its empty lock file.
#[derive(Debug, thiserror::Error)]
pub enum FolderLockError {
    /// Another process holds it.
    #[error(
        "folder {folder} is in use by another process: stop that one, or choose another folder"
    )]
    InUse {
        /// Which.
        folder: PathBuf,
    },
    /// It cannot be made, or not be written in.
    #[error("folder {folder} cannot be locked")]
    Io {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl FolderLock {
    /// Makes the folder where it is missing and takes its lock.
    ///
    /// # Errors
    /// [`FolderLockError`]
    pub fn acquire(folder: &Path) -> Result<Self, FolderLockError> {
        let failed = |source| FolderLockError::Io {
            folder: folder.to_owned(),
            source,
        };
        SystemDisk.create_folder(folder).map_err(failed)?;
        let name = folder.join(NAME);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(name)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(FolderLockError::InUse {
                folder: folder.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_on_the_same_folder_is_refused_until_the_first_has_ended() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = parent.path().join("data");
        let first = FolderLock::acquire(&folder).expect("free");

        let second = FolderLock::acquire(&folder);
        assert!(matches!(second, Err(FolderLockError::InUse { .. })));

        drop(first);
        FolderLock::acquire(&folder).expect("free again");
    }
}
