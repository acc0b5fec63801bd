//! All topics, by name and by identity.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Change;
use super::command::CreateTopic;
use super::partition::Partition;
use super::refusal::Refusal;
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
    pub(super) fn meant(&mut self, name: &TopicName, id: TopicId) -> Option<&mut Topic> {
        self.by_name.get_mut(name).filter(|topic| topic.id == id)
    }

    /// Whether a topic can be made, and its settings as read.
    pub(super) fn check_create(&self, create: &CreateTopic) -> Result<TopicConfig, Refusal> {
        if self.by_name.contains_key(&create.name) {
            return Err(Refusal::TopicExists {
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
    ) -> Result<Response, Refusal> {
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

    pub(super) fn delete(&mut self, id: TopicId, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        let name = self
            .names
            .remove(&id)
            .ok_or(Refusal::UnknownTopicId { id })?;
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
        Ok(())
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
    let present = u32::try_from(topic.partitions.len()).expect("at most PARTITIONS_MAX");
    for partition in (present..count).map(PartitionIndex) {
        topic.partitions.push(Partition::default());
        changes.push(Change::PartitionCreated {
            partition: TopicPartition::new(name.clone(), partition),
            topic_id: topic.id,
            segment: topic.config.settings().segment,
        });
    }
}

fn check_partitions(requested: u32, least: u32) -> Result<(), Refusal> {
    match (least..=PARTITIONS_MAX).contains(&requested) {
        true => Ok(()),
        false => Err(Refusal::InvalidPartitions {
            requested,
            least,
            most: PARTITIONS_MAX,
        }),
    }
}
