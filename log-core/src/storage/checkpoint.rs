//! A checkpoint: how everything stood when one entry had been applied, so that the journal before it can go.
//!
//! The order is what makes it safe (each step is durable before the next one begins):
//!
//! 1. the journal is synced with a commit index of at least the entry: [`PendingCheckpoint::complete`] asks for the proof;
//! 2. the partitions' files are synced, then the folders that hold new names;
//! 3. the checkpoint is written beside the old one, synced, renamed over it, and the data folder is synced;
//! 4. what it no longer lists is unlinked, and the caller trims the journal.
//!
//! ```text
//! file   0  magic    "MAYDAYCP"
//!        8  crc      u32   CRC-32C of everything behind it
//!       12  version  u32   1 or 2
//!       16  body     postcard: applied entry and its epoch, state, membership, and of each partition the settings, log
//!                    start offset and segments with length and CRC-32C of each file
//!           times    version 2, postcard: of each partition and segment the command times of its first and last append
//! ```
//!
//! Version 2 is written once a segment has such times: until the cluster's level has them kept, a checkpoint can be read by
//! software that knows version 1 only, also on another node.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use journal::disk::{Disk, OpenMode};
use serde::{Deserialize, Serialize};

use super::entry_log::Synced;
use super::layout::read_all;
use super::partition::PartitionRecord;
use super::recovery_error::{self, RecoveryError};
use super::segment::Segment;
use super::segment_summary::AppendTimes;
use crate::ids::{EntryIndex, LeaderEpoch};

pub(super) const NAME: &str = "checkpoint";
/// What a checkpoint is called until it is complete.
const UNFINISHED: &str = "checkpoint.new";
const MAGIC: &[u8; 8] = b"MAYDAYCP";
const CHECKED_FROM: usize = 12;
const BODY_FROM: usize = 16;
const VERSION: u32 = 2;
/// Without the times of appends.
const VERSION_WITHOUT_TIMES: u32 = 1;

/// One applied entry and what was true right after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The entry.
    pub applied: EntryIndex,
    /// Its epoch.
    pub epoch: LeaderEpoch,
    /// The state machine, in its own encoding.
    pub state: Bytes,
    /// The voter set, in its own encoding.
    pub membership: Bytes,
}

/// Why a checkpoint was not completed. The previous one still stands; the disk is not to be trusted any more.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file or folder could not be written or synced.
    #[error("checkpoint: {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What came of it.
        #[source]
        source: io::Error,
    },
}

/// A file or folder that no checkpoint will list any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Obsolete {
    File(PathBuf),
    Folder(PathBuf),
}

/// A checkpoint on its way to the disk. May be sent to another thread.
pub struct PendingCheckpoint {
    disk: Arc<dyn Disk>,
    data_folder: PathBuf,
    contents: CheckpointFile,
    dirty: Vec<Arc<Segment>>,
    folders: BTreeSet<PathBuf>,
    obsolete: Vec<Obsolete>,
    completed: Arc<AtomicBool>,
}

impl PendingCheckpoint {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        data_folder: PathBuf,
        checkpoint: Checkpoint,
        partitions: Vec<PartitionRecord>,
    ) -> Self {
        let contents = CheckpointFile {
            checkpoint,
            partitions,
        };
        Self {
            disk,
            data_folder,
            contents,
            dirty: Vec::new(),
            folders: BTreeSet::new(),
            obsolete: Vec::new(),
            completed: Arc::default(),
        }
    }

    /// What the checkpoint relies on, and may not last yet.
    pub(super) fn with_unsynced(
        mut self,
        dirty: Vec<Arc<Segment>>,
        folders: BTreeSet<PathBuf>,
    ) -> Self {
        self.dirty = dirty;
        self.folders = folders;
        self
    }

    /// What it makes superfluous.
    pub(super) fn with_obsolete(mut self, obsolete: Vec<Obsolete>) -> Self {
        self.obsolete = obsolete;
        self
    }

    /// Who hears that it is complete.
    pub(super) fn telling(mut self, completed: Arc<AtomicBool>) -> Self {
        self.completed = completed;
        self
    }

    /// The entry that the checkpoint is of.
    pub fn applied(&self) -> EntryIndex {
        self.contents.checkpoint.applied
    }

    /// Makes the checkpoint durable and unlinks what it no longer lists; slow. Returns its entry: the journal may be
    /// trimmed before the next one.
    ///
    /// # Errors
    /// [`CheckpointError`].
    ///
    /// # Panics
    /// When the journal on the disk does not reach as far as the checkpoint: it could not be gone on from.
    pub fn complete(self, journal: Synced) -> Result<EntryIndex, CheckpointError> {
        let applied = self.applied();
        assert!(
            applied <= journal.commit,
            "checkpoint of entry {applied}, journal synced with commit {}",
            journal.commit
        );
        assert!(journal.commit <= journal.last);
        self.sync_what_it_lists()?;
        self.write()?;
        self.unlink_what_it_no_longer_lists()?;
        self.completed.store(true, Ordering::Release);
        Ok(applied)
    }

    fn sync_what_it_lists(&self) -> Result<(), CheckpointError> {
        for file in self.dirty.iter().flat_map(|segment| segment.files()) {
            file.sync().map_err(io_error("sync", file.path()))?;
        }
        for folder in &self.folders {
            self.disk
                .sync_folder(folder)
                .map_err(io_error("sync folder", folder))?;
        }
        Ok(())
    }

    fn write(&self) -> Result<(), CheckpointError> {
        let (name, unfinished) = (
            self.data_folder.join(NAME),
            self.data_folder.join(UNFINISHED),
        );
        let file = self
            .disk
            .open(&unfinished, OpenMode::CreateNew)
            .map_err(io_error("make", &unfinished))?;
        file.write_at(&self.contents.encode(), 0)
            .map_err(io_error("write", &unfinished))?;
        file.sync_data().map_err(io_error("sync", &unfinished))?;
        self.disk
            .rename(&unfinished, &name)
            .map_err(io_error("rename", &name))?;
        self.disk
            .sync_folder(&self.data_folder)
            .map_err(io_error("sync folder", &self.data_folder))
    }

    /// Nothing is synced here: what comes back after a power cut is not listed, and dropped at the start.
    fn unlink_what_it_no_longer_lists(&self) -> Result<(), CheckpointError> {
        for obsolete in &self.obsolete {
            match obsolete {
                Obsolete::File(path) => self
                    .disk
                    .remove_file(path)
                    .map_err(io_error("remove", path))?,
                Obsolete::Folder(path) => self.remove_partition(path)?,
            }
        }
        Ok(())
    }

    /// The last partition takes the topic's folder with it.
    fn remove_partition(&self, folder: &Path) -> Result<(), CheckpointError> {
        self.disk
            .remove_folder(folder)
            .map_err(io_error("remove", folder))?;
        let topic = folder
            .parent()
            .expect("partitions lie in their topic's folder");
        if self
            .disk
            .list(topic)
            .map_err(io_error("list", topic))?
            .is_empty()
        {
            self.disk
                .remove_folder(topic)
                .map_err(io_error("remove", topic))?;
        }
        Ok(())
    }
}

impl fmt::Debug for PendingCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCheckpoint")
            .field("applied", &self.applied())
            .finish_non_exhaustive()
    }
}

/// All that the file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CheckpointFile {
    pub(super) checkpoint: Checkpoint,
    pub(super) partitions: Vec<PartitionRecord>,
}

impl CheckpointFile {
    pub(super) fn path(data_folder: &Path) -> PathBuf {
        data_folder.join(NAME)
    }

    pub(super) fn unfinished_path(data_folder: &Path) -> PathBuf {
        data_folder.join(UNFINISHED)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([0; 4]);
        let times = self.append_times();
        let version = match times.iter().flatten().any(Option::is_some) {
            true => VERSION,
            false => VERSION_WITHOUT_TIMES,
        };
        bytes.extend(version.to_be_bytes());
        let plain = "plain values always encode";
        let mut bytes = postcard::to_extend(self, bytes).expect(plain);
        if version == VERSION {
            bytes = postcard::to_extend(&times, bytes).expect(plain);
        }
        let crc = crc32c::crc32c(&bytes[CHECKED_FROM..]);
        bytes[8..CHECKED_FROM].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn append_times(&self) -> Vec<Vec<Option<AppendTimes>>> {
        let of_segments = |partition: &PartitionRecord| {
            let segments = partition.segments.iter();
            segments.map(|segment| segment.appended).collect()
        };
        self.partitions.iter().map(of_segments).collect()
    }

    fn take_append_times(
        &mut self,
        times: Vec<Vec<Option<AppendTimes>>>,
    ) -> Result<(), &'static str> {
        let fit = times.len() == self.partitions.len();
        let mut pairs = self.partitions.iter_mut().zip(times);
        let taken = pairs.all(|(partition, times)| {
            let fit = times.len() == partition.segments.len();
            for (segment, appended) in partition.segments.iter_mut().zip(times) {
                segment.appended = appended;
            }
            fit
        });
        (fit && taken)
            .then_some(())
            .ok_or("its times are of other segments")
    }

    /// # Errors
    /// What is wrong with the bytes.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() < BODY_FROM || bytes[..8] != *MAGIC {
            return Err("this is no checkpoint");
        }
        if u32_at(bytes, 8) != crc32c::crc32c(&bytes[CHECKED_FROM..]) {
            return Err("its checksum does not match");
        }
        let version = u32_at(bytes, CHECKED_FROM);
        if ![VERSION_WITHOUT_TIMES, VERSION].contains(&version) {
            return Err("it was written by a later version of this program");
        }
        let unreadable = |_| "its body cannot be read";
        let body = postcard::take_from_bytes::<Self>(&bytes[BODY_FROM..]);
        let (mut file, mut rest) = body.map_err(unreadable)?;
        if version == VERSION {
            let times = postcard::take_from_bytes::<Vec<Vec<Option<AppendTimes>>>>(rest);
            let (times, behind) = times.map_err(unreadable)?;
            file.take_append_times(times)?;
            rest = behind;
        }
        if !rest.is_empty()
            || file
                .partitions
                .iter()
                .any(|partition| partition.segments.is_empty())
        {
            return Err("its body makes no sense");
        }
        Ok(file)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("the slice has 4 bytes"))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CheckpointError {
    let path = path.to_owned();
    move |source| CheckpointError::Io {
        action,
        path,
        source,
    }
}

/// The checkpoint of a folder, if it has one. What is left of an unfinished one is removed.
pub(super) fn read_checkpoint(
    disk: &dyn Disk,
    data_folder: &Path,
) -> Result<Option<CheckpointFile>, RecoveryError> {
    let unfinished = CheckpointFile::unfinished_path(data_folder);
    if disk.exists(&unfinished) {
        disk.remove_file(&unfinished)
            .map_err(recovery_error::io_error("remove", &unfinished))?;
    }
    let path = CheckpointFile::path(data_folder);
    if !disk.exists(&path) {
        return Ok(None);
    }
    let bytes = read_all(disk, &path).map_err(recovery_error::io_error("read", &path))?;
    let file = CheckpointFile::decode(&bytes);
    file.map(Some)
        .map_err(|found| RecoveryError::Checkpoint { path, found })
}
