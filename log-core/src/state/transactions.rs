//! All transactional ids, and what their producers ask for.
//!
//! The coordinator and the partitions are one state machine here: a batch is held against the open transaction when it is
//! applied (the check of KIP-890), and a transaction ends in all its partitions and groups with one command.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::command::{
    AddOffsetsToTransaction, AddPartitionsToTransaction, CommitTransactionOffsets, EndTransaction,
    ExpireTransactionalIds, InitProducerId, TransactionOutcome, TransactionalProducer,
};
use super::group::{CommitKind, CommitTime};
use super::partition::Marker;
use super::refusal::Refusal;
use super::response::Response;
use super::transaction::{Ending, Transaction};
use super::{Change, State};
use crate::ids::{ProducerId, TimestampMs, TopicName, TransactionalId};

/// All transactional ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    from = "BTreeMap<TransactionalId, Transaction>",
    into = "BTreeMap<TransactionalId, Transaction>"
)]
pub(super) struct Transactions {
    by_id: BTreeMap<TransactionalId, Transaction>,
    ids: BTreeMap<ProducerId, TransactionalId>,
}

impl From<BTreeMap<TransactionalId, Transaction>> for Transactions {
    fn from(by_id: BTreeMap<TransactionalId, Transaction>) -> Self {
        let ids = by_id
            .iter()
            .map(|(id, transaction)| (transaction.producer(), id.clone()))
            .collect();
        Self { by_id, ids }
    }
}

impl From<Transactions> for BTreeMap<TransactionalId, Transaction> {
    fn from(transactions: Transactions) -> Self {
        transactions.by_id
    }
}

impl Transactions {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&TransactionalId, &Transaction)> + '_ {
        self.by_id.iter()
    }

    pub(super) fn get(&self, id: &TransactionalId) -> Option<&Transaction> {
        self.by_id.get(id)
    }

    /// The transactional id that a producer writes under.
    pub(super) fn of_producer(&self, producer: ProducerId) -> Option<&Transaction> {
        self.by_id.get(self.ids.get(&producer)?)
    }

    pub(super) fn binds(&self, producer: ProducerId) -> bool {
        self.ids.contains_key(&producer)
    }

    pub(super) fn forget_topic(&mut self, topic: &TopicName) {
        self.by_id
            .values_mut()
            .for_each(|transaction| transaction.forget_topic(topic));
    }

    /// The transaction of the producer that asks, if it still is the one that writes under its id.
    fn meant(&mut self, by: &TransactionalProducer) -> Result<&mut Transaction, Refusal> {
        let TransactionalProducer { id, producer, .. } = by;
        let unknown = || Refusal::InvalidProducerIdMapping {
            id: id.clone(),
            producer: *producer,
        };
        let transaction = self.by_id.get_mut(id).ok_or_else(unknown)?;
        transaction.check(by)?;
        Ok(transaction)
    }

    fn insert(&mut self, id: &TransactionalId, transaction: Transaction) {
        self.ids.insert(transaction.producer(), id.clone());
        self.by_id.insert(id.clone(), transaction);
    }

    fn rotate(&mut self, id: &TransactionalId, fresh: ProducerId) {
        let transaction = self.by_id.get_mut(id).expect("only known ids are renewed");
        self.ids.remove(&transaction.producer());
        transaction.rotate(fresh);
        self.ids.insert(fresh, id.clone());
    }

    fn overdue(&self, now: TimestampMs) -> Vec<TransactionalId> {
        let is_due = |transaction: &Transaction| {
            transaction
                .deadline()
                .is_some_and(|deadline| deadline <= now)
        };
        self.iter()
            .filter(|(_, transaction)| is_due(transaction))
            .map(|(id, _)| id.clone())
            .collect()
    }

    fn expire(&mut self, used_before: TimestampMs) -> usize {
        let idle = |transaction: &Transaction| {
            transaction.open().is_none() && transaction.changed_at() < used_before
        };
        let expired: Vec<_> = self
            .by_id
            .extract_if(.., |_, transaction| idle(transaction))
            .collect();
        for (_, transaction) in &expired {
            self.ids.remove(&transaction.producer());
        }
        expired.len()
    }
}

impl State {
    pub(super) fn init_producer_id(
        &mut self,
        init: &InitProducerId,
        changes: &mut Vec<Change>,
    ) -> Result<Response, Refusal> {
        let Some(known) = self.transactions.get(&init.id) else {
            let producer = self.producers.allocate(self.clock);
            self.transactions.insert(
                &init.id,
                Transaction::new(producer, init.timeout_ms, self.clock),
            );
            return Ok(self.producer_of(&init.id));
        };
        if !known.already_renewed(init)? {
            self.fence(&init.id, init.expected, changes);
        }
        self.rotate_if_exhausted(&init.id);
        let at = self.clock;
        self.transaction_mut(&init.id).begin(init.timeout_ms, at);
        Ok(self.producer_of(&init.id))
    }

    /// Shuts the present epoch out, and aborts what it has open: the markers already carry the new one, so that in every
    /// partition whatever of the old one is still under way comes too late.
    fn fence(
        &mut self,
        id: &TransactionalId,
        previous: Option<(ProducerId, crate::ids::ProducerEpoch)>,
        changes: &mut Vec<Change>,
    ) {
        self.transaction_mut(id).fence(previous);
        self.close(id, TransactionOutcome::Abort, changes);
    }

    fn rotate_if_exhausted(&mut self, id: &TransactionalId) {
        if self.transaction_mut(id).is_exhausted() {
            let fresh = self.producers.allocate(self.clock);
            self.transactions.rotate(id, fresh);
        }
    }

    fn transaction_mut(&mut self, id: &TransactionalId) -> &mut Transaction {
        self.transactions
            .by_id
            .get_mut(id)
            .expect("the caller has found it")
    }

    fn producer_of(&mut self, id: &TransactionalId) -> Response {
        let transaction = self.transaction_mut(id);
        Response::ProducerId {
            id: transaction.producer(),
            epoch: transaction.epoch(),
        }
    }

    pub(super) fn add_partitions(
        &mut self,
        add: &AddPartitionsToTransaction,
    ) -> Result<Response, Refusal> {
        let transaction = self.transactions.meant(&add.by)?;
        let unknown = |partition: &&_| !self.topics.contains(partition);
        let partitions: Vec<_> = add.partitions.iter().filter(unknown).cloned().collect();
        if !partitions.is_empty() {
            return Err(Refusal::UnknownPartitions { partitions });
        }
        transaction
            .open_or_begin(self.clock)
            .partitions
            .extend(add.partitions.iter().cloned());
        Ok(Response::Done)
    }

    pub(super) fn add_offsets(
        &mut self,
        add: &AddOffsetsToTransaction,
    ) -> Result<Response, Refusal> {
        let transaction = self.transactions.meant(&add.by)?;
        transaction
            .open_or_begin(self.clock)
            .groups
            .insert(add.group.clone());
        Ok(Response::Done)
    }

    pub(super) fn commit_transaction_offsets(
        &mut self,
        commit: &CommitTransactionOffsets,
    ) -> Result<Response, Refusal> {
        let CommitTransactionOffsets {
            by,
            group,
            committer,
            offsets,
        } = commit;
        let transaction = self.transactions.meant(by)?;
        if !transaction.commits_for(group) {
            let what = "offsets of a group that is not in its open transaction";
            return Err(Refusal::InvalidTransactionState {
                producer: by.producer,
                what,
            });
        }
        self.groups
            .admit(group, committer, CommitKind::Transactional)?;
        let (known, unknown) = self.topics.split_known(offsets);
        if !known.is_empty() {
            let time = CommitTime {
                at: self.clock,
                entry: self.applied,
                retention_ms: None,
            };
            self.groups.hold(group, by.producer, &known, time);
        }
        Ok(Response::OffsetsCommitted { unknown })
    }

    pub(super) fn end_transaction(
        &mut self,
        end: &EndTransaction,
        changes: &mut Vec<Change>,
    ) -> Result<Response, Refusal> {
        match self.transactions.meant(&end.by)?.ending(end.outcome)? {
            Ending::Done => {}
            Ending::Due => self.close(&end.by.id, end.outcome, changes),
        }
        Ok(Response::Done)
    }

    /// Ends the open transaction, if there is one, everywhere.
    fn close(
        &mut self,
        id: &TransactionalId,
        outcome: TransactionOutcome,
        changes: &mut Vec<Change>,
    ) {
        let at = self.clock;
        let transaction = self.transaction_mut(id);
        let (producer, epoch) = (transaction.producer(), transaction.epoch());
        let Some(open) = transaction.close(outcome, at) else {
            return;
        };
        let marker = Marker {
            producer,
            epoch,
            outcome,
            leader: self.epoch,
            at,
        };
        for partition in open.partitions {
            let place = self.topics.partition_mut(&partition);
            let appended = place
                .expect("a deleted topic leaves its transactions")
                .end_transaction(marker);
            let (base_offset, batch) = (appended.base_offset, appended.batch);
            changes.push(Change::Appended {
                partition,
                base_offset,
                batch,
            });
        }
        for group in open.groups {
            match outcome {
                TransactionOutcome::Commit => self.groups.release(&group, producer),
                TransactionOutcome::Abort => self.groups.drop_held(&group, producer),
            }
        }
    }

    /// Aborts what is overdue. Its producer is fenced, and may ask for its new epoch once (KIP-588).
    pub(super) fn expire_transactions(&mut self, changes: &mut Vec<Change>) -> Response {
        let ids = self.transactions.overdue(self.clock);
        for id in &ids {
            let transaction = self.transaction_mut(id);
            let previous = (transaction.producer(), transaction.epoch());
            self.fence(id, Some(previous), changes);
        }
        Response::TransactionsExpired { ids }
    }

    pub(super) fn expire_transactional_ids(&mut self, expire: &ExpireTransactionalIds) -> Response {
        Response::Expired {
            count: self.transactions.expire(expire.used_before),
        }
    }
}
