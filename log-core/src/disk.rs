//! The seam to files. The world's disk is here; the simulated one, which loses and tears what was not synced,
//! lives in `testing/`.
//!
//! Positional I/O only. A write is durable after `sync_data` of its file; a new, renamed or removed name is durable
//! after `sync_folder` of its folder. Whoever gets an error from a sync must not try again: the kernel may have
//! dropped the pages (fsyncgate), so the bytes are unknown.

use std::io;
use std::path::Path;

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A file that must not exist yet, for reading and writing.
    CreateNew,
}

/// Folders and names.
pub trait Disk: Send + Sync + 'static {
    /// Opens or makes a file.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `StorageFull`, and what else the system says.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>>;
    /// Makes a folder and the missing ones above it; fine if it is there. Not durable before the parents are synced.
    ///
    /// # Errors
    /// What the system says.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder, sorted.
    ///
    /// # Errors
    /// `NotFound`, and what else the system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Whether a file or folder of that name is there.
    fn exists(&self, path: &Path) -> bool;
    /// Gives a file or folder another name, replacing a file of that name.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name.
    ///
    /// # Errors
    /// What the system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder and all in it; fine if it is not there.
    ///
    /// # Errors
    /// What the system says.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// What the system says; the names are unknown then, and the caller stops.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// One open file.
pub trait DiskFile: Send + Sync {
    /// Fills `buffer` from `position`; returns how many bytes there were (fewer only at the end of the file).
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `position`, extending the file where needed.
    ///
    /// # Errors
    /// `StorageFull`, and what else the system says; any part may have been written.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Makes the file's bytes and length durable (`fdatasync`).
    ///
    /// # Errors
    /// What the system says; what was written since the last sync is unknown then, and the caller stops.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts or extends (with zeros) the file.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// The file's length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;
}
