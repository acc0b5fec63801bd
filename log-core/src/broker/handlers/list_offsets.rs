//! ListOffsets: where a partition begins and ends, and where a time is (KIP-79, KIP-98, KIP-320, KIP-734).

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::barrier::read_barrier;
use super::named_partition::{check_leader_epoch, find};
use crate::broker::error_code::{ErrorScope, of_read_error};
use crate::broker::service::Service;
use crate::ids::{LeaderEpoch, Offset, TimestampMs};
use crate::state::Partition;
use crate::storage::{PartitionReader, ReadError, TimestampedOffset};
use crate::wire::offset_spec::OffsetSpec;
use crate::wire::values;

pub(in crate::broker) async fn answer(
    service: &Service,
    version: i16,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let current = read_barrier(service, ErrorScope::Partition).await;
    let read_committed = request.isolation_level == 1;
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let found = match current {
                Ok(epoch) => {
                    look_up(service, version, epoch, read_committed, &topic.name, &asked).await
                }
                Err(code) => Err(code),
            };
            partitions.push(response(version, asked.partition_index, found));
        }
        topics.push(
            ListOffsetsTopicResponse::default()
                .with_name(topic.name)
                .with_partitions(partitions),
        );
    }
    ListOffsetsResponse::default().with_topics(topics)
}

/// An answer: none when no record is as young as the time asked for.
type LookedUpOffset = Option<(Offset, Option<TimestampMs>, Option<LeaderEpoch>)>;

async fn look_up(
    service: &Service,
    version: i16,
    leader: LeaderEpoch,
    read_committed: bool,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> Result<LookedUpOffset, ResponseError> {
    let spec = OffsetSpec::of(asked.timestamp, version);
    let spec = spec.ok_or(ResponseError::UnsupportedVersion)?;
    let (reader, below, ends) = {
        let state = service.replica().state();
        let (place, _, partition) = find(&state, topic, asked.partition_index)?;
        check_leader_epoch(values::leader_epoch(asked.current_leader_epoch), leader)?;
        let below = if read_committed {
            partition.last_stable_offset()
        } else {
            partition.high_watermark()
        };
        (
            service.replica().partitions().reader(&place),
            below,
            ends(partition, below),
        )
    };
    match spec {
        OffsetSpec::Earliest => Ok(ends.earliest),
        OffsetSpec::Latest => Ok(ends.latest),
        OffsetSpec::Tiered => Ok(None),
        OffsetSpec::MaxTimestamp => search(reader, move |reader| reader.max_timestamp(below)).await,
        OffsetSpec::At(at) => {
            search(reader, move |reader| reader.offset_for_timestamp(at, below)).await
        }
    }
}

struct Ends {
    earliest: LookedUpOffset,
    latest: LookedUpOffset,
}

fn ends(partition: &Partition, below: Offset) -> Ends {
    let start = partition.log_start_offset();
    Ends {
        earliest: Some((start, None, partition.epochs().epoch_at(start))),
        latest: Some((below, None, partition.epochs().epoch_at(below))),
    }
}

/// Looks into the files, off the async threads.
async fn search(
    reader: Option<Arc<PartitionReader>>,
    look: impl FnOnce(&PartitionReader) -> Result<Option<TimestampedOffset>, ReadError> + Send + 'static,
) -> Result<LookedUpOffset, ResponseError> {
    let Some(reader) = reader else {
        return Ok(None);
    };
    let looked = tokio::task::spawn_blocking(move || look(&reader)).await;
    let found = looked
        .expect("searching does not panic")
        .map_err(|error| of_read_error(&error))?;
    Ok(found.map(|found| (found.offset, Some(found.timestamp), Some(found.epoch))))
}

fn response(
    version: i16,
    partition: i32,
    found: Result<LookedUpOffset, ResponseError>,
) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default().with_partition_index(partition);
    match found {
        Ok(Some((offset, timestamp, epoch))) => response
            .with_offset(values::wire_offset(Some(offset)))
            .with_timestamp(values::wire_timestamp(timestamp))
            .with_leader_epoch(values::wire_leader_epoch(epoch.filter(|_| 4 <= version))),
        Ok(None) => response,
        Err(code) => response.with_error_code(code.code()),
    }
}
