//! The outbox's journal: what was taken, and what became of it. Reads it back after a start.
//!
//! One journal record is a version byte and one [`Entry`] in postcard. A call is live from its `Taken` to its `Ended`;
//! the journal is trimmed up to the oldest live one.
//!
//! # Generations
//!
//! A journal whose write or sync failed is never written again. The live calls, with what was to be written, go into a
//! new one in a folder of its own: `journal` is generation 0, `journal-00001` the next. Its last entry of that kind
//! says that it is complete; until then a start goes by the one before it.
//!
//! # Damage
//!
//! The journal itself finds damage before its last sync, but a file that became zeros looks like one that was never
//! used. So `witness` says how far the newest generation had been synced. It is written after each sync and never synced
//! itself: a process that was killed leaves it exact, a power cut may leave an older one, and it never says too much.
//! A journal that ends before its witness is damaged. A damaged journal is kept aside under another name, what could be
//! read of it goes into a new generation, and the loss is said.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use event_model::{EventId, EventTime, Line, RecordPosition, Topic};
use journal::{
    Journal, JournalConfig, JournalError, JournalPosition,
    disk::{Disk, OpenMode},
};
use serde::{Deserialize, Serialize};
use service_kit::error_value;
use tracing::{debug, error, warn};

use super::{delivery_status::DeliveryStatus, queued_call::QueuedCall};
use crate::owner::Owner;

const VERSION: u8 = 1;

/// A body is at most 16 KiB, and its record little more. Small segments, as each is written full of zeros when made.
pub(super) const SIZES: JournalConfig = JournalConfig {
    segment_bytes: 4 << 20,
    record_bytes_max: 256 << 10,
};

/// Why the outbox's journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The journal could not be opened, read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record was written by a version of this program that this one does not know.
    #[error("the record at {position} is of version {found}, this program reads {VERSION}")]
    Version {
        /// Its byte position in the journal.
        position: u64,
        /// The version that stands in it.
        found: u8,
    },
    /// The folder of the outbox cannot be listed or changed.
    #[error("folder {folder}", folder = folder.display())]
    Folder {
        /// The folder's path.
        folder: PathBuf,
        /// What is wrong with it.
        #[source]
        source: std::io::Error,
    },
    /// An earlier failure was not overcome yet: nothing was written.
    #[error("no journal of the outbox can be written at present")]
    Unusable,
    /// A whole record says nothing that can be read.
    #[error("the record at {position} cannot be read")]
    Entry {
        /// Its byte position in the journal.
        position: u64,
        /// What is wrong with it.
        #[source]
        source: postcard::Error,
    },
}

/// What is to be written.
#[derive(Debug, Clone)]
pub(super) enum StoreWrite {
    Taken { number: u64, call: Arc<QueuedCall> },
    Ended { number: u64, status: DeliveryStatus },
}

#[derive(Serialize, Deserialize)]
enum Entry<'a> {
    Taken {
        number: u64,
        id: EventId,
        at: EventTime,
        line: Line,
        owner: Owner,
        topic: TopicName,
        #[serde(borrow)]
        headers: Vec<(&'a str, &'a [u8])>,
        #[serde(borrow)]
        value: &'a [u8],
    },
    Ended {
        number: u64,
        end: End,
    },
    /// Everything that waited in the generation before stands above.
    GenerationComplete,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum TopicName {
    Alert,
    Accept,
    Life,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum End {
    Stored {
        topic: TopicName,
        partition: u32,
        offset: u64,
    },
    Dead,
    /// At a place that is not known.
    Delivered,
}

pub(super) struct Store {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    sizes: JournalConfig,
    generation: u32,
    /// `None`: it failed, and no new one could be begun yet.
    journal: Option<Journal>,
    live: BTreeMap<u64, LiveCall>,
    /// Where the journal ended when it was last shortened.
    trimmed_at: JournalPosition,
    /// Calls that ended while the journal could not be written.
    unwritten_ends: Vec<StoreWrite>,
}

struct LiveCall {
    position: JournalPosition,
    call: Arc<QueuedCall>,
}

/// What an earlier run left.
#[derive(Debug, Default)]
pub(super) struct StoreContents {
    /// In the order they were taken.
    pub(super) waiting: BTreeMap<u64, Arc<QueuedCall>>,
    /// As far as the journal still has them.
    pub(super) ended: Vec<(u64, Arc<QueuedCall>, DeliveryStatus)>,
    /// The journals that were found damaged, now or by an earlier start, and are kept for a person to look at.
    pub(super) damaged: Vec<PathBuf>,
}

/// Prefix of the folders of damaged journals.
const DAMAGED: &str = "damaged-";
const WITNESS: &str = "witness";

impl Store {
    /// Opens the newest generation in the outbox's folder, or begins the first.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        sizes: JournalConfig,
    ) -> Result<(Self, StoreContents), StoreError> {
        let sync_mark = SyncMark::read(&*disk, folder);
        let generations = generations(&*disk, folder)?;
        let newest = generations.last().copied();
        let mut store = Self {
            disk,
            folder: folder.to_owned(),
            sizes,
            generation: newest.unwrap_or(0),
            journal: None,
            live: BTreeMap::new(),
            trimmed_at: JournalPosition(0),
            unwritten_ends: Vec::new(),
        };
        let mut found = StoreContents::default();
        for generation in generations.iter().rev() {
            if store.resume(*generation, &mut found)? {
                break;
            }
        }
        if let Some(sync_mark) = sync_mark {
            store.check_against(sync_mark)?;
        }
        if store.journal.is_none() {
            store.start_generation(&[])?;
        }
        store.remove_generations_before_this();
        store.write_sync_mark();
        found.damaged = store.damaged_journals()?;
        Ok((store, found))
    }

    /// Reads a generation. False: it was never completed, or it is damaged and stands aside now.
    fn resume(&mut self, generation: u32, found: &mut StoreContents) -> Result<bool, StoreError> {
        let folder = self.folder_of(generation);
        let opened = Journal::open(Arc::clone(&self.disk), &folder, self.sizes);
        let (journal, recovered) = match opened {
            Ok(opened) => opened,
            Err(error @ JournalError::Damaged { .. }) => {
                error!(
                    error = error_value(&error),
                    "the outbox's journal is damaged: calls that were answered 202 may be lost"
                );
                self.set_aside(generation)?;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        let (mut read_back, mut live) = (StoreContents::default(), BTreeMap::new());
        let mut complete = generation == 0 || JournalPosition(0) < journal.start();
        for (position, record) in &recovered.records {
            match read(*position, record)? {
                DecodedEntry::Taken(number, call) => {
                    let (position, call) = (*position, Arc::new(call));
                    read_back.waiting.insert(number, Arc::clone(&call));
                    live.insert(number, LiveCall { position, call });
                }
                DecodedEntry::Ended(number, status) => {
                    live.remove(&number);
                    // Its `Taken` may have been trimmed away.
                    let call = read_back.waiting.remove(&number);
                    read_back
                        .ended
                        .extend(call.map(|call| (number, call, status)));
                }
                DecodedEntry::GenerationComplete => complete = true,
            }
        }
        if !complete {
            drop(journal);
            remove_folder(&*self.disk, &folder);
            return Ok(false);
        }
        *found = read_back;
        self.live = live;
        self.trimmed_at = journal.end();
        self.generation = generation;
        self.journal = Some(journal);
        Ok(true)
    }

    /// A journal that ends before the place it was once synced to has lost what stood there.
    fn check_against(&mut self, sync_mark: SyncMark) -> Result<(), StoreError> {
        let end = self.journal.as_ref().map(|journal| journal.end().0);
        let found = (self.generation, end.unwrap_or(0));
        if (sync_mark.generation, sync_mark.end) <= found {
            return Ok(());
        }
        error!(
            generation = self.generation,
            end,
            synced_generation = sync_mark.generation,
            synced_to = sync_mark.end,
            kept = self.live.len(),
            "the outbox's journal has lost its end: calls that were answered 202 may be lost"
        );
        if self.journal.take().is_some() {
            self.set_aside(self.generation)?;
        }
        self.generation = self.generation.max(sync_mark.generation);
        Ok(())
    }

    /// Writes all of them with one sync: they are on the disk when this returns. Where the journal fails, they are on
    /// the disk in a new one.
    ///
    /// # Errors
    ///
    /// A full disk, a record that is too large and [`StoreError::Unusable`]: nothing relies on the calls, though some
    /// may have been written when the disk became full. Anything else: they may be there after a restart.
    pub(super) fn write(&mut self, writes: &[&StoreWrite]) -> Result<(), StoreError> {
        let written = self.append_or_start_generation(writes);
        if written.is_err() {
            // A call that ended stays ended: it is said with the next write that succeeds.
            self.unwritten_ends.extend(ends(writes).cloned());
            for number in ends(writes).filter_map(ended_number) {
                self.live.remove(&number);
            }
            return written;
        }
        self.unwritten_ends.clear();
        self.trim();
        self.write_sync_mark();
        Ok(())
    }

    fn append_or_start_generation(&mut self, writes: &[&StoreWrite]) -> Result<(), StoreError> {
        let journal = self.journal.as_mut().ok_or(StoreError::Unusable)?;
        let all = self.unwritten_ends.iter().chain(writes.iter().copied());
        let records: Vec<Vec<u8>> = all.map(encode).collect();
        match journal.append(&records) {
            Ok(positions) => {
                let positions = &positions[self.unwritten_ends.len()..];
                self.note(writes, positions);
                Ok(())
            }
            Err(error @ (JournalError::Full { .. } | JournalError::RecordTooLarge { .. })) => {
                Err(error.into())
            }
            Err(error) => {
                warn!(
                    error = error_value(&error),
                    "the outbox's journal cannot be written: beginning a new one"
                );
                self.journal = None;
                self.start_generation(writes)
            }
        }
    }

    /// Tries to begin a new journal after an earlier one failed.
    pub(super) fn recover(&mut self) -> Result<(), StoreError> {
        if self.journal.is_none() {
            self.start_generation(&[])?;
            self.write_sync_mark();
        }
        Ok(())
    }

    /// Whether the journal takes a record, found out by writing one that says nothing new.
    pub(super) fn probe(&mut self) -> Result<(), StoreError> {
        let journal = self.journal.as_mut().ok_or(StoreError::Unusable)?;
        journal.append(&[encode_entry(&Entry::GenerationComplete)])?;
        Ok(())
    }

    fn note(&mut self, writes: &[&StoreWrite], positions: &[JournalPosition]) {
        for (write, position) in writes.iter().zip(positions) {
            match write {
                StoreWrite::Taken { number, call } => {
                    let (position, call) = (*position, Arc::clone(call));
                    self.live.insert(*number, LiveCall { position, call });
                }
                StoreWrite::Ended { number, .. } => {
                    self.live.remove(number);
                }
            }
        }
    }

    /// Begins the next generation with all live calls and `writes`. The one before goes once this one is complete.
    fn start_generation(&mut self, writes: &[&StoreWrite]) -> Result<(), StoreError> {
        // What ended is not carried over, whether that gets written or not.
        for number in ends(writes).filter_map(ended_number) {
            self.live.remove(&number);
        }
        let carried: Vec<StoreWrite> = self
            .live
            .iter()
            .map(|(number, live)| StoreWrite::Taken {
                number: *number,
                call: Arc::clone(&live.call),
            })
            .collect();
        let all: Vec<&StoreWrite> = carried.iter().chain(writes.iter().copied()).collect();
        let mut records: Vec<Vec<u8>> = all.iter().map(|write| encode(write)).collect();
        records.push(encode_entry(&Entry::GenerationComplete));

        let generation = self.next_generation()?;
        let folder = self.folder_of(generation);
        let begun = Journal::open(Arc::clone(&self.disk), &folder, self.sizes);
        let begun = begun.and_then(|(mut journal, _)| {
            let positions = journal.append(&records)?;
            Ok((journal, positions))
        });
        let (journal, positions) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                // Each try in vain would take its part of the disk.
                remove_folder(&*self.disk, &folder);
                return Err(error.into());
            }
        };
        self.generation = generation;
        self.trimmed_at = journal.end();
        self.journal = Some(journal);
        self.note(&all, &positions);
        self.unwritten_ends.clear();
        self.remove_generations_before_this();
        Ok(())
    }

    /// A number that no folder has: what a failed try left behind is not written again either.
    fn next_generation(&self) -> Result<u32, StoreError> {
        let used = generations(&*self.disk, &self.folder)?;
        let newest = used.last().copied();
        Ok(match newest {
            None if self.generation == 0 && self.damaged_journals()?.is_empty() => 0,
            newest => newest.unwrap_or(0).max(self.generation) + 1,
        })
    }

    fn trim(&mut self) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        let end = journal.end();
        // Whole segments go at once: looking for the oldest call with each write would be in vain.
        if end.0 - self.trimmed_at.0 < u64::from(self.sizes.segment_bytes / 4) {
            return;
        }
        self.trimmed_at = end;
        // Not that of the lowest number: two calls may be written in another order than they got their numbers.
        let oldest = self.live.values().map(|live| live.position).min();
        if let Err(error) = journal.trim_before(oldest.unwrap_or(end)) {
            // What was written is on the disk all the same. The next write finds out what is wrong.
            warn!(
                error = error_value(&error),
                "the outbox's journal could not be shortened"
            );
        }
    }

    fn write_sync_mark(&self) {
        let Some(journal) = &self.journal else {
            return;
        };
        let sync_mark = SyncMark {
            generation: self.generation,
            end: journal.end().0,
        };
        if let Err(error) = sync_mark.write(&*self.disk, &self.folder) {
            debug!(
                error = error_value(&error),
                "the outbox's witness was not written"
            );
        }
    }

    fn folder_of(&self, generation: u32) -> PathBuf {
        self.folder.join(name_of(generation))
    }

    fn set_aside(&self, generation: u32) -> Result<(), StoreError> {
        let aside = |copy: u32| format!("{DAMAGED}{generation:05}-{copy}");
        let free = (1..).map(aside).map(|name| self.folder.join(name));
        let mut free = free.filter(|path| !self.disk.exists(path));
        let aside = free.next().expect("there are more numbers than folders");
        let from = self.folder_of(generation);
        let moved = self.disk.rename(&from, &aside);
        moved
            .and_then(|()| self.disk.sync_folder(&self.folder))
            .map_err(|source| StoreError::Folder {
                folder: from,
                source,
            })?;
        error!(folder = %aside.display(), "the damaged journal is kept: look at it, then remove it");
        Ok(())
    }

    fn damaged_journals(&self) -> Result<Vec<PathBuf>, StoreError> {
        let names = names_in(&*self.disk, &self.folder)?;
        let damaged = names.iter().filter(|name| name.starts_with(DAMAGED));
        Ok(damaged.map(|name| self.folder.join(name)).collect())
    }

    fn remove_generations_before_this(&self) {
        for generation in generations(&*self.disk, &self.folder).unwrap_or_default() {
            if generation < self.generation {
                remove_folder(&*self.disk, &self.folder_of(generation));
            }
        }
    }
}

fn ends<'a>(writes: &'a [&'a StoreWrite]) -> impl Iterator<Item = &'a StoreWrite> {
    let writes = writes.iter().copied();
    writes.filter(|write| matches!(write, StoreWrite::Ended { .. }))
}

fn ended_number(write: &StoreWrite) -> Option<u64> {
    match write {
        StoreWrite::Ended { number, .. } => Some(*number),
        StoreWrite::Taken { .. } => None,
    }
}

/// Best effort: a generation that could not be removed is removed at the next start.
fn remove_folder(disk: &dyn Disk, folder: &Path) {
    if let Err(error) = disk.remove_folder(folder) {
        warn!(
            folder = %folder.display(),
            error = error_value(&error),
            "a journal that the outbox is done with could not be removed"
        );
    }
}

fn name_of(generation: u32) -> String {
    match generation {
        0 => "journal".to_owned(),
        later => format!("journal-{later:05}"),
    }
}

/// The generations in the folder, oldest first.
fn generations(disk: &dyn Disk, folder: &Path) -> Result<Vec<u32>, StoreError> {
    let names = names_in(disk, folder)?;
    let mut generations: Vec<u32> = names
        .iter()
        .filter_map(|name| match name.strip_prefix("journal")? {
            "" => Some(0),
            later => later.strip_prefix('-')?.parse().ok(),
        })
        .collect();
    generations.sort_unstable();
    Ok(generations)
}

fn names_in(disk: &dyn Disk, folder: &Path) -> Result<Vec<String>, StoreError> {
    match disk.list(folder) {
        Ok(names) => Ok(names),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(StoreError::Folder {
            folder: folder.to_owned(),
            source,
        }),
    }
}

/// How far the newest generation had been synced. On the disk twice, so that a torn one is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SyncMark {
    generation: u32,
    end: u64,
}

impl SyncMark {
    const BYTES: usize = 12;

    /// `None`: there is none, or none that can be read.
    fn read(disk: &dyn Disk, folder: &Path) -> Option<Self> {
        let file = disk.open(&folder.join(WITNESS), OpenMode::Read).ok()?;
        let mut bytes = [0; 2 * Self::BYTES];
        let length = file.read_at(&mut bytes, 0).ok()?;
        let (first, second) = bytes.split_at(Self::BYTES);
        if length != bytes.len() || first != second {
            return None;
        }
        let (generation, end) = first.split_at(4);
        Some(Self {
            generation: u32::from_be_bytes(generation.try_into().ok()?),
            end: u64::from_be_bytes(end.try_into().ok()?),
        })
    }

    fn write(self, disk: &dyn Disk, folder: &Path) -> std::io::Result<()> {
        let path = folder.join(WITNESS);
        let file = match disk.open(&path, OpenMode::Write) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                disk.open(&path, OpenMode::CreateNew)?
            }
            opened => opened?,
        };
        let one = [&self.generation.to_be_bytes()[..], &self.end.to_be_bytes()].concat();
        file.write_at(&[one.clone(), one].concat(), 0)
    }
}

fn encode(write: &StoreWrite) -> Vec<u8> {
    let entry = match write {
        StoreWrite::Taken { number, call } => Entry::Taken {
            number: *number,
            id: call.id,
            at: call.at,
            line: call.line.clone(),
            owner: call.owner.clone(),
            topic: call.topic.into(),
            headers: call
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_slice()))
                .collect(),
            value: &call.value,
        },
        StoreWrite::Ended { number, status } => Entry::Ended {
            number: *number,
            end: end_of(*status),
        },
    };
    encode_entry(&entry)
}

fn encode_entry(entry: &Entry<'_>) -> Vec<u8> {
    postcard::to_extend(entry, vec![VERSION]).expect("memory takes what postcard writes")
}

fn end_of(status: DeliveryStatus) -> End {
    match status {
        DeliveryStatus::Stored(Some(RecordPosition {
            topic,
            partition,
            offset,
        })) => End::Stored {
            topic: topic.into(),
            partition,
            offset,
        },
        DeliveryStatus::Stored(None) => End::Delivered,
        DeliveryStatus::Dead => End::Dead,
        DeliveryStatus::Queued => unreachable!("a call that waits has not ended"),
    }
}

enum DecodedEntry {
    Taken(u64, QueuedCall),
    Ended(u64, DeliveryStatus),
    GenerationComplete,
}

fn read(position: JournalPosition, record: &[u8]) -> Result<DecodedEntry, StoreError> {
    let JournalPosition(position) = position;
    let (version, entry) = record
        .split_first()
        .map_or((0, record), |(version, entry)| (*version, entry));
    if version != VERSION {
        return Err(StoreError::Version {
            position,
            found: version,
        });
    }
    let entry =
        postcard::from_bytes(entry).map_err(|source| StoreError::Entry { position, source })?;
    Ok(match entry {
        Entry::Taken {
            number,
            id,
            at,
            line,
            owner,
            topic,
            headers,
            value,
        } => {
            let headers = headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            let topic = topic.into();
            DecodedEntry::Taken(
                number,
                QueuedCall {
                    id,
                    at,
                    line,
                    owner,
                    topic,
                    headers,
                    value: value.to_owned(),
                },
            )
        }
        Entry::Ended { number, end } => DecodedEntry::Ended(number, end.into()),
        Entry::GenerationComplete => DecodedEntry::GenerationComplete,
    })
}

impl From<Topic> for TopicName {
    fn from(topic: Topic) -> Self {
        match topic {
            Topic::Alert => TopicName::Alert,
            Topic::Accept => TopicName::Accept,
            Topic::Life => TopicName::Life,
        }
    }
}

impl From<TopicName> for Topic {
    fn from(name: TopicName) -> Self {
        match name {
            TopicName::Alert => Topic::Alert,
            TopicName::Accept => Topic::Accept,
            TopicName::Life => Topic::Life,
        }
    }
}

impl From<End> for DeliveryStatus {
    fn from(end: End) -> Self {
        match end {
            End::Stored {
                topic,
                partition,
                offset,
            } => DeliveryStatus::Stored(Some(RecordPosition {
                topic: topic.into(),
                partition,
                offset,
            })),
            End::Delivered => DeliveryStatus::Stored(None),
            End::Dead => DeliveryStatus::Dead,
        }
    }
}
