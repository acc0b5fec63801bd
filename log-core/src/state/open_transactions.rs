//! The transactions that have written to one partition: where the open ones begin, and which offsets the aborted ones
//! hold. `read_committed` reads up to the first, and leaves out the second.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::command::TransactionOutcome;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};
use crate::record::ControlRecord;

/// The transactions of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartitionTransactions {
    /// First offset of each open transaction.
    open: BTreeMap<ProducerId, Offset>,
    /// In the order of their markers.
    aborted: Vec<AbortedTransaction>,
}

/// An aborted transaction: records of `producer` from `first_offset` on count for nothing, up to its marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbortedTransaction {
    /// Whose.
    pub producer: ProducerId,
    /// Its first record.
    pub first_offset: Offset,
    /// Its marker.
    pub last_offset: Offset,
}

/// The end of a transaction.
#[derive(Clone, Copy)]
pub(super) struct Marker {
    pub(super) producer: ProducerId,
    pub(super) epoch: ProducerEpoch,
    pub(super) outcome: TransactionOutcome,
    pub(super) leader: LeaderEpoch,
    pub(super) at: TimestampMs,
}

impl Marker {
    pub(super) fn batch(&self) -> Bytes {
        let record = match self.outcome {
            TransactionOutcome::Commit => ControlRecord::Commit,
            TransactionOutcome::Abort => ControlRecord::Abort,
        };
        record.batch(self.producer, self.epoch, self.leader, self.at)
    }
}

impl PartitionTransactions {
    /// Notes a batch of a transaction.
    pub(super) fn note(&mut self, producer: ProducerId, base_offset: Offset) {
        self.open.entry(producer).or_insert(base_offset);
    }

    /// The producer's transaction has ended with a marker at `marker_offset`.
    pub(super) fn end(&mut self, marker: &Marker, marker_offset: Offset) {
        let producer = marker.producer;
        let first_offset = self.open.remove(&producer);
        if let (Some(first_offset), TransactionOutcome::Abort) = (first_offset, marker.outcome) {
            self.aborted.push(AbortedTransaction {
                producer,
                first_offset,
                last_offset: marker_offset,
            });
        }
    }

    /// Where the oldest open transaction begins.
    pub(super) fn first_open(&self) -> Option<Offset> {
        self.open.values().min().copied()
    }

    /// Where the producer's open transaction begins.
    pub(super) fn open_since(&self, producer: ProducerId) -> Option<Offset> {
        self.open.get(&producer).copied()
    }

    /// The aborted transactions that have records from `from` up to `below`.
    pub(super) fn aborted_in(
        &self,
        from: Offset,
        below: Offset,
    ) -> impl Iterator<Item = AbortedTransaction> + '_ {
        let ended_before = self
            .aborted
            .partition_point(|aborted| aborted.last_offset < from);
        self.aborted[ended_before..]
            .iter()
            .copied()
            .filter(move |aborted| aborted.first_offset < below)
    }

    /// Forgets transactions whose records are all deleted.
    pub(super) fn cut_before(&mut self, log_start: Offset) {
        self.aborted
            .retain(|aborted| log_start <= aborted.last_offset);
    }
}
