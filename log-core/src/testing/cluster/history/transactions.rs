//! What is known of every transaction: what was written in it, and whether it counts.

use std::collections::{BTreeMap, BTreeSet};

use super::violation::Violation;
use crate::ids::{Offset, PartitionIndex};

/// Names a transaction of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct TransactionKey(pub(in super::super) u64);

/// How a transaction ended, as far as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum TransactionResult {
    /// All of it counts.
    Committed,
    /// None of it does.
    Aborted,
    /// All of it or none.
    Unknown,
}

#[derive(Default)]
struct Transaction {
    asked_to_commit: bool,
    fate: Option<TransactionResult>,
    acknowledged: BTreeSet<u64>,
}

#[derive(Default)]
pub(super) struct Transactions {
    known: BTreeMap<TransactionKey, Transaction>,
    by_value: BTreeMap<u64, TransactionKey>,
    /// Which transaction moved the group's offset to where.
    moved: BTreeMap<(PartitionIndex, Offset), TransactionKey>,
}

impl Transactions {
    pub(super) fn writes(&mut self, key: TransactionKey, value: u64) {
        self.by_value.insert(value, key);
    }

    pub(super) fn written(&mut self, key: TransactionKey, value: u64) {
        self.of(key).acknowledged.insert(value);
    }

    pub(super) fn asks_to_commit(&mut self, key: TransactionKey) {
        self.of(key).asked_to_commit = true;
    }

    pub(super) fn ended(&mut self, key: TransactionKey, fate: TransactionResult) {
        self.of(key).fate = Some(fate);
    }

    pub(super) fn moved_offset(
        &mut self,
        key: TransactionKey,
        partition: PartitionIndex,
        offset: Offset,
    ) -> Result<(), Violation> {
        match self.moved.insert((partition, offset), key) {
            Some(other) if other != key => Err(Violation::ConsumedTwice { partition, offset }),
            _ => Ok(()),
        }
    }

    fn of(&mut self, key: TransactionKey) -> &mut Transaction {
        self.known.entry(key).or_default()
    }

    /// Whether a value may be read as committed.
    pub(super) fn may_count(&self, value: u64) -> bool {
        let Some(key) = self.by_value.get(&value) else {
            return true;
        };
        let known = self.known.get(key);
        known.is_some_and(|known| {
            known.asked_to_commit && known.fate != Some(TransactionResult::Aborted)
        })
    }

    /// Holds what counts against what was told.
    pub(super) fn check(&self, counts: &BTreeSet<u64>) -> Result<(), Violation> {
        self.known
            .values()
            .try_for_each(|known| known.check(counts))
    }
}

impl Transaction {
    fn check(&self, counts: &BTreeSet<u64>) -> Result<(), Violation> {
        let (there, missing): (Vec<u64>, Vec<u64>) = self
            .acknowledged
            .iter()
            .partition(|value| counts.contains(value));
        let is_whole = match self.fate {
            Some(TransactionResult::Committed) => missing.is_empty(),
            Some(TransactionResult::Aborted) => there.is_empty(),
            Some(TransactionResult::Unknown) | None => there.is_empty() || missing.is_empty(),
        };
        if is_whole {
            return Ok(());
        }
        Err(Violation::TornTransaction { there, missing })
    }
}
