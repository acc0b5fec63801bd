//! A group's committed offsets: read them, move them.

use std::collections::BTreeMap;

use clap::Args;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{DescribeGroupsRequest, OffsetCommitRequest, OffsetFetchRequest};
use kafka_protocol::protocol::StrBytes;
use serde::Serialize;

use super::client::{Client, Cluster, Isolation, PartitionName, by_topic};
use super::error::{ToolError, check};
use super::output::{Printable, or_dash, table};
use super::position::Position;
use super::start::starts;
use crate::ids::Offset;

/// Kafka's word for a group that is not there.
const DEAD: &str = "Dead";
/// Who commits without being a member.
const NO_GENERATION: i32 = -1;

/// `groups seek`
#[derive(Args, Debug)]
pub(super) struct Seek {
    /// The group.
    group: String,
    /// The topic.
    #[arg(long)]
    topic: String,
    /// One partition [default: all].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Where to go on: earliest, latest, an offset, or a time such as 2026-11-20T09:00:00+09:00.
    #[arg(long, value_name = "POSITION")]
    to: Position,
}

/// What `seek` shows.
#[derive(Serialize)]
pub(super) struct Moved {
    group: String,
    topic: String,
    partitions: Vec<MovedPartition>,
}

#[derive(Serialize)]
struct MovedPartition {
    partition: i32,
    before: Option<u64>,
    now: u64,
}

impl Printable for Moved {
    fn text(&self) -> String {
        let row = |moved: &MovedPartition| {
            [
                self.topic.clone(),
                moved.partition.to_string(),
                or_dash(moved.before),
                moved.now.to_string(),
            ]
        };
        table(
            ["TOPIC", "PARTITION", "BEFORE", "NOW"],
            &["PARTITION", "BEFORE", "NOW"],
            self.partitions.iter().map(row),
        )
    }
}

impl Seek {
    pub(super) async fn run(self, client: &mut Client) -> Result<Moved, ToolError> {
        let coordinator = client.coordinator(&self.group).await?;
        // A name mistyped must not make a group that nobody is in.
        let group = look_up(client, &coordinator, &self.group).await?;
        if !group.members.is_empty() {
            return Err(ToolError::GroupInUse { group: self.group });
        }
        let cluster = client.topic(&self.topic).await?;
        let places = cluster.chosen(&self.topic, self.partition)?;
        let to = self.targets(client, &cluster, &places).await?;
        let before = offsets(client, &coordinator, &self.group).await?;
        commit(client, &coordinator, &self.group, &to).await?;
        let moved = |(place, now): (&PartitionName, &Offset)| MovedPartition {
            partition: place.1,
            before: before.get(place).copied(),
            now: now.0,
        };
        let partitions = to.iter().map(moved).collect();
        Ok(Moved {
            group: self.group,
            topic: self.topic,
            partitions,
        })
    }

    async fn targets(
        &self,
        client: &mut Client,
        cluster: &Cluster,
        places: &[PartitionName],
    ) -> Result<BTreeMap<PartitionName, Offset>, ToolError> {
        starts(client, cluster, places, self.to, Isolation::ReadUncommitted).await
    }
}

/// The offsets that a group has committed.
pub(super) async fn offsets(
    client: &mut Client,
    coordinator: &str,
    group: &str,
) -> Result<BTreeMap<PartitionName, u64>, ToolError> {
    let request = OffsetFetchRequest::default()
        .with_group_id(StrBytes::from_string(group.to_owned()).into())
        .with_topics(None);
    let answer = client.ask_at(coordinator, 7, request).await?;
    check(format!("group {group}"), answer.error_code, None)?;
    let mut offsets = BTreeMap::new();
    for topic in answer.topics {
        for partition in topic.partitions {
            check(format!("group {group}"), partition.error_code, None)?;
            if let Ok(offset) = u64::try_from(partition.committed_offset) {
                offsets.insert((topic.name.to_string(), partition.partition_index), offset);
            }
        }
    }
    Ok(offsets)
}

async fn commit(
    client: &mut Client,
    coordinator: &str,
    group: &str,
    offsets: &BTreeMap<PartitionName, Offset>,
) -> Result<(), ToolError> {
    let places: Vec<PartitionName> = offsets.keys().cloned().collect();
    let topic = |(name, indexes): (StrBytes, Vec<i32>)| {
        let partition = |index: i32| {
            let offset = offsets.get(&(name.to_string(), index)).copied();
            OffsetCommitRequestPartition::default()
                .with_partition_index(index)
                .with_committed_offset(crate::wire::values::wire_offset(offset))
                .with_committed_leader_epoch(-1)
        };
        OffsetCommitRequestTopic::default()
            .with_partitions(indexes.into_iter().map(partition).collect())
            .with_name(name.clone().into())
    };
    let request = OffsetCommitRequest::default()
        .with_group_id(StrBytes::from_string(group.to_owned()).into())
        .with_generation_id_or_member_epoch(NO_GENERATION)
        .with_topics(by_topic(&places).map(topic).collect());
    for topic in client.ask_at(coordinator, 7, request).await?.topics {
        for partition in topic.partitions {
            // A member that came between the look and the commit.
            if partition.error_code == ResponseError::UnknownMemberId.code() {
                return Err(ToolError::GroupInUse {
                    group: group.to_owned(),
                });
            }
            check(format!("group {group}"), partition.error_code, None)?;
        }
    }
    Ok(())
}

/// The group as its coordinator sees it; it must be there.
pub(super) async fn look_up(
    client: &mut Client,
    coordinator: &str,
    group: &str,
) -> Result<DescribedGroup, ToolError> {
    let name = StrBytes::from_string(group.to_owned()).into();
    let request = DescribeGroupsRequest::default().with_groups(vec![name]);
    let answer = client.ask_at(coordinator, 5, request).await?;
    let described = answer
        .groups
        .into_iter()
        .next()
        .ok_or_else(|| ToolError::Silent {
            api: "DescribeGroups",
            about: group.to_owned(),
        })?;
    check(format!("group {group}"), described.error_code, None)?;
    if described.group_state.as_str() == DEAD {
        return Err(ToolError::NoSuchGroup {
            group: group.to_owned(),
        });
    }
    Ok(described)
}
