//! One segment of a partition: Kafka's `.log`, `.index` and `.timeindex`, named by the first offset they may hold.
//!
//! Written by one owner when an entry is applied, through the page cache; read by anybody meanwhile. A reader sees a
//! batch only when all of it, and what leads to it, is written.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use journal::disk::{Disk, OpenMode};
use serde::{Deserialize, Serialize};

use super::batch_scan::{BatchAt, BatchScan};
use super::file_pool::FilePool;
use super::growing_file::{FileEnd, GrowingFile};
use super::indexer::{Indexer, NewEntries};
use super::layout::{INDEX, LOG, TIME_INDEX, segment_path};
use super::offset_index;
use super::read_error::ReadError;
use super::segment_summary::{AppendTimes, SegmentSummary, TimestampedOffset};
use super::sorted_entries::EntryAt;
use super::time_index::{self, TimeEntry};
use crate::ids::{LeaderEpoch, Offset, TimestampMs};
use crate::record::{BatchHeader, timestamps};

/// What a checkpoint records of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentRecord {
    pub(super) base_offset: Offset,
    pub(super) end_offset: Offset,
    pub(super) log: FileEnd,
    pub(super) index: FileEnd,
    pub(super) time_index: FileEnd,
    /// The setting when the segment was begun: a change of it takes effect with the next one.
    pub(super) index_interval_bytes: u32,
    /// Written by the checkpoint in a place of its own, which its first version does not have.
    #[serde(skip)]
    pub(super) appended: Option<AppendTimes>,
}

pub(super) struct Segment {
    base_offset: Offset,
    log: GrowingFile,
    index: GrowingFile,
    time_index: GrowingFile,
    index_interval_bytes: u32,
    tail: RwLock<Tail>,
}

/// What grows with each batch, besides the files.
#[derive(Clone, Copy, Debug)]
struct Tail {
    end_offset: Offset,
    latest: Option<TimeEntry>,
    appended: Option<AppendTimes>,
}

impl Segment {
    /// Makes the three files, empty.
    pub(super) fn make(
        pool: &Arc<FilePool>,
        folder: &Path,
        base_offset: Offset,
        index_interval_bytes: u32,
    ) -> Result<Self, (PathBuf, io::Error)> {
        let make = |extension| {
            let path = segment_path(folder, base_offset, extension);
            GrowingFile::make(pool, path.clone()).map_err(|error| (path, error))
        };
        Ok(Self {
            base_offset,
            log: make(LOG)?,
            index: make(INDEX)?,
            time_index: make(TIME_INDEX)?,
            index_interval_bytes,
            tail: RwLock::new(Tail {
                end_offset: base_offset,
                latest: None,
                appended: None,
            }),
        })
    }

    /// The files as a checkpoint recorded them; see [`GrowingFile::pooled`]. The segment is ready once it was
    /// [resumed](Self::resume) or [closed](Self::read_latest).
    pub(super) fn pooled(
        pool: &Arc<FilePool>,
        folder: &Path,
        record: &SegmentRecord,
    ) -> Result<Self, (PathBuf, io::Error)> {
        Self::as_recorded(folder, record, |path, end| {
            GrowingFile::pooled(pool, path, end)
        })
    }

    /// The same for a look, with its files open until it is dropped.
    pub(super) fn open(
        disk: &dyn Disk,
        folder: &Path,
        record: &SegmentRecord,
        mode: OpenMode,
    ) -> Result<Self, (PathBuf, io::Error)> {
        Self::as_recorded(folder, record, |path, end| {
            GrowingFile::open(disk, path, end, mode)
        })
    }

    fn as_recorded(
        folder: &Path,
        record: &SegmentRecord,
        open: impl Fn(PathBuf, FileEnd) -> io::Result<GrowingFile>,
    ) -> Result<Self, (PathBuf, io::Error)> {
        let open = |extension, end| {
            let path = segment_path(folder, record.base_offset, extension);
            open(path.clone(), end).map_err(|error| (path, error))
        };
        Ok(Self {
            base_offset: record.base_offset,
            log: open(LOG, record.log)?,
            index: open(INDEX, record.index)?,
            time_index: open(TIME_INDEX, record.time_index)?,
            index_interval_bytes: record.index_interval_bytes,
            tail: RwLock::new(Tail {
                end_offset: record.end_offset,
                latest: None,
                appended: record.appended,
            }),
        })
    }

    pub(super) fn record(&self) -> SegmentRecord {
        SegmentRecord {
            base_offset: self.base_offset,
            end_offset: self.end_offset(),
            log: self.log.end(),
            index: self.index.end(),
            time_index: self.time_index.end(),
            index_interval_bytes: self.index_interval_bytes,
            appended: self.appended(),
        }
    }

    /// The command times of its appends, where they are kept.
    pub(super) fn appended(&self) -> Option<AppendTimes> {
        self.tail().appended
    }

    /// Counts what it holds as appended at this time.
    pub(super) fn time_appends(&self, since: TimestampMs) {
        let tail = self.tail();
        let appended = (self.base_offset < tail.end_offset).then_some(AppendTimes {
            first: since,
            last: since,
        });
        self.set_tail(Tail { appended, ..tail });
    }

    pub(super) fn files(&self) -> [&GrowingFile; 3] {
        [&self.log, &self.index, &self.time_index]
    }

    pub(super) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    pub(super) fn end_offset(&self) -> Offset {
        self.tail().end_offset
    }

    pub(super) fn log_bytes(&self) -> u64 {
        self.log.bytes()
    }

    pub(super) fn summary(&self) -> SegmentSummary {
        let tail = self.tail();
        SegmentSummary {
            base_offset: self.base_offset,
            end_offset: tail.end_offset,
            bytes: self.log.bytes(),
            max_timestamp: tail.latest.map(|latest| latest.timestamp),
            appended: tail.appended,
        }
    }

    fn tail(&self) -> Tail {
        // Replaced as a whole.
        *self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_tail(&self, tail: Tail) {
        *self.tail.write().unwrap_or_else(PoisonError::into_inner) = tail;
    }
}

/// Writing: the owner's part.
impl Segment {
    /// Writes a batch behind the others, and what the indexes get for it.
    pub(super) fn append(
        &self,
        batch: &[u8],
        header: &BatchHeader,
        at: Option<TimestampMs>,
        indexer: &mut Indexer,
    ) -> Result<(), (PathBuf, io::Error)> {
        let position = self.log.bytes();
        append(&self.log, batch)?;
        let entries = indexer.append(header, position);
        self.append_entries(entries)?;
        let known = self.appended();
        self.set_tail(Tail {
            end_offset: header.next_offset(),
            latest: indexer.latest(),
            appended: at.map(|at| AppendTimes {
                first: known.map_or(at, |known| known.first),
                last: at,
            }),
        });
        Ok(())
    }

    /// Writes the last time entry: nothing is appended any more.
    pub(super) fn close(&self, indexer: &mut Indexer) -> Result<(), (PathBuf, io::Error)> {
        self.append_entries(NewEntries {
            offset: None,
            time: indexer.close(),
        })
    }

    fn append_entries(&self, entries: NewEntries) -> Result<(), (PathBuf, io::Error)> {
        if let Some(entry) = entries.offset {
            append(&self.index, &entry.encode(self.base_offset))?;
        }
        if let Some(entry) = entries.time {
            append(&self.time_index, &entry.encode(self.base_offset))?;
        }
        Ok(())
    }

    /// Reads what a closed segment's latest timestamp is.
    pub(super) fn read_latest(&self) -> Result<(), ReadError> {
        let latest = self.checked(time_index::last(&self.time_index, self.base_offset))?;
        self.set_tail(Tail {
            latest,
            ..self.tail()
        });
        Ok(())
    }

    /// Gets the segment that was being written ready for more: reads, and checks, what follows its last index entry.
    pub(super) fn resume(&self) -> Result<Indexer, ReadError> {
        let last = self.offset(offset_index::last(&self.index, self.base_offset))?;
        let from = last.map_or(0, |entry| u64::from(entry.position));
        let last_time = self.checked(time_index::last(&self.time_index, self.base_offset))?;
        let since = self.log.bytes().saturating_sub(from);
        let mut indexer = Indexer::resume(self.index_interval_bytes, last_time, since);
        let mut scan = BatchScan::from_entry(&self.log, self.base_offset, last);
        let mut end_offset = self.base_offset;
        while let Some(batch) = scan.next()? {
            read_batch(&self.log, &batch)?;
            indexer.remember(&batch.header);
            end_offset = batch.header.next_offset();
        }
        if end_offset != self.end_offset() {
            let found = format!(
                "the log ends at offset {end_offset}, the checkpoint recorded {}",
                self.end_offset()
            );
            return Err(self.damaged(self.log.bytes(), found));
        }
        self.set_tail(Tail {
            end_offset,
            latest: indexer.latest(),
            appended: self.appended(),
        });
        Ok(indexer)
    }

    /// The timestamp that rolling by time counts from: the first batch's.
    pub(super) fn first_timestamp(&self) -> Result<Option<TimestampMs>, ReadError> {
        let first = BatchScan::from_start(&self.log, self.base_offset).next()?;
        Ok(first.map(|batch| batch.header.max_timestamp))
    }
}

/// Reading.
impl Segment {
    /// Whole batches that end below `below`, the first of them the one that holds `from` or, where there is none, the
    /// next one; empty when none is here. At least one batch, and of more than one at most `bytes_max` bytes.
    pub(super) fn read(
        &self,
        from: Offset,
        below: Offset,
        bytes_max: usize,
    ) -> Result<Bytes, ReadError> {
        let Some(first) = self.batch_holding(from)? else {
            return Ok(Bytes::new());
        };
        if below < first.header.next_offset() {
            // Batches do not reach over the bounds that the log gives its readers: this may be damage.
            read_batch(&self.log, &first)?;
            return Ok(Bytes::new());
        }
        let wanted = bytes_max.max(first.header.size_bytes);
        let mut bytes = self
            .log
            .read(first.position, wanted as u64)
            .map_err(|source| self.io(source))?;
        let whole = self.whole_batches(&bytes, first.position, below)?;
        bytes.truncate(whole);
        // What lies behind `below` is no part of the answer, and must not be held as long as it.
        bytes.shrink_to_fit();
        Ok(bytes.into())
    }

    /// The first record of `from` or later that is not older than `at`.
    pub(super) fn first_not_before(
        &self,
        at: TimestampMs,
        from: Offset,
        below: Offset,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let entry = self.checked(time_index::last_not_after(
            &self.time_index,
            self.base_offset,
            at,
        ))?;
        let earliest = entry.map_or(self.base_offset, |entry| entry.last_offset);
        let mut scan = self.scan_from(earliest.max(from))?;
        while let Some(batch) = scan
            .next()?
            .filter(|batch| batch.header.next_offset() <= below)
        {
            if batch.header.max_timestamp < at || batch.header.last_offset() < from {
                continue;
            }
            let found = self.look_inside(&batch, |offset, timestamp| {
                from <= offset && at <= timestamp
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The latest timestamp of the batches that end below `below`.
    pub(super) fn latest_below(&self, below: Offset) -> Result<Option<TimeEntry>, ReadError> {
        let tail = self.tail();
        if tail.end_offset <= below {
            return Ok(tail.latest);
        }
        let entry = self.checked(time_index::last_below(
            &self.time_index,
            self.base_offset,
            below,
        ))?;
        let mut indexer = Indexer::resume(0, entry, 0);
        let mut scan = self.scan_from(entry.map_or(self.base_offset, |entry| entry.last_offset))?;
        while let Some(batch) = scan
            .next()?
            .filter(|batch| batch.header.next_offset() <= below)
        {
            indexer.remember(&batch.header);
        }
        Ok(indexer.latest())
    }

    /// The first record that has the timestamp of `entry`.
    pub(super) fn record_of(
        &self,
        entry: TimeEntry,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let Some(batch) = self.batch_holding(entry.last_offset)? else {
            return Ok(None);
        };
        self.look_inside(&batch, |_, timestamp| timestamp == entry.timestamp)
    }

    fn batch_holding(&self, offset: Offset) -> Result<Option<BatchAt>, ReadError> {
        let mut scan = self.scan_from(offset)?;
        while let Some(batch) = scan.next()? {
            if offset <= batch.header.last_offset() {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    fn scan_from(&self, offset: Offset) -> Result<BatchScan<'_>, ReadError> {
        let entry = self.offset(offset_index::lookup(&self.index, self.base_offset, offset))?;
        Ok(BatchScan::from_entry(&self.log, self.base_offset, entry))
    }

    fn look_inside(
        &self,
        batch: &BatchAt,
        wanted: impl Fn(Offset, TimestampMs) -> bool,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let bytes = read_batch(&self.log, batch)?;
        let records = timestamps(&batch.header, &bytes);
        let records = records.map_err(|error| self.damaged(batch.position, error.to_string()))?;
        let found = records
            .into_iter()
            .find(|(offset, timestamp)| wanted(*offset, *timestamp));
        let epoch = batch.header.leader_epoch.unwrap_or(LeaderEpoch(0));
        Ok(found.map(|(offset, timestamp)| TimestampedOffset {
            offset,
            timestamp,
            epoch,
        }))
    }

    /// How many of `bytes`, which lie at `position`, are whole batches that end below `below`; checks each of them.
    fn whole_batches(
        &self,
        bytes: &[u8],
        position: u64,
        below: Offset,
    ) -> Result<usize, ReadError> {
        let mut whole = 0;
        let mut next_offset = None;
        while let Ok(header) = BatchHeader::parse(&bytes[whole..]) {
            let Some(batch) = bytes[whole..].get(..header.size_bytes) else {
                break;
            };
            if !header.checksum_is_intact(batch)
                || next_offset.is_some_and(|next| next != header.base_offset)
            {
                return Err(another_batch(&self.log, position + whole as u64));
            }
            if below < header.next_offset() {
                break;
            }
            next_offset = Some(header.next_offset());
            whole += header.size_bytes;
        }
        Ok(whole)
    }

    fn damaged(&self, byte: u64, found: String) -> ReadError {
        ReadError::Damaged {
            path: self.log.path().to_owned(),
            byte,
            found,
        }
    }

    fn io(&self, source: io::Error) -> ReadError {
        ReadError::Io {
            path: self.log.path().to_owned(),
            source,
        }
    }

    fn offset<T>(&self, result: io::Result<T>) -> Result<T, ReadError> {
        result.map_err(|source| ReadError::Io {
            path: self.index.path().to_owned(),
            source,
        })
    }

    /// A time entry is believed when its batch says the same: retention and lookups by time rely on it, and Kafka's
    /// format has no checksum there.
    fn checked(
        &self,
        found: io::Result<Option<EntryAt<TimeEntry>>>,
    ) -> Result<Option<TimeEntry>, ReadError> {
        let path = || self.time_index.path().to_owned();
        let Some(EntryAt { byte, entry }) = found.map_err(|source| ReadError::Io {
            path: path(),
            source,
        })?
        else {
            return Ok(None);
        };
        let batch = self.batch_holding(entry.last_offset)?;
        let agrees = |header: BatchHeader| {
            header.last_offset() == entry.last_offset && header.max_timestamp == entry.timestamp
        };
        if batch.is_some_and(|batch| agrees(batch.header)) {
            return Ok(Some(entry));
        }
        let found = format!(
            "no batch ends with offset {} and has the timestamp {}",
            entry.last_offset, entry.timestamp
        );
        Err(ReadError::Damaged {
            path: path(),
            byte,
            found,
        })
    }
}

fn append(file: &GrowingFile, bytes: &[u8]) -> Result<(), (PathBuf, io::Error)> {
    file.append(bytes)
        .map_err(|error| (file.path().to_owned(), error))
}

/// The whole batch; its checksum is found to match.
pub(super) fn read_batch(log: &GrowingFile, batch: &BatchAt) -> Result<Vec<u8>, ReadError> {
    let bytes = log.read(batch.position, batch.header.size_bytes as u64);
    let bytes = bytes.map_err(|source| ReadError::Io {
        path: log.path().to_owned(),
        source,
    })?;
    if batch.header.checksum_is_intact(&bytes) {
        Ok(bytes)
    } else {
        Err(another_batch(log, batch.position))
    }
}

fn another_batch(log: &GrowingFile, byte: u64) -> ReadError {
    let found = "the batch is not the one that was written there".to_owned();
    ReadError::Damaged {
        path: log.path().to_owned(),
        byte,
        found,
    }
}
