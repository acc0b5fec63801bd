//! A partition as a client names it: a topic's name and a number that need not exist.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName as WireTopicName;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::ids::{LeaderEpoch, TopicId, TopicName, TopicPartition};
use crate::state::{Partition, State, Topic};
use crate::wire::values;

/// The partition of that name and number, if a topic could have it.
pub(super) fn named(topic: &str, partition: i32) -> Option<TopicPartition> {
    let topic = TopicName::parse(topic).ok()?;
    Some(TopicPartition::new(
        topic,
        values::partition_index(partition)?,
    ))
}

/// Looks a partition up.
pub(super) fn find<'a>(
    state: &'a State,
    topic: &str,
    partition: i32,
) -> Result<(TopicPartition, &'a Topic, &'a Partition), ResponseError> {
    let unknown = ResponseError::UnknownTopicOrPartition;
    let place = named(topic, partition).ok_or(unknown)?;
    let topic = state.topic(&place.topic).ok_or(unknown)?;
    let found = topic.partition(place.partition).ok_or(unknown)?;
    Ok((place, topic, found))
}

/// A topic as a request names it: by its id in newer versions (KIP-516).
#[derive(Clone, Copy, Debug)]
pub(super) enum TopicKey<'a> {
    Name(&'a str),
    Id(Uuid),
}

/// Looks a partition up.
pub(super) fn find_by<'a>(
    state: &'a State,
    topic: TopicKey<'_>,
    partition: i32,
) -> Result<(TopicPartition, &'a Topic, &'a Partition), ResponseError> {
    match topic {
        TopicKey::Name(name) => find(state, name, partition),
        TopicKey::Id(id) => {
            let found = state.topic_by_id(TopicId(id));
            let (name, _) = found.ok_or(ResponseError::UnknownTopicId)?;
            find(state, name.as_str(), partition)
        }
    }
}

/// A client that knows of an older or a newer leader than this one must refresh first (KIP-320).
pub(super) fn check_leader_epoch(
    known: Option<LeaderEpoch>,
    ours: LeaderEpoch,
) -> Result<(), ResponseError> {
    match known {
        Some(known) if known < ours => Err(ResponseError::FencedLeaderEpoch),
        Some(known) if ours < known => Err(ResponseError::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

/// A topic's name as the codec has it.
pub(super) fn wire_topic(name: &TopicName) -> WireTopicName {
    WireTopicName(StrBytes::from_string(name.as_str().to_owned()))
}
