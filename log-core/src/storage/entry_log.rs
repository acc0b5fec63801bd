//! The replica's memory: entries and hard state (Raft thesis, figure 3.1), as records of a [`Journal`].
//!
//! ```text
//! 0  kind    u8    1 command, 2 membership, 3 hard state, 4 beginning
//! entry:           1 index u64, 9 epoch u32, 13 payload
//! hard state:      1 epoch u32, 5 vote u64 (0: none), 13 commit u64
//! beginning:       1 index u64, 9 epoch u32
//! ```
//!
//! An entry at an index that is taken drops what stood there and everything after; nothing is ever erased for it. A
//! beginning says that a snapshot holds everything up to that entry: what lies behind it stays where the log has this very
//! entry, and is dropped where it does not, since it then follows from another one (Raft, figure 13, steps 6 and 7). The
//! hard state is the last record of every batch: were the batch cut in a crash, the older hard state would stand, and its
//! commit index can never point behind the entries. It also means that the newest segment always holds one.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use journal::disk::Disk;
use journal::{Cut, Journal, JournalConfig, JournalError, JournalPosition};

use super::layout::ADVICE;
use super::verify::report::JournalSummary;
use crate::entry::{Entry, EntryKind, HardState};
use crate::ids::{EntryIndex, LeaderEpoch, ReplicaId};

const COMMAND: u8 = 1;
const MEMBERSHIP: u8 = 2;
const HARD_STATE: u8 = 3;
const BEGINNING: u8 = 4;
/// Bytes of an entry's record in front of its payload.
pub const ENTRY_OVERHEAD_BYTES: usize = 13;
const HARD_STATE_BYTES: usize = 21;

/// How far the journal is on the disk: what a checkpoint, and a message to another replica, may rely on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// The last entry.
    pub last: EntryIndex,
    /// The commit index of the hard state; never past `last`.
    pub commit: EntryIndex,
}

/// Why entries could not be written or read. After an error of writing, nothing more can be written.
#[derive(Debug, thiserror::Error)]
pub enum EntryLogError {
    /// The journal said so.
    #[error(transparent)]
    Journal(JournalError),
    /// The journal is [`JournalError::Damaged`]. Nothing was changed: do not go on with this folder.
    #[error("{0}. {ADVICE}")]
    Damaged(JournalError),
    /// A record is whole and makes no sense: another program's journal, or one of a later version.
    #[error(
        "journal record at position {position}: {found}; this is not a journal that this version can read: start the \
         version that wrote it"
    )]
    Nonsense {
        /// Where it lies.
        position: u64,
        /// What is wrong.
        found: &'static str,
    },
    /// Journal and checkpoint do not meet. Nothing was changed: do not go on with this folder.
    #[error(
        "the checkpoint is of entry {checkpoint}, but the journal holds entries {first} to {last}: parts of the data \
         folder are missing or of different ages. {ADVICE}"
    )]
    Gap {
        /// The entry that the checkpoint was taken at.
        checkpoint: EntryIndex,
        /// The first entry there is; 0 for none.
        first: EntryIndex,
        /// The last one.
        last: EntryIndex,
    },
}

impl From<JournalError> for EntryLogError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Damaged { .. } => Self::Damaged(error),
            error => Self::Journal(error),
        }
    }
}

/// What [`EntryLog::open`] found.
#[derive(Debug)]
pub struct RecoveredLog {
    /// What the replica has promised.
    pub hard_state: HardState,
    /// The entries after the checkpoint, without holes.
    pub entries: Vec<Entry>,
    /// What the journal dropped from its end, if anything: never acknowledged.
    pub cut: Option<Cut>,
}

/// Entries and hard state, on disk.
pub struct EntryLog {
    journal: Journal,
    /// Records that go down with the next sync.
    gathered: Vec<Vec<u8>>,
    /// The entries among them.
    gathered_entries: Vec<EntryIndex>,
    hard_state: HardState,
    hard_state_at: JournalPosition,
    hard_state_synced: bool,
    /// Where the synced entries lie that were not trimmed; their indexes have no holes.
    positions: VecDeque<(EntryIndex, JournalPosition)>,
    /// Everything up to here is trimmed, and committed.
    trimmed: EntryIndex,
    last: EntryIndex,
}

impl EntryLog {
    /// Opens the log in `folder`, of which a checkpoint covers everything up to `checkpoint` (0: there is none).
    ///
    /// # Errors
    /// [`EntryLogError`]; nothing was changed but for the cut of an unfinished batch.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        config: JournalConfig,
        checkpoint: EntryIndex,
    ) -> Result<(Self, RecoveredLog), EntryLogError> {
        let (journal, found) = Journal::open(disk, folder, config)?;
        let mut replay = Replay::of(found.records)?;
        let (positions, entries) = replay.after(checkpoint)?;
        let log = Self {
            journal,
            gathered: Vec::new(),
            gathered_entries: Vec::new(),
            hard_state: replay.hard_state,
            hard_state_at: replay.hard_state_at,
            hard_state_synced: true,
            positions,
            trimmed: checkpoint,
            last: entries.last().map_or(checkpoint, |entry| entry.index),
        };
        Ok((
            log,
            RecoveredLog {
                hard_state: replay.hard_state,
                entries,
                cut: found.cut,
            },
        ))
    }

    /// Lets the log in `folder` begin after the entry of a snapshot, durably. What the replica has promised stands: its
    /// epoch, its vote, and the entries behind the snapshot where they follow from it. `checkpoint` is the own one, still
    /// in force. May be done again.
    ///
    /// # Errors
    /// [`EntryLogError`]; nothing was changed but for the cut of an unfinished batch, unless it is of writing.
    pub(super) fn begin_after(
        disk: Arc<dyn Disk>,
        folder: &Path,
        config: JournalConfig,
        checkpoint: EntryIndex,
        (index, epoch): (EntryIndex, LeaderEpoch),
    ) -> Result<(), EntryLogError> {
        let (mut journal, found) = Journal::open(disk, folder, config)?;
        let mut replay = Replay::of(found.records)?;
        let mut records = Vec::new();
        if replay.begins_after != Some(index) {
            replay.check_against(checkpoint)?;
            // Entries that follow from the snapshot's stay, and go with a trim as ever: a beginning behind them would
            // drop them, once the entry that they follow from is trimmed.
            if !replay.has(index, epoch) {
                replay.begin_after(index, epoch);
                records.push(encode_beginning(index, epoch));
            }
        }
        replay.raise_epoch_to(epoch);
        replay.raise_epoch_to_the_entries();
        replay.hard_state.commit = replay.hard_state.commit.max(index);
        // Committed entries cannot follow from another entry than the snapshot's.
        replay.check_against(index)?;
        records.push(encode_hard_state(&replay.hard_state));
        journal.append(&records)?;
        Ok(())
    }

    /// Gathers entries, and what is promised from now on, for the next [`Self::sync`]. Nothing is on the disk before.
    ///
    /// # Errors
    /// [`JournalError::RecordTooLarge`]: nothing was gathered.
    ///
    /// # Panics
    /// When the entries leave a hole, or reach back behind what was trimmed, or the commit index points behind them: the
    /// log would not be one.
    pub fn write(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
    ) -> Result<(), EntryLogError> {
        self.refuse_too_large(entries)?;
        for entry in entries {
            self.gather(entry);
        }
        if let Some(hard_state) = hard_state {
            assert!(
                self.hard_state.epoch <= hard_state.epoch,
                "the epoch never falls"
            );
            self.hard_state_synced &= self.hard_state == *hard_state;
            self.hard_state = *hard_state;
        }
        assert!(
            self.hard_state.commit <= self.last,
            "commit {} is behind the last entry {}",
            self.hard_state.commit,
            self.last
        );
        Ok(())
    }

    /// Writes and syncs all that was gathered: one write, one sync. Everything gathered is on the disk when it returns.
    ///
    /// # Errors
    /// [`EntryLogError::Journal`]: what was gathered may be on the disk or not, and nothing can be written any more.
    pub fn sync(&mut self) -> Result<Synced, EntryLogError> {
        if !self.gathered.is_empty() || !self.hard_state_synced {
            self.write_gathered()?;
        }
        Ok(Synced {
            last: self.last,
            commit: self.hard_state.commit,
        })
    }

    /// Lets go of the entries before `index`, which a durable checkpoint covers. Some may still be found at a start.
    ///
    /// # Errors
    /// [`EntryLogError::Journal`]: nothing can be written any more.
    ///
    /// # Panics
    /// When an entry that is not committed would go.
    pub fn trim_before(&mut self, index: EntryIndex) -> Result<(), EntryLogError> {
        let trimmed = EntryIndex(index.0.saturating_sub(1));
        assert!(
            trimmed <= self.hard_state.commit,
            "entry {trimmed} is not committed"
        );
        self.trimmed = self.trimmed.max(trimmed);
        while self
            .positions
            .front()
            .is_some_and(|(first, _)| *first < index)
        {
            self.positions.pop_front();
        }
        let oldest_entry = self
            .positions
            .front()
            .map_or(self.journal.end(), |(_, position)| *position);
        self.journal
            .trim_before(oldest_entry.min(self.hard_state_at))?;
        Ok(())
    }

    /// The space that the journal takes on the disk.
    #[cfg(test)]
    pub fn size_bytes(&self) -> u64 {
        self.journal.size_bytes()
    }

    fn gather(&mut self, entry: &Entry) {
        assert!(
            self.trimmed < entry.index,
            "entry {} was committed and trimmed",
            entry.index
        );
        assert!(
            entry.index.0 <= self.last.0 + 1,
            "entry {} leaves a hole after {}",
            entry.index,
            self.last
        );
        while self
            .positions
            .back()
            .is_some_and(|(last, _)| entry.index <= *last)
        {
            self.positions.pop_back();
        }
        self.gathered.push(encode_entry(entry));
        self.gathered_entries.push(entry.index);
        self.last = entry.index;
    }

    fn write_gathered(&mut self) -> Result<(), EntryLogError> {
        self.gathered.push(encode_hard_state(&self.hard_state));
        let positions = self.journal.append(&self.gathered)?;
        self.hard_state_at = *positions
            .last()
            .expect("at least the hard state was appended");
        self.hard_state_synced = true;
        for (index, position) in self.gathered_entries.drain(..).zip(positions) {
            // A gathered entry may have replaced one that was gathered before it.
            while self
                .positions
                .back()
                .is_some_and(|(last, _)| index <= *last)
            {
                self.positions.pop_back();
            }
            self.positions.push_back((index, position));
        }
        self.gathered.clear();
        Ok(())
    }

    fn refuse_too_large(&self, entries: &[Entry]) -> Result<(), JournalError> {
        let largest = entries
            .iter()
            .map(|entry| entry.payload.len())
            .max()
            .unwrap_or(0);
        self.journal
            .refuse_above_limit(ENTRY_OVERHEAD_BYTES + largest)
    }
}

/// What the records of a journal say, of which a checkpoint covers everything up to `checkpoint`.
///
/// # Errors
/// [`EntryLogError::Nonsense`], [`EntryLogError::Gap`].
pub(super) fn summarize(
    records: Vec<(JournalPosition, Bytes)>,
    checkpoint: EntryIndex,
) -> Result<JournalSummary, EntryLogError> {
    let count = records.len();
    let replay = Replay::of(records)?;
    replay.check_against(checkpoint)?;
    let (first, last) = replay.ends();
    Ok(JournalSummary {
        records: count,
        first,
        last,
        commit: replay.hard_state.commit,
    })
}

/// The hard state and the entries that the records of a journal leave in force.
///
/// # Errors
/// [`EntryLogError::Nonsense`].
pub(super) fn replay(
    records: Vec<(JournalPosition, Bytes)>,
) -> Result<(HardState, Vec<Entry>), EntryLogError> {
    let replay = Replay::of(records)?;
    let entries = replay.entries.into_iter().map(|(_, entry)| entry);
    Ok((replay.hard_state, entries.collect()))
}

/// The hard state and the entries after a checkpoint, where the records of a journal go on from it.
///
/// # Errors
/// [`EntryLogError::Nonsense`], [`EntryLogError::Gap`].
pub(super) fn replay_after(
    records: Vec<(JournalPosition, Bytes)>,
    checkpoint: EntryIndex,
) -> Result<(HardState, Vec<Entry>), EntryLogError> {
    let mut replay = Replay::of(records)?;
    let (_, entries) = replay.after(checkpoint)?;
    Ok((replay.hard_state, entries))
}

/// Reads the records of a journal one after the other, as they were written.
#[derive(Default)]
struct Replay {
    entries: VecDeque<(JournalPosition, Entry)>,
    /// The entry that the log begins after, where a snapshot said so.
    begins_after: Option<EntryIndex>,
    hard_state: HardState,
    hard_state_at: JournalPosition,
}

impl Replay {
    fn of(records: Vec<(JournalPosition, Bytes)>) -> Result<Self, EntryLogError> {
        let mut replay = Self::default();
        for (position, record) in records {
            replay.take(position, record)?;
        }
        Ok(replay)
    }

    fn take(&mut self, position: JournalPosition, record: Bytes) -> Result<(), EntryLogError> {
        let nonsense = |found| EntryLogError::Nonsense {
            position: position.0,
            found,
        };
        match decode(record).map_err(nonsense)? {
            Decoded::HardState(hard_state) => {
                self.hard_state = hard_state;
                self.hard_state_at = position;
            }
            Decoded::Entry(entry) => {
                while self
                    .entries
                    .back()
                    .is_some_and(|(_, last)| entry.index <= last.index)
                {
                    self.entries.pop_back();
                }
                let before = self.entries.back().map(|(_, last)| last.index);
                let expected = before.or(self.begins_after).map(|before| before.0 + 1);
                if expected.is_some_and(|expected| entry.index.0 != expected) {
                    return Err(nonsense("the entries leave a hole"));
                }
                self.entries.push_back((position, entry));
            }
            Decoded::Beginning { index, epoch } => self.begin_after(index, epoch),
        }
        Ok(())
    }

    /// Said twice, where a crash came in between, it says no more than once.
    fn begin_after(&mut self, index: EntryIndex, epoch: LeaderEpoch) {
        if self.begins_after == Some(index) {
            return;
        }
        let has_it = self.has(index, epoch);
        self.entries
            .retain(|(_, entry)| has_it && index < entry.index);
        self.begins_after = Some(index);
    }

    fn has(&self, index: EntryIndex, epoch: LeaderEpoch) -> bool {
        let mut entries = self.entries.iter().map(|(_, entry)| entry);
        entries.any(|entry| entry.index == index && entry.epoch == epoch)
    }

    /// What there is after the checkpoint, once it is sure that nothing is missing in between.
    #[expect(
        clippy::type_complexity,
        reason = "two halves of one list, taken apart at once"
    )]
    fn after(
        &mut self,
        checkpoint: EntryIndex,
    ) -> Result<(VecDeque<(EntryIndex, JournalPosition)>, Vec<Entry>), EntryLogError> {
        self.check_against(checkpoint)?;
        self.raise_epoch_to_the_entries();
        let entries = std::mem::take(&mut self.entries);
        let newer = entries
            .into_iter()
            .filter(|(_, entry)| checkpoint < entry.index);
        Ok(newer
            .map(|(position, entry)| ((entry.index, position), entry))
            .unzip())
    }

    fn check_against(&self, checkpoint: EntryIndex) -> Result<(), EntryLogError> {
        let (first, last) = self.ends();
        let begins_in_time = self.begins_after.is_none_or(|begin| begin <= checkpoint);
        let meet = match self.entries.len() {
            0 => begins_in_time && checkpoint <= self.hard_state.commit,
            _ => first.0 <= checkpoint.0 + 1 && checkpoint <= last,
        };
        let commit_within = self.hard_state.commit <= last.max(checkpoint);
        if meet && commit_within {
            return Ok(());
        }
        Err(EntryLogError::Gap {
            checkpoint,
            first,
            last,
        })
    }

    /// The first entry and the last; 0 where there is none.
    fn ends(&self) -> (EntryIndex, EntryIndex) {
        let index = |entry: Option<&(JournalPosition, Entry)>| {
            entry.map_or(EntryIndex(0), |(_, entry)| entry.index)
        };
        (index(self.entries.front()), index(self.entries.back()))
    }

    /// A crash can keep a batch's entries and cut its hard state off. No message that relied on that one has left, so
    /// the replica has not voted in the entries' epoch; and it must not take part in an older one.
    fn raise_epoch_to_the_entries(&mut self) {
        let epoch = self
            .entries
            .back()
            .map_or(LeaderEpoch(0), |(_, entry)| entry.epoch);
        self.raise_epoch_to(epoch);
    }

    fn raise_epoch_to(&mut self, epoch: LeaderEpoch) {
        if self.hard_state.epoch < epoch {
            self.hard_state = HardState {
                epoch,
                vote: None,
                ..self.hard_state
            };
        }
    }
}

enum Decoded {
    Entry(Entry),
    HardState(HardState),
    Beginning {
        index: EntryIndex,
        epoch: LeaderEpoch,
    },
}

fn encode_entry(entry: &Entry) -> Vec<u8> {
    let kind = match entry.kind {
        EntryKind::Command => COMMAND,
        EntryKind::Membership => MEMBERSHIP,
    };
    let mut record = Vec::with_capacity(ENTRY_OVERHEAD_BYTES + entry.payload.len());
    record.push(kind);
    record.extend(entry.index.0.to_be_bytes());
    record.extend(entry.epoch.0.to_be_bytes());
    record.extend(&entry.payload);
    record
}

fn encode_hard_state(hard_state: &HardState) -> Vec<u8> {
    let mut record = Vec::with_capacity(HARD_STATE_BYTES);
    record.push(HARD_STATE);
    record.extend(hard_state.epoch.0.to_be_bytes());
    // Replica ids are never 0.
    record.extend(hard_state.vote.map_or(0, |replica| replica.0).to_be_bytes());
    record.extend(hard_state.commit.0.to_be_bytes());
    record
}

fn encode_beginning(index: EntryIndex, epoch: LeaderEpoch) -> Vec<u8> {
    let mut record = vec![BEGINNING];
    record.extend(index.0.to_be_bytes());
    record.extend(epoch.0.to_be_bytes());
    record
}

fn decode(record: Bytes) -> Result<Decoded, &'static str> {
    match record.first() {
        Some(&COMMAND) => decode_entry(EntryKind::Command, &record).map(Decoded::Entry),
        Some(&MEMBERSHIP) => decode_entry(EntryKind::Membership, &record).map(Decoded::Entry),
        Some(&HARD_STATE) => decode_hard_state(&record).map(Decoded::HardState),
        Some(&BEGINNING) => decode_beginning(&record),
        Some(_) | None => Err("unknown kind"),
    }
}

fn decode_entry(kind: EntryKind, record: &Bytes) -> Result<Entry, &'static str> {
    if record.len() < ENTRY_OVERHEAD_BYTES {
        return Err("entry cut");
    }
    let index = EntryIndex(u64_at(record, 1));
    if index == EntryIndex(0) {
        return Err("entry without an index");
    }
    // A copy, so that a small entry does not keep its whole segment in memory.
    let payload = Bytes::copy_from_slice(&record[ENTRY_OVERHEAD_BYTES..]);
    Ok(Entry {
        index,
        epoch: LeaderEpoch(u32_at(record, 9)),
        kind,
        payload,
    })
}

fn decode_beginning(record: &Bytes) -> Result<Decoded, &'static str> {
    if record.len() != ENTRY_OVERHEAD_BYTES {
        return Err("beginning of another length");
    }
    Ok(Decoded::Beginning {
        index: EntryIndex(u64_at(record, 1)),
        epoch: LeaderEpoch(u32_at(record, 9)),
    })
}

fn decode_hard_state(record: &Bytes) -> Result<HardState, &'static str> {
    if record.len() != HARD_STATE_BYTES {
        return Err("hard state of another length");
    }
    let vote = Some(ReplicaId(u64_at(record, 5))).filter(|replica| *replica != ReplicaId(0));
    Ok(HardState {
        epoch: LeaderEpoch(u32_at(record, 1)),
        vote,
        commit: EntryIndex(u64_at(record, 13)),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("the slice has 4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("the slice has 8 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::sim_disk::SimDisk;

    const FOLDER: &str = "/journal";
    const SMALL: JournalConfig = JournalConfig {
        segment_bytes: 2_048,
        record_bytes_max: 1_000,
    };

    fn open(disk: &SimDisk, checkpoint: u64) -> Result<(EntryLog, RecoveredLog), EntryLogError> {
        EntryLog::open(
            Arc::new(disk.clone()),
            Path::new(FOLDER),
            SMALL,
            EntryIndex(checkpoint),
        )
    }

    fn entry(index: u64, epoch: u32) -> Entry {
        let payload = Bytes::from(format!("entry {index} of epoch {epoch}"));
        Entry {
            index: EntryIndex(index),
            epoch: LeaderEpoch(epoch),
            kind: EntryKind::Command,
            payload,
        }
    }

    fn entries(indexes: std::ops::RangeInclusive<u64>, epoch: u32) -> Vec<Entry> {
        indexes.map(|index| entry(index, epoch)).collect()
    }

    fn hard_state(epoch: u32, commit: u64) -> HardState {
        HardState {
            epoch: LeaderEpoch(epoch),
            vote: Some(ReplicaId(7)),
            commit: EntryIndex(commit),
        }
    }

    #[test]
    fn entries_and_hard_state_come_back_as_they_were_synced() {
        let disk = SimDisk::with_seed(1);
        let (mut log, found) = open(&disk, 0).unwrap();
        assert_eq!(
            (found.hard_state, found.entries.len()),
            (HardState::default(), 0)
        );
        let mut written = entries(1..=4, 1);
        written[2].kind = EntryKind::Membership;
        log.write(&written, Some(&hard_state(1, 2))).unwrap();
        assert_eq!(
            log.sync().unwrap(),
            Synced {
                last: EntryIndex(4),
                commit: EntryIndex(2)
            }
        );

        let (_, found) = open(&disk, 0).unwrap();

        assert_eq!(found.entries, written);
        assert_eq!(found.hard_state, hard_state(1, 2));
    }

    #[test]
    fn what_was_gathered_is_not_on_the_disk_before_the_sync() {
        let disk = SimDisk::with_seed(1);
        let (mut log, _) = open(&disk, 0).unwrap();
        log.write(&entries(1..=2, 1), None).unwrap();
        log.write(&entries(3..=4, 1), Some(&hard_state(1, 0)))
            .unwrap();
        assert!(open(&disk, 0).unwrap().1.entries.is_empty());

        let syncs = disk.operations();
        log.sync().unwrap();

        assert_eq!(
            disk.operations() - syncs,
            3,
            "one write, one sync, one marker"
        );
        assert_eq!(open(&disk, 0).unwrap().1.entries.len(), 4);
    }

    #[test]
    fn an_entry_at_a_taken_index_drops_it_and_all_that_follow() {
        let disk = SimDisk::with_seed(1);
        let (mut log, _) = open(&disk, 0).unwrap();
        log.write(&entries(1..=5, 1), Some(&hard_state(1, 2)))
            .unwrap();
        log.sync().unwrap();
        log.write(&entries(3..=3, 2), Some(&hard_state(2, 2)))
            .unwrap();
        assert_eq!(log.sync().unwrap().last, EntryIndex(3));

        let (_, found) = open(&disk, 0).unwrap();

        assert_eq!(found.entries, [entry(1, 1), entry(2, 1), entry(3, 2)]);
    }

    #[test]
    fn a_trim_keeps_the_entries_after_it_and_the_hard_state() {
        let disk = SimDisk::with_seed(1);
        let (mut log, _) = open(&disk, 0).unwrap();
        for index in 1..=100 {
            log.write(&entries(index..=index, 1), Some(&hard_state(1, index - 1)))
                .unwrap();
            log.sync().unwrap();
        }
        let before = log.size_bytes();

        log.trim_before(EntryIndex(90)).unwrap();

        assert!(
            log.size_bytes() < before / 4,
            "{} of {before} bytes left",
            log.size_bytes()
        );
        let (_, found) = open(&disk, 89).unwrap();
        assert_eq!(found.entries, entries(90..=100, 1));
        assert_eq!(found.hard_state, hard_state(1, 99));
    }

    #[test]
    fn entries_that_were_replaced_before_a_trim_do_not_come_back() {
        let disk = SimDisk::with_seed(1);
        let (mut log, _) = open(&disk, 0).unwrap();
        log.write(&entries(1..=60, 1), Some(&hard_state(1, 20)))
            .unwrap();
        log.sync().unwrap();
        log.write(&entries(21..=80, 2), Some(&hard_state(2, 80)))
            .unwrap();
        log.sync().unwrap();
        log.trim_before(EntryIndex(25)).unwrap();

        let (_, found) = open(&disk, 24).unwrap();

        assert_eq!(found.entries, entries(25..=80, 2));
    }

    #[test]
    fn entries_kept_behind_a_snapshot_survive_the_trim_of_those_before() {
        let disk = SimDisk::with_seed(1);
        let (mut log, _) = open(&disk, 0).unwrap();
        for index in 1..=100 {
            log.write(&entries(index..=index, 1), Some(&hard_state(1, index - 1)))
                .unwrap();
            log.sync().unwrap();
        }
        drop(log);
        let place = (EntryIndex(50), LeaderEpoch(1));
        let disk_again: Arc<dyn Disk> = Arc::new(disk.clone());
        EntryLog::begin_after(disk_again, Path::new(FOLDER), SMALL, EntryIndex(0), place).unwrap();
        let (mut log, found) = open(&disk, 50).unwrap();
        assert_eq!(found.entries, entries(51..=100, 1));
        log.trim_before(EntryIndex(91)).unwrap();
        drop(log);

        let (_, found) = open(&disk, 90).unwrap();
        assert_eq!(found.entries, entries(91..=100, 1));
    }

    #[test]
    fn a_journal_that_does_not_reach_the_checkpoint_is_refused() {
        let disk = SimDisk::with_seed(1);
        let (mut log, _) = open(&disk, 0).unwrap();
        log.write(&entries(1..=10, 1), Some(&hard_state(1, 10)))
            .unwrap();
        log.sync().unwrap();

        assert!(matches!(open(&disk, 11), Err(EntryLogError::Gap { .. })));
        assert!(open(&disk, 10).unwrap().1.entries.is_empty());
    }

    #[test]
    fn a_journal_that_begins_after_the_checkpoint_is_refused() {
        let disk = SimDisk::with_seed(1);
        let (mut log, _) = open(&disk, 0).unwrap();
        for index in 1..=100 {
            log.write(&entries(index..=index, 1), Some(&hard_state(1, index)))
                .unwrap();
            log.sync().unwrap();
        }
        log.trim_before(EntryIndex(90)).unwrap();

        let refused = open(&disk, 10).err().unwrap();
        assert!(
            refused
                .to_string()
                .starts_with("the checkpoint is of entry 10, but the journal holds entries 8"),
            "{refused}"
        );
    }

    #[test]
    fn whatever_a_crash_leaves_of_a_batch_the_hard_state_fits_the_entries() {
        let mut lost_hard_states = 0;
        for seed in 0..500 {
            let disk = SimDisk::with_seed(seed);
            let (mut log, _) = open(&disk, 0).unwrap();
            log.write(&entries(1..=3, 1), Some(&hard_state(1, 1)))
                .unwrap();
            log.sync().unwrap();
            disk.crash_at(disk.operations() + 2);
            log.write(&entries(4..=40, 2), Some(&hard_state(2, 40)))
                .unwrap();
            log.sync().unwrap_err();
            disk.reboot();

            let (_, found) = open(&disk, 0).unwrap();

            let last = found.entries.last().unwrap();
            assert!(found.hard_state.commit <= last.index);
            assert!(last.epoch <= found.hard_state.epoch);
            assert!(EntryIndex(3) <= last.index);
            lost_hard_states +=
                u32::from(last.epoch == LeaderEpoch(2) && found.hard_state.vote.is_none());
        }
        assert!(0 < lost_hard_states, "never seen");
    }

    #[test]
    #[should_panic(expected = "leaves a hole")]
    fn a_hole_is_never_written() {
        let (mut log, _) = open(&SimDisk::with_seed(1), 0).unwrap();
        drop(log.write(&entries(2..=2, 1), None));
    }

    #[test]
    #[should_panic(expected = "is not committed")]
    fn what_is_not_committed_is_never_trimmed() {
        let (mut log, _) = open(&SimDisk::with_seed(1), 0).unwrap();
        log.write(&entries(1..=3, 1), Some(&hard_state(1, 1)))
            .unwrap();
        drop(log.trim_before(EntryIndex(3)));
    }

    #[test]
    fn no_record_makes_the_decoder_panic() {
        for len in 0..40 {
            for kind in 0..6 {
                let mut record = vec![0; len];
                record.first_mut().into_iter().for_each(|byte| *byte = kind);
                drop(decode(record.into()));
            }
        }
    }
}
