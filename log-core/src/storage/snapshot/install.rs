//! Putting a fetched snapshot into force, at a start and before anything else is read.
//!
//! The snapshot is whole and lasts, so nothing of the folder's own is needed from here on but what the replica has
//! promised: its epoch, its vote, and entries behind the snapshot that follow from it. Each step is durable before the
//! next one begins, and can be done again:
//!
//! 1. the journal learns that its entries begin after the snapshot's;
//! 2. the topics are removed, and the snapshot's take their name;
//! 3. its checkpoint takes the place of the old one, which ends it: what is left of `installed/` is swept away.
//!
//! A snapshot that the own checkpoint has overtaken is thrown away instead.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::disk::Disk;

use super::incoming::manifest_of;
use crate::ids::EntryIndex;
use crate::storage::checkpoint::{Checkpoint, CheckpointFile, read_checkpoint};
use crate::storage::config::StorageConfig;
use crate::storage::entry_log::EntryLog;
use crate::storage::layout::{INCOMING, INSTALLED, JOURNAL, SNAPSHOTS, TOPICS, read_all};
use crate::storage::recovery_error::{RecoveryError, io_error};

/// Installs the snapshot that waits in the data folder, if one does. Returns its entry.
///
/// # Errors
/// [`RecoveryError`]; what was done so far is done again, or gone on from, by the next start.
pub(in crate::storage) fn finish_install(
    disk: &Arc<dyn Disk>,
    data_folder: &Path,
    config: &StorageConfig,
) -> Result<Option<EntryIndex>, RecoveryError> {
    let install = Install {
        disk,
        data_folder,
        installed: data_folder.join(INSTALLED),
    };
    if !disk.exists(&install.installed) {
        return Ok(None);
    }
    let own = read_checkpoint(&**disk, data_folder)?.map(|file| file.checkpoint.applied);
    let own = own.unwrap_or(EntryIndex(0));
    match read_checkpoint(&**disk, &install.installed)? {
        Some(waiting) if own < waiting.checkpoint.applied => {
            install.put_into_force(&waiting.checkpoint, own, config)?;
            Ok(Some(waiting.checkpoint.applied))
        }
        Some(_) | None => install.sweep_away().map(|()| None),
    }
}

/// The folder of the snapshot that the next start puts into force, if there is one.
pub(in crate::storage) fn waiting(disk: &dyn Disk, data_folder: &Path) -> Option<PathBuf> {
    let applied = |folder: &Path| {
        let bytes = read_all(disk, &CheckpointFile::path(folder)).ok()?;
        let file = CheckpointFile::decode(&bytes).ok()?;
        Some(file.checkpoint.applied)
    };
    let installed = data_folder.join(INSTALLED);
    if !disk.exists(&CheckpointFile::path(&installed)) {
        return None;
    }
    // One that cannot be read waits too: the start says so.
    let is_overtaken = applied(&installed)
        .is_some_and(|snapshot| applied(data_folder).is_some_and(|own| snapshot <= own));
    (!is_overtaken).then_some(installed)
}

/// Where the topics of a snapshot that waits are by now: an install moves them before its checkpoint.
pub(in crate::storage) fn topics_root(disk: &dyn Disk, data_folder: &Path) -> PathBuf {
    let installed = data_folder.join(INSTALLED);
    if disk.exists(&installed.join(TOPICS)) {
        installed
    } else {
        data_folder.to_owned()
    }
}

/// Removes what no process will ask for any more: links held for others, and a fetch that the checkpoint has overtaken.
///
/// # Errors
/// [`RecoveryError::Io`]
pub(in crate::storage) fn remove_leftovers(
    disk: &dyn Disk,
    data_folder: &Path,
    applied: EntryIndex,
) -> Result<(), RecoveryError> {
    let incoming = data_folder.join(INCOMING);
    let is_ahead = manifest_of(disk, &incoming).is_some_and(|manifest| applied < manifest.applied);
    if !is_ahead {
        remove_folder(disk, &incoming)?;
    }
    remove_folder(disk, &data_folder.join(SNAPSHOTS))
}

struct Install<'a> {
    disk: &'a Arc<dyn Disk>,
    data_folder: &'a Path,
    installed: PathBuf,
}

impl Install<'_> {
    fn put_into_force(
        &self,
        waiting: &Checkpoint,
        own: EntryIndex,
        config: &StorageConfig,
    ) -> Result<(), RecoveryError> {
        let journal = self.data_folder.join(JOURNAL);
        let place = (waiting.applied, waiting.epoch);
        EntryLog::begin_after(Arc::clone(self.disk), &journal, config.journal, own, place)?;
        self.replace_topics()?;
        self.replace(
            &CheckpointFile::path(&self.installed),
            &CheckpointFile::path(self.data_folder),
        )?;
        self.sweep_away()
    }

    /// The old ones are gone for good before the new ones come: no power cut can mix them.
    fn replace_topics(&self) -> Result<(), RecoveryError> {
        let (from, to) = (self.installed.join(TOPICS), self.data_folder.join(TOPICS));
        if !self.disk.exists(&from) {
            return Ok(());
        }
        remove_folder(&**self.disk, &to)?;
        self.sync_folder(self.data_folder)?;
        self.replace(&from, &to)
    }

    fn replace(&self, from: &Path, to: &Path) -> Result<(), RecoveryError> {
        self.disk.rename(from, to).map_err(io_error("rename", to))?;
        self.sync_folder(self.data_folder)?;
        self.sync_folder(&self.installed)
    }

    /// Under another name first: half of a snapshot must never be taken for one.
    fn sweep_away(&self) -> Result<(), RecoveryError> {
        let incoming = self.data_folder.join(INCOMING);
        remove_folder(&**self.disk, &incoming)?;
        self.disk
            .rename(&self.installed, &incoming)
            .map_err(io_error("rename", &incoming))?;
        self.sync_folder(self.data_folder)?;
        remove_folder(&**self.disk, &incoming)
    }

    fn sync_folder(&self, folder: &Path) -> Result<(), RecoveryError> {
        self.disk
            .sync_folder(folder)
            .map_err(io_error("sync folder", folder))
    }
}

fn remove_folder(disk: &dyn Disk, folder: &Path) -> Result<(), RecoveryError> {
    disk.remove_folder(folder)
        .map_err(io_error("remove", folder))
}
