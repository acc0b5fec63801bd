//! A checkpoint held for others: hard links of its files, so that the next checkpoint may unlink what it likes.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use journal::disk::{Disk, OpenMode};

use super::chunk::{self, CHUNK_BYTES};
use super::manifest::{BYTES_MAX, Manifest};
use super::{SnapshotError, io_error};
use crate::ids::EntryIndex;
use crate::storage::checkpoint::{Checkpoint, CheckpointFile};
use crate::storage::layout::{SNAPSHOTS, read_all};

/// A held checkpoint. May be served from several threads.
pub struct Outgoing {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    manifest: Manifest,
    checkpoint: Checkpoint,
}

/// Holds the newest durable checkpoint; `None` where there is none yet. Not while another checkpoint is being completed:
/// nobody may unlink a file under our hands. Each time in a folder of its own, so that letting go of one leaves the others.
///
/// Nothing is synced: the links are for this process only, and the next start removes them.
///
/// # Errors
/// [`SnapshotError::Io`], [`SnapshotError::Checkpoint`], [`SnapshotError::TooManyFiles`].
pub fn hold(disk: &Arc<dyn Disk>, data_folder: &Path) -> Result<Option<Outgoing>, SnapshotError> {
    let path = CheckpointFile::path(data_folder);
    if !disk.exists(&path) {
        return Ok(None);
    }
    let bytes = read_all(&**disk, &path).map_err(io_error("read", &path))?;
    let contents = CheckpointFile::decode(&bytes)
        .map_err(|found| SnapshotError::Checkpoint { path, found })?;
    let manifest = Manifest::of(&contents, &bytes);
    if BYTES_MAX < manifest.encode().len() {
        let files = manifest.files.len();
        return Err(SnapshotError::TooManyFiles { files });
    }
    let folder = new_folder(&**disk, &data_folder.join(SNAPSHOTS), manifest.applied);
    let outgoing = Outgoing {
        disk: Arc::clone(disk),
        folder,
        manifest,
        checkpoint: contents.checkpoint,
    };
    outgoing.link_all(data_folder)?;
    Ok(Some(outgoing))
}

impl Outgoing {
    /// What there is to fetch.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What is held: its entry, epoch, state and membership.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The bytes of a file from `position` on, as many as fit a chunk, for [`super::Incoming::take`]. Slow.
    ///
    /// # Errors
    /// [`SnapshotError::NotThere`], [`SnapshotError::Io`].
    pub fn chunk(&self, file: u32, position: u64) -> Result<Bytes, SnapshotError> {
        let index = usize::try_from(file).expect("32 bits fit");
        let listed = self.manifest.files.get(index);
        let Some(listed) = listed.filter(|listed| position < listed.len) else {
            return Err(SnapshotError::NotThere { file, position });
        };
        let path = self.folder.join(&listed.name);
        let wanted = usize::try_from(listed.len - position)
            .unwrap_or(CHUNK_BYTES)
            .min(CHUNK_BYTES);
        let bytes = self.read(&path, position, wanted);
        let bytes = bytes.map_err(io_error("read", &path))?;
        Ok(chunk::seal(file, position, &bytes))
    }

    /// Lets the links go. Nothing can be served afterwards.
    ///
    /// # Errors
    /// [`SnapshotError::Io`]: the next start removes what is left.
    pub fn release(&self) -> Result<(), SnapshotError> {
        self.disk
            .remove_folder(&self.folder)
            .map_err(io_error("remove", &self.folder))
    }

    fn read(&self, path: &Path, position: u64, wanted: usize) -> io::Result<Vec<u8>> {
        let file = self.disk.open(path, OpenMode::Read)?;
        let mut bytes = vec![0; wanted];
        if file.read_at(&mut bytes, position)? < wanted {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }

    fn link_all(&self, data_folder: &Path) -> Result<(), SnapshotError> {
        for file in &self.manifest.files {
            let (from, to) = (data_folder.join(&file.name), self.folder.join(&file.name));
            let folder = to.parent().expect("files lie in folders");
            self.disk
                .create_folder(folder)
                .map_err(io_error("make folder", folder))?;
            self.disk
                .hard_link(&from, &to)
                .map_err(io_error("link", &from))?;
        }
        Ok(())
    }
}

/// A name that nobody has: what is held, and how often before.
fn new_folder(disk: &dyn Disk, snapshots: &Path, applied: EntryIndex) -> PathBuf {
    let names = (0_u64..).map(|number| snapshots.join(format!("{applied}-{number}")));
    let mut free = names.filter(|folder| !disk.exists(folder));
    free.next().expect("numbers do not end")
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("applied", &self.manifest.applied)
            .field("files", &self.manifest.files.len())
            .finish_non_exhaustive()
    }
}
