//! All transactional ids, by name and by the producer that writes under them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::clock_jumps::ClockJumps;
use super::command::TransactionalProducer;
use super::command_error::CommandError;
use super::transaction::Transaction;
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
    pub(super) fn meant(
        &mut self,
        by: &TransactionalProducer,
    ) -> Result<&mut Transaction, CommandError> {
        let TransactionalProducer { id, producer, .. } = by;
        let unknown = || CommandError::InvalidProducerIdMapping {
            id: id.clone(),
            producer: *producer,
        };
        let transaction = self.by_id.get_mut(id).ok_or_else(unknown)?;
        transaction.check(by)?;
        Ok(transaction)
    }

    pub(super) fn by_id_mut(&mut self, id: &TransactionalId) -> Option<&mut Transaction> {
        self.by_id.get_mut(id)
    }

    pub(super) fn insert(&mut self, id: &TransactionalId, transaction: Transaction) {
        self.ids.insert(transaction.producer(), id.clone());
        self.by_id.insert(id.clone(), transaction);
    }

    /// Its producer continues under a new id.
    pub(super) fn rotate(&mut self, id: &TransactionalId, fresh: ProducerId) {
        let transaction = self.by_id.get_mut(id).expect("only known ids are renewed");
        self.ids.remove(&transaction.producer());
        transaction.rotate(fresh);
        self.ids.insert(fresh, id.clone());
    }

    /// Those whose transaction is open for longer than their producer said.
    pub(super) fn overdue(&self, jumps: &ClockJumps, now: TimestampMs) -> Vec<TransactionalId> {
        let is_due = |transaction: &Transaction| {
            transaction
                .deadline(jumps)
                .is_some_and(|deadline| deadline <= now)
        };
        self.iter()
            .filter(|(_, transaction)| is_due(transaction))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Forgets those without an open transaction; answers how many.
    pub(super) fn expire(&mut self, used_before: TimestampMs) -> usize {
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
