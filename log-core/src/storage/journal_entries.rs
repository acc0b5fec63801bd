//! Reading the entries of a journal that no process uses, for a person to look at: nothing is cut, removed or synced.

use std::path::Path;

use journal::Finding;
use journal::disk::Disk;
use journal::inspect;

use super::entry_log::{self, EntryLogError};
use super::layout::JOURNAL;
use crate::entry::{Entry, HardState};
use crate::ids::EntryIndex;

/// What a journal says.
#[derive(Debug)]
pub struct JournalEntries {
    /// What the replica has promised.
    pub hard_state: HardState,
    /// Its entries, without those that were replaced; some may lie before the checkpoint.
    pub entries: Vec<Entry>,
    /// What is not as it should be: entries behind damage are not read.
    pub findings: Vec<Finding>,
}

/// Reads the entries in a data folder.
///
/// # Errors
/// [`EntryLogError::Nonsense`] where whole records make no sense.
pub fn read_entries(disk: &dyn Disk, data_folder: &Path) -> Result<JournalEntries, EntryLogError> {
    let inspection = inspect(disk, &data_folder.join(JOURNAL));
    let (hard_state, entries) = entry_log::replay(inspection.records)?;
    Ok(JournalEntries {
        hard_state,
        entries,
        findings: inspection.findings,
    })
}

/// Reads the entries that follow a checkpoint, and what the replica has promised by then.
///
/// # Errors
/// [`EntryLogError::Nonsense`]; [`EntryLogError::Gap`] where the journal does not go on from the checkpoint, also where it
/// has no entry and knows of later ones.
pub(super) fn read_entries_after(
    disk: &dyn Disk,
    data_folder: &Path,
    checkpoint: EntryIndex,
) -> Result<JournalEntries, EntryLogError> {
    let inspection = inspect(disk, &data_folder.join(JOURNAL));
    let is_whole = inspection.is_sound();
    let (hard_state, entries) = match entry_log::replay_after(inspection.records, checkpoint) {
        // Of a journal that is damaged it is known already that it does not go on.
        Err(EntryLogError::Gap { .. }) if !is_whole => Default::default(),
        replayed => replayed?,
    };
    Ok(JournalEntries {
        hard_state,
        entries,
        findings: inspection.findings,
    })
}
