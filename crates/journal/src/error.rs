//! Why the journal did not do what was asked.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Why the journal did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Nothing was written, and the journal goes on.
    #[error("record of {bytes} bytes, at most {bytes_max} fit the journal")]
    RecordTooLarge {
        /// The record's size.
        bytes: usize,
        /// The limit.
        bytes_max: u32,
    },
    /// There is no room for a new segment. The records that did not fit the last one were not written; the journal goes
    /// on, and the append may be tried again.
    #[error(
        "journal folder {folder}: no room for a segment of {segment_bytes} bytes: free some, or move the folder"
    )]
    Full {
        /// The journal's folder.
        folder: PathBuf,
        /// What a segment needs.
        segment_bytes: u64,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file could not be read, written or synced. What was to be appended may be on the disk or not; the journal
    /// refuses everything from here on.
    #[error("journal: {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What came of it.
        #[source]
        source: io::Error,
    },
    /// Bytes that had been synced are not what they were. Nothing was changed: do not go on with this folder.
    #[error(
        "journal file {path} is damaged at byte {byte}: {found}, though everything up to position {synced_to} had been \
         synced"
    )]
    Damaged {
        /// The segment's file.
        path: PathBuf,
        /// The first byte that is not as it was written.
        byte: u64,
        /// What is wrong with it.
        found: &'static str,
        /// Up to where the journal must be whole.
        synced_to: u64,
    },
    /// An earlier error left the journal's end unknown: open it again.
    #[error(
        "journal in {folder} is closed by an earlier error: start again to find out what is on the disk"
    )]
    Broken {
        /// The journal's folder.
        folder: PathBuf,
    },
}

pub(crate) fn io_error(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io {
        action,
        path,
        source,
    }
}

/// Only where nothing was written yet: a full disk is then no reason to give up.
pub(crate) fn full_or_io(
    action: &'static str,
    path: &Path,
    folder: &Path,
    segment_bytes: u64,
) -> impl FnOnce(io::Error) -> JournalError {
    let (path, folder) = (path.to_owned(), folder.to_owned());
    move |source| match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => JournalError::Full {
            folder,
            segment_bytes,
            source,
        },
        _ => JournalError::Io {
            action,
            path,
            source,
        },
    }
}
