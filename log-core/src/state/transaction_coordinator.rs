//! What transactional producers ask for, and what becomes of it in all partitions and groups at once.
//!
//! The coordinator and the partitions are one state machine here: a batch is held against the open transaction when it is
//! applied (the check of KIP-890, in `produce`), and a transaction ends everywhere with one command.

use super::command::{
    AddOffsetsToTransaction, AddPartitionsToTransaction, CommitTransactionOffsets, EndTransaction,
    ExpireTransactionalIds, InitProducerId, TransactionOutcome,
};
use super::command_error::CommandError;
use super::group::{CommitKind, CommitTime};
use super::open_transactions::Marker;
use super::response::Response;
use super::transaction::Transaction;
use super::{Change, State};
use crate::ids::{ProducerEpoch, ProducerId, TransactionalId};

impl State {
    pub(super) fn init_producer_id(
        &mut self,
        init: &InitProducerId,
        changes: &mut Vec<Change>,
    ) -> Result<Response, CommandError> {
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
        previous: Option<(ProducerId, ProducerEpoch)>,
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
        let known = self.transactions.by_id_mut(id);
        known.expect("the caller has found it")
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
    ) -> Result<Response, CommandError> {
        let transaction = self.transactions.meant(&add.by)?;
        let unknown = |partition: &&_| !self.topics.contains(partition);
        let partitions: Vec<_> = add.partitions.iter().filter(unknown).cloned().collect();
        if !partitions.is_empty() {
            return Err(CommandError::UnknownPartitions { partitions });
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
    ) -> Result<Response, CommandError> {
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
    ) -> Result<Response, CommandError> {
        let CommitTransactionOffsets {
            by,
            group,
            committer,
            offsets,
        } = commit;
        let transaction = self.transactions.meant(by)?;
        if !transaction.commits_for(group) {
            let what = "offsets of a group that is not in its open transaction";
            return Err(CommandError::InvalidTransactionState {
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
    ) -> Result<Response, CommandError> {
        self.transactions.meant(&end.by)?.check_end(end.outcome)?;
        self.close(&end.by.id, end.outcome, changes);
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
        let append_time = self.append_time();
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
                at: append_time,
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
        let ids = self.transactions.overdue(&self.clock_jumps, self.clock);
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
