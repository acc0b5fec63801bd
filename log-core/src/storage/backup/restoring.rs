//! A backup on its way to a new folder: its files laid out, and what must be applied to them before it is whole.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::disk::Disk;
use journal::{Finding, Severity};

use super::copy::copy_checkpoint;
use super::{BackupError, io_error};
use crate::entry::Entry;
use crate::ids::{EntryIndex, LeaderEpoch};
use crate::storage::checkpoint::{Checkpoint, CheckpointError};
use crate::storage::entry_log::{EntryLog, EntryLogError, Synced};
use crate::storage::identity::{Identity, IdentityError};
use crate::storage::journal_entries::read_entries_after;
use crate::storage::layout::JOURNAL;
use crate::storage::partitions::Partitions;
use crate::storage::verify::verify;
use crate::storage::{RecoveryError, StorageConfig, recover};

/// A folder that a backup was copied to. It gets its identity last: until [`Self::finish`] no node starts from it.
pub struct Restoring {
    /// Whose backup it is.
    pub identity: Identity,
    /// Its checkpoint, if it has one.
    pub checkpoint: Option<Checkpoint>,
    /// The entries after the checkpoint: what they say is still to be applied to the partitions.
    pub entries: Vec<Entry>,
    /// The latest epoch that the node knew.
    pub epoch: LeaderEpoch,
    /// The partitions as they were at the checkpoint.
    pub partitions: Partitions,
    disk: Arc<dyn Disk>,
    data_folder: PathBuf,
    config: StorageConfig,
}

/// Why a backup was not laid out, or not finished.
#[derive(Debug, thiserror::Error)]
pub enum RestoringError {
    /// There is no backup there.
    #[error("{folder} is no backup: it has no backup.json. Was the backup finished?")]
    NoBackup {
        /// The folder.
        folder: PathBuf,
    },
    /// It is not as it was written.
    #[error("the backup in {folder} is damaged, restore another one: {finding}")]
    Damaged {
        /// The backup.
        folder: PathBuf,
        /// The first thing that is wrong with it.
        finding: Finding,
    },
    /// Its identity cannot be read, or the new one not be written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// It could not be copied.
    #[error(transparent)]
    Copy(#[from] BackupError),
    /// Its journal cannot be read, or the new one not be written.
    #[error(transparent)]
    Log(#[from] EntryLogError),
    /// What was copied cannot be opened.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The new checkpoint could not be written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl Restoring {
    /// Checks a backup and copies it to a new folder.
    ///
    /// # Errors
    /// [`RestoringError`]; nothing is changed where the backup is at fault.
    pub fn begin(
        disk: &Arc<dyn Disk>,
        backup: &Path,
        data_folder: &Path,
        config: StorageConfig,
    ) -> Result<Self, RestoringError> {
        let Some(identity) = Identity::read_backup(&**disk, backup)? else {
            let folder = backup.to_owned();
            return Err(RestoringError::NoBackup { folder });
        };
        needs_soundness(&**disk, backup)?;
        needs_new_folder(&**disk, data_folder)?;
        let checkpoint = copy_checkpoint(&**disk, backup, data_folder)?;
        let checkpoint = checkpoint.map(|file| file.checkpoint);
        let applied = checkpoint
            .as_ref()
            .map_or(EntryIndex(0), |checkpoint| checkpoint.applied);
        let found = read_entries_after(&**disk, backup, applied)?;
        if let Some(Checkpoint { applied, epoch, .. }) = &checkpoint {
            begin_journal(disk, data_folder, config, EntryIndex(0), (*applied, *epoch))?;
        }
        let recovered = recover(disk, data_folder, &config)?;
        Ok(Self {
            identity,
            epoch: found.hard_state.epoch,
            entries: found.entries,
            partitions: recovered.partitions,
            disk: Arc::clone(disk),
            data_folder: data_folder.to_owned(),
            checkpoint,
            config,
        })
    }

    /// Makes the folder whole: a checkpoint of how everything stands now, a journal that begins after it, and last the
    /// identity of the node that starts from it.
    ///
    /// # Errors
    /// [`RestoringError`]: begin again with another folder.
    pub fn finish(self, checkpoint: Checkpoint, identity: &Identity) -> Result<(), RestoringError> {
        let before = self
            .checkpoint
            .as_ref()
            .map_or(EntryIndex(0), |checkpoint| checkpoint.applied);
        let place = (checkpoint.applied, checkpoint.epoch);
        begin_journal(&self.disk, &self.data_folder, self.config, before, place)?;
        let synced = Synced {
            last: checkpoint.applied,
            commit: checkpoint.applied,
        };
        self.partitions.capture(checkpoint).complete(synced)?;
        identity.keep(&*self.disk, &self.data_folder)?;
        Ok(())
    }
}

impl fmt::Debug for Restoring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restoring")
            .field("data_folder", &self.data_folder)
            .finish_non_exhaustive()
    }
}

fn begin_journal(
    disk: &Arc<dyn Disk>,
    data_folder: &Path,
    config: StorageConfig,
    checkpoint: EntryIndex,
    place: (EntryIndex, LeaderEpoch),
) -> Result<(), EntryLogError> {
    let folder = data_folder.join(JOURNAL);
    EntryLog::begin_after(Arc::clone(disk), &folder, config.journal, checkpoint, place)
}

fn needs_soundness(disk: &dyn Disk, backup: &Path) -> Result<(), RestoringError> {
    let findings = verify(disk, backup).findings;
    let damage = findings
        .into_iter()
        .find(|finding| Severity::Damage <= finding.severity);
    damage.map_or(Ok(()), |finding| {
        let folder = backup.to_owned();
        Err(RestoringError::Damaged { folder, finding })
    })
}

fn needs_new_folder(disk: &dyn Disk, folder: &Path) -> Result<(), BackupError> {
    super::copy::needs_empty(disk, folder)?;
    journal::make_lasting(disk, folder).map_err(io_error("make", folder))
}
