//! `groups`: list, describe, seek, delete.

use std::collections::BTreeMap;
use std::io::Write;

use clap::{Args, Subcommand};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_groups_response::DescribedGroupMember;
use kafka_protocol::messages::{DeleteGroupsRequest, ListGroupsRequest};
use kafka_protocol::protocol::StrBytes;
use serde::{Serialize, Serializer};

use super::client::{Client, Isolation, PartitionName};
use super::committed::{self, Seek, look_up};
use super::error::{ToolError, check};
use super::options::Options;
use super::output::{Done, Output, Printable, head, or_dash, table_or};
use crate::wire::assignment;
use crate::wire::offset_spec::OffsetSpec;

/// `groups`
#[derive(Args, Debug)]
pub struct Groups {
    #[command(flatten)]
    pub(super) options: Options,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All consumer groups.
    List,
    /// A group's members, and for each partition how far it is and how far behind.
    Describe {
        /// Its name.
        group: String,
    },
    /// Move a group's offsets in a topic. Its members must be stopped.
    Seek(Seek),
    /// Delete a group and its offsets. Its members must be stopped.
    Delete {
        /// Its name.
        group: String,
    },
}

impl Groups {
    pub(super) async fn run(
        self,
        client: &mut Client,
        out: &mut Output<'_, impl Write>,
    ) -> Result<(), ToolError> {
        match self.action {
            Action::List => out.answer(&list(client).await?),
            Action::Describe { group } => out.answer(&describe(client, &group).await?),
            Action::Seek(seek) => out.answer(&seek.run(client).await?),
            Action::Delete { group } => out.answer(&delete(client, &group).await?),
        }
    }
}

/// What `list` shows.
#[derive(Serialize)]
struct Listed {
    groups: Vec<ListedGroup>,
}

#[derive(Serialize)]
struct ListedGroup {
    group: String,
    state: String,
    protocol_type: String,
}

impl Printable for Listed {
    fn text(&self) -> String {
        let row = |group: &ListedGroup| {
            [
                group.group.clone(),
                group.state.clone(),
                group.protocol_type.clone(),
            ]
        };
        let columns = ["GROUP", "STATE", "PROTOCOL TYPE"];
        table_or("no groups", columns, &[], self.groups.iter().map(row))
    }
}

async fn list(client: &mut Client) -> Result<Listed, ToolError> {
    let answer = client
        .ask_controller(4, ListGroupsRequest::default())
        .await?;
    check("the groups", answer.error_code, None)?;
    let group = |group: kafka_protocol::messages::list_groups_response::ListedGroup| ListedGroup {
        group: group.group_id.to_string(),
        state: group.group_state.to_string(),
        protocol_type: group.protocol_type.to_string(),
    };
    let mut groups: Vec<_> = answer.groups.into_iter().map(group).collect();
    groups.sort_by(|one, other| one.group.cmp(&other.group));
    Ok(Listed { groups })
}

/// What `describe` shows.
#[derive(Serialize)]
struct Described {
    group: String,
    state: String,
    assignor: String,
    members: Vec<Member>,
    partitions: Vec<Progress>,
}

#[derive(Serialize)]
struct Member {
    member: String,
    instance: Option<String>,
    client: String,
    host: String,
    #[serde(serialize_with = "places")]
    assigned: Vec<PartitionName>,
}

/// How far a group is in a partition.
#[derive(Serialize)]
struct Progress {
    topic: String,
    partition: i32,
    /// Where it goes on; none before its first commit.
    committed: Option<u64>,
    /// The next offset of the partition; none once the topic is gone.
    end: Option<u64>,
    lag: Option<u64>,
    member: Option<String>,
}

impl Printable for Described {
    fn text(&self) -> String {
        let assignor = Some(self.assignor.as_str()).filter(|name| !name.is_empty());
        let head = head([
            ("group", &self.group),
            ("state", &self.state),
            ("assignor", assignor.unwrap_or("-")),
        ]);
        let (members, partitions) = (self.members_text(), self.partitions_text());
        format!("{head}\n{members}\n{partitions}")
    }
}

impl Described {
    fn members_text(&self) -> String {
        let row = |member: &Member| {
            let assigned: Vec<_> = member.assigned.iter().map(named).collect();
            [
                member.member.clone(),
                or_dash(member.instance.as_ref()),
                member.client.clone(),
                member.host.clone(),
                assigned.join(" "),
            ]
        };
        let columns = ["MEMBER", "INSTANCE", "CLIENT", "HOST", "ASSIGNED"];
        table_or("no members", columns, &[], self.members.iter().map(row))
    }

    fn partitions_text(&self) -> String {
        let row = |progress: &Progress| {
            [
                progress.topic.clone(),
                progress.partition.to_string(),
                or_dash(progress.committed),
                or_dash(progress.end),
                or_dash(progress.lag),
                or_dash(progress.member.as_ref()),
            ]
        };
        let columns = ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"];
        let numbers = ["PARTITION", "COMMITTED", "END", "LAG"];
        table_or(
            "no offsets",
            columns,
            &numbers,
            self.partitions.iter().map(row),
        )
    }
}

fn named((topic, partition): &PartitionName) -> String {
    format!("{topic}-{partition}")
}

/// A place in words, so that a program need not know which of two values is which.
fn places<S: Serializer>(places: &[PartitionName], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct NamedPartition<'a> {
        topic: &'a str,
        partition: i32,
    }
    serializer.collect_seq(places.iter().map(|(topic, partition)| NamedPartition {
        topic,
        partition: *partition,
    }))
}

async fn describe(client: &mut Client, group: &str) -> Result<Described, ToolError> {
    let coordinator = client.coordinator(group).await?;
    let described = look_up(client, &coordinator, group).await?;
    let committed = committed::offsets(client, &coordinator, group).await?;
    let members: Vec<Member> = described.members.into_iter().map(Member::of).collect();
    let owned = members.iter().flat_map(|member| {
        let owner = |place: &PartitionName| (place.clone(), member.member.clone());
        member.assigned.iter().map(owner)
    });
    let owners: BTreeMap<PartitionName, String> = owned.collect();
    let ends = ends(client, committed.keys().chain(owners.keys())).await?;
    let mut places: Vec<&PartitionName> = committed.keys().chain(owners.keys()).collect();
    places.sort();
    places.dedup();
    let progress = |place: &PartitionName| Progress {
        topic: place.0.clone(),
        partition: place.1,
        committed: committed.get(place).copied(),
        end: ends.get(place).copied(),
        // A commit beyond the end is one of a topic made anew: nothing is known to be left.
        lag: committed
            .get(place)
            .zip(ends.get(place))
            .map(|(at, end)| end.saturating_sub(*at)),
        member: owners.get(place).cloned(),
    };
    let partitions = places.into_iter().map(progress).collect();
    Ok(Described {
        group: group.to_owned(),
        state: described.group_state.to_string(),
        assignor: described.protocol_data.to_string(),
        members,
        partitions,
    })
}

/// Where those partitions end that are still there.
async fn ends(
    client: &mut Client,
    places: impl Iterator<Item = &PartitionName>,
) -> Result<BTreeMap<PartitionName, u64>, ToolError> {
    let cluster = client.all_topics().await?;
    let known = cluster.places();
    let mut wanted: Vec<PartitionName> = places
        .filter(|place| known.contains(place))
        .cloned()
        .collect();
    wanted.sort();
    wanted.dedup();
    let ends = client
        .offsets(
            &cluster,
            &wanted,
            OffsetSpec::Latest,
            Isolation::ReadUncommitted,
        )
        .await?;
    Ok(ends
        .into_iter()
        .filter_map(|(place, end)| Some((place, end?.0)))
        .collect())
}

impl Member {
    fn of(member: DescribedGroupMember) -> Self {
        let topics = assignment::partitions(&member.member_assignment).unwrap_or_default();
        let assigned = topics.into_iter().flat_map(|(topic, partitions)| {
            partitions
                .into_iter()
                .map(move |partition| (topic.clone(), partition))
        });
        Self {
            member: member.member_id.to_string(),
            instance: member
                .group_instance_id
                .map(|instance| instance.to_string()),
            client: member.client_id.to_string(),
            host: member.client_host.to_string(),
            assigned: assigned.collect(),
        }
    }
}

async fn delete(client: &mut Client, group: &str) -> Result<Done, ToolError> {
    let coordinator = client.coordinator(group).await?;
    let name = StrBytes::from_string(group.to_owned()).into();
    let request = DeleteGroupsRequest::default().with_groups_names(vec![name]);
    for result in client.ask_at(&coordinator, 2, request).await?.results {
        let group = group.to_owned();
        match ResponseError::try_from_code(result.error_code) {
            None => {}
            Some(ResponseError::GroupIdNotFound) => return Err(ToolError::NoSuchGroup { group }),
            Some(ResponseError::NonEmptyGroup) => return Err(ToolError::GroupInUse { group }),
            Some(code) => return Err(ToolError::refused(format!("group {group}"), code, None)),
        }
    }
    Ok(Done {
        done: format!("group {group} deleted"),
    })
}
