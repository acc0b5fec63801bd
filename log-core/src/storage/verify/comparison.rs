//! Two data folders against each other: replicas that applied the same entries hold the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use journal::disk::{Disk, OpenMode};
use journal::{Finding, Severity};

use crate::ids::{Offset, TopicId, TopicPartition};
use crate::storage::checkpoint::CheckpointFile;
use crate::storage::layout::{LOG, partition_folder, read_all, segment_path};
use crate::storage::partition::PartitionRecord;
use crate::storage::segment::SegmentRecord;

/// A data folder and the disk it lies on.
#[derive(Clone, Copy)]
struct Side<'a> {
    disk: &'a dyn Disk,
    folder: &'a Path,
}

/// Compares the logs of two data folders as far as the checkpoints of both reach: partitions that both list, segments that
/// both have, bytes that both wrote; and where both checkpoints are of the same entry, what else they say. It does not
/// matter whether a folder came to its files by entries or by a snapshot. Each difference is a finding with the path in
/// the first folder.
pub fn compare(
    disk: &dyn Disk,
    folder: &Path,
    other_disk: &dyn Disk,
    other_folder: &Path,
) -> Vec<Finding> {
    let ours = Side { disk, folder };
    let theirs = Side {
        disk: other_disk,
        folder: other_folder,
    };
    let mut findings = Vec::new();
    let (Some(our_file), Some(their_file)) = (
        ours.checkpoint(&mut findings),
        theirs.checkpoint(&mut findings),
    ) else {
        return findings;
    };
    compare_states(ours, theirs, &our_file, &their_file, &mut findings);
    let (our_records, their_records) = (by_name(our_file), by_name(their_file));
    for (name, record) in &our_records {
        if let Some(their_record) = their_records.get(name) {
            compare_partition(ours, theirs, record, their_record, &mut findings);
        }
    }
    findings
}

type Records = BTreeMap<(TopicId, TopicPartition), PartitionRecord>;

fn by_name(file: CheckpointFile) -> Records {
    let named = |record: PartitionRecord| ((record.topic_id, record.partition.clone()), record);
    file.partitions.into_iter().map(named).collect()
}

/// Replicas that applied the same entries know the same.
fn compare_states(
    ours: Side<'_>,
    theirs: Side<'_>,
    our_file: &CheckpointFile,
    their_file: &CheckpointFile,
    findings: &mut Vec<Finding>,
) {
    let (our, their) = (&our_file.checkpoint, &their_file.checkpoint);
    if our.applied == their.applied && our != their {
        let their_path = CheckpointFile::path(theirs.folder);
        findings.push(Finding {
            severity: Severity::Damage,
            path: CheckpointFile::path(ours.folder),
            byte: None,
            found: format!(
                "both are of entry {}, and what it says differs from {}",
                our.applied,
                their_path.display()
            ),
        });
    }
}

impl Side<'_> {
    fn checkpoint(self, findings: &mut Vec<Finding>) -> Option<CheckpointFile> {
        let path = CheckpointFile::path(self.folder);
        let decoded = read_all(self.disk, &path).map_err(|error| error.to_string());
        let decoded =
            decoded.and_then(|bytes| CheckpointFile::decode(&bytes).map_err(str::to_owned));
        let unreadable = |found| Finding {
            severity: Severity::Damage,
            path,
            byte: None,
            found,
        };
        decoded
            .map_err(|found| findings.push(unreadable(found)))
            .ok()
    }

    fn log(self, record: &PartitionRecord, base_offset: Offset) -> std::path::PathBuf {
        let folder = partition_folder(self.folder, record.topic_id, &record.partition);
        segment_path(&folder, base_offset, LOG)
    }
}

fn compare_partition(
    ours: Side<'_>,
    theirs: Side<'_>,
    our_record: &PartitionRecord,
    their_record: &PartitionRecord,
    findings: &mut Vec<Finding>,
) {
    for segment in &our_record.segments {
        let same = |their: &&SegmentRecord| their.base_offset == segment.base_offset;
        let Some(their_segment) = their_record.segments.iter().find(same) else {
            continue;
        };
        let path = ours.log(our_record, segment.base_offset);
        let their_path = theirs.log(their_record, segment.base_offset);
        let both = segment.log.bytes.min(their_segment.log.bytes);
        let differs = first_difference(ours.disk, &path, theirs.disk, &their_path, both);
        let (byte, found) = match differs {
            Ok(None) => continue,
            Ok(Some(byte)) => (Some(byte), format!("differs from {}", their_path.display())),
            Err(error) => (None, error.to_string()),
        };
        findings.push(Finding {
            severity: Severity::Damage,
            path,
            byte,
            found,
        });
    }
}

fn first_difference(
    disk: &dyn Disk,
    path: &Path,
    other_disk: &dyn Disk,
    other_path: &Path,
    bytes: u64,
) -> std::io::Result<Option<u64>> {
    const PIECE_BYTES: usize = 1 << 20;
    let ours = disk.open(path, OpenMode::Read)?;
    let theirs = other_disk.open(other_path, OpenMode::Read)?;
    let (mut our_piece, mut their_piece) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    let mut at = 0;
    while at < bytes {
        let wanted = usize::try_from(bytes - at)
            .unwrap_or(PIECE_BYTES)
            .min(PIECE_BYTES);
        let our_count = ours.read_at(&mut our_piece[..wanted], at)?;
        let their_count = theirs.read_at(&mut their_piece[..wanted], at)?;
        let both = our_piece[..our_count]
            .iter()
            .zip(&their_piece[..their_count]);
        if let Some(same) = both.clone().position(|(our, their)| our != their) {
            return Ok(Some(at + same as u64));
        }
        if our_count < wanted || their_count < wanted {
            return Ok(Some(at + both.len() as u64));
        }
        at += wanted as u64;
    }
    Ok(None)
}
