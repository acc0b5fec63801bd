//! Checking one partition: each file against the checksum that the checkpoint has, each batch against its own, each index
//! entry against the batch it names.

use std::path::{Path, PathBuf};

use super::{PartitionSummary, Report};
use crate::disk::{Disk, OpenMode};
use crate::ids::{LeaderEpoch, Offset};
use crate::storage::batch_scan::{BatchAt, BatchScan};
use crate::storage::growing_file::GrowingFile;
use crate::storage::indexer::Indexer;
use crate::storage::offset_index::{self, OffsetEntry};
use crate::storage::partition::{PartitionRecord, ReadError};
use crate::storage::partitions::partition_folder;
use crate::storage::segment::{Segment, SegmentRecord};
use crate::storage::time_index::{self, TimeEntry};

/// Read at once for a checksum.
const PIECE_BYTES: u64 = 1 << 20;

pub(super) struct PartitionCheck<'a> {
    disk: &'a dyn Disk,
    folder: PathBuf,
    record: &'a PartitionRecord,
    /// No batch can be of a later epoch than the checkpoint's entry.
    epoch_max: LeaderEpoch,
    epoch: LeaderEpoch,
}

impl<'a> PartitionCheck<'a> {
    pub(super) fn new(
        disk: &'a dyn Disk,
        data_folder: &Path,
        record: &'a PartitionRecord,
        epoch_max: LeaderEpoch,
    ) -> Self {
        let folder = partition_folder(data_folder, record.topic_id, &record.partition);
        Self { disk, folder, record, epoch_max, epoch: LeaderEpoch(0) }
    }

    pub(super) fn run(mut self, report: &mut Report) {
        report.partitions.push(self.summary());
        self.check_that_segments_meet(report);
        for (index, segment) in self.record.segments.iter().enumerate() {
            let closed = index + 1 < self.record.segments.len();
            match Segment::open(self.disk, &self.folder, segment, OpenMode::Read) {
                Ok(opened) => self.check_segment(&opened, segment, closed, report),
                Err((path, error)) => report.damage(&path, None, error),
            }
        }
    }

    fn summary(&self) -> PartitionSummary {
        let segments = &self.record.segments;
        PartitionSummary {
            partition: self.record.partition.to_string(),
            topic_id: self.record.topic_id.to_string(),
            log_start_offset: self.record.log_start_offset,
            log_end_offset: segments.last().map_or(Offset(0), |segment| segment.end_offset),
            segments: segments.len(),
            bytes: segments.iter().map(|segment| segment.log.bytes).sum(),
        }
    }

    fn check_that_segments_meet(&self, report: &mut Report) {
        for pair in self.record.segments.windows(2) {
            let (end, next) = (pair[0].end_offset, pair[1].base_offset);
            if end != next {
                report.damage(&self.folder, None, format!("a segment ends at offset {end}, the next one starts at {next}"));
            }
        }
    }

    fn check_segment(&mut self, segment: &Segment, record: &SegmentRecord, closed: bool, report: &mut Report) {
        for file in segment.files() {
            check_file(file, report);
        }
        if let Err(error) = self.walk(segment, record, closed, report) {
            report_read_error(error, report);
        }
    }

    /// Walks over the batches, and over the indexes beside them.
    fn walk(
        &mut self,
        segment: &Segment,
        record: &SegmentRecord,
        closed: bool,
        report: &mut Report,
    ) -> Result<(), ReadError> {
        let [log, index, time_index] = segment.files();
        let mut entries = Entries::read(index, time_index, record.base_offset)?;
        let mut scan = BatchScan::from_start(log, record.base_offset);
        let mut end_offset = record.base_offset;
        while let Some(batch) = scan.next()? {
            if let Err(error) = segment.read_batch(&batch) {
                report_read_error(error, report);
            }
            self.check_epoch(log, &batch, report);
            entries.pass(&batch);
            end_offset = batch.header.next_offset();
        }
        if end_offset != record.end_offset {
            let found = format!("ends at offset {end_offset}, the checkpoint recorded {}", record.end_offset);
            report.damage(log.path(), Some(record.log.bytes), found);
        }
        entries.check_that_all_were_passed(index, time_index, closed, report);
        Ok(())
    }

    fn check_epoch(&mut self, log: &GrowingFile, batch: &BatchAt, report: &mut Report) {
        let epoch = batch.header.leader_epoch.unwrap_or(LeaderEpoch(0));
        if epoch < self.epoch || self.epoch_max < epoch {
            let found = format!("epoch {epoch} after {}, in a checkpoint of epoch {}", self.epoch, self.epoch_max);
            report.damage(log.path(), Some(batch.position), found);
        }
        self.epoch = self.epoch.max(epoch).min(self.epoch_max);
    }
}

/// The entries of both indexes that no batch has answered for yet.
struct Entries {
    offsets: Vec<OffsetEntry>,
    offsets_passed: usize,
    times: Vec<TimeEntry>,
    times_passed: usize,
    /// Remembers the latest timestamp so far.
    indexer: Indexer,
}

impl Entries {
    fn read(index: &GrowingFile, time_index: &GrowingFile, base_offset: Offset) -> Result<Self, ReadError> {
        let offset = |bytes| OffsetEntry::decode(bytes, base_offset);
        let time = |bytes| TimeEntry::decode(bytes, base_offset);
        Ok(Self {
            offsets: read_whole(index)?.as_chunks::<{ offset_index::ENTRY_BYTES }>().0.iter().copied().map(offset).collect(),
            offsets_passed: 0,
            times: read_whole(time_index)?.as_chunks::<{ time_index::ENTRY_BYTES }>().0.iter().copied().map(time).collect(),
            times_passed: 0,
            indexer: Indexer::new(0),
        })
    }

    fn pass(&mut self, batch: &BatchAt) {
        let offset = self.offsets.get(self.offsets_passed);
        let named = |entry: &OffsetEntry| {
            u64::from(entry.position) == batch.position && entry.last_offset == batch.header.last_offset()
        };
        self.offsets_passed += usize::from(offset.is_some_and(named));
        self.indexer.remember(&batch.header);
        let time = self.times.get(self.times_passed);
        self.times_passed += usize::from(time.is_some() && time.copied() == self.indexer.latest());
    }

    fn check_that_all_were_passed(
        &self,
        index: &GrowingFile,
        time_index: &GrowingFile,
        closed: bool,
        report: &mut Report,
    ) {
        if self.offsets_passed < self.offsets.len() {
            let byte = (self.offsets_passed * offset_index::ENTRY_BYTES) as u64;
            report.damage(index.path(), Some(byte), "an entry that no batch answers for");
        }
        if self.times_passed < self.times.len() {
            let byte = (self.times_passed * time_index::ENTRY_BYTES) as u64;
            report.damage(time_index.path(), Some(byte), "an entry that no batch answers for");
        }
        if closed && self.times.last().copied() != self.indexer.latest() {
            report.damage(time_index.path(), None, "the last entry is not the segment's latest timestamp");
        }
    }
}

fn check_file(file: &GrowingFile, report: &mut Report) {
    match checksum(file) {
        Ok(crc) if crc == file.end().crc => {}
        Ok(_) => report.damage(file.path(), None, "its checksum is not the one that the checkpoint recorded"),
        Err(error) => report_read_error(error, report),
    }
    match file.bytes_beyond() {
        Ok(0) => {}
        Ok(beyond) => {
            let found = format!("{beyond} bytes written after the checkpoint: the next start writes them again");
            report.leftover(file.path(), Some(file.bytes()), found);
        }
        Err(error) => report.damage(file.path(), None, error),
    }
}

fn checksum(file: &GrowingFile) -> Result<u32, ReadError> {
    let (mut crc, mut at) = (0, 0);
    while at < file.bytes() {
        let piece = read(file, at, PIECE_BYTES)?;
        crc = crc32c::crc32c_append(crc, &piece);
        at += piece.len() as u64;
    }
    Ok(crc)
}

fn read_whole(file: &GrowingFile) -> Result<Vec<u8>, ReadError> {
    read(file, 0, u64::MAX)
}

fn read(file: &GrowingFile, at: u64, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
    file.read(at, bytes_max).map_err(|source| ReadError::Io { path: file.path().to_owned(), source })
}

fn report_read_error(error: ReadError, report: &mut Report) {
    match error {
        ReadError::Damaged { path, byte, found } => report.damage(&path, Some(byte), found),
        ReadError::Io { path, source } => report.damage(&path, None, source),
        ReadError::BelowStart { .. } => unreachable!("only readers are told where they may not read"),
    }
}
