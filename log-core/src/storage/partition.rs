//! One partition: its segments in order, appended to by one owner and read by anybody.
//!
//! When a segment is closed and the next one begun is a function of the appended batches, their commands' times and the
//! topic's settings (Kafka's `LogSegment.shouldRoll`, with command time in the place of the wall's), so that every replica
//! has the same files. Where the segments do not keep command times yet, the records' own times take their place.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use journal::disk::Disk;
use serde::{Deserialize, Serialize};

use super::file_pool::FilePool;
use super::growing_file::FileEnd;
use super::index_rebuild::SegmentIs;
use super::indexer::Indexer;
use super::layout::{partition_folder, segment_paths};
use super::read_error::ReadError;
use super::segment::{Segment, SegmentRecord};
use super::segment_summary::{SegmentSummary, TimestampedOffset};
use super::time_index::TimeEntry;
use crate::ids::{Offset, TimestampMs, TopicId, TopicPartition};
use crate::record::{BatchHeader, SegmentSettings};

/// The reading side of a partition: shared, and usable while the owner appends.
pub struct PartitionReader {
    contents: RwLock<Contents>,
}

#[derive(Clone)]
struct Contents {
    log_start_offset: Offset,
    /// Oldest first, at least one; each ends where the next one starts.
    segments: Vec<Arc<Segment>>,
}

impl PartitionReader {
    /// Whole batches that end below `below`, the first of them the one that holds `from`. At least one batch, even where
    /// it is larger than `bytes_max`, so that a reader always gets on; and of more than one at most `bytes_max` bytes.
    /// Empty at the end. The checksum of each is found to match.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self, from: Offset, below: Offset, bytes_max: usize) -> Result<Bytes, ReadError> {
        let (from_segment, more) = self.segments_from(from)?;
        let bytes = from_segment.read(from, below, bytes_max)?;
        match more {
            // `from` lies just behind the last batch of a closed segment only when a reader got there before the roll.
            Some(next) if bytes.is_empty() => next.read(from, below, bytes_max),
            Some(_) | None => Ok(bytes),
        }
    }

    /// The first record not older than `at`, of those below `below`.
    ///
    /// # Errors
    /// [`ReadError::Io`], [`ReadError::Damaged`].
    pub fn offset_for_timestamp(
        &self,
        at: TimestampMs,
        below: Offset,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let Contents {
            log_start_offset,
            segments,
        } = self.contents().clone();
        for segment in segments {
            if segment
                .summary()
                .max_timestamp
                .is_none_or(|latest| latest < at)
            {
                continue;
            }
            let found = segment.first_not_before(at, log_start_offset, below)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The record with the latest timestamp, of those below `below`; the first one where several have it.
    ///
    /// # Errors
    /// [`ReadError::Io`], [`ReadError::Damaged`].
    pub fn max_timestamp(&self, below: Offset) -> Result<Option<TimestampedOffset>, ReadError> {
        let segments = self.contents().segments.clone();
        let mut latest: Option<(Arc<Segment>, TimeEntry)> = None;
        for segment in segments
            .into_iter()
            .filter(|segment| segment.base_offset() < below)
        {
            let Some(entry) = segment.latest_below(below)? else {
                continue;
            };
            if latest
                .as_ref()
                .is_none_or(|(_, latest)| latest.timestamp < entry.timestamp)
            {
                latest = Some((segment, entry));
            }
        }
        match latest {
            Some((segment, entry)) => segment.record_of(entry),
            None => Ok(None),
        }
    }

    /// The first offset that can be read.
    #[cfg(test)]
    pub fn log_start_offset(&self) -> Offset {
        self.contents().log_start_offset
    }

    /// The offset that the next record gets.
    #[cfg(test)]
    pub fn log_end_offset(&self) -> Offset {
        active(&self.contents()).end_offset()
    }

    /// Size of all logs.
    pub fn size_bytes(&self) -> u64 {
        self.contents()
            .segments
            .iter()
            .map(|segment| segment.log_bytes())
            .sum()
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> Vec<SegmentSummary> {
        self.contents()
            .segments
            .iter()
            .map(|segment| segment.summary())
            .collect()
    }

    /// The segment that holds `from`, and the one behind it.
    fn segments_from(
        &self,
        from: Offset,
    ) -> Result<(Arc<Segment>, Option<Arc<Segment>>), ReadError> {
        let contents = self.contents();
        if from < contents.log_start_offset {
            return Err(ReadError::BelowStart {
                from,
                start: contents.log_start_offset,
            });
        }
        let behind = contents
            .segments
            .partition_point(|segment| segment.base_offset() <= from);
        let holding = contents.segments[behind.saturating_sub(1)].clone();
        Ok((holding, contents.segments.get(behind).cloned()))
    }

    fn contents(&self) -> RwLockReadGuard<'_, Contents> {
        // Changed by single pushes and stores, so whole even after a panic.
        self.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn contents_mut(&self) -> RwLockWriteGuard<'_, Contents> {
        self.contents
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn active(contents: &Contents) -> &Arc<Segment> {
    contents
        .segments
        .last()
        .expect("a partition has at least one segment")
}

/// What a checkpoint records of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartitionRecord {
    pub(super) partition: TopicPartition,
    pub(super) topic_id: TopicId,
    pub(super) settings: SegmentSettings,
    pub(super) log_start_offset: Offset,
    pub(super) segments: Vec<SegmentRecord>,
}

impl PartitionRecord {
    /// Every file, by its path in the data folder.
    pub(super) fn files(&self) -> impl Iterator<Item = (PathBuf, FileEnd)> + '_ {
        let folder = partition_folder(Path::new(""), self.topic_id, &self.partition);
        self.segments.iter().flat_map(move |segment| {
            let paths = segment_paths(&folder, segment.base_offset);
            paths
                .into_iter()
                .zip([segment.log, segment.index, segment.time_index])
        })
    }

    /// The segments, and for each whether more is appended to it.
    pub(super) fn segments_and_kinds(&self) -> impl Iterator<Item = (&SegmentRecord, SegmentIs)> {
        let last = self.segments.len().saturating_sub(1);
        let kind = move |index| {
            if index < last {
                SegmentIs::Closed
            } else {
                SegmentIs::Active
            }
        };
        self.segments
            .iter()
            .enumerate()
            .map(move |(index, segment)| (segment, kind(index)))
    }
}

/// The writing side of a partition: one owner.
pub(super) struct Partition {
    partition: TopicPartition,
    topic_id: TopicId,
    folder: PathBuf,
    settings: SegmentSettings,
    reader: Arc<PartitionReader>,
    active: Arc<Segment>,
    indexer: Indexer,
    /// What rolling by time counts from.
    first_timestamp: Option<TimestampMs>,
    /// Segments written since the last capture.
    dirty: Vec<Arc<Segment>>,
}

impl Partition {
    /// Makes an empty partition in a new folder.
    pub(super) fn make(
        disk: &dyn Disk,
        pool: &Arc<FilePool>,
        folder: PathBuf,
        partition: TopicPartition,
        topic_id: TopicId,
        settings: SegmentSettings,
    ) -> Result<Self, (PathBuf, io::Error)> {
        disk.create_folder(&folder)
            .map_err(|error| (folder.clone(), error))?;
        let first = Arc::new(Segment::make(
            pool,
            &folder,
            Offset(0),
            settings.index_interval_bytes,
        )?);
        let contents = Contents {
            log_start_offset: Offset(0),
            segments: vec![first.clone()],
        };
        Ok(Self {
            partition,
            topic_id,
            folder,
            settings,
            reader: Arc::new(PartitionReader {
                contents: RwLock::new(contents),
            }),
            active: first.clone(),
            indexer: Indexer::new(settings.index_interval_bytes),
            first_timestamp: None,
            dirty: vec![first],
        })
    }

    /// Puts together a partition whose segments were opened as a checkpoint recorded them, and cut to that.
    pub(super) fn resume(
        folder: PathBuf,
        record: PartitionRecord,
        segments: Vec<Arc<Segment>>,
    ) -> Result<Self, ReadError> {
        let active = segments
            .last()
            .expect("no record is without a segment")
            .clone();
        for closed in &segments[..segments.len() - 1] {
            closed.read_latest()?;
        }
        let indexer = active.resume()?;
        let first_timestamp = active.first_timestamp()?;
        let contents = Contents {
            log_start_offset: record.log_start_offset,
            segments,
        };
        Ok(Self {
            partition: record.partition,
            topic_id: record.topic_id,
            folder,
            settings: record.settings,
            reader: Arc::new(PartitionReader {
                contents: RwLock::new(contents),
            }),
            active,
            indexer,
            first_timestamp,
            dirty: Vec::new(),
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn reader(&self) -> &Arc<PartitionReader> {
        &self.reader
    }

    pub(super) fn record(&self) -> PartitionRecord {
        let contents = self.reader.contents();
        PartitionRecord {
            partition: self.partition.clone(),
            topic_id: self.topic_id,
            settings: self.settings,
            log_start_offset: contents.log_start_offset,
            segments: contents
                .segments
                .iter()
                .map(|segment| segment.record())
                .collect(),
        }
    }

    /// The segments written since this was last asked.
    pub(super) fn take_dirty(&mut self) -> Vec<Arc<Segment>> {
        std::mem::take(&mut self.dirty)
    }

    pub(super) fn configure(&mut self, settings: SegmentSettings) {
        self.settings = settings;
    }

    /// Appends a batch. Tells whether a new segment was begun for it.
    pub(super) fn append(
        &mut self,
        pool: &Arc<FilePool>,
        batch: &[u8],
        header: &BatchHeader,
        at: Option<TimestampMs>,
    ) -> Result<Rolled, (PathBuf, io::Error)> {
        let end_offset = self.active.end_offset();
        assert_eq!(
            end_offset, header.base_offset,
            "{}: a batch leaves a hole or overlaps",
            self.partition
        );
        assert_eq!(
            header.size_bytes,
            batch.len(),
            "{}: a batch is appended whole and alone",
            self.partition
        );
        let rolled = if self.is_full_for(header, at) {
            self.roll(pool)?
        } else {
            Rolled::No
        };
        self.active.append(batch, header, at, &mut self.indexer)?;
        self.first_timestamp.get_or_insert(header.max_timestamp);
        self.mark_dirty();
        Ok(rolled)
    }

    /// Moves the first readable offset up; returns the segments that now lie wholly below it, no longer readable.
    pub(super) fn move_log_start(&mut self, log_start_offset: Offset) -> Vec<Arc<Segment>> {
        let mut contents = self.reader.contents_mut();
        let end = active(&contents).end_offset();
        assert!(
            log_start_offset <= end,
            "{}: log start {log_start_offset} behind the end {end}",
            self.partition
        );
        contents.log_start_offset = contents.log_start_offset.max(log_start_offset);
        let start = contents.log_start_offset;
        let behind = contents
            .segments
            .partition_point(|segment| segment.base_offset() <= start);
        let gone: Vec<_> = contents
            .segments
            .drain(..behind.saturating_sub(1))
            .collect();
        drop(contents);
        self.dirty
            .retain(|dirty| !gone.iter().any(|gone| Arc::ptr_eq(gone, dirty)));
        gone
    }

    /// Its segments know the command times of their appends from now on.
    pub(super) fn time_appends(&self, since: TimestampMs) {
        for segment in &self.reader.contents().segments {
            segment.time_appends(since);
        }
    }

    fn is_full_for(&self, header: &BatchHeader, at: Option<TimestampMs>) -> bool {
        const OFFSETS_MAX: u64 = i32::MAX as u64;
        let bytes = self.active.log_bytes();
        let too_large = u64::from(self.settings.segment_bytes) < bytes + header.size_bytes as u64;
        let too_many = OFFSETS_MAX < header.last_offset().0 - self.active.base_offset().0;
        0 < bytes && (too_large || too_many || self.is_too_old_for(header, at))
    }

    fn is_too_old_for(&self, header: &BatchHeader, at: Option<TimestampMs>) -> bool {
        let (first, now) = match at {
            Some(at) => (self.active.appended().map(|appended| appended.first), at),
            None => (self.first_timestamp, header.max_timestamp),
        };
        let age_ms = first
            .filter(|first| TimestampMs(0) <= *first)
            .and_then(|first| u64::try_from(now.0.saturating_sub(first.0)).ok());
        age_ms.is_some_and(|age_ms| self.settings.segment_ms < age_ms)
    }

    fn roll(&mut self, pool: &Arc<FilePool>) -> Result<Rolled, (PathBuf, io::Error)> {
        self.active.close(&mut self.indexer)?;
        self.mark_dirty();
        let interval_bytes = self.settings.index_interval_bytes;
        let next = Arc::new(Segment::make(
            pool,
            &self.folder,
            self.active.end_offset(),
            interval_bytes,
        )?);
        self.reader.contents_mut().segments.push(next.clone());
        self.active = next;
        self.indexer = Indexer::new(interval_bytes);
        self.first_timestamp = None;
        Ok(Rolled::Yes)
    }

    fn mark_dirty(&mut self) {
        if !self
            .dirty
            .last()
            .is_some_and(|last| Arc::ptr_eq(last, &self.active))
        {
            self.dirty.push(self.active.clone());
        }
    }
}

/// Whether an append began a new segment, whose names do not last yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rolled {
    Yes,
    No,
}
