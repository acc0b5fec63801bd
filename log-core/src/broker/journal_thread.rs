//! The one thread that writes the journal: all that waits goes down with one write and one sync (group commit).
//!
//! A step is confirmed, and the messages that rely on it leave, only after the sync returned. A failed sync ends the
//! thread and is never retried: what reached the disk is unknown then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::consensus::Persist;
use crate::entry::HardState;
use crate::ids::EntryIndex;
use crate::node::group_commit::{GroupCommit, JournalEvent, JournalLine, JournalWrite};
use crate::storage::{EntryLog, PendingCheckpoint};

/// What the replica asks and the thread has not taken yet.
#[derive(Default)]
struct QueuedWrites {
    line: Mutex<Line>,
    changed: Condvar,
}

#[derive(Default)]
struct Line {
    jobs: JournalLine,
    ended: bool,
}

impl QueuedWrites {
    fn change(&self, change: impl FnOnce(&mut Line)) {
        // A job joins whole or not at all.
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut line);
        self.changed.notify_one();
    }

    /// What goes down next; none once all is done and nothing is asked any more. Waits for either.
    fn next(&self) -> Option<GroupCommit> {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let mut group = None;
        let waits = |line: &mut Line| {
            group = line.jobs.next();
            group.is_none() && !line.ended
        };
        drop(self.changed.wait_while(line, waits));
        group
    }
}

/// The thread's end that the replica holds. Dropping it lets the thread finish what waits, and end.
pub(super) struct JournalThread {
    waiting: Arc<QueuedWrites>,
    thread: Option<JoinHandle<()>>,
}

impl JournalThread {
    /// Starts it. `written` is called on the thread after each write.
    ///
    /// # Errors
    /// What the system says when it has no thread to give.
    pub(super) fn start(
        log: EntryLog,
        mut written: impl FnMut(JournalEvent) + Send + 'static,
    ) -> std::io::Result<Self> {
        let waiting = Arc::new(QueuedWrites::default());
        let asked = Arc::clone(&waiting);
        let body = move || {
            let run = || run(log, &asked, &mut written);
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                written(JournalEvent::Panicked);
            }
        };
        let thread = thread::Builder::new().name("journal".into()).spawn(body)?;
        Ok(Self {
            waiting,
            thread: Some(thread),
        })
    }

    /// Puts a step in line.
    pub(super) fn persist(&self, step: Persist) {
        self.ask(JournalWrite::Persist(step));
    }

    /// Puts the promise that a checkpoint relies on to disk (rule 12: the journal first).
    pub(super) fn seal(&self, hard_state: HardState, captured: PendingCheckpoint) {
        self.ask(JournalWrite::Seal(hard_state, captured));
    }

    /// Lets go of what a durable checkpoint covers.
    pub(super) fn trim_before(&self, index: EntryIndex) {
        self.ask(JournalWrite::TrimBefore(index));
    }

    /// Lets the thread finish what waits. Its last word is [`JournalEvent::Ended`].
    pub(super) fn end(&mut self) {
        self.waiting.change(|line| line.ended = true);
    }

    /// Never waits for the disk. A thread that ended has said why; what it is asked then changes nothing.
    fn ask(&self, job: JournalWrite) {
        self.waiting.change(|line| line.jobs.join(job));
    }
}

impl Drop for JournalThread {
    fn drop(&mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(mut log: EntryLog, waiting: &QueuedWrites, mut written: &mut impl FnMut(JournalEvent)) {
    while let Some(group) = waiting.next() {
        if let Err(error) = group.write(&mut log, &mut written) {
            return written(JournalEvent::Broken(error));
        }
    }
    // With the last word the replica's thread may open the folder.
    drop(log);
    written(JournalEvent::Ended);
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::mpsc;

    use bytes::Bytes;

    use super::*;
    use crate::entry::{Entry, EntryKind};
    use crate::ids::LeaderEpoch;
    use journal::JournalConfig;
    use journal::sim_disk::SimDisk;

    #[test]
    fn an_invariant_that_breaks_while_writing_is_the_threads_last_word() {
        let disk = Arc::new(SimDisk::with_seed(1));
        let opened = EntryLog::open(
            disk,
            Path::new("/journal"),
            JournalConfig::default(),
            EntryIndex(0),
        );
        let (log, _) = opened.expect("an empty disk");
        let (say, said) = mpsc::sync_channel(1);
        let thread = JournalThread::start(log, move |word| say.send(word).expect("heard"));
        let thread = thread.expect("a thread");

        let after_a_hole = Entry {
            index: EntryIndex(2),
            epoch: LeaderEpoch(1),
            kind: EntryKind::Command,
            payload: Bytes::new(),
        };
        thread.persist(Persist {
            number: 1,
            entries: vec![after_a_hole],
            hard_state: None,
            then_send: Vec::new(),
        });

        assert!(matches!(said.recv(), Ok(JournalEvent::Panicked)));
        assert!(said.recv().is_err());
    }
}
