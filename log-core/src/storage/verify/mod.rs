//! Checking a data folder that no process uses: reads everything, changes nothing.
//!
//! Every checksum; every index against its log; that offsets, epochs, segments and entries follow each other without
//! holes; and that journal, checkpoint and partitions meet. Between the checksums of whole files, which the checkpoint
//! has, and the journal's own, no byte that matters is left out.
//!
//! [`verify`] looks at one folder, [`compare`] at two that should hold the same.

mod comparison;
pub(super) mod partition_check;
pub(super) mod report;

use std::path::Path;

use journal::disk::Disk;
use journal::inspect;

pub use self::comparison::compare;
use self::partition_check::PartitionCheck;
pub use self::report::{CheckpointSummary, JournalSummary, PartitionSummary, Report};
use super::checkpoint::{CheckpointFile, Obsolete};
use super::entry_log::{self, EntryLogError};
use super::identity::{self, Identity, IdentityError};
use super::layout::{INCOMING, INSTALLED, JOURNAL, SNAPSHOTS, read_all};
use super::listed_files::ListedFiles;
use super::snapshot::install;
use crate::ids::{EntryIndex, LeaderEpoch};

/// Checks a data folder. What cannot be read is a finding like any other. A snapshot that the next start puts into force
/// is checked in place of what it replaces.
pub fn verify(disk: &dyn Disk, data_folder: &Path) -> Report {
    let mut report = Report::default();
    check_identity(disk, data_folder, &mut report);
    let waiting = install::waiting(disk, data_folder);
    let (root, topics) = match &waiting {
        Some(installed) => (installed.as_path(), install::topics_root(disk, data_folder)),
        None => (data_folder, data_folder.to_owned()),
    };
    let file = check_checkpoint(disk, root, &mut report);
    check_journal(disk, data_folder, waiting.as_deref(), &mut report);
    let records = file.map_or(Vec::new(), |file| file.partitions);
    let epoch_max = report
        .checkpoint
        .map_or(LeaderEpoch(0), |checkpoint| checkpoint.epoch);
    for record in &records {
        PartitionCheck::new(disk, &topics, record, epoch_max).run(&mut report);
    }
    check_for_unlisted_files(disk, &ListedFiles::of(&topics, &records), &mut report);
    note_other_folders(disk, data_folder, &mut report);
    report
}

/// What is there on behalf of another replica, or on its way from one.
fn note_other_folders(disk: &dyn Disk, data_folder: &Path, report: &mut Report) {
    let folders = [
        (
            SNAPSHOTS,
            "links held for another replica: the next start removes them",
        ),
        (
            INCOMING,
            "a snapshot that is not fetched yet: the next start goes on with it, or removes it",
        ),
        (
            INSTALLED,
            "a snapshot that the next start puts into force, or removes where it is overtaken",
        ),
    ];
    for (name, found) in folders {
        let path = data_folder.join(name);
        if disk.exists(&path) {
            report.leftover(&path, None, found);
        }
    }
}

fn check_identity(disk: &dyn Disk, data_folder: &Path, report: &mut Report) {
    let path = data_folder.join(identity::NAME);
    let read = match Identity::read(disk, data_folder) {
        Err(IdentityError::Backup { .. }) => Identity::read_backup(disk, data_folder),
        read => read,
    };
    match read {
        Ok(_) => {}
        Err(IdentityError::Unreadable { path, source }) => report.damage(&path, None, source),
        Err(IdentityError::Damaged { path, found }) => report.damage(&path, None, found),
        Err(IdentityError::NoJournal { path }) => {
            report.damage(&path, None, "the journal is missing");
        }
        Err(_) => report.damage(&path, None, "it is missing, and the folder holds a log"),
    }
}

fn check_checkpoint(
    disk: &dyn Disk,
    data_folder: &Path,
    report: &mut Report,
) -> Option<CheckpointFile> {
    let unfinished = CheckpointFile::unfinished_path(data_folder);
    if disk.exists(&unfinished) {
        report.leftover(&unfinished, None, "a checkpoint that was never finished");
    }
    let path = CheckpointFile::path(data_folder);
    if !disk.exists(&path) {
        return None;
    }
    let decoded = read_all(disk, &path).map_err(|error| error.to_string());
    let decoded = decoded.and_then(|bytes| CheckpointFile::decode(&bytes).map_err(str::to_owned));
    match decoded {
        Ok(file) => {
            let checkpoint = &file.checkpoint;
            report.checkpoint = Some(CheckpointSummary {
                applied: checkpoint.applied,
                epoch: checkpoint.epoch,
            });
            Some(file)
        }
        Err(found) => {
            report.damage(&path, None, found);
            None
        }
    }
}

fn check_journal(disk: &dyn Disk, data_folder: &Path, waiting: Option<&Path>, report: &mut Report) {
    let folder = data_folder.join(JOURNAL);
    if !disk.exists(&folder) && report.checkpoint.is_none() {
        return;
    }
    let inspection = inspect(disk, &folder);
    let sound = inspection.is_sound();
    report.findings.extend(inspection.findings);
    report.journal.records = inspection.records.len();
    if waiting.is_some() {
        // It may have heard of the snapshot already, or not: it meets one of two checkpoints.
        return;
    }
    let applied = report
        .checkpoint
        .map_or(EntryIndex(0), |checkpoint| checkpoint.applied);
    match entry_log::summarize(inspection.records, applied) {
        Ok(summary) => report.journal = summary,
        // Of a journal with holes it is known already that it does not meet the checkpoint.
        Err(EntryLogError::Gap { .. }) if !sound => {}
        Err(error) => report.damage(&folder, None, error),
    }
}

fn check_for_unlisted_files(disk: &dyn Disk, listed: &ListedFiles, report: &mut Report) {
    match listed.unlisted(disk) {
        Ok(unlisted) => {
            for obsolete in unlisted {
                let (Obsolete::File(path) | Obsolete::Folder(path)) = obsolete;
                report.leftover(
                    &path,
                    None,
                    "not listed by the checkpoint: the next start drops it",
                );
            }
        }
        Err((path, error)) => report.damage(&path, None, error),
    }
}
