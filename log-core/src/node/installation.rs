//! A snapshot that was fetched takes the place of everything in the data folder: what must have ended before, and how the
//! folder is gone on from.

use std::path::Path;
use std::sync::Arc;

use journal::disk::Disk;
use tracing::warn;

use super::effect::Effect;
use super::input::Input;
use super::replica::Replica;
use crate::consensus::Membership;
use crate::ids::EntryIndex;
use crate::state::State;
use crate::storage::snapshot::{Incoming, SnapshotError};
use crate::storage::{Recovered, RecoveryError, StorageConfig, recover};

/// Why a snapshot that was fetched is not in force. The next start goes on from what is in the folder.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    /// It could not be staged for the next start.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The folder could not be read again.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
}

/// From [`Effect::EndJournal`] until the folder was read again: the driver feeds nothing but the last words of what writes
/// in the folder.
#[derive(Debug)]
pub(super) struct Installation {
    applied: EntryIndex,
    journal_ended: bool,
    begun: bool,
}

impl Installation {
    pub(super) fn of(applied: EntryIndex) -> Self {
        Self {
            applied,
            journal_ended: false,
            begun: false,
        }
    }

    /// Takes a last word. The steps that are on disk by now were of use to others only: their messages have left.
    pub(super) fn take(&mut self, input: Input, replica: &mut Replica, effects: &mut Vec<Effect>) {
        match input {
            Input::Persisted { .. } => {}
            Input::JournalEnded => self.journal_ended = true,
            Input::CheckpointSealed(..) | Input::CheckpointDurable { .. } => {
                replica.checkpoint_ended();
            }
            Input::SnapshotHeld(held) => {
                replica.snapshot_held(None);
                effects.extend(held.map(|_| Effect::ReleaseSnapshot));
            }
            other => unreachable!("left unread while a snapshot is installed: {other:?}"),
        }
    }

    /// Has the snapshot installed once nothing is written in the folder any more.
    pub(super) fn go_on(&mut self, replica: &Replica, effects: &mut Vec<Effect>) {
        if self.journal_ended && !self.begun && !replica.is_checkpointing() {
            self.begun = true;
            effects.push(Effect::Install {
                applied: self.applied,
            });
        }
    }
}

/// Puts what was fetched in the place of everything in the folder, and reads the folder again. What turns out not to be
/// what was promised is forgotten: the folder is as it was then, and the leader will tell again. Nothing may be written in
/// the folder meanwhile.
///
/// # Errors
/// [`InstallError`]
pub(crate) fn install(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    config: &StorageConfig,
    fetched: Incoming,
) -> Result<Recovered, InstallError> {
    stage_for_install(&**disk, folder, fetched)?;
    Ok(recover(disk, folder, config)?)
}

fn stage_for_install(
    disk: &dyn Disk,
    folder: &Path,
    fetched: Incoming,
) -> Result<(), SnapshotError> {
    if let Err(error) = can_be_gone_on_from(&fetched) {
        warn!(error = &*error, "snapshot cannot be read by this version");
        forget_fetched(disk, folder);
        return Ok(());
    }
    match fetched.finish() {
        Ok(()) => Ok(()),
        Err(error @ SnapshotError::Io { .. }) => Err(error),
        Err(error) => {
            warn!(
                error = &error as &(dyn std::error::Error + 'static),
                "snapshot is not what was promised"
            );
            forget_fetched(disk, folder);
            Ok(())
        }
    }
}

/// Installed, a snapshot that this version cannot read would stop the node at every start.
fn can_be_gone_on_from(fetched: &Incoming) -> Result<(), Box<dyn std::error::Error>> {
    let checkpoint = fetched.checkpoint()?;
    State::decode(&checkpoint.state)?;
    Membership::decode(&checkpoint.membership)?;
    Ok(())
}

/// Drops what was fetched, as far as the disk lets it.
pub(crate) fn forget_fetched(disk: &dyn Disk, folder: &Path) {
    if let Err(error) = Incoming::forget(disk, folder) {
        warn!(
            error = &error as &(dyn std::error::Error + 'static),
            "a snapshot that is not needed stays on the disk until the next start"
        );
    }
}

#[cfg(test)]
mod tests;
