//! Copying a node's folder, whether the node runs or not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::JournalConfig;
use journal::Severity;
use journal::disk::{Disk, DiskFile, OpenMode};
use journal::make_lasting;

use super::{BackupError, io_error};
use crate::entry::{Entry, HardState};
use crate::ids::{EntryIndex, LeaderEpoch, NodeId};
use crate::storage::checkpoint::CheckpointFile;
use crate::storage::entry_log::{ENTRY_OVERHEAD_BYTES, EntryLog};
use crate::storage::growing_file::FileEnd;
use crate::storage::identity::Identity;
use crate::storage::journal_entries::read_entries_after;
use crate::storage::layout::{INSTALLED, JOURNAL, TOPICS, read_all};

/// A running node can complete a checkpoint, and remove what it no longer lists, while we copy; each time the copy has
/// less to do, since what is the same is not copied again.
const ATTEMPTS_MAX: usize = 10;
/// Copied at once.
const PIECE_BYTES: u64 = 1 << 20;
/// Entries that go into the backup's journal with one sync.
const ENTRIES_AT_ONCE: usize = 1_000;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// The cluster's name.
    pub cluster_id: String,
    /// Whose folder it was.
    pub node: NodeId,
    /// The entry of its checkpoint; 0 where there was none yet.
    pub checkpoint: EntryIndex,
    /// The last entry that the node had.
    pub last: EntryIndex,
    /// How many files of partitions.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Backs a node's folder up into a new one.
///
/// # Errors
/// [`BackupError`]
pub fn back_up(
    disk: &Arc<dyn Disk>,
    data_folder: &Path,
    to: &Path,
) -> Result<BackedUp, BackupError> {
    needs_empty(&**disk, to)?;
    let identity = Identity::read(&**disk, data_folder).map_err(BackupError::Identity)?;
    let Some(identity) = identity.filter(|identity| identity.formed.is_some()) else {
        let folder = data_folder.to_owned();
        return Err(BackupError::NoLog { folder });
    };
    let backup = Backup {
        disk,
        data_folder,
        to,
        identity,
    };
    let mut done = backup.attempt();
    for _ in 1..ATTEMPTS_MAX {
        if done.is_ok() {
            break;
        }
        done = backup.attempt();
    }
    if done.is_err() {
        // What cannot be removed either is without its last file, and so no backup.
        drop(disk.remove_folder(to));
    }
    done
}

pub(super) fn needs_empty(disk: &dyn Disk, folder: &Path) -> Result<(), BackupError> {
    if disk.exists(folder)
        && !disk
            .list(folder)
            .map_err(io_error("list", folder))?
            .is_empty()
    {
        let folder = folder.to_owned();
        return Err(BackupError::NotEmpty { folder });
    }
    Ok(())
}

struct Backup<'a> {
    disk: &'a Arc<dyn Disk>,
    data_folder: &'a Path,
    to: &'a Path,
    identity: Identity,
}

impl Backup<'_> {
    fn attempt(&self) -> Result<BackedUp, BackupError> {
        if self.disk.exists(&self.data_folder.join(INSTALLED)) {
            let folder = self.data_folder.to_owned();
            return Err(BackupError::Installing { folder });
        }
        make_lasting(&**self.disk, self.to).map_err(io_error("make", self.to))?;
        let checkpoint = copy_checkpoint(&**self.disk, self.data_folder, self.to)?;
        let place = checkpoint.as_ref().map_or_else(Default::default, |file| {
            (file.checkpoint.applied, file.checkpoint.epoch)
        });
        // After the checkpoint: the journal is trimmed only behind a newer one.
        let entries = self.entries_after(place.0)?;
        let last = entries.last().map_or(place.0, |entry| entry.index);
        self.write_journal(place, &entries)?;
        self.identity
            .keep_as_backup(&**self.disk, self.to)
            .map_err(BackupError::Identity)?;
        Ok(self.summary(checkpoint.as_ref(), place.0, last))
    }

    fn summary(
        &self,
        checkpoint: Option<&CheckpointFile>,
        applied: EntryIndex,
        last: EntryIndex,
    ) -> BackedUp {
        let records = checkpoint.iter().flat_map(|file| &file.partitions);
        let files: Vec<FileEnd> = records
            .flat_map(|record| record.files())
            .map(|(_, end)| end)
            .collect();
        let formed = self.identity.formed.as_ref().expect("checked at the start");
        BackedUp {
            cluster_id: formed.cluster_id.clone(),
            node: self.identity.node,
            checkpoint: applied,
            last,
            files: files.len(),
            bytes: files.iter().map(|end| end.bytes).sum(),
        }
    }

    /// What the journal has beyond the checkpoint, decided or not: an entry that was acknowledged lies among them, and
    /// the node need not have heard yet that it was decided.
    fn entries_after(&self, applied: EntryIndex) -> Result<Vec<Entry>, BackupError> {
        let read = read_entries_after(&**self.disk, self.data_folder, applied)?;
        let mut findings = read.findings.iter();
        if let Some(finding) = findings.find(|found| Severity::Damage <= found.severity) {
            return Err(BackupError::Damaged {
                path: finding.path.clone(),
                found: finding.found.clone(),
            });
        }
        Ok(read.entries)
    }

    fn write_journal(
        &self,
        place: (EntryIndex, LeaderEpoch),
        entries: &[Entry],
    ) -> Result<(), BackupError> {
        let folder = self.to.join(JOURNAL);
        self.disk
            .remove_folder(&folder)
            .map_err(io_error("remove", &folder))?;
        let config = sizes_for(entries);
        if EntryIndex(0) < place.0 {
            EntryLog::begin_after(Arc::clone(self.disk), &folder, config, EntryIndex(0), place)?;
        }
        let (mut log, _) = EntryLog::open(Arc::clone(self.disk), &folder, config, place.0)?;
        for some in entries.chunks(ENTRIES_AT_ONCE) {
            let last = some.last().expect("no chunk is empty");
            let hard_state = HardState {
                epoch: last.epoch,
                vote: None,
                commit: last.index,
            };
            log.write(some, Some(&hard_state))?;
            log.sync()?;
        }
        Ok(())
    }
}

/// A segment is written full of zeros first: one that all entries fit into, where they are not too many.
fn sizes_for(entries: &[Entry]) -> JournalConfig {
    const SEGMENT_BYTES_MAX: usize = 8 << 20;
    /// Of what lies around records: headers, zeros up to the next one, and the hard states.
    const ROOM_BYTES: usize = 4 << 10;
    let sizes = entries
        .iter()
        .map(|entry| ENTRY_OVERHEAD_BYTES + entry.payload.len());
    let largest = sizes.clone().max().unwrap_or(0).max(ROOM_BYTES);
    let all = sizes.map(|size| size + size / 8 + 16).sum::<usize>();
    let segment_bytes = all.min(SEGMENT_BYTES_MAX).max(largest) + ROOM_BYTES;
    JournalConfig {
        segment_bytes: u32::try_from(segment_bytes).expect("entries are far below 1 GiB"),
        record_bytes_max: u32::try_from(largest).expect("entries are far below 1 GiB"),
    }
}

/// Copies a folder's checkpoint and each file that it lists, durably. What is in the way there and the same stays.
///
/// # Errors
/// [`BackupError::Damaged`], [`BackupError::Io`].
pub(super) fn copy_checkpoint(
    disk: &dyn Disk,
    from: &Path,
    to: &Path,
) -> Result<Option<CheckpointFile>, BackupError> {
    let path = CheckpointFile::path(from);
    if !disk.exists(&path) {
        return Ok(None);
    }
    let bytes = read_all(disk, &path).map_err(io_error("read", &path))?;
    let contents = CheckpointFile::decode(&bytes).map_err(|found| BackupError::Damaged {
        path,
        found: found.to_owned(),
    })?;
    let files: Vec<(PathBuf, FileEnd)> = contents
        .partitions
        .iter()
        .flat_map(|record| record.files())
        .collect();
    for (name, end) in &files {
        copy_file(disk, &from.join(name), &to.join(name), *end)?;
    }
    remove_others(disk, to, &files)?;
    write_checkpoint(disk, to, &bytes)?;
    sync_folders(disk, to, &files)?;
    Ok(Some(contents))
}

fn copy_file(disk: &dyn Disk, from: &Path, to: &Path, end: FileEnd) -> Result<(), BackupError> {
    if is_copied(disk, to, end) {
        return Ok(());
    }
    let folder = to.parent().expect("files lie in folders");
    disk.create_folder(folder)
        .map_err(io_error("make folder", folder))?;
    let source = disk
        .open(from, OpenMode::Read)
        .map_err(io_error("open", from))?;
    let copy = make_anew(disk, to)?;
    let (mut at, mut crc) = (0, 0);
    while at < end.bytes {
        let wanted = (end.bytes - at).min(PIECE_BYTES);
        let mut piece = vec![0; usize::try_from(wanted).expect("a piece fits memory")];
        let count = source
            .read_at(&mut piece, at)
            .map_err(io_error("read", from))?;
        if count < piece.len() {
            return Err(damaged(from, "it is shorter than the checkpoint lists it"));
        }
        copy.write_at(&piece, at).map_err(io_error("write", to))?;
        crc = crc32c::crc32c_append(crc, &piece);
        at += wanted;
    }
    if crc != end.crc {
        return Err(damaged(from, "its checksum is not the checkpoint's"));
    }
    copy.sync_data().map_err(io_error("sync", to))
}

fn damaged(path: &Path, found: &str) -> BackupError {
    BackupError::Damaged {
        path: path.to_owned(),
        found: found.to_owned(),
    }
}

fn is_copied(disk: &dyn Disk, path: &Path, end: FileEnd) -> bool {
    let bytes = read_all_where_there(disk, path);
    bytes.is_some_and(|bytes| bytes.len() as u64 == end.bytes && crc32c::crc32c(&bytes) == end.crc)
}

fn read_all_where_there(disk: &dyn Disk, path: &Path) -> Option<Vec<u8>> {
    disk.exists(path)
        .then(|| read_all(disk, path).ok())
        .flatten()
}

fn make_anew(disk: &dyn Disk, path: &Path) -> Result<Box<dyn DiskFile>, BackupError> {
    if disk.exists(path) {
        disk.remove_file(path).map_err(io_error("remove", path))?;
    }
    disk.open(path, OpenMode::CreateNew)
        .map_err(io_error("make", path))
}

fn write_checkpoint(disk: &dyn Disk, to: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let path = CheckpointFile::path(to);
    let file = make_anew(disk, &path)?;
    file.write_at(bytes, 0).map_err(io_error("write", &path))?;
    file.sync_data().map_err(io_error("sync", &path))
}

/// Of an earlier attempt, which had an older checkpoint.
fn remove_others(
    disk: &dyn Disk,
    to: &Path,
    files: &[(PathBuf, FileEnd)],
) -> Result<(), BackupError> {
    let listed: BTreeSet<PathBuf> = files.iter().map(|(name, _)| to.join(name)).collect();
    for topic in inside(disk, &to.join(TOPICS))? {
        for partition in inside(disk, &topic)? {
            for file in inside(disk, &partition)? {
                if !listed.contains(&file) {
                    disk.remove_file(&file).map_err(io_error("remove", &file))?;
                }
            }
            remove_if_empty(disk, &partition)?;
        }
        remove_if_empty(disk, &topic)?;
    }
    Ok(())
}

fn remove_if_empty(disk: &dyn Disk, folder: &Path) -> Result<(), BackupError> {
    if !inside(disk, folder)?.is_empty() {
        return Ok(());
    }
    disk.remove_folder(folder)
        .map_err(io_error("remove", folder))
}

fn inside(disk: &dyn Disk, folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    if !disk.exists(folder) {
        return Ok(Vec::new());
    }
    let names = disk.list(folder).map_err(io_error("list", folder))?;
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

fn sync_folders(
    disk: &dyn Disk,
    to: &Path,
    files: &[(PathBuf, FileEnd)],
) -> Result<(), BackupError> {
    let paths = files.iter().map(|(name, _)| to.join(name));
    let mut folders: BTreeSet<PathBuf> = paths
        .flat_map(|path| {
            let above = path.ancestors().skip(1).map(Path::to_owned);
            above
                .take_while(|above| above.starts_with(to))
                .collect::<Vec<_>>()
        })
        .collect();
    folders.insert(to.to_owned());
    for folder in folders.iter().rev() {
        disk.sync_folder(folder)
            .map_err(io_error("sync folder", folder))?;
    }
    Ok(())
}
