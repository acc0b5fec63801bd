//! CreatePartitions and DeleteRecords (KIP-195, KIP-107).

use std::collections::BTreeSet;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, DeleteRecordsRequest, DeleteRecordsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::named_partition::find;
use super::proposal::{ErrorResponse, deadline, propose_and_wait};
use crate::broker::error_code::{ErrorScope, not_leading};
use crate::broker::service::Service;
use crate::ids::{Offset, TopicName};
use crate::state::{Command, CreatePartitions, LogStartCause, MoveLogStart, Response};
use crate::wire::values;

/// The least that a deletion is waited for. In Kafka `timeout_ms` is for the followers only, and 0 is an answer from the
/// leader's own log; here a deletion is a command, which takes a majority's sync.
const DELETE_WAIT_MIN: Duration = Duration::from_secs(5);

pub(in crate::broker) async fn create(
    service: &Service,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let wait = deadline(request.timeout_ms);
    let mut seen = BTreeSet::new();
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let done = if seen.insert(topic.name.to_string()) {
            create_one(service, &topic, request.validate_only, wait).await
        } else {
            Err(ErrorResponse::of(
                ResponseError::InvalidRequest,
                "the request names this topic more than once",
            ))
        };
        let result = CreatePartitionsTopicResult::default()
            .with_name(topic.name)
            .with_error_message(None);
        results.push(match done {
            Ok(()) => result,
            Err(failed) => result
                .with_error_code(failed.code.code())
                .with_error_message(failed.message.map(StrBytes::from_string)),
        });
    }
    CreatePartitionsResponse::default().with_results(results)
}

async fn create_one(
    service: &Service,
    asked: &CreatePartitionsTopic,
    validate_only: bool,
    wait: Duration,
) -> Result<(), ErrorResponse> {
    if let Some(code) = not_leading(service.replica().leadership(), ErrorScope::Controller) {
        return Err(code.into());
    }
    let command = command(service, asked)?;
    if validate_only {
        let state = service.replica().state();
        state
            .check_create_partitions(&command)
            .map_err(|refusal| ErrorResponse::from(&refusal))?;
        drop(state);
        let command = Command::CreatePartitions(command);
        service.replica().admit_partitions(&command)?;
        return Ok(());
    }
    propose_and_wait(
        service,
        Command::CreatePartitions(command),
        ErrorScope::Controller,
        wait,
    )
    .await
    .map(|_| ())
}

fn command(
    service: &Service,
    asked: &CreatePartitionsTopic,
) -> Result<CreatePartitions, ErrorResponse> {
    let name = TopicName::parse(&asked.name).map_err(|_| ResponseError::UnknownTopicOrPartition)?;
    let state = service.replica().state();
    let topic = state
        .topic(&name)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    let count = u32::try_from(asked.count).map_err(|_| {
        ErrorResponse::of(
            ResponseError::InvalidPartitions,
            format!("{} partitions", asked.count),
        )
    })?;
    // All brokers hold every partition: an assignment by hand can only be wrong.
    let added = (count as usize).saturating_sub(topic.partitions().count());
    if asked
        .assignments
        .as_ref()
        .is_some_and(|assignments| assignments.len() != added)
    {
        let message = format!("assignments must name the {added} new partitions, each once");
        return Err(ErrorResponse::of(
            ResponseError::InvalidReplicaAssignment,
            message,
        ));
    }
    Ok(CreatePartitions {
        topic_id: topic.id(),
        count,
    })
}

pub(in crate::broker) async fn delete_records(
    service: &Service,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let wait = deadline(request.timeout_ms).max(DELETE_WAIT_MIN);
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let deleted = delete_before(service, &topic.name, &asked, wait).await;
            let result =
                DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index);
            partitions.push(match deleted {
                Ok(low) => result.with_low_watermark(values::wire_offset(Some(low))),
                Err(failed) => result
                    .with_low_watermark(-1)
                    .with_error_code(failed.code.code()),
            });
        }
        topics.push(
            DeleteRecordsTopicResult::default()
                .with_name(topic.name)
                .with_partitions(partitions),
        );
    }
    DeleteRecordsResponse::default().with_topics(topics)
}

async fn delete_before(
    service: &Service,
    topic: &str,
    asked: &DeleteRecordsPartition,
    wait: Duration,
) -> Result<Offset, ErrorResponse> {
    if let Some(code) = not_leading(service.replica().leadership(), ErrorScope::Partition) {
        return Err(code.into());
    }
    let offset = match asked.offset {
        -1 => None,
        offset => Some(values::offset(offset).ok_or(ResponseError::OffsetOutOfRange)?),
    };
    let command = {
        let state = service.replica().state();
        let (place, topic, _) = find(&state, topic, asked.partition_index)?;
        let cause = LogStartCause::DeleteRecords;
        MoveLogStart {
            topic_id: topic.id(),
            partition: place.partition,
            offset,
            cause,
        }
    };
    match propose_and_wait(
        service,
        Command::MoveLogStart(command),
        ErrorScope::Partition,
        wait,
    )
    .await?
    {
        Response::LogStart { log_start_offset } => Ok(log_start_offset),
        _ => Err(ResponseError::UnknownServerError.into()),
    }
}
