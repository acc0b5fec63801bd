//! Which batches of a Fetch count for a reader of committed records (KIP-98): control batches never do, and those of an
//! aborted transaction do not.

use std::collections::BTreeSet;

use kafka_protocol::messages::fetch_response::AbortedTransaction;

use crate::ids::{Offset, ProducerId};
use crate::record::{BatchHeader, ControlRecord};
use crate::wire::values;

/// The aborted transactions that one answer tells of, walked along with its batches.
pub(super) struct Aborted {
    /// First offset and producer, latest first.
    to_come: Vec<(Offset, ProducerId)>,
    open: BTreeSet<u64>,
    seen_a_batch: bool,
}

impl Aborted {
    /// For a reader who wants all records.
    pub(super) fn none() -> Self {
        Self::of(Vec::new())
    }

    pub(super) fn of(transactions: Vec<AbortedTransaction>) -> Self {
        let transaction = |transaction: AbortedTransaction| {
            let first = values::offset(transaction.first_offset)?;
            Some((first, values::producer_id(transaction.producer_id.0)?))
        };
        let mut to_come: Vec<_> = transactions.into_iter().filter_map(transaction).collect();
        to_come.sort_by_key(|(first, _)| std::cmp::Reverse(*first));
        Self {
            to_come,
            open: BTreeSet::new(),
            seen_a_batch: false,
        }
    }

    /// Whether a batch was asked about.
    pub(super) fn has_seen_a_batch(&self) -> bool {
        self.seen_a_batch
    }

    /// Whether the records of the next batch count.
    pub(super) fn counts(&mut self, header: &BatchHeader, batch: &[u8]) -> bool {
        self.seen_a_batch = true;
        while let Some((_, producer)) = self
            .to_come
            .pop_if(|(first, _)| *first <= header.last_offset())
        {
            self.open.insert(producer.0);
        }
        let Some(producer) = header.producer.map(|stamp| stamp.id.0) else {
            return !header.attributes.control;
        };
        if header.attributes.control {
            // Only an abort ends what this list names: a commit is of a transaction that counts.
            if matches!(
                ControlRecord::read(*header, batch),
                Ok(ControlRecord::Abort)
            ) {
                self.open.remove(&producer);
            }
            return false;
        }
        !(header.attributes.transactional && self.open.contains(&producer))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ids::{LeaderEpoch, ProducerEpoch, Sequence, TimestampMs};
    use crate::record::{Attributes, BatchBuilder, BatchPatch, NewRecord, ProducerStamp};

    const PRODUCER: ProducerId = ProducerId(7);

    fn at(offset: u64, batch: &Bytes) -> Bytes {
        let patch = BatchPatch {
            base_offset: Offset(offset),
            leader_epoch: LeaderEpoch(1),
            log_append_time: None,
        };
        patch.apply(batch)
    }

    fn transactional() -> Bytes {
        let attributes = Attributes {
            transactional: true,
            ..Attributes::PLAIN
        };
        let stamp = ProducerStamp {
            id: PRODUCER,
            epoch: ProducerEpoch(0),
            base_sequence: Some(Sequence(0)),
        };
        let mut batch = BatchBuilder::new(attributes).producer(stamp);
        batch.push(NewRecord {
            timestamp: TimestampMs(1),
            key: None,
            value: None,
            headers: Vec::new(),
        });
        batch.build()
    }

    fn marker(kind: ControlRecord) -> Bytes {
        kind.batch(PRODUCER, ProducerEpoch(0), LeaderEpoch(1), TimestampMs(1))
    }

    #[test]
    fn records_of_an_aborted_transaction_do_not_count_and_those_of_the_next_one_do() {
        let transaction = AbortedTransaction::default()
            .with_producer_id(7.into())
            .with_first_offset(0);
        let mut aborted = Aborted::of(vec![transaction]);
        let batches = [
            at(0, &transactional()),
            at(1, &marker(ControlRecord::Abort)),
            at(2, &transactional()),
            at(3, &marker(ControlRecord::Commit)),
        ];

        let counted = batches.map(|batch| {
            let header = BatchHeader::parse(&batch).expect("a batch");
            aborted.counts(&header, &batch)
        });

        assert_eq!(counted, [false, false, true, false]);
    }
}
