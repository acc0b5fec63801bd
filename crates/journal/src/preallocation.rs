//! A segment that is not one yet: a file that is being filled with zeros.
//!
//! Filling a file and syncing it takes many times as long as an append. So the next segment is filled piece by piece
//! beside the appends, and only has to be given its name when its time comes.

use std::path::{Path, PathBuf};

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{JournalError, full_or_io, io_error};
use crate::frame::HEADER_BYTES;

/// What a file is called until it is complete.
pub(crate) const UNFINISHED: &str = ".new";
const NAME: &str = "next.journal";
/// Zeros are written in pieces of at most this size.
const ZEROS: &[u8] = &[0; 256 << 10];

pub(crate) struct Preallocation {
    file: Box<dyn DiskFile>,
    folder: PathBuf,
    path: PathBuf,
    len: u64,
    written: u64,
}

impl Preallocation {
    /// Makes the file, empty.
    pub(crate) fn begin(
        disk: &dyn Disk,
        folder: &Path,
        segment_bytes: u32,
    ) -> Result<Self, JournalError> {
        let path = folder.join(format!("{NAME}{UNFINISHED}"));
        let len = u64::from(segment_bytes).next_multiple_of(HEADER_BYTES as u64);
        let file = disk
            .open(&path, OpenMode::CreateNew)
            .map_err(full_or_io("make", &path, folder, len))?;
        Ok(Self {
            file,
            folder: folder.to_owned(),
            path,
            len,
            written: 0,
        })
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.written == self.len
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Writes so many more zeros, and syncs them.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), JournalError> {
        if self.is_complete() {
            return Ok(());
        }
        let end = self.len.min(self.written.saturating_add(bytes));
        while self.written < end {
            let piece = usize::try_from(end - self.written)
                .unwrap_or(usize::MAX)
                .min(ZEROS.len());
            let wrote = self.file.write_at(&ZEROS[..piece], self.written);
            wrote.map_err(full_or_io("write", &self.path, &self.folder, self.len))?;
            self.written += piece as u64;
        }
        self.file.sync_data().map_err(io_error("sync", &self.path))
    }

    /// Gives the complete file its name, one that lasts, and the file, which stays open: there may be no descriptor to open
    /// it once more.
    pub(crate) fn name(
        self,
        disk: &dyn Disk,
        path: &Path,
    ) -> Result<Box<dyn DiskFile>, JournalError> {
        assert!(
            self.is_complete(),
            "a segment has all its zeros before it has a name"
        );
        disk.rename(&self.path, path)
            .map_err(io_error("rename", path))?;
        disk.sync_folder(&self.folder)
            .map_err(io_error("sync folder", &self.folder))?;
        Ok(self.file)
    }

    /// Gives the room back. Should it fail, the next start does it.
    pub(crate) fn discard(self, disk: &dyn Disk) {
        drop(disk.remove_file(&self.path));
    }
}
