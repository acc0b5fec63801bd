//! Group commit: what waits for the journal goes down with one write and one sync.

use std::collections::VecDeque;

use raft::eraftpb::MessageType;

use crate::consensus::{Message, Persist};
use crate::entry::{Entry, HardState};
use crate::ids::EntryIndex;
use crate::storage::{EntryLog, EntryLogError, PendingCheckpoint, Synced};

/// Bytes of entries in one write, past which what waits goes into the next: keeps the sync of the first ones short.
const WRITE_BYTES_MAX: usize = 4 << 20;

/// What the journal is asked.
pub(crate) enum JournalWrite {
    Persist(Persist),
    Seal(HardState, PendingCheckpoint),
    TrimBefore(EntryIndex),
}

/// What it says.
pub(crate) enum JournalEvent {
    /// This step and all before it are on disk; these messages may leave.
    Persisted {
        /// The step's number.
        number: u64,
        /// Messages that relied on it.
        then_send: Vec<Message>,
    },
    /// The journal's promise on disk covers this checkpoint: it may be completed.
    Sealed(PendingCheckpoint, Synced),
    /// The disk let us down; nothing more will be written.
    Broken(EntryLogError),
    /// An invariant broke while writing; nothing more will be written.
    Panicked,
    /// All that was asked is done, and nobody asks any more: the last word.
    Ended,
}

/// What waits for the journal, joined to as few writes as can be. Asking never waits for a disk. What an entry takes in
/// memory is bounded where it comes from: a leader has a bound of proposals under way, and a replica takes no entries of a
/// leader beyond what its disk is behind (`replica`).
#[derive(Default)]
pub(crate) struct JournalLine {
    groups: VecDeque<GroupCommit>,
}

impl JournalLine {
    /// Joins a job to those that wait.
    pub(crate) fn join(&mut self, job: JournalWrite) {
        match self.groups.back_mut() {
            Some(last) if last.bytes < WRITE_BYTES_MAX => last.add(job),
            Some(_) | None => {
                let mut group = GroupCommit::default();
                group.add(job);
                self.groups.push_back(group);
            }
        }
    }

    /// What goes down next.
    pub(crate) fn next(&mut self) -> Option<GroupCommit> {
        self.groups.pop_front()
    }
}

/// What goes down together.
#[derive(Default)]
pub(crate) struct GroupCommit {
    number: Option<u64>,
    entries: Vec<Entry>,
    /// Of the entries' payloads.
    bytes: usize,
    hard_state: Option<HardState>,
    then_send: Vec<Message>,
    sealed: Vec<PendingCheckpoint>,
    trim: Option<EntryIndex>,
}

impl GroupCommit {
    fn add(&mut self, job: JournalWrite) {
        match job {
            JournalWrite::TrimBefore(index) => self.trim = Some(index),
            JournalWrite::Seal(hard_state, captured) => {
                self.hard_state = Some(hard_state);
                self.sealed.push(captured);
            }
            JournalWrite::Persist(step) => self.add_step(step),
        }
    }

    fn add_step(&mut self, step: Persist) {
        self.number = Some(step.number);
        self.bytes += step
            .entries
            .iter()
            .map(|entry| entry.payload.len())
            .sum::<usize>();
        self.entries.extend(step.entries);
        self.hard_state = step.hard_state.or(self.hard_state);
        for message in step.then_send {
            self.say(message);
        }
    }

    /// Of what a follower has taken, the last answer says all: a leader that asks again and again while the disk hangs is
    /// answered once.
    fn say(&mut self, message: Message) {
        let replaced = |earlier: &Message| {
            is_taken(earlier)
                && (earlier.to, earlier.term) == (message.to, message.term)
                && earlier.index <= message.index
        };
        match self.then_send.last_mut() {
            Some(last) if is_taken(&message) && replaced(last) => *last = message,
            Some(_) | None => self.then_send.push(message),
        }
    }

    /// Writes and syncs what needs it, then says what may happen now, in order.
    ///
    /// # Errors
    /// [`EntryLogError`]: what reached the disk is unknown, and the log must not be written again.
    pub(crate) fn write(
        self,
        log: &mut EntryLog,
        written: &mut impl FnMut(JournalEvent),
    ) -> Result<(), EntryLogError> {
        if !self.entries.is_empty() || self.hard_state.is_some() {
            log.write(&self.entries, self.hard_state.as_ref())?;
            let synced = log.sync()?;
            self.sealed
                .into_iter()
                .for_each(|captured| written(JournalEvent::Sealed(captured, synced)));
        }
        if let Some(number) = self.number {
            written(JournalEvent::Persisted {
                number,
                then_send: self.then_send,
            });
        }
        self.trim.map_or(Ok(()), |index| log.trim_before(index))
    }
}

/// Whether it says that a leader's entries are on disk up to an index.
fn is_taken(message: &Message) -> bool {
    message.get_msg_type() == MessageType::MsgAppendResponse && !message.reject
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::entry::EntryKind;
    use crate::ids::LeaderEpoch;

    fn step(number: u64, bytes: usize, then_send: Vec<Message>) -> JournalWrite {
        let entry = Entry {
            index: EntryIndex(number),
            epoch: LeaderEpoch(1),
            kind: EntryKind::Command,
            payload: Bytes::from(vec![0; bytes]),
        };
        JournalWrite::Persist(Persist {
            number,
            entries: vec![entry],
            hard_state: None,
            then_send,
        })
    }

    fn taken(index: u64) -> Message {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgAppendResponse);
        (message.to, message.term, message.index) = (1, 1, index);
        message
    }

    #[test]
    fn what_waits_is_joined_into_one_write_up_to_a_bound_and_keeps_its_order() {
        let mut line = JournalLine::default();
        for number in 1..=10_000 {
            line.join(step(number, 100, Vec::new()));
        }
        line.join(step(10_001, WRITE_BYTES_MAX, Vec::new()));
        line.join(step(10_002, 1, Vec::new()));

        let first = line.next().expect("waits");
        assert_eq!((first.number, first.entries.len()), (Some(10_001), 10_001));
        assert!(first.entries.is_sorted_by_key(|entry| entry.index));
        assert_eq!(line.next().expect("waits").number, Some(10_002));
        assert!(line.next().is_none());
    }

    #[test]
    fn a_leader_that_asks_again_and_again_while_a_disk_hangs_is_answered_once() {
        let mut line = JournalLine::default();
        (1..=1_000).for_each(|number| line.join(step(number, 1, vec![taken(number)])));
        let mut refusal = taken(1_000);
        refusal.reject = true;
        line.join(step(1_001, 1, vec![refusal, taken(1_001)]));

        let said = line.next().expect("waits").then_send;
        let indexes: Vec<_> = said.iter().map(|message| message.index).collect();
        assert_eq!(indexes, [1_000, 1_000, 1_001]);
    }
}
