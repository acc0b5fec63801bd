//! Appending a producer's batch: where it goes, whether it is there already, and what it may not overtake.

use super::command::Produce;
use super::partition::Append;
use super::producer::{Beginning, Judgement, ProducerWindow, Stamp};
use super::refusal::Refusal;
use super::response::{Produced, Response};
use super::{Change, State};
use crate::ids::TopicPartition;
use crate::record::{BatchHeader, TimestampType};

impl State {
    pub(super) fn produce(
        &mut self,
        produce: &Produce,
        changes: &mut Vec<Change>,
    ) -> Result<Response, Refusal> {
        let Produce {
            topic_id,
            partition,
            batch,
        } = produce;
        let (header, stamp) = read(partition, batch)?;
        let beginning = stamp.map_or(Beginning::Anywhere, |stamp| {
            self.producers.beginning(stamp.producer)
        });
        let unknown = || Refusal::UnknownPartition {
            partition: partition.clone(),
        };
        let topic = self
            .topics
            .meant(&partition.topic, *topic_id)
            .ok_or_else(unknown)?;
        let log_append_time = match topic.config().settings().timestamp_type {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(self.clock),
        };
        let place = topic
            .partition_mut(partition.partition)
            .ok_or_else(unknown)?;
        if let Some(stamp) = stamp {
            let judgement = ProducerWindow::judge(place.window(stamp.producer), stamp, beginning)?;
            self.producers.touch(stamp.producer, self.clock);
            if let Judgement::Repeated(stored) = judgement {
                return Ok(Response::Produced(Produced {
                    base_offset: stored.base_offset,
                    log_append_time: stored.log_append_time,
                    log_start_offset: place.log_start_offset(),
                    repeated: true,
                }));
            }
        }
        let append = Append {
            batch,
            header: &header,
            stamp,
            epoch: self.epoch,
            log_append_time,
        };
        let appended = place.append(&append);
        let base_offset = appended.base_offset;
        changes.push(Change::Appended {
            partition: partition.clone(),
            base_offset,
            batch: appended.batch,
        });
        let log_start_offset = place.log_start_offset();
        Ok(Response::Produced(Produced {
            base_offset,
            log_append_time,
            log_start_offset,
            repeated: false,
        }))
    }
}

/// What the batch's header says. The leader has checked the batch before proposing it; what is looked at again here is
/// what the offsets and sequences rest on.
fn read(partition: &TopicPartition, batch: &[u8]) -> Result<(BatchHeader, Option<Stamp>), Refusal> {
    let corrupt = || Refusal::CorruptBatch {
        partition: partition.clone(),
    };
    let header = BatchHeader::parse(batch).map_err(|_| corrupt())?;
    let whole = header.size_bytes == batch.len() && !header.attributes.control;
    if !whole || header.record_count.checked_sub(1) != Some(header.last_offset_delta) {
        return Err(corrupt());
    }
    let Some(producer) = header.producer else {
        return Ok((header, None));
    };
    if header.attributes.transactional {
        let what = "a transactional batch outside a transaction";
        return Err(Refusal::InvalidTransactionState {
            producer: producer.id,
            what,
        });
    }
    let first = producer.base_sequence.ok_or_else(corrupt)?;
    let last = first.plus(header.last_offset_delta);
    Ok((
        header,
        Some(Stamp {
            producer: producer.id,
            epoch: producer.epoch,
            first,
            last,
        }),
    ))
}
