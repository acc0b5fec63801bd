//! All topics, by name and by identity.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Change;
use super::command::{
    AlterTopicConfigs, CreatePartitions, CreateTopic, LogStartCause, MoveLogStart, NewOffset,
};
use super::command_error::CommandError;
use super::config_minimums::AcksMin;
use super::partition::Partition;
use super::response::Response;
use super::topic::{PARTITIONS_MAX, Topic};
use super::topic_config::TopicConfig;
use crate::ids::{PartitionIndex, ProducerId, TimestampMs, TopicId, TopicName, TopicPartition};

/// All topics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    from = "BTreeMap<TopicName, Topic>",
    into = "BTreeMap<TopicName, Topic>"
)]
pub(super) struct Topics {
    by_name: BTreeMap<TopicName, Topic>,
    names: BTreeMap<TopicId, TopicName>,
}

impl From<BTreeMap<TopicName, Topic>> for Topics {
    fn from(by_name: BTreeMap<TopicName, Topic>) -> Self {
        let names = by_name
            .iter()
            .map(|(name, topic)| (topic.id(), name.clone()))
            .collect();
        Self { by_name, names }
    }
}

impl From<Topics> for BTreeMap<TopicName, Topic> {
    fn from(topics: Topics) -> Self {
        topics.by_name
    }
}

impl Topics {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&TopicName, &Topic)> + '_ {
        self.by_name.iter()
    }

    pub(super) fn by_name(&self, name: &TopicName) -> Option<&Topic> {
        self.by_name.get(name)
    }

    pub(super) fn by_id(&self, id: TopicId) -> Option<(&TopicName, &Topic)> {
        self.by_name.get_key_value(self.names.get(&id)?)
    }

    /// The topic of that name, if it still is the one that the proposer meant.
    pub(super) fn meant(&self, name: &TopicName, id: TopicId) -> Option<&Topic> {
        self.by_name.get(name).filter(|topic| topic.id == id)
    }

    pub(super) fn meant_mut(&mut self, name: &TopicName, id: TopicId) -> Option<&mut Topic> {
        self.by_name.get_mut(name).filter(|topic| topic.id == id)
    }

    /// One partition.
    pub(super) fn partition_mut(&mut self, partition: &TopicPartition) -> Option<&mut Partition> {
        self.by_name
            .get_mut(&partition.topic)?
            .partition_mut(partition.partition)
    }

    /// Whether there is such a partition.
    pub(super) fn contains(&self, partition: &TopicPartition) -> bool {
        self.by_name(&partition.topic)
            .is_some_and(|topic| topic.partition(partition.partition).is_some())
    }

    /// The offsets in partitions that there are, and the partitions that there are not.
    pub(super) fn split_known(
        &self,
        offsets: &[NewOffset],
    ) -> (Vec<NewOffset>, Vec<TopicPartition>) {
        let (known, unknown): (Vec<_>, Vec<_>) = offsets
            .iter()
            .cloned()
            .partition(|offset| self.contains(&offset.partition));
        (
            known,
            unknown.into_iter().map(|offset| offset.partition).collect(),
        )
    }

    /// Whether a topic can be made, and its settings as read.
    pub(super) fn check_create(&self, create: &CreateTopic) -> Result<TopicConfig, CommandError> {
        if self.by_name.contains_key(&create.name) {
            return Err(CommandError::TopicExists {
                name: create.name.clone(),
            });
        }
        check_partitions(create.partitions, 1)?;
        Ok(TopicConfig::new(create.configs.clone())?)
    }

    pub(super) fn create(
        &mut self,
        create: &CreateTopic,
        at: TimestampMs,
        changes: &mut Vec<Change>,
    ) -> Result<Response, CommandError> {
        let config = self.check_create(create)?;
        let CreateTopic {
            name,
            id,
            partitions,
            replication_factor,
            ..
        } = create.clone();
        // Random and 122 bits wide: a second topic with it is a leader gone wrong, not chance.
        assert!(!self.names.contains_key(&id), "topic id {id} is taken");
        let mut topic = Topic {
            id,
            created_at: at,
            replication_factor,
            config,
            partitions: Vec::new(),
        };
        add_partitions(&name, &mut topic, partitions, changes);
        self.names.insert(id, name.clone());
        self.by_name.insert(name, topic);
        Ok(Response::TopicCreated { id })
    }

    /// Deletes a topic; answers its name.
    pub(super) fn delete(
        &mut self,
        id: TopicId,
        changes: &mut Vec<Change>,
    ) -> Result<TopicName, CommandError> {
        let name = self
            .names
            .remove(&id)
            .ok_or(CommandError::UnknownTopicId { id })?;
        let topic = self
            .by_name
            .remove(&name)
            .expect("a topic's identity leads to its name");
        changes.extend(
            topic
                .partitions()
                .map(|(partition, _)| Change::PartitionDeleted {
                    partition: TopicPartition::new(name.clone(), partition),
                }),
        );
        Ok(name)
    }

    /// What a topic's settings would become.
    pub(super) fn check_alter(
        &self,
        alter: &AlterTopicConfigs,
    ) -> Result<TopicConfig, CommandError> {
        let id = alter.topic_id;
        let (_, topic) = self.by_id(id).ok_or(CommandError::UnknownTopicId { id })?;
        Ok(alter.change.applied_to(&topic.config)?)
    }

    pub(super) fn alter(
        &mut self,
        alter: &AlterTopicConfigs,
        changes: &mut Vec<Change>,
    ) -> Result<(), CommandError> {
        let config = self.check_alter(alter)?;
        let (name, topic) = self.by_id_mut(alter.topic_id)?;
        let segment = config.settings().segment;
        let rolls_otherwise = segment != topic.config.settings().segment;
        topic.config = config;
        if rolls_otherwise {
            let configured = |(partition, _)| Change::PartitionConfigured {
                partition: TopicPartition::new(name.clone(), partition),
                segment,
            };
            changes.extend(topic.partitions().map(configured));
        }
        Ok(())
    }

    /// Whether a topic can be given so many partitions.
    pub(super) fn check_create_partitions(
        &self,
        create: &CreatePartitions,
    ) -> Result<(), CommandError> {
        let id = create.topic_id;
        let (_, topic) = self.by_id(id).ok_or(CommandError::UnknownTopicId { id })?;
        check_partitions(create.count, topic.partition_count() + 1)
    }

    pub(super) fn create_partitions(
        &mut self,
        create: &CreatePartitions,
        changes: &mut Vec<Change>,
    ) -> Result<(), CommandError> {
        self.check_create_partitions(create)?;
        let (name, topic) = self.by_id_mut(create.topic_id)?;
        add_partitions(&name, topic, create.count, changes);
        Ok(())
    }

    pub(super) fn move_log_start(
        &mut self,
        request: &MoveLogStart,
        changes: &mut Vec<Change>,
    ) -> Result<Response, CommandError> {
        let (name, topic) = self.by_id_mut(request.topic_id)?;
        let partition = TopicPartition::new(name, request.partition);
        let protected = topic.config.settings().acks_min == AcksMin::All;
        let Some(place) = topic.partition_mut(request.partition) else {
            return Err(CommandError::UnknownPartition { partition });
        };
        let high_watermark = place.high_watermark();
        let requested = request.offset.unwrap_or(high_watermark);
        let offset = match request.cause {
            LogStartCause::Retention => requested.min(place.last_stable_offset()),
            LogStartCause::DeleteRecords if protected => {
                return Err(CommandError::RecordsProtected { partition });
            }
            LogStartCause::DeleteRecords if high_watermark < requested => {
                return Err(CommandError::OffsetOutOfRange {
                    partition,
                    requested,
                    high_watermark,
                });
            }
            LogStartCause::DeleteRecords => requested,
        };
        if place.move_log_start(offset) {
            changes.push(Change::LogStartMoved {
                partition,
                log_start_offset: offset,
            });
        }
        let log_start_offset = place.log_start_offset();
        Ok(Response::LogStart { log_start_offset })
    }

    fn by_id_mut(&mut self, id: TopicId) -> Result<(TopicName, &mut Topic), CommandError> {
        let unknown = || CommandError::UnknownTopicId { id };
        let name = self.names.get(&id).ok_or_else(unknown)?;
        let topic = self.by_name.get_mut(name).ok_or_else(unknown)?;
        Ok((name.clone(), topic))
    }

    pub(super) fn forget_producers(&mut self, producers: &[ProducerId]) {
        for partition in self
            .by_name
            .values_mut()
            .flat_map(|topic| &mut topic.partitions)
        {
            producers
                .iter()
                .for_each(|producer| partition.forget(*producer));
        }
    }
}

/// Adds partitions until there are `count`.
fn add_partitions(name: &TopicName, topic: &mut Topic, count: u32, changes: &mut Vec<Change>) {
    for partition in (topic.partition_count()..count).map(PartitionIndex) {
        topic.partitions.push(Partition::default());
        changes.push(Change::PartitionCreated {
            partition: TopicPartition::new(name.clone(), partition),
            topic_id: topic.id,
            segment: topic.config.settings().segment,
        });
    }
}

fn check_partitions(requested: u32, least: u32) -> Result<(), CommandError> {
    match (least..=PARTITIONS_MAX).contains(&requested) {
        true => Ok(()),
        false => Err(CommandError::InvalidPartitions {
            requested,
            least,
            most: PARTITIONS_MAX,
        }),
    }
}
