//! OffsetForLeaderEpoch: where a leader's records ended, by which a client finds out that what it has read was written by
//! another leader than it knew (KIP-101, KIP-320).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::barrier::read_barrier;
use super::named_partition::{check_leader_epoch, find};
use crate::broker::error_code::ErrorScope;
use crate::broker::service::Service;
use crate::ids::LeaderEpoch;
use crate::state::EpochEnd;
use crate::wire::values;

pub(in crate::broker) async fn answer(
    service: &Service,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let current = read_barrier(service, ErrorScope::Partition).await;
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let end = current.and_then(|leader| end_of(service, leader, &topic.topic, asked));
            response(asked.partition, end)
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default()
            .with_topic(topic.topic)
            .with_partitions(partitions)
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}

fn end_of(
    service: &Service,
    leader: LeaderEpoch,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<Option<EpochEnd>, ResponseError> {
    let state = service.replica().state();
    let (_, _, partition) = find(&state, topic, asked.partition)?;
    check_leader_epoch(values::leader_epoch(asked.current_leader_epoch), leader)?;
    let epoch = values::leader_epoch(asked.leader_epoch);
    Ok(epoch.and_then(|epoch| {
        partition
            .epochs()
            .end_of(epoch, leader, partition.log_end_offset())
    }))
}

fn response(partition: i32, end: Result<Option<EpochEnd>, ResponseError>) -> EpochEndOffset {
    let response = EpochEndOffset::default().with_partition(partition);
    match end {
        Ok(Some(end)) => response
            .with_leader_epoch(values::wire_leader_epoch(Some(end.epoch)))
            .with_end_offset(values::wire_offset(Some(end.end_offset))),
        Ok(None) => response,
        Err(code) => response.with_error_code(code.code()),
    }
}
