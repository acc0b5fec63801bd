//! A snapshot that is being fetched: chunk by chunk into a folder of its own, until every file is whole and synced.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::disk::{Disk, DiskFile, OpenMode};

use super::chunk::{self, CHUNK_BYTES};
use super::manifest::{Manifest, ManifestFile, listed};
use super::{SnapshotError, io_error};
use crate::storage::checkpoint::{Checkpoint, CheckpointFile};
use crate::storage::growing_file::FileEnd;
use crate::storage::layout::{INCOMING, INSTALLED, JOURNAL, TOPICS, read_all};

/// What is fetched, so that a start knows whether to keep it.
const MANIFEST: &str = "manifest";
/// Room for so many segments of the journal is left on the disk: as many as lie between two checkpoints, and more.
const JOURNAL_SEGMENTS_LEFT: u64 = 4;

/// The next chunk to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextChunk {
    /// The file's place in the manifest.
    pub file: u32,
    /// Where the chunk begins.
    pub position: u64,
}

/// A fetch under way. Dropped, it goes on with what is there when the same files are opened again.
pub struct Incoming {
    disk: Arc<dyn Disk>,
    data_folder: PathBuf,
    folder: PathBuf,
    manifest: Manifest,
    /// How much of each file is here, and its checksum.
    here: Vec<FileEnd>,
    /// The first file that may not be whole.
    at: usize,
    /// That file, once something of it came in.
    open: Option<Box<dyn DiskFile>>,
}

impl Incoming {
    /// Begins a fetch, or goes on with one: files that are here already, of this snapshot or of another one that lists
    /// the same, are read and checked, and not fetched again. May take a while.
    ///
    /// # Errors
    /// [`SnapshotError::Manifest`], [`SnapshotError::Waiting`], [`SnapshotError::Io`]; [`SnapshotError::NoRoom`]: what had
    /// been fetched was dropped.
    pub fn open(
        disk: &Arc<dyn Disk>,
        data_folder: &Path,
        manifest: Manifest,
    ) -> Result<Self, SnapshotError> {
        manifest.check()?;
        let installed = data_folder.join(INSTALLED);
        if disk.exists(&installed) {
            return Err(SnapshotError::Waiting { path: installed });
        }
        let mut incoming = Self {
            disk: Arc::clone(disk),
            data_folder: data_folder.to_owned(),
            folder: data_folder.join(INCOMING),
            here: vec![FileEnd::default(); manifest.files.len()],
            manifest,
            at: 0,
            open: None,
        };
        incoming.drop_what_is_of_another_snapshot()?;
        incoming.make_folders()?;
        for file in 0..incoming.here.len() {
            incoming.resume(file)?;
        }
        if let Err(error) = incoming.needs_room() {
            Self::forget(&**disk, data_folder)?;
            return Err(error);
        }
        incoming.skip_what_is_whole();
        Ok(incoming)
    }

    /// Drops what was fetched: it is not needed any more.
    ///
    /// # Errors
    /// [`SnapshotError::Io`]
    pub fn forget(disk: &dyn Disk, data_folder: &Path) -> Result<(), SnapshotError> {
        let folder = data_folder.join(INCOMING);
        disk.remove_folder(&folder)
            .map_err(io_error("remove", &folder))
    }

    /// What is being fetched.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The chunk to ask for; `None` when everything is here.
    pub fn next(&self) -> Option<NextChunk> {
        let here = self.here.get(self.at)?;
        Some(NextChunk {
            file: u32::try_from(self.at).expect("a manifest has fewer files than bytes"),
            position: here.bytes,
        })
    }

    /// Takes in the chunk that was asked for. The last one of a file has the file synced.
    ///
    /// # Errors
    /// [`SnapshotError::Chunk`]: nothing was written. [`SnapshotError::File`]: the file was dropped, and [`Self::next`]
    /// begins it again. [`SnapshotError::Io`]: this fetch is over.
    pub fn take(&mut self, wanted: NextChunk, chunk: &[u8]) -> Result<(), SnapshotError> {
        let bytes = self.check(wanted, chunk)?;
        let (path, at) = (self.path(self.at), self.at);
        let file = match self.open.take() {
            Some(file) => file,
            None => self.open_or_make(&path)?,
        };
        file.write_at(bytes, wanted.position)
            .map_err(io_error("write", &path))?;
        let here = &mut self.here[at];
        here.crc = crc32c::crc32c_append(here.crc, bytes);
        here.bytes += bytes.len() as u64;
        if here.bytes < self.manifest.files[at].len {
            self.open = Some(file);
            return Ok(());
        }
        self.complete(at, &*file)?;
        self.skip_what_is_whole();
        Ok(())
    }

    /// The checkpoint that came: for the node, which must know that it can be gone on from before it is installed.
    ///
    /// # Errors
    /// [`SnapshotError::Incomplete`], [`SnapshotError::Unlike`], [`SnapshotError::Io`].
    pub fn checkpoint(&self) -> Result<Checkpoint, SnapshotError> {
        self.needs_everything()?;
        let bytes = self.checkpoint_bytes()?;
        let contents = self.check_contents(&bytes);
        contents
            .map(|contents| contents.checkpoint)
            .map_err(|found| SnapshotError::Unlike { found })
    }

    /// Makes the snapshot ready to be installed: checked, synced, and under its name, durably. The next start installs
    /// it; nothing may be written to the data folder until then.
    ///
    /// # Errors
    /// [`SnapshotError::Incomplete`]; [`SnapshotError::Unlike`]: what was fetched was dropped; [`SnapshotError::Io`].
    pub fn finish(self) -> Result<(), SnapshotError> {
        if let Err(error) = self.checkpoint() {
            if matches!(error, SnapshotError::Unlike { .. }) {
                Self::forget(&*self.disk, &self.data_folder)?;
            }
            return Err(error);
        }
        self.disk
            .remove_file(&self.folder.join(MANIFEST))
            .map_err(io_error("remove", &self.folder.join(MANIFEST)))?;
        for folder in self.folders().iter().rev() {
            self.sync_folder(folder)?;
        }
        let installed = self.data_folder.join(INSTALLED);
        self.disk
            .rename(&self.folder, &installed)
            .map_err(io_error("rename", &installed))?;
        self.sync_folder(&self.data_folder)
    }

    fn check<'a>(&self, wanted: NextChunk, chunk: &'a [u8]) -> Result<&'a [u8], SnapshotError> {
        let index = usize::try_from(wanted.file).expect("32 bits fit");
        let name = self.manifest.files.get(index).map(|file| file.name.clone());
        let refused = |found| SnapshotError::Chunk {
            name: name.unwrap_or_default(),
            position: wanted.position,
            found,
        };
        if self.next() != Some(wanted) {
            return Err(refused("it is not the one that comes next"));
        }
        let Some(bytes) = chunk::open(wanted.file, wanted.position, chunk) else {
            return Err(refused("its checksum does not match"));
        };
        let missing = self.manifest.files[index].len - wanted.position;
        if bytes.len() as u64 != missing.min(CHUNK_BYTES as u64) {
            return Err(refused("it is not as long as it should be"));
        }
        Ok(bytes)
    }

    /// All bytes of a file are here: it must be the one that was promised, and last.
    fn complete(&mut self, index: usize, file: &dyn DiskFile) -> Result<(), SnapshotError> {
        let path = self.path(index);
        if self.here[index].crc != self.manifest.files[index].crc {
            self.drop_file(index)?;
            let name = self.manifest.files[index].name.clone();
            return Err(SnapshotError::File { name });
        }
        file.sync_data().map_err(io_error("sync", &path))
    }

    fn drop_file(&mut self, index: usize) -> Result<(), SnapshotError> {
        let path = self.path(index);
        self.here[index] = FileEnd::default();
        self.disk
            .remove_file(&path)
            .map_err(io_error("remove", &path))
    }

    fn skip_what_is_whole(&mut self) {
        let missing = self.here[self.at..]
            .iter()
            .zip(&self.manifest.files[self.at..])
            .position(|(here, file)| here.bytes < file.len);
        self.at = missing.map_or(self.here.len(), |behind| self.at + behind);
    }

    /// Files that the manifest does not have, or not like this. Of what has no manifest nothing is known.
    fn drop_what_is_of_another_snapshot(&self) -> Result<(), SnapshotError> {
        let before = match manifest_of(&*self.disk, &self.folder) {
            Some(before) if before == self.manifest => return Ok(()),
            Some(before) => before,
            None => return Self::forget(&*self.disk, &self.data_folder),
        };
        let wanted: BTreeSet<&ManifestFile> = self.manifest.files.iter().collect();
        let manifest = self.folder.join(MANIFEST);
        self.remove_where_there(&manifest)?;
        for file in before.files.iter().filter(|file| !wanted.contains(file)) {
            self.remove_where_there(&self.folder.join(&file.name))?;
        }
        Ok(())
    }

    fn remove_where_there(&self, path: &Path) -> Result<(), SnapshotError> {
        if !self.disk.exists(path) {
            return Ok(());
        }
        self.disk
            .remove_file(path)
            .map_err(io_error("remove", path))
    }

    fn make_folders(&self) -> Result<(), SnapshotError> {
        for folder in self.folders() {
            self.disk
                .create_folder(&folder)
                .map_err(io_error("make folder", &folder))?;
        }
        let path = self.folder.join(MANIFEST);
        if self.disk.exists(&path) {
            return Ok(());
        }
        let file = self.open_or_make(&path)?;
        file.write_at(&self.manifest.encode(), 0)
            .map_err(io_error("write", &path))
    }

    /// All folders of the snapshot, each behind the one it lies in.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let files = self.manifest.files.iter();
        let folders = files.flat_map(|file| {
            let path = self.folder.join(&file.name);
            let above = path.ancestors().skip(1).map(Path::to_owned);
            above
                .take_while(|above| above.starts_with(&self.folder))
                .collect::<Vec<_>>()
        });
        // There also where the checkpoint has no topic: its absence means that it was put into place.
        folders.chain([self.folder.join(TOPICS)]).collect()
    }

    /// Finds out how much of a file is here. What is read is written once more: after a failed sync the page cache may
    /// show bytes that never got to the disk, and no later sync would say so.
    fn resume(&mut self, index: usize) -> Result<(), SnapshotError> {
        let path = self.path(index);
        let len = self.manifest.files[index].len;
        if !self.disk.exists(&path) {
            return if len == 0 {
                self.open_or_make(&path).map(drop)
            } else {
                Ok(())
            };
        }
        let file = self.open_or_make(&path)?;
        let found = file.len().map_err(io_error("read", &path))?;
        self.here[index] = write_again(&*file, found.min(len)).map_err(io_error("write", &path))?;
        if found < len {
            return Ok(());
        }
        if len < found || self.here[index].crc != self.manifest.files[index].crc {
            return self.drop_file(index);
        }
        self.complete(index, &*file)
    }

    /// The node's own journal goes on meanwhile, and must not be what finds the disk full.
    fn needs_room(&self) -> Result<(), SnapshotError> {
        let here: u64 = self.here.iter().map(|here| here.bytes).sum();
        let fetched_bytes = self.manifest.total_bytes() - here;
        let needed_bytes = fetched_bytes + JOURNAL_SEGMENTS_LEFT * self.journal_segment_bytes()?;
        let free_bytes = self
            .disk
            .free_bytes(&self.data_folder)
            .map_err(io_error("ask for the room of", &self.data_folder))?;
        if needed_bytes <= free_bytes {
            return Ok(());
        }
        Err(SnapshotError::NoRoom {
            folder: self.data_folder.clone(),
            needed_bytes,
            free_bytes,
        })
    }

    /// As long as the newest one, since all are made alike.
    fn journal_segment_bytes(&self) -> Result<u64, SnapshotError> {
        let folder = self.data_folder.join(JOURNAL);
        if !self.disk.exists(&folder) {
            return Ok(0);
        }
        let names = self.disk.list(&folder).map_err(io_error("list", &folder))?;
        let Some(newest) = names.iter().rfind(|name| name.ends_with(".journal")) else {
            return Ok(0);
        };
        let path = folder.join(newest);
        let file = self.disk.open(&path, OpenMode::Read);
        file.and_then(|file| file.len())
            .map_err(io_error("read", &path))
    }

    fn needs_everything(&self) -> Result<(), SnapshotError> {
        match self.manifest.files.get(self.at) {
            Some(missing) => Err(SnapshotError::Incomplete {
                name: missing.name.clone(),
            }),
            None => Ok(()),
        }
    }

    fn checkpoint_bytes(&self) -> Result<Vec<u8>, SnapshotError> {
        let path = CheckpointFile::path(&self.folder);
        read_all(&*self.disk, &path).map_err(io_error("read", &path))
    }

    /// The manifest said what would come; what came must say the same.
    fn check_contents(&self, bytes: &[u8]) -> Result<CheckpointFile, &'static str> {
        let contents = CheckpointFile::decode(bytes)?;
        let place = (contents.checkpoint.applied, contents.checkpoint.epoch);
        if place != (self.manifest.applied, self.manifest.epoch) {
            return Err("it is of another entry");
        }
        let promised = self.manifest.files[1..].iter().cloned();
        let promised: BTreeSet<ManifestFile> = promised.collect();
        if listed(&contents).collect::<BTreeSet<_>>() != promised {
            return Err("it lists other files");
        }
        Ok(contents)
    }

    fn path(&self, index: usize) -> PathBuf {
        self.folder.join(&self.manifest.files[index].name)
    }

    fn open_or_make(&self, path: &Path) -> Result<Box<dyn DiskFile>, SnapshotError> {
        let mode = if self.disk.exists(path) {
            OpenMode::Write
        } else {
            OpenMode::CreateNew
        };
        self.disk.open(path, mode).map_err(io_error("open", path))
    }

    fn sync_folder(&self, folder: &Path) -> Result<(), SnapshotError> {
        self.disk
            .sync_folder(folder)
            .map_err(io_error("sync folder", folder))
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("applied", &self.manifest.applied)
            .field("next", &self.next())
            .finish_non_exhaustive()
    }
}

/// What is being fetched into a folder; `None` where that cannot be told.
pub(super) fn manifest_of(disk: &dyn Disk, incoming: &Path) -> Option<Manifest> {
    let bytes = read_all(disk, &incoming.join(MANIFEST)).ok()?;
    Manifest::decode(&bytes).ok()
}

/// Writes the first bytes of a file over themselves. Returns how many, and their checksum.
fn write_again(file: &dyn DiskFile, bytes: u64) -> io::Result<FileEnd> {
    let mut end = FileEnd::default();
    let mut piece = vec![0; CHUNK_BYTES];
    while end.bytes < bytes {
        let wanted = usize::try_from(bytes - end.bytes)
            .unwrap_or(CHUNK_BYTES)
            .min(CHUNK_BYTES);
        let count = file.read_at(&mut piece[..wanted], end.bytes)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(&piece[..count], end.bytes)?;
        end.crc = crc32c::crc32c_append(end.crc, &piece[..count]);
        end.bytes += count as u64;
    }
    Ok(end)
}
