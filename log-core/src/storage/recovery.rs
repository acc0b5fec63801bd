//! A start: the newest checkpoint, the partitions exactly as it lists them, and the entries after it. A snapshot that was
//! fetched is put into force before anything else: see [`super::snapshot`].
//!
//! Files and bytes that the checkpoint does not list are dropped: the entries that made them are in the journal, and are
//! applied again. What it lists and is not there is damage, and then nothing is changed. So is a journal that does not
//! meet the checkpoint. Nothing is dropped before all of that is known to be well.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{Checkpoint, CheckpointFile, Doomed};
use super::entry_log::{EntryLog, EntryLogError, RecoveredLog};
use super::file_pool::FilePool;
use super::folder;
use super::growing_file::GrowingFile;
use super::index_rebuild;
use super::journal::{Cut, JournalConfig};
use super::listed_files::ListedFiles;
use super::partition::{Partition, PartitionRecord, ReadError};
use super::partitions::{Partitions, partition_folder};
use super::segment::{self, Segment, SegmentRecord};
use super::snapshot::install::{finish_install, remove_leftovers};
use crate::disk::{Disk, OpenMode};
use crate::entry::{Entry, HardState};
use crate::ids::{EntryIndex, TopicPartition};

/// The journal's folder in the data folder.
pub(super) const JOURNAL: &str = "journal";

/// Sizes of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// Of the journal.
    pub journal: JournalConfig,
    /// Files of partitions that are open at once; the others are opened when they are used. Default 2,961, the share of a
    /// process that may open 20,000. Too low opens and closes files all the time, and refuses topics (a partition counts
    /// as three); too high, with what else the process opens, meets the process's own limit.
    pub open_partition_files_max: usize,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            journal: JournalConfig::default(),
            open_partition_files_max: 2_961,
        }
    }
}

/// What [`recover`] found, and the files to go on with.
pub struct Recovered {
    /// The newest checkpoint, if there is one.
    pub checkpoint: Option<Checkpoint>,
    /// The entry of the snapshot that was put into force at this start, if one was.
    pub installed: Option<EntryIndex>,
    /// What this replica has promised.
    pub hard_state: HardState,
    /// The entries after the checkpoint, without holes: those up to the commit index are to be applied again.
    pub entries: Vec<Entry>,
    /// What the journal dropped from its end, if anything: never acknowledged.
    pub cut: Option<Cut>,
    /// Indexes that were damaged or missing, and were written again from their logs: the disk deserves a look.
    pub mended: Vec<PathBuf>,
    /// For what is written from now on.
    pub log: EntryLog,
    /// The partitions as they were at the checkpoint.
    pub partitions: Partitions,
}

/// Why a data folder cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The journal is damaged, or does not meet the checkpoint.
    #[error(transparent)]
    Log(#[from] EntryLogError),
    /// The checkpoint cannot be read.
    #[error("checkpoint {path}: {found}. {ADVICE}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        found: &'static str,
    },
    /// A file that the checkpoint lists is gone, or shorter than it was.
    #[error("{path} is not as the checkpoint of entry {checkpoint} lists it. {ADVICE}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The checkpoint's entry.
        checkpoint: EntryIndex,
        /// What was found.
        #[source]
        source: io::Error,
    },
    /// A partition's files do not hold what they should.
    #[error(transparent)]
    Damaged(#[from] ReadError),
    /// A file or folder could not be read or changed.
    #[error("recovery: {action} {path}")]
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

/// What an operator does about a folder that cannot be gone on with.
pub(super) const ADVICE: &str = "Keep a copy of the folder; then start this node with an empty one and `log-core nodes \
                                 replace` it, or where it is the only one, `log-core restore` a backup";

/// Opens a data folder, or begins one, and brings it to the newest checkpoint.
///
/// # Errors
/// [`RecoveryError`]; unless it is an `Io` while cleaning up, nothing was changed but for the cut of an unfinished batch
/// of the journal.
pub fn recover(
    disk: &Arc<dyn Disk>,
    data_folder: &Path,
    config: &StorageConfig,
) -> Result<Recovered, RecoveryError> {
    folder::make_lasting(&**disk, data_folder).map_err(io_error("make folder", data_folder))?;
    // A checkpoint renamed just before the process ended may have a name that does not last yet.
    disk.sync_folder(data_folder)
        .map_err(io_error("sync folder", data_folder))?;
    let installed = finish_install(disk, data_folder, config)?;
    let file = read_checkpoint(&**disk, data_folder)?;
    let applied = file
        .as_ref()
        .map_or(EntryIndex(0), |file| file.checkpoint.applied);
    remove_leftovers(&**disk, data_folder, applied)?;
    let (log, found) = EntryLog::open(
        disk.clone(),
        &data_folder.join(JOURNAL),
        config.journal,
        applied,
    )?;
    let (checkpoint, records) = file.map_or((None, Vec::new()), |file| {
        (Some(file.checkpoint), file.partitions)
    });
    let pool = FilePool::new(Arc::clone(disk), config.open_partition_files_max);
    let (partitions, mended) = recover_partitions(disk, pool, data_folder, applied, records)?;
    let RecoveredLog {
        hard_state,
        entries,
        cut,
    } = found;
    Ok(Recovered {
        checkpoint,
        installed,
        hard_state,
        entries,
        cut,
        mended,
        log,
        partitions,
    })
}

pub(super) fn read_checkpoint(
    disk: &dyn Disk,
    data_folder: &Path,
) -> Result<Option<CheckpointFile>, RecoveryError> {
    let unfinished = CheckpointFile::unfinished_path(data_folder);
    if disk.exists(&unfinished) {
        disk.remove_file(&unfinished)
            .map_err(io_error("remove", &unfinished))?;
    }
    let path = CheckpointFile::path(data_folder);
    if !disk.exists(&path) {
        return Ok(None);
    }
    let bytes = read_all(disk, &path).map_err(io_error("read", &path))?;
    let file = CheckpointFile::decode(&bytes);
    file.map(Some)
        .map_err(|found| RecoveryError::Checkpoint { path, found })
}

pub(super) fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, OpenMode::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(|_| ErrorKind::OutOfMemory)?];
    let count = file.read_at(&mut bytes, 0)?;
    if count == bytes.len() {
        Ok(bytes)
    } else {
        Err(ErrorKind::UnexpectedEof.into())
    }
}

fn recover_partitions(
    disk: &Arc<dyn Disk>,
    pool: Arc<FilePool>,
    data_folder: &Path,
    checkpoint: EntryIndex,
    records: Vec<PartitionRecord>,
) -> Result<(Partitions, Vec<PathBuf>), RecoveryError> {
    let listed = ListedFiles::of(data_folder, &records);
    let mut partitions = BTreeMap::<TopicPartition, Partition>::new();
    let (mut opened, mut mended) = (Vec::new(), Vec::new());
    for record in records {
        let folder = partition_folder(data_folder, record.topic_id, &record.partition);
        let segments = open_segments(&**disk, &pool, &folder, checkpoint, &record, &mut mended)?;
        opened.extend(segments.iter().cloned());
        let name = record.partition.clone();
        partitions.insert(name, Partition::resume(folder, record, segments)?);
    }
    drop_what_is_not_listed(&**disk, &listed)?;
    drop_bytes_beyond(&opened)?;
    Ok((
        Partitions::assemble(disk.clone(), pool, data_folder, partitions),
        mended,
    ))
}

fn open_segments(
    disk: &dyn Disk,
    pool: &Arc<FilePool>,
    folder: &Path,
    checkpoint: EntryIndex,
    record: &PartitionRecord,
    mended: &mut Vec<PathBuf>,
) -> Result<Vec<Arc<Segment>>, RecoveryError> {
    let mut segments = Vec::with_capacity(record.segments.len());
    for (segment, is) in record.segments_and_kinds() {
        needs_log(disk, folder, checkpoint, segment)?;
        mended.extend(index_rebuild::mend(disk, folder, segment, is)?);
        let opened = Segment::pooled(pool, folder, segment);
        segments.push(Arc::new(
            opened.map_err(|(path, source)| unopened(path, checkpoint, source))?,
        ));
    }
    Ok(segments)
}

/// The log is what nothing else can give back.
fn needs_log(
    disk: &dyn Disk,
    folder: &Path,
    checkpoint: EntryIndex,
    record: &SegmentRecord,
) -> Result<(), RecoveryError> {
    let path = segment::path(folder, record.base_offset, segment::LOG);
    let opened = GrowingFile::open(disk, path.clone(), record.log, OpenMode::Read);
    opened
        .map(drop)
        .map_err(|source| unopened(path, checkpoint, source))
}

fn drop_bytes_beyond(segments: &[Arc<Segment>]) -> Result<(), RecoveryError> {
    for file in segments.iter().flat_map(|segment| segment.files()) {
        file.drop_what_is_beyond()
            .map_err(io_error("cut", file.path()))?;
    }
    Ok(())
}

fn drop_what_is_not_listed(disk: &dyn Disk, listed: &ListedFiles) -> Result<(), RecoveryError> {
    let unlisted = listed.unlisted(disk);
    for doomed in unlisted.map_err(|(path, source)| io_error("list", &path)(source))? {
        match doomed {
            Doomed::File(path) => disk.remove_file(&path).map_err(io_error("remove", &path))?,
            Doomed::Folder(path) => disk
                .remove_folder(&path)
                .map_err(io_error("remove", &path))?,
        }
    }
    Ok(())
}

fn unopened(path: PathBuf, checkpoint: EntryIndex, source: io::Error) -> RecoveryError {
    match source.kind() {
        ErrorKind::NotFound | ErrorKind::UnexpectedEof => RecoveryError::Missing {
            path,
            checkpoint,
            source,
        },
        _ => RecoveryError::Io {
            action: "open",
            path,
            source,
        },
    }
}

pub(super) fn io_error(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> RecoveryError {
    let path = path.to_owned();
    move |source| RecoveryError::Io {
        action,
        path,
        source,
    }
}
