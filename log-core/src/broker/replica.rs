//! One replica: consensus, state machine and partitions put together, without threads or sockets. An input goes in with
//! the time; effects come out in the order in which they must be performed. The world drives it from
//! [`super::replica_thread`], a simulation from one seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::replica_handle::{Leadership, Outcome, ProposeError, Shared};
use crate::consensus::{Driver, Dropped, Membership, Message, Persist, Place, ReadTicket, Role};
use crate::entry::{Entry, EntryKind, HardState};
use crate::ids::{EntryIndex, LeaderEpoch, TimestampMs};
use crate::state::{Applied, Change, Command, Envelope, EnvelopeError};
use crate::storage::{Captured, Checkpoint, PartitionsError};

/// Names a question, so that its answer finds the asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// What can happen to a replica.
#[derive(Debug)]
pub(crate) enum Input {
    /// Somebody wants a command applied. Answered with [`Effect::Answer`].
    Propose {
        /// Who asks.
        ticket: Ticket,
        /// What.
        command: Command,
    },
    /// Somebody wants to read what is current. Answered with [`Effect::Readable`].
    Read {
        /// Who asks.
        ticket: Ticket,
    },
    /// This step and all before it are on disk.
    Persisted {
        /// The step's number.
        number: u64,
    },
    /// Another replica says something.
    #[cfg_attr(
        not(any(test, feature = "testing")),
        expect(
            dead_code,
            reason = "a cluster of one has no peers; the simulated ones have"
        )
    )]
    Message(Message),
    /// Time passes.
    Tick,
    /// The checkpoint at this index is durable.
    CheckpointDurable {
        /// The last entry it covers.
        index: EntryIndex,
    },
}

/// What must happen, in the order given.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Write and sync.
    Persist(Persist),
    /// Tell another replica.
    Send(Message),
    /// Answer a proposal.
    Answer {
        /// Who asked.
        ticket: Ticket,
        /// The outcome, or why there is none.
        outcome: Result<Outcome, ProposeError>,
    },
    /// Answer a read.
    Readable {
        /// Who asked.
        ticket: Ticket,
        /// Whether it may be served here.
        allowed: Result<(), ProposeError>,
    },
    /// Write this promise, then complete the checkpoint, away from the replica's own thread.
    CompleteCheckpoint {
        /// Covers the checkpoint.
        hard_state: HardState,
        /// What the checkpoint keeps.
        captured: Captured,
    },
    /// The journal is no longer needed up to here (exclusive).
    TrimJournal {
        /// The first entry that stays.
        before: EntryIndex,
    },
}

/// Why a replica cannot go on. The broker stops; the process that embeds it does not.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// A committed entry that this version does not understand: going on would make this replica differ.
    #[error("entry {index}: its command is not known to this version")]
    Command {
        /// The entry.
        index: EntryIndex,
        /// What is wrong with it.
        #[source]
        source: EnvelopeError,
    },
    /// A partition's files could not be changed.
    #[error("entry {index}: its change could not be written")]
    Partitions {
        /// The entry.
        index: EntryIndex,
        /// The file and the cause.
        #[source]
        source: PartitionsError,
    },
}

/// One replica. See the module.
pub(crate) struct Replica {
    driver: Driver,
    membership: Membership,
    shared: Arc<Shared>,
    applied: EntryIndex,
    applied_epoch: LeaderEpoch,
    /// Commands are stamped with a time that never falls.
    last_stamp: TimestampMs,
    proposed: BTreeMap<EntryIndex, (LeaderEpoch, Ticket)>,
    reads: Reads,
    checkpoint: CheckpointPlan,
}

/// Reads on their way: waiting to be asked together, asked, and waiting for an index to be applied.
#[derive(Default)]
struct Reads {
    waiting: Vec<Ticket>,
    asked: BTreeMap<ReadTicket, Vec<Ticket>>,
    at_index: BTreeMap<EntryIndex, Vec<Ticket>>,
}

/// When the next checkpoint is due.
struct CheckpointPlan {
    bytes_between: u64,
    bytes_since: u64,
    under_way: bool,
}

impl Replica {
    /// Puts a replica together from what recovery found. `applied` is the checkpoint's place.
    pub(super) fn new(
        driver: Driver,
        membership: Membership,
        shared: Arc<Shared>,
        applied: (EntryIndex, LeaderEpoch),
        checkpoint_bytes: u64,
    ) -> Self {
        let last_stamp = shared.state.read().expect("nobody else has it yet").clock();
        Self {
            driver,
            membership,
            shared,
            applied: applied.0,
            applied_epoch: applied.1,
            last_stamp,
            proposed: BTreeMap::new(),
            reads: Reads::default(),
            checkpoint: CheckpointPlan {
                bytes_between: checkpoint_bytes,
                bytes_since: 0,
                under_way: false,
            },
        }
    }

    /// Takes one input. Call [`Replica::work`] after one or several.
    pub(crate) fn take(&mut self, wall: TimestampMs, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Propose { ticket, command } => self.propose(wall, ticket, command, effects),
            Input::Read { ticket } => self.read(ticket, effects),
            Input::Persisted { number } => self.driver.persisted(number),
            Input::Message(message) => self.driver.step(message),
            Input::Tick => self.driver.tick(),
            Input::CheckpointDurable { index } => self.checkpoint_durable(index, effects),
        }
    }

    /// Does all that the inputs so far have made possible.
    ///
    /// # Errors
    /// [`ReplicaError`]: this replica must not go on. Effects pushed before it are still right.
    pub(crate) fn work(&mut self, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        self.ask_reads_together();
        while let Some(work) = self.driver.work() {
            effects.extend(work.send.into_iter().map(Effect::Send));
            effects.extend(work.persist.map(Effect::Persist));
            for entry in work.apply {
                self.apply(&entry, effects)?;
            }
            self.driver.applied(self.applied);
            for (asked, index) in work.readable {
                let tickets = self.reads.asked.remove(&asked).unwrap_or_default();
                self.reads
                    .at_index
                    .entry(index)
                    .or_default()
                    .extend(tickets);
            }
        }
        self.answer_reads(effects);
        self.follow_leadership(effects);
        self.capture_checkpoint_when_due(effects);
        Ok(())
    }

    /// Stands for election at once: a cluster of one has nobody to wait for.
    pub(crate) fn campaign(&mut self) {
        self.driver.campaign();
    }

    /// Whether this replica alone decides.
    pub(crate) fn is_alone(&self) -> bool {
        self.membership.voters.len() == 1 && self.membership.voters_outgoing.is_empty()
    }

    /// Whether a checkpoint is being written.
    pub(crate) fn is_checkpointing(&self) -> bool {
        self.checkpoint.under_way
    }

    /// Takes a checkpoint of this moment. None may be under way.
    pub(crate) fn capture_checkpoint(&mut self, effects: &mut Vec<Effect>) {
        self.checkpoint.under_way = true;
        self.checkpoint.bytes_since = 0;
        let state = self
            .shared
            .state
            .read()
            .expect("this thread is the only one that writes it");
        let captured = self.shared.partitions.capture(Checkpoint {
            applied: self.applied,
            epoch: self.applied_epoch,
            state: state.encode().into(),
            membership: self.membership.encode().into(),
        });
        effects.push(Effect::CompleteCheckpoint {
            hard_state: self.driver.hard_state(),
            captured,
        });
    }

    fn propose(
        &mut self,
        wall: TimestampMs,
        ticket: Ticket,
        command: Command,
        effects: &mut Vec<Effect>,
    ) {
        let at = wall.max(self.last_stamp);
        let envelope = Envelope {
            proposer: self.driver.epoch(),
            at,
            command,
        };
        match self.driver.propose(envelope.encode()) {
            Ok(Place { index, epoch }) => {
                self.last_stamp = at;
                self.proposed.insert(index, (epoch, ticket));
            }
            Err(dropped) => {
                let outcome = Err(match dropped {
                    Dropped::NotLeader => ProposeError::NotLeader,
                    Dropped::Busy => ProposeError::Dropped,
                });
                effects.push(Effect::Answer { ticket, outcome });
            }
        }
    }

    fn read(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        match self.current_leadership() {
            Leadership::Leader { .. } => self.reads.waiting.push(ticket),
            Leadership::Starting | Leadership::Follower { .. } => {
                effects.push(Effect::Readable {
                    ticket,
                    allowed: Err(ProposeError::NotLeader),
                });
            }
        }
    }

    /// One question to the voters serves everybody who has asked by now.
    fn ask_reads_together(&mut self) {
        if self.reads.waiting.is_empty() {
            return;
        }
        let asked = self.driver.read_index();
        self.reads
            .asked
            .insert(asked, std::mem::take(&mut self.reads.waiting));
    }

    fn answer_reads(&mut self, effects: &mut Vec<Effect>) {
        while let Some(first) = self.reads.at_index.first_entry() {
            if self.applied < *first.key() {
                break;
            }
            let tickets = first.remove();
            effects.extend(tickets.into_iter().map(|ticket| Effect::Readable {
                ticket,
                allowed: Ok(()),
            }));
        }
    }

    fn apply(&mut self, entry: &Entry, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        assert_eq!(
            self.applied.0 + 1,
            entry.index.0,
            "entries are applied in order, each once"
        );
        let outcome = match entry.kind {
            EntryKind::Membership => {
                self.membership = self.driver.apply_membership(entry);
                None
            }
            // A new leader's first entry: its only message is that the epoch has begun.
            EntryKind::Command if entry.payload.is_empty() => None,
            EntryKind::Command => Some(self.apply_command(entry)?),
        };
        self.applied = entry.index;
        self.applied_epoch = entry.epoch;
        self.checkpoint.bytes_since += entry.payload.len() as u64;
        self.answer(entry, outcome, effects);
        Ok(())
    }

    /// The state and the files change under one lock: a reader that sees an offset finds its bytes.
    fn apply_command(&mut self, entry: &Entry) -> Result<Outcome, ReplicaError> {
        let index = entry.index;
        let envelope = Envelope::decode(&entry.payload)
            .map_err(|source| ReplicaError::Command { index, source })?;
        let mut state = self
            .shared
            .state
            .write()
            .expect("readers do not panic with the lock");
        let Applied { outcome, changes } = state.apply(index, entry.epoch, &envelope);
        for change in changes {
            self.perform(change)
                .map_err(|source| ReplicaError::Partitions { index, source })?;
        }
        Ok(outcome)
    }

    fn perform(&self, change: Change) -> Result<(), PartitionsError> {
        let partitions = &self.shared.partitions;
        match change {
            Change::PartitionCreated {
                partition,
                topic_id,
                segment,
            } => partitions.create(&partition, topic_id, segment),
            Change::PartitionConfigured { partition, segment } => {
                partitions.configure(&partition, segment)
            }
            Change::PartitionDeleted { partition } => partitions.delete(&partition),
            Change::Appended {
                partition,
                base_offset,
                batch,
            } => partitions.append(&partition, base_offset, &batch),
            Change::LogStartMoved {
                partition,
                log_start_offset,
            } => partitions.move_log_start(&partition, log_start_offset),
        }
    }

    fn answer(&mut self, entry: &Entry, outcome: Option<Outcome>, effects: &mut Vec<Effect>) {
        let Some((epoch, ticket)) = self.proposed.remove(&entry.index) else {
            return;
        };
        let outcome = match outcome {
            Some(outcome) if epoch == entry.epoch => Ok(outcome),
            _ => Err(ProposeError::NotLeader),
        };
        effects.push(Effect::Answer { ticket, outcome });
    }

    fn current_leadership(&self) -> Leadership {
        match self.driver.role() {
            Role::Leader if self.applied_epoch == self.driver.epoch() => Leadership::Leader {
                epoch: self.applied_epoch,
            },
            Role::Leader => Leadership::Starting,
            Role::Follower { leader } => {
                let state = self
                    .shared
                    .state
                    .read()
                    .expect("this thread is the only one that writes it");
                let node = leader.and_then(|leader| {
                    state
                        .nodes()
                        .find_map(|(id, node)| (node.replica == leader).then_some(id))
                });
                Leadership::Follower {
                    leader: node.map(|node| (node, self.driver.epoch())),
                }
            }
        }
    }

    fn follow_leadership(&mut self, effects: &mut Vec<Effect>) {
        let now = self.current_leadership();
        if matches!(now, Leadership::Follower { .. }) {
            self.let_askers_go(effects);
        }
        self.shared
            .leadership
            .send_if_modified(|shown| std::mem::replace(shown, now) != now);
        let applied = self.applied;
        self.shared
            .applied
            .send_if_modified(|shown| std::mem::replace(shown, applied) != applied);
    }

    /// Leadership is lost: what was proposed may still be committed by the next leader, or not.
    fn let_askers_go(&mut self, effects: &mut Vec<Effect>) {
        for (_, ticket) in std::mem::take(&mut self.proposed).into_values() {
            effects.push(Effect::Answer {
                ticket,
                outcome: Err(ProposeError::OutcomeUnknown),
            });
        }
        let reads = std::mem::take(&mut self.reads);
        let asked = reads
            .asked
            .into_values()
            .chain(reads.at_index.into_values())
            .flatten();
        for ticket in asked.chain(reads.waiting) {
            effects.push(Effect::Readable {
                ticket,
                allowed: Err(ProposeError::OutcomeUnknown),
            });
        }
    }

    fn capture_checkpoint_when_due(&mut self, effects: &mut Vec<Effect>) {
        if self.checkpoint.under_way || self.checkpoint.bytes_since < self.checkpoint.bytes_between
        {
            return;
        }
        self.capture_checkpoint(effects);
    }

    fn checkpoint_durable(&mut self, index: EntryIndex, effects: &mut Vec<Effect>) {
        self.checkpoint.under_way = false;
        self.driver.trim_to(index);
        effects.push(Effect::TrimJournal {
            before: EntryIndex(index.0 + 1),
        });
    }
}
