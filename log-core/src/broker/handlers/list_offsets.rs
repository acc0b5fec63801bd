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

/// What a client asks for in place of a timestamp.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Latest,
    Earliest,
    MaxTimestamp,
    /// What only a second tier would have (KIP-405, KIP-1005, KIP-1023).
    Tiered,
    At(TimestampMs),
}

impl Wanted {
    /// Some mean nothing before the version that brought them.
    fn of(wire: i64, version: i16) -> Result<Self, ResponseError> {
        match (wire, version) {
            (-1, _) => Ok(Self::Latest),
            // All that is there is local.
            (-2, _) | (-4, 8..) => Ok(Self::Earliest),
            (-3, 7..) => Ok(Self::MaxTimestamp),
            (-5, 9..) | (-6, 11..) => Ok(Self::Tiered),
            (0.., _) => Ok(Self::At(TimestampMs(wire))),
            _ => Err(ResponseError::UnsupportedVersion),
        }
    }
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
    let wanted = Wanted::of(asked.timestamp, version)?;
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
    match wanted {
        Wanted::Earliest => Ok(ends.earliest),
        Wanted::Latest => Ok(ends.latest),
        Wanted::Tiered => Ok(None),
        Wanted::MaxTimestamp => search(reader, move |reader| reader.max_timestamp(below)).await,
        Wanted::At(at) => {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As Apache Kafka 4.1.1 answers; 11 is of 4.2.
    #[test]
    fn a_time_that_means_an_offset_is_known_from_the_version_that_brought_it() {
        let unknown = Err(ResponseError::UnsupportedVersion);
        for (wire, since, meant) in [
            (-1, 1, Wanted::Latest),
            (-2, 1, Wanted::Earliest),
            (-3, 7, Wanted::MaxTimestamp),
            (-4, 8, Wanted::Earliest),
            (-5, 9, Wanted::Tiered),
            (-6, 11, Wanted::Tiered),
        ] {
            assert_eq!(Wanted::of(wire, since), Ok(meant), "{wire}");
            if 1 < since {
                assert_eq!(Wanted::of(wire, since - 1), unknown, "{wire}");
            }
        }
        assert_eq!(Wanted::of(-7, 11), unknown);
    }
}
