//! The journal itself: how it is opened, appended to, rolled over and trimmed.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::Disk;
use crate::error::{JournalError, io_error};
use crate::folder;
use crate::frame::{HEADER_BYTES, Header, RECORD_OVERHEAD, SEAL, batch_bytes, padded, put_record};
use crate::position::{Cut, JournalPosition};
use crate::preallocation::Preallocation;
use crate::segment_file::{self, SegmentFile};

/// Sizes of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// Length of a segment file in bytes, preallocated. Default 32 MiB. Too low: a new file, and its syncs, every few
    /// batches; too high: disk space that only the next trim gives back, and memory at a start. At most 1 GiB.
    pub segment_bytes: u32,
    /// The largest record in bytes. Default 8 MiB. Must fit a segment with its overhead of 136 bytes.
    pub record_bytes_max: u32,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 32 << 20,
            record_bytes_max: 8 << 20,
        }
    }
}

impl JournalConfig {
    /// What is wrong with the sizes, in a sentence.
    pub fn mistake(self) -> Option<String> {
        let Self {
            segment_bytes,
            record_bytes_max,
        } = self;
        let needed = batch_bytes(RECORD_OVERHEAD + record_bytes_max as usize) + HEADER_BYTES;
        let most = segment_file::SEGMENT_BYTES_MAX;
        let fits = (needed as u64..=most).contains(&u64::from(segment_bytes));
        (!fits).then(|| {
            format!(
                "journal segment_bytes {segment_bytes}: needs between {needed}, so that a record of {record_bytes_max} \
                 bytes fits, and {most}"
            )
        })
    }
}

/// What [`Journal::open`] found.
#[derive(Debug)]
pub struct RecoveredJournal {
    /// All records that are kept, oldest first; some may lie before the last trim.
    pub records: Vec<(JournalPosition, Bytes)>,
    /// What was dropped from the end, if anything was.
    pub cut: Option<Cut>,
}

/// An append-only file of records that are still there after a power cut. See the crate for an example.
pub struct Journal {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    config: JournalConfig,
    /// Where each segment but the active one starts, oldest first. Each ends where the next one starts.
    sealed: VecDeque<JournalPosition>,
    active: SegmentFile,
    /// Where the next batch goes. Everything before is synced, whenever no method is running.
    end: JournalPosition,
    broken: bool,
    next: Next,
    batch: Vec<u8>,
}

/// What there is of the segment after the active one.
#[derive(Default)]
enum Next {
    /// It is not needed yet.
    #[default]
    Nothing,
    /// Zeros, some or all that it needs.
    Prepared(Preallocation),
    /// It could not be prepared; the roll tries once more.
    NoRoom,
}

/// From half a segment on, each append prepares at least this part of the next one.
const PREPARE_STEPS_MAX: u64 = 64;

impl Journal {
    /// Opens the journal in `folder`, or begins one there, and reads what it holds. Everything in the answer is synced.
    ///
    /// Nobody else may have it open: a process that can be started twice takes a
    /// [`FolderLock`](crate::FolderLock) first.
    ///
    /// # Errors
    /// [`JournalError::Damaged`], [`JournalError::Io`], [`JournalError::Full`].
    ///
    /// # Panics
    /// When a record of the largest size would not fit a segment, or a segment is larger than 1 GiB.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        config: JournalConfig,
    ) -> Result<(Self, RecoveredJournal), JournalError> {
        if let Some(mistake) = config.mistake() {
            panic!("{mistake}");
        }
        folder::make_lasting(&*disk, folder).map_err(io_error("make folder", folder))?;
        let mut starts = segment_file::list(&*disk, folder)?;
        match starts.pop_back() {
            Some(newest) => Self::resume(disk, folder, config, starts, newest),
            None => Self::begin(disk, folder, config),
        }
    }

    fn begin(
        disk: Arc<dyn Disk>,
        folder: &Path,
        config: JournalConfig,
    ) -> Result<(Self, RecoveredJournal), JournalError> {
        let start = JournalPosition(0);
        let zeros = Preallocation::begin(&*disk, folder, config.segment_bytes)?;
        let active = SegmentFile::make(&*disk, folder, start, zeros)?;
        let journal = Self::assemble(disk, folder, config, VecDeque::new(), active, start);
        Ok((
            journal,
            RecoveredJournal {
                records: Vec::new(),
                cut: None,
            },
        ))
    }

    fn resume(
        disk: Arc<dyn Disk>,
        folder: &Path,
        config: JournalConfig,
        sealed: VecDeque<JournalPosition>,
        newest: JournalPosition,
    ) -> Result<(Self, RecoveredJournal), JournalError> {
        let mut records = Vec::new();
        for (index, &start) in sealed.iter().enumerate() {
            let end = sealed.get(index + 1).copied().unwrap_or(newest);
            segment_file::read_sealed(&*disk, folder, start, end, &mut records)?;
        }
        let (active, end, cut) = segment_file::read_active(&*disk, folder, newest, &mut records)?;
        // A segment made just before the process ended may have a name that does not last yet.
        disk.sync_folder(folder)
            .map_err(io_error("sync folder", folder))?;
        let mut journal = Self::assemble(disk, folder, config, sealed, active, end);
        journal.write_marker()?;
        Ok((journal, RecoveredJournal { records, cut }))
    }

    fn assemble(
        disk: Arc<dyn Disk>,
        folder: &Path,
        config: JournalConfig,
        sealed: VecDeque<JournalPosition>,
        active: SegmentFile,
        end: JournalPosition,
    ) -> Self {
        Self {
            disk,
            folder: folder.to_owned(),
            config,
            sealed,
            active,
            end,
            broken: false,
            next: Next::Nothing,
            batch: Vec::new(),
        }
    }

    /// Appends records and syncs them: one write and one sync, or a few where they do not fit one segment. Returns each
    /// record's position.
    ///
    /// After a power cut in the middle, any number of the first records may be there.
    ///
    /// # Errors
    /// [`JournalError::RecordTooLarge`] and [`JournalError::Broken`]: nothing was written. [`JournalError::Full`]: the
    /// first records may have been. [`JournalError::Io`]: anything may have been.
    pub fn append<R: AsRef<[u8]>>(
        &mut self,
        records: &[R],
    ) -> Result<Vec<JournalPosition>, JournalError> {
        self.refuse_if_broken()?;
        let largest = records
            .iter()
            .map(|record| record.as_ref().len())
            .max()
            .unwrap_or(0);
        self.refuse_above_limit(largest)?;
        let mut positions = Vec::with_capacity(records.len());
        let mut rest = records;
        while !rest.is_empty() {
            let fitting = self.fit_or_roll(rest)?;
            let (batch, more) = rest.split_at(fitting);
            self.append_batch(batch, &mut positions)?;
            rest = more;
        }
        Ok(positions)
    }

    /// Lets go of the segments that lie wholly before `position`. They are gone for good when it returns; records before
    /// `position` in the segment that holds it stay.
    ///
    /// # Errors
    /// [`JournalError::Io`], [`JournalError::Broken`].
    pub fn trim_before(&mut self, position: JournalPosition) -> Result<(), JournalError> {
        self.refuse_if_broken()?;
        while let Some(&oldest) = self.sealed.front() {
            let end = self.sealed.get(1).copied().unwrap_or(self.active.start());
            if position < end {
                break;
            }
            self.remove(oldest)?;
            self.sealed.pop_front();
        }
        Ok(())
    }

    /// Where the oldest segment starts.
    pub fn start(&self) -> JournalPosition {
        self.sealed.front().copied().unwrap_or(self.active.start())
    }

    /// Where the next batch goes; everything before is synced.
    pub fn end(&self) -> JournalPosition {
        self.end
    }

    /// The space that the journal takes on the disk.
    pub fn size_bytes(&self) -> u64 {
        self.active.start().0 - self.start().0 + self.active.len()
    }

    /// How many of the records go into the next batch. Begins a new segment when not even one fits the active one.
    fn fit_or_roll<R: AsRef<[u8]>>(&mut self, records: &[R]) -> Result<usize, JournalError> {
        let fitting = fitting(records, self.room());
        // A batch that would be torn apart by the segment's end goes whole into the next one, if it fits that.
        if fitting == records.len() || (0 < fitting && self.fills_more_than_a_segment(records)) {
            return Ok(fitting);
        }
        self.roll()?;
        Ok(self::fitting(records, self.room()))
    }

    /// For batches; the last header's worth of a segment is for the marker that ends it.
    fn room(&self) -> usize {
        self.active
            .room_behind(self.end)
            .saturating_sub(HEADER_BYTES)
    }

    fn fills_more_than_a_segment<R: AsRef<[u8]>>(&self, records: &[R]) -> bool {
        let room = self.config.segment_bytes as usize - HEADER_BYTES;
        fitting(records, room) < records.len()
    }

    fn roll(&mut self) -> Result<(), JournalError> {
        let made = self.make_segment();
        if matches!(made, Err(JournalError::Io { .. })) {
            self.broken = true;
        }
        let made = made?;
        self.seal_active()?;
        let sealed = std::mem::replace(&mut self.active, made);
        self.sealed.push_back(sealed.start());
        Ok(())
    }

    /// Says in the active segment that another one follows, now that it does: should that one's name get lost, a start
    /// must not take this one for the newest. Only a segment of an older version may have no room for it.
    fn seal_active(&mut self) -> Result<(), JournalError> {
        if self.active.room_behind(self.end) < HEADER_BYTES {
            return Ok(());
        }
        let seal = Header {
            record_count: SEAL,
            ..self.header(0, 0)
        };
        self.broken = true;
        self.active.write(&seal.encode(), self.end)?;
        self.active.sync()?;
        self.broken = false;
        Ok(())
    }

    fn make_segment(&mut self) -> Result<SegmentFile, JournalError> {
        let prepared = match std::mem::take(&mut self.next) {
            Next::Prepared(prepared) => prepared,
            Next::Nothing | Next::NoRoom => {
                Preallocation::begin(&*self.disk, &self.folder, self.config.segment_bytes)?
            }
        };
        SegmentFile::make(&*self.disk, &self.folder, self.end, prepared)
    }

    /// Fills the next segment a little further, once half of this one is used: four bytes for each one appended, so that
    /// it is complete in time. What goes wrong here is no reason to refuse an append: the roll tries again, and says so.
    fn prepare_next(&mut self, appended_bytes: usize) {
        let used = self.end.0 - self.active.start().0;
        if used < self.active.len() / 2 {
            return;
        }
        let bytes = (4 * appended_bytes as u64).max(self.active.len() / PREPARE_STEPS_MAX);
        self.next = match std::mem::take(&mut self.next) {
            Next::Prepared(prepared) => self.grow(prepared, bytes),
            Next::Nothing => {
                match Preallocation::begin(&*self.disk, &self.folder, self.config.segment_bytes) {
                    Ok(begun) => self.grow(begun, bytes),
                    Err(_) => Next::NoRoom,
                }
            }
            Next::NoRoom => Next::NoRoom,
        };
    }

    fn grow(&self, mut prepared: Preallocation, bytes: u64) -> Next {
        if prepared.grow(bytes).is_ok() {
            return Next::Prepared(prepared);
        }
        prepared.discard(&*self.disk);
        Next::NoRoom
    }

    fn append_batch<R: AsRef<[u8]>>(
        &mut self,
        records: &[R],
        positions: &mut Vec<JournalPosition>,
    ) -> Result<(), JournalError> {
        self.encode_batch(records, positions);
        // Whatever happens to the write or the sync, they are not tried again.
        self.broken = true;
        self.active.write(&self.batch, self.end)?;
        self.active.sync()?;
        self.end = self.end.plus(self.batch.len());
        self.write_marker()?;
        self.broken = false;
        self.prepare_next(self.batch.len());
        Ok(())
    }

    fn encode_batch<R: AsRef<[u8]>>(
        &mut self,
        records: &[R],
        positions: &mut Vec<JournalPosition>,
    ) {
        self.batch.clear();
        self.batch.resize(HEADER_BYTES, 0);
        for record in records {
            let position = self.end.plus(self.batch.len());
            put_record(&mut self.batch, position, record.as_ref());
            positions.push(position);
        }
        let body_bytes = self.batch.len() - HEADER_BYTES;
        let header = self.header(body_bytes, records.len());
        self.batch[..HEADER_BYTES].copy_from_slice(&header.encode());
        self.batch.resize(padded(HEADER_BYTES + body_bytes), 0);
        assert!(
            self.batch.len() <= self.active.room_behind(self.end),
            "no batch spans two segments"
        );
    }

    /// Says behind the last batch that it was synced. It lasts from the next sync on; should it be lost, the next batch
    /// says the same.
    fn write_marker(&mut self) -> Result<(), JournalError> {
        if self.active.room_behind(self.end) < HEADER_BYTES {
            return Ok(());
        }
        let marker = self.header(0, 0).encode();
        self.active.write(&marker, self.end)
    }

    fn header(&self, body_bytes: usize, record_count: usize) -> Header {
        Header {
            segment: self.active.start(),
            position: self.end,
            synced_to: self.end,
            body_bytes: u32::try_from(body_bytes).expect("a segment is shorter than 4 GiB"),
            record_count: u32::try_from(record_count).expect("fewer records than bytes"),
            segment_bytes: self.active.len(),
        }
    }

    /// The removal is made to last before the next one: were two of them under way when the power goes, the later
    /// segment could be gone and the earlier one be back, with a hole in between.
    fn remove(&mut self, start: JournalPosition) -> Result<(), JournalError> {
        let path = segment_file::path(&self.folder, start);
        self.broken = true;
        self.disk
            .remove_file(&path)
            .map_err(io_error("remove", &path))?;
        self.disk
            .sync_folder(&self.folder)
            .map_err(io_error("sync folder", &self.folder))?;
        self.broken = false;
        Ok(())
    }

    fn refuse_if_broken(&self) -> Result<(), JournalError> {
        if self.broken {
            Err(JournalError::Broken {
                folder: self.folder.clone(),
            })
        } else {
            Ok(())
        }
    }

    /// Refuses a record of so many bytes where it could never be appended.
    ///
    /// # Errors
    /// [`JournalError::RecordTooLarge`].
    pub fn refuse_above_limit(&self, bytes: usize) -> Result<(), JournalError> {
        let bytes_max = self.config.record_bytes_max;
        if bytes <= bytes_max as usize {
            Ok(())
        } else {
            Err(JournalError::RecordTooLarge { bytes, bytes_max })
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Next::Prepared(prepared) = std::mem::take(&mut self.next) {
            prepared.discard(&*self.disk);
        }
    }
}

/// How many of the first records fit a batch of at most `room` bytes.
fn fitting<R: AsRef<[u8]>>(records: &[R], room: usize) -> usize {
    let mut body_bytes = 0;
    let fits = |record: &&R| {
        body_bytes += RECORD_OVERHEAD + record.as_ref().len();
        batch_bytes(body_bytes) <= room
    };
    records.iter().take_while(fits).count()
}
