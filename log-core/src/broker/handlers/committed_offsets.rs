//! OffsetCommit, OffsetFetch and OffsetDelete: how far a group has come (KIP-211, KIP-447, KIP-496, KIP-709).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse, TopicName as WireTopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::barrier::read_barrier;
use super::membership::caller;
use super::named_partition::{named, wire_topic};
use super::proposal::{ErrorResponse, propose_and_wait};
use crate::broker::error_code::{ErrorScope, not_leading, of_group_error};
use crate::broker::service::Service;
use crate::group::Caller;
use crate::ids::{GroupId, TopicName, TopicPartition};
use crate::state::{
    Command, CommitOffsets, CommittedOffset, Committer, ConsumerGroup, DeleteOffsets, NewOffset,
    Response,
};
use crate::wire::{subscription, values};

/// Commits have no deadline of their own; Kafka's is `offsets.commit.timeout.ms`, 5 s.
const WAIT: Duration = Duration::from_secs(5);
/// `offset.metadata.max.bytes`.
const METADATA_BYTES_MAX: usize = 4096;

pub(in crate::broker) async fn commit(
    service: &Service,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let sorted = SortedCommit::new(service, &request.topics);
    let outcome = commit_sound(service, &request, sorted.sound.clone()).await;
    let topics = request
        .topics
        .iter()
        .map(|topic| committed_topic(topic, &sorted, &outcome))
        .collect();
    OffsetCommitResponse::default().with_topics(topics)
}

/// A commit's partitions: those to propose, and those refused before.
pub(super) struct SortedCommit {
    pub(super) sound: Vec<NewOffset>,
    refused: BTreeMap<(String, i32), ResponseError>,
}

impl SortedCommit {
    fn new(service: &Service, topics: &[OffsetCommitRequestTopic]) -> Self {
        let partitions = topics.iter().flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|partition| RequestedOffset::of(&topic.name, partition))
        });
        Self::sort(service, partitions)
    }

    /// Puts each where it belongs.
    pub(super) fn sort(
        service: &Service,
        partitions: impl Iterator<Item = RequestedOffset>,
    ) -> Self {
        let mut sorted = Self {
            sound: Vec::new(),
            refused: BTreeMap::new(),
        };
        for asked in partitions {
            let key = (asked.topic.clone(), asked.partition);
            match asked.check(service) {
                Ok(offset) => sorted.sound.push(offset),
                Err(code) => {
                    sorted.refused.insert(key, code);
                }
            }
        }
        sorted
    }

    /// A partition's answer. What concerns the whole commit comes first: a node that does not lead has not the last word
    /// on which partitions there are.
    pub(super) fn code(
        &self,
        topic: &str,
        partition: i32,
        outcome: &Result<BTreeSet<TopicPartition>, ResponseError>,
    ) -> i16 {
        let unknown = match outcome {
            Err(code) => return code.code(),
            Ok(unknown) => unknown,
        };
        if let Some(code) = self.refused.get(&(topic.to_owned(), partition)) {
            return code.code();
        }
        match named(topic, partition) {
            Some(place) if unknown.contains(&place) => {
                ResponseError::UnknownTopicOrPartition.code()
            }
            _ => 0,
        }
    }
}

/// One partition of a commit, as both kinds of commit name it.
pub(super) struct RequestedOffset {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) metadata: Option<StrBytes>,
}

impl RequestedOffset {
    fn of(topic: &str, partition: &OffsetCommitRequestPartition) -> Self {
        Self {
            topic: topic.to_owned(),
            partition: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.clone(),
        }
    }

    fn check(self, service: &Service) -> Result<NewOffset, ResponseError> {
        let partition =
            named(&self.topic, self.partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
        if service.replica().state().partition(&partition).is_none() {
            return Err(ResponseError::UnknownTopicOrPartition);
        }
        let metadata = self
            .metadata
            .map_or_else(String::new, |metadata| metadata.to_string());
        if METADATA_BYTES_MAX < metadata.len() {
            return Err(ResponseError::OffsetMetadataTooLarge);
        }
        Ok(NewOffset {
            partition,
            offset: values::committed_offset(self.offset),
            leader_epoch: values::leader_epoch(self.leader_epoch),
            metadata,
        })
    }
}

/// Commits what is sound; those that turned out to be unknown.
async fn commit_sound(
    service: &Service,
    request: &OffsetCommitRequest,
    offsets: Vec<NewOffset>,
) -> Result<BTreeSet<TopicPartition>, ResponseError> {
    let group = GroupId::new(request.group_id.as_str());
    let by = committing(
        &request.member_id,
        request.group_instance_id.as_ref(),
        request.generation_id_or_member_epoch,
    );
    admit(service, &group, by.clone()).await?;
    if offsets.is_empty() {
        return Ok(BTreeSet::new());
    }
    let retention_ms = u64::try_from(request.retention_time_ms).ok();
    let command = CommitOffsets {
        group,
        by: committer(by),
        offsets,
        retention_ms,
    };
    let outcome = propose_and_wait(
        service,
        Command::CommitOffsets(command),
        ErrorScope::Coordinator,
        WAIT,
    )
    .await;
    unknown_of(outcome)
}

/// Who commits; `None` for nobody in particular.
pub(super) fn committing(
    member: &str,
    instance: Option<&StrBytes>,
    generation: i32,
) -> Option<Caller> {
    let nobody = member.is_empty() && instance.is_none() && generation < 0;
    (!nobody).then(|| caller(member, instance, generation))
}

/// The same as the state machine knows it.
pub(super) fn committer(by: Option<Caller>) -> Committer {
    by.map_or_else(Committer::default, |caller| Committer {
        generation: caller.generation,
        member: (!caller.member_id.as_str().is_empty()).then_some(caller.member_id),
        instance: caller.instance_id,
    })
}

/// Kafka's finer answers, before anything is proposed. The commit is a sign of life.
pub(super) async fn admit(
    service: &Service,
    group: &GroupId,
    by: Option<Caller>,
) -> Result<(), ResponseError> {
    if let Some(code) = not_leading(service.replica().leadership(), ErrorScope::Coordinator) {
        return Err(code);
    }
    let admitted = service.replica().admit_commit(group.clone(), by).await;
    admitted.map_err(|error| of_group_error(&error))
}

/// The partitions that a commit has left out.
pub(super) fn unknown_of(
    outcome: Result<Response, ErrorResponse>,
) -> Result<BTreeSet<TopicPartition>, ResponseError> {
    match outcome {
        Ok(Response::OffsetsCommitted { unknown }) => Ok(unknown.into_iter().collect()),
        Ok(_) => Err(ResponseError::UnknownServerError),
        Err(failed) => Err(failed.code),
    }
}

fn committed_topic(
    topic: &OffsetCommitRequestTopic,
    sorted: &SortedCommit,
    outcome: &Result<BTreeSet<TopicPartition>, ResponseError>,
) -> OffsetCommitResponseTopic {
    let partition = |partition: &OffsetCommitRequestPartition| {
        let index = partition.partition_index;
        OffsetCommitResponsePartition::default()
            .with_partition_index(index)
            .with_error_code(sorted.code(&topic.name, index, outcome))
    };
    OffsetCommitResponseTopic::default()
        .with_name(topic.name.clone())
        .with_partitions(topic.partitions.iter().map(partition).collect())
}

/// `None` where another node is the coordinator, or none is: the connection is closed, which clients take for a
/// coordinator to look for anew. Told so in words, librdkafka looks for it and never asks again (decision 17).
pub(in crate::broker) async fn fetch(
    service: &Service,
    version: i16,
    request: OffsetFetchRequest,
) -> Option<OffsetFetchResponse> {
    let current = read_barrier(service, ErrorScope::Coordinator)
        .await
        .map(|_| ());
    if let Err(ResponseError::NotCoordinator | ResponseError::CoordinatorNotAvailable) = current {
        return None;
    }
    if version < 8 {
        return Some(fetch_one(service, version, request, current));
    }
    let stable = request.require_stable;
    let groups = request
        .groups
        .into_iter()
        .map(|group| fetch_of_several(service, group, stable, current));
    Some(OffsetFetchResponse::default().with_groups(groups.collect()))
}

/// Before version 8 a request is about one group.
fn fetch_one(
    service: &Service,
    version: i16,
    request: OffsetFetchRequest,
    current: Result<(), ResponseError>,
) -> OffsetFetchResponse {
    let topics = request.topics.map(|topics| {
        let named = topics.into_iter();
        named
            .map(|topic| (topic.name, topic.partition_indexes))
            .collect::<Vec<_>>()
    });
    let code = current.err().map_or(0, |code| code.code());
    let found = match code {
        0 => look_up(service, &request.group_id, topics, request.require_stable),
        code => all_with(topics, code),
    };
    let topic = |(name, partitions): FoundTopic| {
        let one = |found: FoundOffset| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(found.partition)
                .with_committed_offset(found.offset)
                .with_committed_leader_epoch(if 5 <= version { found.leader_epoch } else { -1 })
                .with_metadata(Some(found.metadata))
                .with_error_code(found.code)
        };
        OffsetFetchResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions.into_iter().map(one).collect())
    };
    OffsetFetchResponse::default()
        .with_error_code(if 2 <= version { code } else { 0 })
        .with_topics(found.into_iter().map(topic).collect())
}

fn fetch_of_several(
    service: &Service,
    request: OffsetFetchRequestGroup,
    require_stable: bool,
    current: Result<(), ResponseError>,
) -> OffsetFetchResponseGroup {
    let response = OffsetFetchResponseGroup::default().with_group_id(request.group_id.clone());
    if let Err(code) = current {
        return response.with_error_code(code.code());
    }
    let named = |topic: OffsetFetchRequestTopics| (topic.name, topic.partition_indexes);
    let topics = request
        .topics
        .map(|topics| topics.into_iter().map(named).collect());
    let topic = |(name, partitions): FoundTopic| {
        let one = |found: FoundOffset| {
            OffsetFetchResponsePartitions::default()
                .with_partition_index(found.partition)
                .with_committed_offset(found.offset)
                .with_committed_leader_epoch(found.leader_epoch)
                .with_metadata(Some(found.metadata))
                .with_error_code(found.code)
        };
        OffsetFetchResponseTopics::default()
            .with_name(name)
            .with_partitions(partitions.into_iter().map(one).collect())
    };
    let found = look_up(service, &request.group_id, topics, require_stable);
    response.with_topics(found.into_iter().map(topic).collect())
}

/// Topics and partitions as they were asked for.
type AskedTopics = Vec<(WireTopicName, Vec<i32>)>;
type FoundTopic = (WireTopicName, Vec<FoundOffset>);

struct FoundOffset {
    partition: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: StrBytes,
    code: i16,
}

impl FoundOffset {
    /// Nothing was committed, which is no error; or it cannot be told.
    fn none(partition: i32, code: i16) -> Self {
        Self {
            partition,
            offset: -1,
            leader_epoch: -1,
            metadata: StrBytes::new(),
            code,
        }
    }

    fn of(partition: i32, committed: &CommittedOffset) -> Self {
        Self {
            partition,
            offset: values::wire_committed_offset(committed.offset),
            leader_epoch: values::wire_leader_epoch(committed.leader_epoch),
            metadata: StrBytes::from_string(committed.metadata.clone()),
            code: 0,
        }
    }
}

/// `None` asks for all.
fn look_up(
    service: &Service,
    group: &str,
    topics: Option<AskedTopics>,
    require_stable: bool,
) -> Vec<FoundTopic> {
    let state = service.replica().state();
    let group = state.group(&GroupId::new(group));
    let topics = topics.unwrap_or_else(|| group.map_or_else(Vec::new, all_topics));
    let one = |topic: &str, partition: i32| {
        let committed = group.zip(named(topic, partition));
        match committed {
            Some((group, place)) if require_stable && group.is_unstable(&place) => {
                FoundOffset::none(partition, ResponseError::UnstableOffsetCommit.code())
            }
            Some((group, place)) => group.offset(&place).map_or_else(
                || FoundOffset::none(partition, 0),
                |offset| FoundOffset::of(partition, offset),
            ),
            None => FoundOffset::none(partition, 0),
        }
    };
    let topic = |(name, partitions): (WireTopicName, Vec<i32>)| {
        let found = partitions
            .into_iter()
            .map(|partition| one(&name, partition))
            .collect();
        (name, found)
    };
    topics.into_iter().map(topic).collect()
}

fn all_topics(group: &ConsumerGroup) -> AskedTopics {
    let mut topics: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
    for (place, _) in group.offsets() {
        topics
            .entry(&place.topic)
            .or_default()
            .push(values::wire_partition(place.partition));
    }
    topics
        .into_iter()
        .map(|(name, partitions)| (wire_topic(name), partitions))
        .collect()
}

fn all_with(topics: Option<AskedTopics>, code: i16) -> Vec<FoundTopic> {
    let topic = |(name, partitions): (WireTopicName, Vec<i32>)| {
        let found = partitions
            .into_iter()
            .map(|partition| FoundOffset::none(partition, code))
            .collect();
        (name, found)
    };
    topics.unwrap_or_default().into_iter().map(topic).collect()
}

pub(in crate::broker) async fn delete(
    service: &Service,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let group = GroupId::new(request.group_id.as_str());
    let subscribed = match subscribed_topics(service, &group).await {
        Ok(subscribed) => subscribed,
        Err(code) => return OffsetDeleteResponse::default().with_error_code(code.code()),
    };
    let asked = request.topics.iter().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(|partition| (topic.name.as_str(), partition.partition_index))
    });
    let partitions: Vec<_> = asked
        .filter(|(topic, _)| !subscribed.contains(*topic))
        .filter_map(|(topic, partition)| named(topic, partition))
        .collect();
    let command = Command::DeleteOffsets(DeleteOffsets { group, partitions });
    if let Err(failed) = propose_and_wait(service, command, ErrorScope::Coordinator, WAIT).await {
        return OffsetDeleteResponse::default().with_error_code(failed.code.code());
    }
    let topics = request.topics.into_iter().map(|topic| {
        let code = match subscribed.contains(topic.name.as_str()) {
            true => ResponseError::GroupSubscribedToTopic.code(),
            false => 0,
        };
        let partitions = topic.partitions.into_iter().map(|partition| {
            OffsetDeleteResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        });
        OffsetDeleteResponseTopic::default()
            .with_name(topic.name)
            .with_partitions(partitions.collect())
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}

/// The topics whose offsets are in use. Only what consumers write is understood; another kind of group must be empty.
async fn subscribed_topics(
    service: &Service,
    group: &GroupId,
) -> Result<BTreeSet<String>, ResponseError> {
    if let Some(code) = not_leading(service.replica().leadership(), ErrorScope::Coordinator) {
        return Err(code);
    }
    let described = service.replica().describe_group(group.clone()).await;
    let Some(description) = described.map_err(|error| of_group_error(&error))? else {
        return Ok(BTreeSet::new());
    };
    if description.members.is_empty() {
        return Ok(BTreeSet::new());
    }
    if description.protocol_type != subscription::CONSUMER {
        return Err(ResponseError::NonEmptyGroup);
    }
    let mut topics = BTreeSet::new();
    for member in description.members {
        // While the group rebalances, it is not known what it will be subscribed to.
        let subscribed =
            subscription::topics(&member.metadata).ok_or(ResponseError::NonEmptyGroup)?;
        topics.extend(subscribed);
    }
    Ok(topics)
}
