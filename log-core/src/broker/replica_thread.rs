//! The thread that owns the replica and loops: next input, take, work, perform. Writing and syncing happen on the
//! journal's thread and checkpoints on one of their own, so a tick never waits for a disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use super::journal_group::Written;
use super::journal_thread::JournalThread;
use super::replica::{Effect, Input, Replica, ReplicaError, Ticket};
use super::replica_handle::{Asked, Leadership, Outcome, ProposeError, Shared};
use crate::ids::EntryIndex;
use crate::storage::{Captured, CheckpointError, EntryLog, EntryLogError, Synced};

/// The length of the driver's tick.
const TICK: Duration = Duration::from_millis(25);
/// Questions taken before the next round of work: enough to share one write, few enough to start it soon.
const ASKED_PER_ROUND_MAX: usize = 256;
/// Words from the journal's and the checkpoint's threads that wait to be heard. They block when it is full.
const HEARD_MAX: usize = 256;

/// Why the replica's thread ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum BrokerStopped {
    /// The journal could not be written or synced.
    #[error(
        "the journal can no longer be written; what was acknowledged is safe, restart once the disk is sound"
    )]
    Journal(#[source] EntryLogError),
    /// The replica cannot go on.
    #[error("the replica cannot go on")]
    Replica(#[source] ReplicaError),
    /// A checkpoint could not be written.
    #[error(
        "a checkpoint could not be written; what was acknowledged is safe, restart once the disk is sound"
    )]
    Checkpoint(#[source] CheckpointError),
}

/// What other threads of the replica say to its own.
enum Heard {
    Written(Written),
    Checkpoint(Result<EntryIndex, CheckpointError>),
}

/// The running thread.
pub(super) struct ReplicaThread {
    thread: JoinHandle<Result<(), BrokerStopped>>,
}

impl ReplicaThread {
    /// Starts it. `stop` ends it cleanly, with a checkpoint; it is cancelled by the thread itself when it ends early.
    ///
    /// # Errors
    /// What the system says when it has no thread to give.
    pub(super) fn start(
        replica: Replica,
        log: EntryLog,
        asked: Receiver<Asked>,
        shared: Arc<Shared>,
        stop: CancellationToken,
    ) -> std::io::Result<Self> {
        let (heard_in, heard) = mpsc::channel(HEARD_MAX);
        let from_journal = heard_in.clone();
        // Once the replica is gone nobody needs the word.
        let journal = JournalThread::start(log, move |written| {
            drop(from_journal.blocking_send(Heard::Written(written)))
        })?;
        let runner = Runner {
            replica,
            journal,
            shared,
            tickets: Tickets::default(),
            effects: Vec::new(),
            heard_in,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let body = move || {
            let ended = runtime.block_on(runner.run(asked, heard, &stop));
            if let Err(stopped) = &ended {
                error!(
                    error = stopped as &(dyn std::error::Error + 'static),
                    "broker stopped"
                );
            }
            stop.cancel();
            ended
        };
        Ok(Self {
            thread: thread::Builder::new().name("replica".into()).spawn(body)?,
        })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`BrokerStopped`] when it ended before it was asked to.
    ///
    /// # Panics
    /// When the thread panicked: a broken invariant.
    pub(super) fn join(self) -> Result<(), BrokerStopped> {
        self.thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

struct Runner {
    replica: Replica,
    journal: JournalThread,
    shared: Arc<Shared>,
    tickets: Tickets,
    effects: Vec<Effect>,
    heard_in: Sender<Heard>,
}

impl Runner {
    async fn run(
        mut self,
        mut asked: Receiver<Asked>,
        mut heard: Receiver<Heard>,
        stop: &CancellationToken,
    ) -> Result<(), BrokerStopped> {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        if self.replica.is_alone() {
            self.replica.campaign();
            self.work()?;
        }
        loop {
            tokio::select! {
                biased;
                Some(word) = heard.recv() => self.hear(word)?,
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.take(Input::Tick),
                Some(question) = asked.recv() => self.take_asked(question, &mut asked),
            }
            self.work()?;
        }
        self.finish(heard).await
    }

    /// Clean end: what was proposed goes to disk and is answered, then a checkpoint makes the next start short.
    async fn finish(mut self, mut heard: Receiver<Heard>) -> Result<(), BrokerStopped> {
        self.hear_until(&mut heard, |end| {
            !end.tickets.has_proposals() && !end.replica.is_checkpointing()
        })
        .await?;
        self.replica.capture_checkpoint(&mut self.effects);
        self.work()?;
        self.hear_until(&mut heard, |end| !end.replica.is_checkpointing())
            .await?;
        info!("replica ended with a checkpoint");
        Ok(())
    }

    async fn hear_until(
        &mut self,
        heard: &mut Receiver<Heard>,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), BrokerStopped> {
        while !done(self) {
            let word = heard
                .recv()
                .await
                .expect("this end holds a sender of its own");
            self.hear(word)?;
            self.work()?;
        }
        Ok(())
    }

    fn take(&mut self, input: Input) {
        self.replica
            .take(self.shared.clock.wall(), input, &mut self.effects);
    }

    fn take_asked(&mut self, first: Asked, waiting: &mut Receiver<Asked>) {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(question) = next {
            let input = self.tickets.open(question);
            self.take(input);
            taken += 1;
            next = if taken < ASKED_PER_ROUND_MAX {
                waiting.try_recv().ok()
            } else {
                None
            };
        }
    }

    fn hear(&mut self, word: Heard) -> Result<(), BrokerStopped> {
        match word {
            Heard::Written(Written::Persisted { number, then_send }) => {
                self.effects.extend(then_send.into_iter().map(Effect::Send));
                self.take(Input::Persisted { number });
            }
            Heard::Written(Written::Sealed(captured, synced)) => {
                self.complete_checkpoint(captured, synced)
            }
            Heard::Written(Written::Broken(error)) => return Err(BrokerStopped::Journal(error)),
            Heard::Checkpoint(done) => {
                let index = done.map_err(BrokerStopped::Checkpoint)?;
                self.take(Input::CheckpointDurable { index });
            }
        }
        Ok(())
    }

    fn work(&mut self) -> Result<(), BrokerStopped> {
        let worked = self.replica.work(&mut self.effects);
        for effect in std::mem::take(&mut self.effects) {
            self.perform(effect);
        }
        worked.map_err(BrokerStopped::Replica)
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Persist(step) => self.journal.persist(step),
            Effect::Send(message) => debug!(to = message.to, "a cluster of one has nobody to tell"),
            Effect::Answer { ticket, outcome } => self.tickets.answer(ticket, outcome),
            Effect::Readable { ticket, allowed } => self.tickets.allow(ticket, allowed),
            Effect::CompleteCheckpoint {
                hard_state,
                captured,
            } => self.journal.seal(hard_state, captured),
            Effect::TrimJournal { before } => self.journal.trim_before(before),
        }
    }

    fn complete_checkpoint(&mut self, captured: Captured, synced: Synced) {
        let done = self.heard_in.clone();
        let body = move || drop(done.blocking_send(Heard::Checkpoint(captured.complete(synced))));
        let thread = thread::Builder::new().name("checkpoint".into()).spawn(body);
        drop(thread.expect("the system gives a thread"));
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Nobody may read that this node leads once it no longer works.
        self.shared
            .leadership
            .send_replace(Leadership::Follower { leader: None });
        self.tickets.close();
    }
}

/// Who waits for which answer.
#[derive(Default)]
struct Tickets {
    issued: u64,
    proposals: BTreeMap<
        Ticket,
        (
            OwnedSemaphorePermit,
            oneshot::Sender<Result<Outcome, ProposeError>>,
        ),
    >,
    reads: BTreeMap<Ticket, oneshot::Sender<Result<(), ProposeError>>>,
}

impl Tickets {
    fn open(&mut self, question: Asked) -> Input {
        self.issued += 1;
        let ticket = Ticket(self.issued);
        match question {
            Asked::Propose {
                command,
                permit,
                reply,
            } => {
                self.proposals.insert(ticket, (permit, reply));
                Input::Propose { ticket, command }
            }
            Asked::Read { reply } => {
                self.reads.insert(ticket, reply);
                Input::Read { ticket }
            }
        }
    }

    /// Whoever asked may have stopped waiting; then nobody needs the answer.
    fn answer(&mut self, ticket: Ticket, outcome: Result<Outcome, ProposeError>) {
        let (_, reply) = self
            .proposals
            .remove(&ticket)
            .expect("each ticket is answered once");
        drop(reply.send(outcome));
    }

    fn allow(&mut self, ticket: Ticket, allowed: Result<(), ProposeError>) {
        let reply = self
            .reads
            .remove(&ticket)
            .expect("each ticket is answered once");
        reply.send(allowed).ok();
    }

    fn has_proposals(&self) -> bool {
        !self.proposals.is_empty()
    }

    fn close(&mut self) {
        for (_, reply) in std::mem::take(&mut self.proposals).into_values() {
            drop(reply.send(Err(ProposeError::Stopped)));
        }
        for reply in std::mem::take(&mut self.reads).into_values() {
            reply.send(Err(ProposeError::Stopped)).ok();
        }
    }
}
