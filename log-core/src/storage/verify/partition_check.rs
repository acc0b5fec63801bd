//! Checking one partition: each file against the checksum that the checkpoint has, each batch against its own and against
//! its neighbours, each index against what its log gives.

use std::path::{Path, PathBuf};

use journal::disk::{Disk, OpenMode};

use super::report::{PartitionSummary, Report};
use crate::ids::{LeaderEpoch, Offset};
use crate::storage::batch_scan::{BatchAt, BatchScan};
use crate::storage::growing_file::GrowingFile;
use crate::storage::index_rebuild::{IndexBuilder, Indexes, SegmentIs};
use crate::storage::layout::partition_folder;
use crate::storage::partition::PartitionRecord;
use crate::storage::read_error::ReadError;
use crate::storage::segment::{Segment, SegmentRecord, read_batch};

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
        Self {
            disk,
            folder,
            record,
            epoch_max,
            epoch: LeaderEpoch(0),
        }
    }

    pub(super) fn run(mut self, report: &mut Report) {
        report.partitions.push(self.summary());
        self.check_that_segments_meet(report);
        for (record, is) in self.record.segments_and_kinds() {
            match Segment::open(self.disk, &self.folder, record, OpenMode::Read) {
                Ok(segment) => self.check_segment(&segment, record, is, report),
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
            log_end_offset: segments
                .last()
                .map_or(Offset(0), |segment| segment.end_offset),
            segments: segments.len(),
            bytes: segments.iter().map(|segment| segment.log.bytes).sum(),
        }
    }

    fn check_that_segments_meet(&self, report: &mut Report) {
        for pair in self.record.segments.windows(2) {
            let (end, next) = (pair[0].end_offset, pair[1].base_offset);
            if end != next {
                let found =
                    format!("a segment ends at offset {end}, the next one starts at {next}");
                report.damage(&self.folder, None, found);
            }
        }
    }

    fn check_segment(
        &mut self,
        segment: &Segment,
        record: &SegmentRecord,
        is: SegmentIs,
        report: &mut Report,
    ) {
        let [log, index, time_index] = segment.files();
        for file in [log, index, time_index] {
            check_file(file, report);
        }
        match self.walk(log, record, is, report) {
            Ok(indexes) => {
                check_index(index, &indexes.offsets, report);
                check_index(time_index, &indexes.times, report);
            }
            Err(error) => report_read_error(error, report),
        }
    }

    /// Walks over the batches; gives what the indexes should be.
    fn walk(
        &mut self,
        log: &GrowingFile,
        record: &SegmentRecord,
        is: SegmentIs,
        report: &mut Report,
    ) -> Result<Indexes, ReadError> {
        let mut builder = IndexBuilder::new(record);
        let mut scan = BatchScan::from_start(log, record.base_offset);
        let mut end_offset = record.base_offset;
        while let Some(batch) = scan.next()? {
            if let Err(error) = read_batch(log, &batch) {
                report_read_error(error, report);
            }
            self.check_epoch(log, &batch, report);
            builder.take(&batch);
            end_offset = batch.header.next_offset();
        }
        if end_offset != record.end_offset {
            let found = format!(
                "ends at offset {end_offset}, the checkpoint recorded {}",
                record.end_offset
            );
            report.damage(log.path(), Some(record.log.bytes), found);
        }
        Ok(builder.finish(is))
    }

    fn check_epoch(&mut self, log: &GrowingFile, batch: &BatchAt, report: &mut Report) {
        let epoch = batch.header.leader_epoch.unwrap_or(LeaderEpoch(0));
        if epoch < self.epoch || self.epoch_max < epoch {
            let found = format!(
                "epoch {epoch} after {}, in a checkpoint of epoch {}",
                self.epoch, self.epoch_max
            );
            report.damage(log.path(), Some(batch.position), found);
        }
        self.epoch = self.epoch.max(epoch).min(self.epoch_max);
    }
}

fn check_file(file: &GrowingFile, report: &mut Report) {
    match file.checksum() {
        Ok(crc) if crc == file.end().crc => {}
        Ok(_) => report.damage(
            file.path(),
            None,
            "its checksum is not the one that the checkpoint recorded",
        ),
        Err(error) => report.damage(file.path(), None, error),
    }
    match file.bytes_beyond() {
        Ok(0) => {}
        Ok(beyond) => {
            let found = format!(
                "{beyond} bytes written after the checkpoint: the next start writes them again"
            );
            report.leftover(file.path(), Some(file.bytes()), found);
        }
        Err(error) => report.damage(file.path(), None, error),
    }
}

fn check_index(index: &GrowingFile, rebuilt: &[u8], report: &mut Report) {
    let found = match index.read(0, u64::MAX) {
        Ok(found) => found,
        Err(error) => return report.damage(index.path(), None, error),
    };
    let same = found
        .iter()
        .zip(rebuilt)
        .take_while(|(found, rebuilt)| found == rebuilt)
        .count();
    if same < found.len().max(rebuilt.len()) {
        report.damage(
            index.path(),
            Some(same as u64),
            "not what its log gives: the next start writes it again",
        );
    }
}

fn report_read_error(error: ReadError, report: &mut Report) {
    match error {
        ReadError::Damaged { path, byte, found } => report.damage(&path, Some(byte), found),
        ReadError::Io { path, source } => report.damage(&path, None, source),
        ReadError::BelowStart { .. } => {
            unreachable!("only readers are told where they may not read")
        }
    }
}
