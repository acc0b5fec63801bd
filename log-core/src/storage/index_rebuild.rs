//! Writing a segment's indexes again from its log.
//!
//! They are a function of the log alone, so an index that is missing or damaged is no reason to refuse a folder: at a
//! start it is checked against the checksum that the checkpoint has, and where that does not match, written again. What
//! comes out must match, or the log is not what it was either.

use std::path::{Path, PathBuf};

use journal::disk::{Disk, OpenMode};

use super::batch_scan::{BatchAt, BatchScan};
use super::growing_file::{FileEnd, GrowingFile};
use super::indexer::{Indexer, NewEntries};
use super::layout::{INDEX, LOG, TIME_INDEX, segment_path};
use super::read_error::ReadError;
use super::segment::{SegmentRecord, read_batch};
use crate::ids::Offset;

/// Whether more batches may follow in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentIs {
    Active,
    Closed,
}

/// Takes a segment's batches one by one, and gives the bytes of both indexes.
pub(super) struct IndexBuilder {
    base_offset: Offset,
    indexer: Indexer,
    indexes: Indexes,
}

/// The bytes of both indexes.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    pub(super) offsets: Vec<u8>,
    pub(super) times: Vec<u8>,
}

impl IndexBuilder {
    pub(super) fn new(record: &SegmentRecord) -> Self {
        let indexer = Indexer::new(record.index_interval_bytes);
        Self {
            base_offset: record.base_offset,
            indexer,
            indexes: Indexes::default(),
        }
    }

    pub(super) fn take(&mut self, batch: &BatchAt) {
        let entries = self.indexer.append(&batch.header, batch.position);
        self.put(entries);
    }

    pub(super) fn finish(mut self, segment: SegmentIs) -> Indexes {
        if segment == SegmentIs::Closed {
            let entries = NewEntries {
                offset: None,
                time: self.indexer.close(),
            };
            self.put(entries);
        }
        self.indexes
    }

    fn put(&mut self, entries: NewEntries) {
        let base_offset = self.base_offset;
        self.indexes.offsets.extend(
            entries
                .offset
                .iter()
                .flat_map(|entry| entry.encode(base_offset)),
        );
        self.indexes.times.extend(
            entries
                .time
                .iter()
                .flat_map(|entry| entry.encode(base_offset)),
        );
    }
}

/// Checks both indexes of a segment, and writes those again that are not as the checkpoint recorded them. Returns which.
///
/// # Errors
/// [`ReadError::Damaged`] when the log does not give what was recorded either.
pub(super) fn mend(
    disk: &dyn Disk,
    folder: &Path,
    record: &SegmentRecord,
    segment: SegmentIs,
) -> Result<Vec<PathBuf>, ReadError> {
    let recorded = [(INDEX, record.index), (TIME_INDEX, record.time_index)];
    let recorded =
        recorded.map(|(extension, end)| (segment_path(folder, record.base_offset, extension), end));
    if recorded
        .iter()
        .all(|(path, end)| is_as_recorded(disk, path, *end))
    {
        return Ok(Vec::new());
    }
    let rebuilt = rebuild(disk, folder, record, segment)?;
    let mut mended = Vec::new();
    for ((path, end), bytes) in recorded.into_iter().zip([rebuilt.offsets, rebuilt.times]) {
        if is_as_recorded(disk, &path, end) {
            continue;
        }
        if (FileEnd {
            bytes: bytes.len() as u64,
            crc: crc32c::crc32c(&bytes),
        }) != end
        {
            let found = "it is not what the checkpoint recorded, and neither is what its log gives"
                .to_owned();
            return Err(ReadError::Damaged {
                path,
                byte: 0,
                found,
            });
        }
        overwrite(disk, &path, &bytes).map_err(|source| ReadError::Io {
            path: path.clone(),
            source,
        })?;
        mended.push(path);
    }
    Ok(mended)
}

fn rebuild(
    disk: &dyn Disk,
    folder: &Path,
    record: &SegmentRecord,
    segment: SegmentIs,
) -> Result<Indexes, ReadError> {
    let path = segment_path(folder, record.base_offset, LOG);
    let log = GrowingFile::open(disk, path.clone(), record.log, OpenMode::Read);
    let log = log.map_err(|source| ReadError::Io { path, source })?;
    let mut builder = IndexBuilder::new(record);
    let mut scan = BatchScan::from_start(&log, record.base_offset);
    while let Some(batch) = scan.next()? {
        read_batch(&log, &batch)?;
        builder.take(&batch);
    }
    Ok(builder.finish(segment))
}

fn is_as_recorded(disk: &dyn Disk, path: &Path, end: FileEnd) -> bool {
    let file = GrowingFile::open(disk, path.to_owned(), end, OpenMode::Read);
    file.and_then(|file| file.checksum())
        .is_ok_and(|crc| crc == end.crc)
}

/// In place: half a rewrite is found, and finished, by the next start.
fn overwrite(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mode = if disk.exists(path) {
        OpenMode::Write
    } else {
        OpenMode::CreateNew
    };
    let file = disk.open(path, mode)?;
    file.write_at(bytes, 0)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_data()?;
    path.parent()
        .map_or(Ok(()), |folder| disk.sync_folder(folder))
}
