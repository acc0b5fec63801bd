//! A file that only grows, through the page cache, with its length and checksum always known.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use journal::disk::{Disk, DiskFile, OpenMode};
use serde::{Deserialize, Serialize};

use super::file_pool::{FilePool, PooledFile};

/// Read at once for a checksum.
const PIECE_BYTES: u64 = 1 << 20;

/// How far a file is written, and the CRC-32C of all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileEnd {
    pub(super) bytes: u64,
    pub(super) crc: u32,
}

/// One owner appends; anybody reads what is written.
pub(super) struct GrowingFile {
    file: Handle,
    end: RwLock<FileEnd>,
}

enum Handle {
    /// A partition's, while the node runs: open when it is used.
    Pooled(PooledFile),
    /// Open until it is dropped: for a look.
    Held {
        path: PathBuf,
        file: Box<dyn DiskFile>,
    },
}

impl Handle {
    fn path(&self) -> &Path {
        match self {
            Self::Pooled(file) => file.path(),
            Self::Held { path, .. } => path,
        }
    }

    fn with<T>(&self, act: impl FnOnce(&dyn DiskFile) -> io::Result<T>) -> io::Result<T> {
        match self {
            Self::Pooled(file) => file.with(act),
            Self::Held { file, .. } => act(&**file),
        }
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        match self {
            Self::Pooled(file) => file.write_at(bytes, position),
            Self::Held { file, .. } => file.write_at(bytes, position),
        }
    }

    fn sync(&self) -> io::Result<()> {
        match self {
            Self::Pooled(file) => file.sync(),
            Self::Held { file, .. } => file.sync_data(),
        }
    }
}

impl GrowingFile {
    /// Makes an empty file.
    pub(super) fn make(pool: &Arc<FilePool>, path: PathBuf) -> io::Result<Self> {
        Ok(Self {
            file: Handle::Pooled(pool.make(path)?),
            end: RwLock::default(),
        })
    }

    /// A file as a checkpoint recorded it. Longer is fine: the rest was written after the checkpoint, and is dropped with
    /// [`Self::drop_what_is_beyond`].
    ///
    /// # Errors
    /// `UnexpectedEof` when the file is shorter.
    pub(super) fn pooled(pool: &Arc<FilePool>, path: PathBuf, end: FileEnd) -> io::Result<Self> {
        Self::as_recorded(Handle::Pooled(pool.pooled(path)), end)
    }

    /// The same, open until it is dropped.
    ///
    /// # Errors
    /// As [`Self::pooled`].
    pub(super) fn open(
        disk: &dyn Disk,
        path: PathBuf,
        end: FileEnd,
        mode: OpenMode,
    ) -> io::Result<Self> {
        let file = disk.open(&path, mode)?;
        Self::as_recorded(Handle::Held { path, file }, end)
    }

    fn as_recorded(file: Handle, end: FileEnd) -> io::Result<Self> {
        let found = file.with(|file| file.len())?;
        if found < end.bytes {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                format!("{found} bytes, the checkpoint recorded {}", end.bytes),
            ));
        }
        Ok(Self {
            file,
            end: RwLock::new(end),
        })
    }

    /// Cuts the file to its known end.
    pub(super) fn drop_what_is_beyond(&self) -> io::Result<()> {
        if self.bytes_beyond()? == 0 {
            Ok(())
        } else {
            let bytes = self.bytes();
            self.file.with(|file| file.set_len(bytes))
        }
    }

    /// How many bytes lie behind the known end.
    pub(super) fn bytes_beyond(&self) -> io::Result<u64> {
        Ok(self
            .file
            .with(|file| file.len())?
            .saturating_sub(self.bytes()))
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(super) fn end(&self) -> FileEnd {
        // Two plain numbers, replaced together.
        *self.end.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.end().bytes
    }

    /// Writes behind the end. Only the owner may call it.
    pub(super) fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let end = self.end();
        self.file.write_at(bytes, end.bytes)?;
        let crc = crc32c::crc32c_append(end.crc, bytes);
        let grown = FileEnd {
            bytes: end.bytes + bytes.len() as u64,
            crc,
        };
        *self.end.write().unwrap_or_else(PoisonError::into_inner) = grown;
        Ok(())
    }

    /// Reads up to `bytes_max` bytes from `position`, fewer only at the end.
    pub(super) fn read(&self, position: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
        let known = self.bytes().saturating_sub(position).min(bytes_max);
        let mut buffer = vec![0; usize::try_from(known).map_err(|_| ErrorKind::OutOfMemory)?];
        let count = self.file.with(|file| file.read_at(&mut buffer, position))?;
        if count == buffer.len() {
            Ok(buffer)
        } else {
            Err(ErrorKind::UnexpectedEof.into())
        }
    }

    /// The CRC-32C of what is on the disk up to the known end.
    pub(super) fn checksum(&self) -> io::Result<u32> {
        let (mut crc, mut at) = (0, 0);
        while at < self.bytes() {
            let piece = self.read(at, PIECE_BYTES)?;
            crc = crc32c::crc32c_append(crc, &piece);
            at += piece.len() as u64;
        }
        Ok(crc)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}
