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

use journal::Cut;
use journal::disk::{Disk, OpenMode};
use journal::make_lasting;

use super::checkpoint::{Checkpoint, Obsolete, read_checkpoint};
use super::config::StorageConfig;
use super::entry_log::{EntryLog, RecoveredLog};
use super::file_pool::FilePool;
use super::growing_file::GrowingFile;
use super::index_rebuild;
use super::layout::{JOURNAL, LOG, partition_folder, segment_path};
use super::listed_files::ListedFiles;
use super::partition::{Partition, PartitionRecord};
use super::partitions::Partitions;
use super::recovery_error::{RecoveryError, io_error};
use super::segment::{Segment, SegmentRecord};
use super::snapshot::install::{finish_install, remove_leftovers};
use crate::entry::{Entry, HardState};
use crate::ids::{EntryIndex, TopicPartition};

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
    make_lasting(&**disk, data_folder).map_err(io_error("make folder", data_folder))?;
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
    let path = segment_path(folder, record.base_offset, LOG);
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
    for obsolete in unlisted.map_err(|(path, source)| io_error("list", &path)(source))? {
        match obsolete {
            Obsolete::File(path) => disk.remove_file(&path).map_err(io_error("remove", &path))?,
            Obsolete::Folder(path) => disk
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
