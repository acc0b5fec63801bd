//! The one thread that writes the journal: all that waits goes down with one write and one sync (group commit).
//!
//! A step is confirmed, and the messages that rely on it leave, only after the sync returned. A failed sync ends the
//! thread and is never retried: what reached the disk is unknown then.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};

use crate::consensus::{Message, Persist};
use crate::entry::{Entry, HardState};
use crate::ids::EntryIndex;
use crate::storage::{Captured, EntryLog, EntryLogError, Synced};

/// Steps waiting for the disk. The driver hands out a few at a time: proposals are bounded in bytes before they get here.
const STEPS_MAX: usize = 1024;
/// Bytes of entries in one write, past which what waits goes into the next: keeps the sync of the first ones short.
const WRITE_BYTES_MAX: usize = 4 << 20;

/// What the thread is asked.
enum Job {
    Persist(Persist),
    Seal(HardState, Captured),
    TrimBefore(EntryIndex),
}

/// What it says.
pub(super) enum Written {
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
}

/// The thread's end that the replica holds. Dropping it lets the thread finish what waits, and end.
pub(super) struct JournalThread {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl JournalThread {
    /// Starts it. `written` is called on the thread after each write.
    ///
    /// # Errors
    /// What the system says when it has no thread to give.
    pub(super) fn start(
        log: EntryLog,
        written: impl FnMut(Written) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel(STEPS_MAX);
        let thread = thread::Builder::new().name("journal".into()).spawn(move || run(log, &waiting, written))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Puts a step in line.
    pub(super) fn persist(&self, step: Persist) {
        self.ask(Job::Persist(step));
    }

    /// Puts the promise that a checkpoint relies on to disk (DESIGN rule 12: the journal first).
    pub(super) fn seal(&self, hard_state: HardState, captured: Captured) {
        self.ask(Job::Seal(hard_state, captured));
    }

    /// Lets go of what a durable checkpoint covers.
    pub(super) fn trim_before(&self, index: EntryIndex) {
        self.ask(Job::TrimBefore(index));
    }

    /// A thread that ended has said why; what it is asked then changes nothing.
    fn ask(&self, job: Job) {
        let jobs = self.jobs.as_ref().expect("taken only when dropped");
        drop(jobs.send(job));
    }
}

impl Drop for JournalThread {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(mut log: EntryLog, waiting: &Receiver<Job>, mut written: impl FnMut(Written)) {
    while let Ok(first) = waiting.recv() {
        if let Err(error) = Group::gather(first, waiting).write(&mut log, &mut written) {
            return written(Written::Broken(error));
        }
    }
}

/// What goes down together.
#[derive(Default)]
struct Group {
    number: Option<u64>,
    entries: Vec<Entry>,
    hard_state: Option<HardState>,
    then_send: Vec<Message>,
    sealed: Vec<Captured>,
    trim: Option<EntryIndex>,
}

impl Group {
    fn gather(first: Job, waiting: &Receiver<Job>) -> Self {
        let mut group = Self::default();
        let mut bytes = group.add(first);
        while bytes < WRITE_BYTES_MAX {
            match waiting.try_recv() {
                Ok(job) => bytes += group.add(job),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
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

    fn write(self, log: &mut EntryLog, written: &mut impl FnMut(Written)) -> Result<(), EntryLogError> {
        if !self.entries.is_empty() || self.hard_state.is_some() {
            log.write(&self.entries, self.hard_state.as_ref())?;
            let synced = log.sync()?;
            self.sealed.into_iter().for_each(|captured| written(Written::Sealed(captured, synced)));
        }
        if let Some(number) = self.number {
            written(Written::Persisted { number, then_send: self.then_send });
        }
        self.trim.map_or(Ok(()), |index| log.trim_before(index))
    }
}
