//! One transactional id: who writes under it, and the transaction it has open (KIP-98, KIP-360, KIP-588).
//!
//! ```text
//!            first partition or group            EndTransaction
//!   Empty ─────────────────────────────> Ongoing ─────────────> Committed or Aborted
//!                                         │   ^                        │
//!            time-out or InitProducerId   │   │ next partition or group│
//!                     Aborted <───────────┘   └────────────────────────┘
//! ```
//!
//! Kafka's states in between (PrepareCommit, PrepareAbort, CompleteAbort pending) are not here: one command writes every
//! marker and commits every offset at once, so nobody ever meets half an end, and CONCURRENT_TRANSACTIONS is never said.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::clock_jumps::ClockJumps;
use super::command::{InitProducerId, TransactionOutcome, TransactionalProducer};
use super::command_error::CommandError;
use crate::ids::{GroupId, ProducerEpoch, ProducerId, TimestampMs, TopicName, TopicPartition};

/// The last epoch that a producer is given; the one after it only fences. Then its transactional id gets a new producer id
/// (Kafka's `isProducerEpochExhausted`).
const EPOCH_LAST: ProducerEpoch = ProducerEpoch(32_766);

/// One transactional id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    producer: ProducerId,
    epoch: ProducerEpoch,
    /// Who may still be answered with the present producer: the one that asked to be renewed and may not have heard the
    /// answer, or whose transaction timed out.
    previous: Option<(ProducerId, ProducerEpoch)>,
    timeout_ms: u32,
    status: TransactionStatus,
    changed_at: TimestampMs,
}

/// Where the transaction stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransactionStatus {
    /// There was none in this incarnation. Ending it is INVALID_TXN_STATE.
    Empty,
    /// One is open: batches to its partitions and offsets of its groups are taken.
    Ongoing(OpenTransaction),
    /// The last one was committed. Committing again is answered as done, aborting is INVALID_TXN_STATE.
    Committed,
    /// The last one was aborted. Aborting again is answered as done, committing is INVALID_TXN_STATE.
    Aborted,
}

/// What an open transaction touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTransaction {
    /// When it began; its time-out counts from here.
    pub started_at: TimestampMs,
    /// Where its records may go.
    pub partitions: BTreeSet<TopicPartition>,
    /// Whose offsets it may commit.
    pub groups: BTreeSet<GroupId>,
}

/// What is true.
impl Transaction {
    /// The producer that writes under the id.
    pub fn producer(&self) -> ProducerId {
        self.producer
    }

    /// Its epoch; earlier ones are fenced.
    pub fn epoch(&self) -> ProducerEpoch {
        self.epoch
    }

    /// How long a transaction of it may be open.
    pub fn timeout_ms(&self) -> u32 {
        self.timeout_ms
    }

    /// Where its transaction stands.
    pub fn status(&self) -> &TransactionStatus {
        &self.status
    }

    /// When its status last changed.
    pub fn changed_at(&self) -> TimestampMs {
        self.changed_at
    }

    /// The open transaction.
    pub fn open(&self) -> Option<&OpenTransaction> {
        match &self.status {
            TransactionStatus::Ongoing(open) => Some(open),
            TransactionStatus::Empty
            | TransactionStatus::Committed
            | TransactionStatus::Aborted => None,
        }
    }

    /// The command time at which the open transaction is aborted if it has not ended: time that no leader lived through
    /// does not count.
    pub fn deadline(&self, jumps: &ClockJumps) -> Option<TimestampMs> {
        self.open()
            .map(|open| jumps.due_at(open.started_at, self.timeout_ms.into()))
    }

    pub(super) fn writes_to(&self, partition: &TopicPartition) -> bool {
        self.open()
            .is_some_and(|open| open.partitions.contains(partition))
    }

    pub(super) fn commits_for(&self, group: &GroupId) -> bool {
        self.open().is_some_and(|open| open.groups.contains(group))
    }
}

impl Transaction {
    pub(super) fn new(producer: ProducerId, timeout_ms: u32, at: TimestampMs) -> Self {
        Self {
            producer,
            epoch: ProducerEpoch(0),
            previous: None,
            timeout_ms,
            status: TransactionStatus::Empty,
            changed_at: at,
        }
    }

    /// Whether this is the producer that writes under the id now.
    pub(super) fn check(&self, by: &TransactionalProducer) -> Result<(), CommandError> {
        let TransactionalProducer {
            id,
            producer,
            epoch,
        } = by.clone();
        if producer != self.producer {
            return Err(CommandError::InvalidProducerIdMapping { id, producer });
        }
        if epoch != self.epoch {
            return Err(CommandError::ProducerFenced {
                id,
                producer,
                found: epoch,
                current: self.epoch,
            });
        }
        Ok(())
    }

    /// Whether a producer that begins is answered with what is already there: it asks again, or it learns that its
    /// transaction timed out. Others renew the id; one that was replaced is fenced.
    pub(super) fn already_renewed(&self, init: &InitProducerId) -> Result<bool, CommandError> {
        let Some(expected) = init.expected else {
            return Ok(false);
        };
        if expected == (self.producer, self.epoch) {
            return Ok(false);
        }
        // With a transaction open, the renewed producer has been heard of, and the asker is a zombie.
        if self.previous == Some(expected) && self.open().is_none() {
            return Ok(self.epoch <= EPOCH_LAST);
        }
        let (producer, found) = expected;
        Err(CommandError::ProducerFenced {
            id: init.id.clone(),
            producer,
            found,
            current: self.epoch,
        })
    }

    /// Fences the present epoch; `previous` may ask what became of it.
    pub(super) fn fence(&mut self, previous: Option<(ProducerId, ProducerEpoch)>) {
        self.previous = previous;
        self.epoch = ProducerEpoch(self.epoch.0.min(EPOCH_LAST.0) + 1);
    }

    /// Whether the epochs of the producer id are used up.
    pub(super) fn is_exhausted(&self) -> bool {
        EPOCH_LAST < self.epoch
    }

    /// Continues under a new producer id.
    pub(super) fn rotate(&mut self, producer: ProducerId) {
        self.producer = producer;
        self.epoch = ProducerEpoch(0);
    }

    /// A new incarnation begins.
    pub(super) fn begin(&mut self, timeout_ms: u32, at: TimestampMs) {
        self.timeout_ms = timeout_ms;
        self.status = TransactionStatus::Empty;
        self.changed_at = at;
    }

    /// The open transaction, which begins now if there is none.
    pub(super) fn open_or_begin(&mut self, at: TimestampMs) -> &mut OpenTransaction {
        if self.open().is_none() {
            let (partitions, groups) = (BTreeSet::new(), BTreeSet::new());
            self.status = TransactionStatus::Ongoing(OpenTransaction {
                started_at: at,
                partitions,
                groups,
            });
            self.changed_at = at;
        }
        match &mut self.status {
            TransactionStatus::Ongoing(open) => open,
            _ => unreachable!("it was begun above"),
        }
    }

    /// Whether it may end in this way: it is open, or an earlier try has ended it so.
    pub(super) fn check_end(&self, outcome: TransactionOutcome) -> Result<(), CommandError> {
        match (&self.status, outcome) {
            (TransactionStatus::Ongoing(_), _)
            | (TransactionStatus::Committed, TransactionOutcome::Commit)
            | (TransactionStatus::Aborted, TransactionOutcome::Abort) => Ok(()),
            (
                TransactionStatus::Empty
                | TransactionStatus::Committed
                | TransactionStatus::Aborted,
                _,
            ) => {
                let what = "no transaction to end in this way";
                Err(CommandError::InvalidTransactionState {
                    producer: self.producer,
                    what,
                })
            }
        }
    }

    /// Closes the open transaction; answers what it touched.
    pub(super) fn close(
        &mut self,
        outcome: TransactionOutcome,
        at: TimestampMs,
    ) -> Option<OpenTransaction> {
        let closed = match outcome {
            TransactionOutcome::Commit => TransactionStatus::Committed,
            TransactionOutcome::Abort => TransactionStatus::Aborted,
        };
        self.open()?;
        self.changed_at = at;
        match std::mem::replace(&mut self.status, closed) {
            TransactionStatus::Ongoing(open) => Some(open),
            TransactionStatus::Empty
            | TransactionStatus::Committed
            | TransactionStatus::Aborted => None,
        }
    }

    /// A topic is gone: there is nowhere to write a marker to.
    pub(super) fn forget_topic(&mut self, topic: &TopicName) {
        if let TransactionStatus::Ongoing(open) = &mut self.status {
            open.partitions
                .retain(|partition| partition.topic != *topic);
        }
    }
}
