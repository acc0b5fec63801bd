//! CreateTopics and DeleteTopics (KIP-4, KIP-464, KIP-525, KIP-516).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    TopicName as WireTopicName,
};
use kafka_protocol::protocol::StrBytes;
use tokio::time::timeout;
use uuid::Uuid;

use super::described_config::topic_configs;
use super::named_partition::wire_topic;
use super::proposal::{ErrorResponse, carry_out, deadline, propose_and_wait};
use crate::broker::error_code::{ErrorScope, not_leading};
use crate::broker::service::Service;
use crate::ids::{TopicId, TopicName};
use crate::state::{Command, CommandError, CreateTopic, DeleteTopic, State, TopicConfig};

pub(in crate::broker) async fn create(
    service: &Service,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let wait = deadline(request.timeout_ms);
    let repeated = repeated(request.topics.iter().map(|topic| topic.name.as_str()));
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let result = if repeated.contains(asked.name.as_str()) {
            Err(ErrorResponse::of(
                ResponseError::InvalidRequest,
                "the request names this topic more than once",
            ))
        } else {
            create_one(service, &asked, request.validate_only, wait).await
        };
        topics.push(result.unwrap_or_else(|failed| not_created(asked.name, failed)));
    }
    CreateTopicsResponse::default().with_topics(topics)
}

/// Makes a topic because a client asked for it, with the defaults; a node that does not lead has the leader make it. What
/// comes of it is seen in the state, which is waited for.
pub(super) async fn create_as_asked_for(service: &Service, name: TopicName, wait: Duration) {
    let create = CreateTopic {
        name: name.clone(),
        id: TopicId(Uuid::new_v4()),
        partitions: service.config().num_partitions,
        replication_factor: replicas(service),
        configs: BTreeMap::new(),
    };
    let made = async {
        let carried_out = carry_out(service, Command::CreateTopic(create)).await;
        if !matches!(
            carried_out,
            Ok(Ok(_) | Err(CommandError::TopicExists { .. }))
        ) {
            tracing::debug!(outcome = ?carried_out, "topic that was asked for was not made");
            return;
        }
        let mut applied = service.replica().applied();
        loop {
            // The state is not held while waiting: applying needs it.
            let is_there = service.replica().state().topic(&name).is_some();
            if is_there || applied.changed().await.is_err() {
                return;
            }
        }
    };
    if timeout(wait, made).await.is_err() {
        tracing::debug!("topic that was asked for was not made in time");
    }
}

fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    names
        .filter(|name| !seen.insert(*name))
        .map(str::to_owned)
        .collect()
}

async fn create_one(
    service: &Service,
    asked: &CreatableTopic,
    validate_only: bool,
    wait: Duration,
) -> Result<CreatableTopicResult, ErrorResponse> {
    if let Some(code) = not_leading(service.replica().leadership(), ErrorScope::Controller) {
        return Err(code.into());
    }
    let create = command(service, asked)?;
    check_storable(service, &create)?;
    if validate_only {
        let state = service.replica().state();
        state
            .check_create_topic(&create)
            .map_err(|refusal| ErrorResponse::from(&refusal))?;
        drop(state);
        let known = CreatableTopicResult::default()
            .with_name(asked.name.clone())
            .with_error_message(None)
            .with_num_partitions(wire_count(create.partitions))
            .with_replication_factor(wire_factor(create.replication_factor));
        let command = Command::CreateTopic(create);
        service.replica().admit_partitions(&command)?;
        return Ok(known);
    }
    let name = create.name.clone();
    propose_and_wait(
        service,
        Command::CreateTopic(create),
        ErrorScope::Controller,
        wait,
    )
    .await?;
    created(&service.replica().state(), &name)
}

/// A topic that would refuse every record is not made.
fn check_storable(service: &Service, create: &CreateTopic) -> Result<(), ErrorResponse> {
    let config = TopicConfig::new(create.configs.clone());
    let storable = config.and_then(|it| it.check_storable(None, replicas(service).into()));
    storable.map_err(|invalid| ErrorResponse::from(&CommandError::from(invalid)))
}

fn command(service: &Service, asked: &CreatableTopic) -> Result<CreateTopic, ErrorResponse> {
    let name = TopicName::parse(&asked.name).map_err(|error| {
        ErrorResponse::of(ResponseError::InvalidTopicException, error.to_string())
    })?;
    let configs = asked.configs.iter().map(|config| match &config.value {
        Some(value) => Ok((config.name.to_string(), value.to_string())),
        None => {
            let message = format!("{}: a value is needed", config.name.as_str());
            Err(ErrorResponse::of(ResponseError::InvalidConfig, message))
        }
    });
    Ok(CreateTopic {
        name,
        id: TopicId(Uuid::new_v4()),
        partitions: partitions(asked, service.config().num_partitions)?,
        replication_factor: replication_factor(asked, replicas(service))?,
        configs: configs.collect::<Result<_, _>>()?,
    })
}

/// -1 is the default; assigned by hand, as many as are named.
fn partitions(asked: &CreatableTopic, default: u32) -> Result<u32, ErrorResponse> {
    if !asked.assignments.is_empty() {
        return assigned(asked);
    }
    match asked.num_partitions {
        -1 => Ok(default),
        number => u32::try_from(number).map_err(|_| {
            ErrorResponse::of(
                ResponseError::InvalidPartitions,
                format!("{number} partitions"),
            )
        }),
    }
}

/// All brokers hold every partition, so an assignment says only how many partitions there are; it must be one that Kafka
/// would take.
fn assigned(asked: &CreatableTopic) -> Result<u32, ErrorResponse> {
    if asked.num_partitions != -1 || asked.replication_factor != -1 {
        let message = "with assignments, partitions and replication factor must be -1";
        return Err(ErrorResponse::of(ResponseError::InvalidRequest, message));
    }
    let index = |assignment: &CreatableReplicaAssignment| assignment.partition_index;
    let indexes: BTreeSet<i32> = asked.assignments.iter().map(index).collect();
    let counts_from_0 = indexes
        .iter()
        .copied()
        .eq(0..wire_count(asked.assignments.len()));
    if !counts_from_0
        || asked
            .assignments
            .iter()
            .any(|assignment| assignment.broker_ids.is_empty())
    {
        let message = "assignments must name each partition once, from 0, with its brokers";
        return Err(ErrorResponse::of(
            ResponseError::InvalidReplicaAssignment,
            message,
        ));
    }
    Ok(u32::try_from(indexes.len()).unwrap_or(u32::MAX))
}

/// -1 is all; fewer are accepted, and all hold the topic nevertheless.
fn replication_factor(asked: &CreatableTopic, replicas: u16) -> Result<u16, ErrorResponse> {
    match asked.replication_factor {
        -1 => Ok(replicas),
        factor => match u16::try_from(factor) {
            Ok(factor) if (1..=replicas).contains(&factor) => Ok(factor),
            _ => {
                let message = format!("replication factor {factor}, voters {replicas}");
                Err(ErrorResponse::of(
                    ResponseError::InvalidReplicationFactor,
                    message,
                ))
            }
        },
    }
}

/// Every voter holds every topic.
fn replicas(service: &Service) -> u16 {
    u16::try_from(service.replica().membership().voters.len()).unwrap_or(u16::MAX)
}

fn wire_count<N: TryInto<i32>>(count: N) -> i32 {
    count.try_into().unwrap_or(i32::MAX)
}

fn wire_factor(factor: u16) -> i16 {
    i16::try_from(factor).unwrap_or(i16::MAX)
}

fn created(state: &State, name: &TopicName) -> Result<CreatableTopicResult, ErrorResponse> {
    // Deleted again between being made and being answered.
    let topic = state
        .topic(name)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    let configs = topic_configs(topic.config()).map(|config| {
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(config.name()))
            .with_value(Some(config.value()))
            .with_config_source(config.source() as i8)
    });
    Ok(CreatableTopicResult::default()
        .with_name(wire_topic(name))
        .with_topic_id(topic.id().0)
        .with_error_message(None)
        .with_num_partitions(wire_count(topic.partitions().count()))
        .with_replication_factor(wire_factor(topic.replication_factor()))
        .with_configs(Some(configs.collect())))
}

fn not_created(name: WireTopicName, failed: ErrorResponse) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name)
        .with_error_code(failed.code.code())
        .with_error_message(failed.message.map(StrBytes::from_string))
        .with_configs(None)
}

pub(in crate::broker) async fn delete(
    service: &Service,
    version: i16,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let wait = deadline(request.timeout_ms);
    let named = request
        .topic_names
        .into_iter()
        .map(|name| DeleteTopicState::default().with_name(Some(name)));
    let asked: Vec<_> = if version < 6 {
        named.collect()
    } else {
        request.topics
    };
    let mut responses = Vec::with_capacity(asked.len());
    for topic in asked {
        responses.push(delete_one(service, topic, wait).await);
    }
    DeleteTopicsResponse::default().with_responses(responses)
}

async fn delete_one(
    service: &Service,
    asked: DeleteTopicState,
    wait: Duration,
) -> DeletableTopicResult {
    let result = DeletableTopicResult::default().with_error_message(None);
    // No other node than the leader has the last word on which topics there are.
    let elsewhere = not_leading(service.replica().leadership(), ErrorScope::Controller);
    let meant = match elsewhere {
        Some(code) => Err(code),
        None => meant(&service.replica().state(), &asked),
    };
    let (name, id) = match meant {
        Ok(meant) => meant,
        Err(code) => {
            return result
                .with_name(asked.name)
                .with_topic_id(asked.topic_id)
                .with_error_code(code.code());
        }
    };
    let result = result
        .with_name(Some(wire_topic(&name)))
        .with_topic_id(id.0);
    let command = Command::DeleteTopic(DeleteTopic { id });
    match propose_and_wait(service, command, ErrorScope::Controller, wait).await {
        Ok(_) => result,
        Err(failed) => result
            .with_error_code(failed.code.code())
            .with_error_message(failed.message.map(StrBytes::from_string)),
    }
}

fn meant(state: &State, asked: &DeleteTopicState) -> Result<(TopicName, TopicId), ResponseError> {
    match &asked.name {
        Some(name) => {
            let name =
                TopicName::parse(name).map_err(|_| ResponseError::UnknownTopicOrPartition)?;
            let topic = state
                .topic(&name)
                .ok_or(ResponseError::UnknownTopicOrPartition)?;
            Ok((name, topic.id()))
        }
        None => {
            let id = TopicId(asked.topic_id);
            let (name, _) = state.topic_by_id(id).ok_or(ResponseError::UnknownTopicId)?;
            Ok((name.clone(), id))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(partition: i32) -> CreatableReplicaAssignment {
        CreatableReplicaAssignment::default()
            .with_partition_index(partition)
            .with_broker_ids(vec![1.into()])
    }

    #[test]
    fn a_topic_without_a_number_of_partitions_gets_the_default() {
        assert_eq!(
            partitions(&CreatableTopic::default().with_num_partitions(-1), 2),
            Ok(2)
        );
        assert_eq!(
            partitions(&CreatableTopic::default().with_num_partitions(5), 2),
            Ok(5)
        );
        let refused =
            partitions(&CreatableTopic::default().with_num_partitions(-2), 2).expect_err("refused");
        assert_eq!(refused.code, ResponseError::InvalidPartitions);
    }

    #[test]
    fn an_assignment_must_name_every_partition_once() {
        let asked = |numbers: &[i32]| {
            let topic = CreatableTopic::default()
                .with_num_partitions(-1)
                .with_replication_factor(-1);
            partitions(
                &topic.with_assignments(numbers.iter().map(|number| assignment(*number)).collect()),
                2,
            )
        };
        assert_eq!(asked(&[1, 0, 2]), Ok(3));
        for wrong in [&[0, 0][..], &[1], &[0, 2]] {
            assert_eq!(
                asked(wrong).expect_err("refused").code,
                ResponseError::InvalidReplicaAssignment
            );
        }
    }

    #[test]
    fn a_replication_factor_beyond_the_brokers_is_refused() {
        let asked = |factor| {
            replication_factor(
                &CreatableTopic::default().with_replication_factor(factor),
                3,
            )
        };
        assert_eq!((asked(-1), asked(1), asked(3)), (Ok(3), Ok(1), Ok(3)));
        for wrong in [0, 4, -2] {
            assert_eq!(
                asked(wrong).expect_err("refused").code,
                ResponseError::InvalidReplicationFactor
            );
        }
    }
}
