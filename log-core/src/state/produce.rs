//! Appending a producer's batch: where it goes, whether it is there already, and what it may not overtake.

use super::command::Produce;
use super::command_error::CommandError;
use super::partition::{Append, AppendedBatch, Partition};
use super::producer::{Judgement, Stamp};
use super::response::{Produced, Response};
use super::{Change, State};
use crate::ids::{ProducerId, TopicPartition};
use crate::record::{BatchHeader, TimestampType};

impl State {
    pub(super) fn produce(
        &mut self,
        produce: &Produce,
        changes: &mut Vec<Change>,
    ) -> Result<Response, CommandError> {
        let (header, stamp) = read(produce)?;
        if let Some(stamp) = stamp {
            self.check_producer(stamp, &header)?;
            if let Some(produced) = self.repeated(produce, stamp)? {
                return Ok(Response::Produced(produced));
            }
            self.check_transaction(stamp, &header, &produce.partition)?;
        }
        let produced = self.append(produce, &header, stamp, changes)?;
        if let Some(stamp) = stamp {
            self.producers.touch(stamp.producer, self.clock);
        }
        Ok(Response::Produced(produced))
    }

    /// Where a batch is, if an earlier try has stored it: what applying it once more would answer, without another entry.
    pub fn stored(&self, produce: &Produce) -> Option<Produced> {
        let (header, stamp) = read(produce).ok()?;
        let stamp = stamp?;
        self.check_producer(stamp, &header).ok()?;
        self.repeated(produce, stamp).ok()?
    }

    /// The producer of a transactional id writes in its present epoch, and in transactions only; others never do.
    fn check_producer(&self, stamp: Stamp, header: &BatchHeader) -> Result<(), CommandError> {
        let (producer, found) = (stamp.producer, stamp.epoch);
        let transactional = header.attributes.transactional;
        let Some(transaction) = self.transactions.of_producer(producer) else {
            let what = "a transactional batch without a transactional id";
            return holds(!transactional, producer, what);
        };
        let current = transaction.epoch();
        if found != current {
            return Err(CommandError::InvalidProducerEpoch {
                producer,
                found,
                current,
            });
        }
        let what = "a plain batch of a transactional id's producer";
        holds(transactional, producer, what)
    }

    /// Where the batch is, if an earlier try has stored it; refused if it is not the producer's next one.
    fn repeated(&self, produce: &Produce, stamp: Stamp) -> Result<Option<Produced>, CommandError> {
        let place = self.place(produce)?;
        let beginning = self.producers.beginning(stamp.producer);
        Ok(match place.judge(stamp, beginning)? {
            Judgement::Append => None,
            Judgement::Repeated(stored) => Some(Produced {
                base_offset: stored.base_offset,
                log_append_time: stored.log_append_time,
                log_start_offset: place.log_start_offset(),
                repeated: true,
            }),
        })
    }

    /// The check of KIP-890: nothing is appended to a partition that is not in the producer's open transaction.
    fn check_transaction(
        &self,
        stamp: Stamp,
        header: &BatchHeader,
        partition: &TopicPartition,
    ) -> Result<(), CommandError> {
        let transaction = self.transactions.of_producer(stamp.producer);
        let is_open = transaction.is_some_and(|transaction| transaction.writes_to(partition));
        let what = "a batch for a partition that is not in its open transaction";
        holds(
            !header.attributes.transactional || is_open,
            stamp.producer,
            what,
        )
    }

    fn append(
        &mut self,
        produce: &Produce,
        header: &BatchHeader,
        stamp: Option<Stamp>,
        changes: &mut Vec<Change>,
    ) -> Result<Produced, CommandError> {
        let (partition, clock, epoch) = (produce.partition.clone(), self.clock, self.epoch);
        let append_time = self.append_time();
        let topic = self.topics.meant_mut(&partition.topic, produce.topic_id);
        let log_append_time = topic.as_ref().and_then(|topic| {
            let timestamp_type = topic.config().settings().timestamp_type;
            (timestamp_type == TimestampType::LogAppendTime).then_some(clock)
        });
        let Some(place) = topic.and_then(|topic| topic.partition_mut(partition.partition)) else {
            return Err(CommandError::UnknownPartition { partition });
        };
        let AppendedBatch { base_offset, batch } = place.append(&Append {
            batch: &produce.batch,
            header,
            stamp,
            epoch,
            log_append_time,
        });
        let log_start_offset = place.log_start_offset();
        changes.push(Change::Appended {
            partition,
            base_offset,
            batch,
            at: append_time,
        });
        Ok(Produced {
            base_offset,
            log_append_time,
            log_start_offset,
            repeated: false,
        })
    }

    /// The partition that the leader meant, if it still is there.
    fn place(&self, produce: &Produce) -> Result<&Partition, CommandError> {
        let partition = &produce.partition;
        let topic = self.topics.meant(&partition.topic, produce.topic_id);
        let place = topic.and_then(|topic| topic.partition(partition.partition));
        place.ok_or_else(|| CommandError::UnknownPartition {
            partition: partition.clone(),
        })
    }
}

fn holds(condition: bool, producer: ProducerId, what: &'static str) -> Result<(), CommandError> {
    match condition {
        true => Ok(()),
        false => Err(CommandError::InvalidTransactionState { producer, what }),
    }
}

/// What the batch's header says. The leader has checked the batch before proposing it; what is looked at again here is
/// what the offsets and sequences rest on.
fn read(produce: &Produce) -> Result<(BatchHeader, Option<Stamp>), CommandError> {
    let corrupt = || CommandError::CorruptBatch {
        partition: produce.partition.clone(),
    };
    let header = BatchHeader::parse(&produce.batch).map_err(|_| corrupt())?;
    let is_whole = header.size_bytes == produce.batch.len() && !header.attributes.control;
    if !is_whole || header.record_count.checked_sub(1) != Some(header.last_offset_delta) {
        return Err(corrupt());
    }
    let Some(producer) = header.producer else {
        let plain = !header.attributes.transactional;
        return plain.then_some((header, None)).ok_or_else(corrupt);
    };
    let first = producer.base_sequence.ok_or_else(corrupt)?;
    let stamp = Stamp {
        producer: producer.id,
        epoch: producer.epoch,
        first,
        last: first.plus(header.last_offset_delta),
    };
    Ok((header, Some(stamp)))
}
