//! Group commit: what waits for the journal goes down with one write and one sync.

use crate::consensus::{Message, Persist};
use crate::entry::{Entry, HardState};
use crate::ids::EntryIndex;
use crate::storage::{Captured, EntryLog, EntryLogError, Synced};

/// Bytes of entries in one write, past which what waits goes into the next: keeps the sync of the first ones short.
const WRITE_BYTES_MAX: usize = 4 << 20;

/// What the journal is asked.
pub(crate) enum Job {
    Persist(Persist),
    Seal(HardState, Captured),
    TrimBefore(EntryIndex),
}

/// What it says.
pub(crate) enum Written {
    /// This step and all before it are on disk; these messages may leave.
    Persisted {
        /// The step's number.
        number: u64,
        /// Messages that relied on it.
        then_send: Vec<Message>,
    },
    /// The journal's promise on disk covers this checkpoint: it may be completed.
    Sealed(Captured, Synced),
    /// The disk let us down; nothing more will be written.
    Broken(EntryLogError),
    /// An invariant broke while writing; nothing more will be written.
    Panicked,
    /// All that was asked is done, and nobody asks any more: the last word.
    Ended,
}

/// What goes down together.
#[derive(Default)]
pub(crate) struct JournalGroup {
    number: Option<u64>,
    entries: Vec<Entry>,
    hard_state: Option<HardState>,
    then_send: Vec<Message>,
    sealed: Vec<Captured>,
    trim: Option<EntryIndex>,
}

impl JournalGroup {
    /// Takes the first job and as many of those that wait as fit into one write.
    pub(crate) fn gather(first: Job, mut next: impl FnMut() -> Option<Job>) -> Self {
        let mut group = Self::default();
        let mut bytes = group.add(first);
        while bytes < WRITE_BYTES_MAX {
            let Some(job) = next() else { break };
            bytes += group.add(job);
        }
        group
    }

    /// Adds a job, and says how many bytes of entries came with it.
    fn add(&mut self, job: Job) -> usize {
        match job {
            Job::TrimBefore(index) => self.trim = Some(index),
            Job::Seal(hard_state, captured) => {
                self.hard_state = Some(hard_state);
                self.sealed.push(captured);
            }
            Job::Persist(step) => return self.add_step(step),
        }
        0
    }

    fn add_step(&mut self, step: Persist) -> usize {
        let bytes = step.entries.iter().map(|entry| entry.payload.len()).sum();
        self.number = Some(step.number);
        self.entries.extend(step.entries);
        self.hard_state = step.hard_state.or(self.hard_state);
        self.then_send.extend(step.then_send);
        bytes
    }

    /// Writes and syncs what needs it, then says what may happen now, in order.
    ///
    /// # Errors
    /// [`EntryLogError`]: what reached the disk is unknown, and the log must not be written again.
    pub(crate) fn write(
        self,
        log: &mut EntryLog,
        written: &mut impl FnMut(Written),
    ) -> Result<(), EntryLogError> {
        if !self.entries.is_empty() || self.hard_state.is_some() {
            log.write(&self.entries, self.hard_state.as_ref())?;
            let synced = log.sync()?;
            self.sealed
                .into_iter()
                .for_each(|captured| written(Written::Sealed(captured, synced)));
        }
        if let Some(number) = self.number {
            written(Written::Persisted {
                number,
                then_send: self.then_send,
            });
        }
        self.trim.map_or(Ok(()), |index| log.trim_before(index))
    }
}
