//! The members of a log as DescribeQuorum tells of them, and as `nodes list` shows them.

use std::collections::BTreeMap;

use kafka_protocol::messages::DescribeQuorumRequest;
use kafka_protocol::messages::describe_quorum_request::{
    PartitionData as AskedPartition, TopicData,
};
use kafka_protocol::messages::describe_quorum_response::{
    Node as WireNode, PartitionData, ReplicaState,
};
use kafka_protocol::protocol::StrBytes;
use serde::Serialize;
use uuid::Uuid;

use super::client::{Client, address};
use super::error::{ToolError, check};
use super::output::{Printable, head, or_dash, table_or};
use crate::ids::ReplicaId;
use crate::wire::extension::{self, ClockReport, ReplicaStatus};
use crate::wire::values;

/// What Kafka calls the partition that the members keep together.
const JOURNAL: &str = "__cluster_metadata";
/// The listener for clients, and the one for the other nodes.
const CLIENTS: &str = "PLAINTEXT";
const PEERS: &str = "PEER";

/// Who decides, who learns, who waits; shown by `nodes list`.
#[derive(Serialize)]
pub(super) struct Quorum {
    leader: Option<i32>,
    leader_epoch: i32,
    nodes: Vec<Member>,
}

/// A replica and the node it is.
#[derive(Serialize)]
pub(super) struct Member {
    /// None while it has not said which node it is, or another has taken its number.
    pub(super) node: Option<i32>,
    pub(super) role: Role,
    /// Digits: more than a program's floating point numbers hold.
    replica: Option<String>,
    clients: Option<String>,
    peers: Option<String>,
    /// Entries of the journal that it lacks.
    lag: Option<i64>,
    in_sync: Option<bool>,
    /// Whether the leader heard of it lately.
    answers: Option<bool>,
    /// Whether its disk has room for records.
    room: Option<bool>,
    #[serde(skip)]
    pub(super) directory: Option<Uuid>,
}

/// What a replica is to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// It votes, and leads.
    Leader,
    /// It votes.
    Voter,
    /// It receives entries, and does not vote.
    Learner,
    /// It is no member, and wants to be one.
    Waiting,
    /// It is registered, and no member any more.
    Former,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Voter => "voter",
            Self::Learner => "learner",
            Self::Waiting => "waiting",
            Self::Former => "former",
        }
    }
}

impl Printable for Quorum {
    fn text(&self) -> String {
        let leader = self.leader.map_or_else(
            || "none at present: what follows is what this node last heard".to_owned(),
            |leader| format!("node {leader}"),
        );
        let epoch = self.leader_epoch.to_string();
        let head = head([("leader", &leader), ("epoch", &epoch)]);
        let columns = [
            "NODE", "ROLE", "REPLICA", "CLIENTS", "PEERS", "LAG", "IN SYNC", "ANSWERS", "ROOM",
        ];
        let rows = self.nodes.iter().map(Member::row);
        format!(
            "{head}\n{}",
            table_or("no nodes", columns, &["NODE", "LAG"], rows)
        )
    }
}

impl Member {
    fn row(&self) -> [String; 9] {
        let word = |is: Option<bool>| or_dash(is.map(|is| if is { "yes" } else { "no" }));
        [
            or_dash(self.node),
            self.role.name().to_owned(),
            or_dash(self.replica.as_ref()),
            or_dash(self.clients.as_ref()),
            or_dash(self.peers.as_ref()),
            or_dash(self.lag),
            word(self.in_sync),
            word(self.answers),
            word(self.room),
        ]
    }

    /// Whether it votes.
    pub(super) fn votes(&self) -> bool {
        matches!(self.role, Role::Leader | Role::Voter)
    }

    /// Whether it votes or learns.
    pub(super) fn is_member(&self) -> bool {
        self.votes() || self.role == Role::Learner
    }

    /// Whether it votes and nothing is wrong with it.
    pub(super) fn is_well(&self) -> bool {
        self.votes() && self.in_sync == Some(true)
    }
}

/// What the leader's clock shows, and which jumps of it are known.
pub(super) async fn clock(client: &mut Client) -> Result<ClockReport, ToolError> {
    let (journal, _) = ask(client).await?;
    extension::clock_report(&journal.unknown_tagged_fields).ok_or_else(|| ToolError::Silent {
        api: "DescribeQuorum",
        about: "the clock".to_owned(),
    })
}

async fn ask(client: &mut Client) -> Result<(PartitionData, Vec<WireNode>), ToolError> {
    let partition = AskedPartition::default().with_partition_index(0);
    let topic = TopicData::default()
        .with_topic_name(StrBytes::from_static_str(JOURNAL).into())
        .with_partitions(vec![partition]);
    let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
    let answer = match client.ask_controller(2, request.clone()).await {
        Err(ToolError::NoLeader { .. }) => client.ask(2, request).await?,
        answered => answered?,
    };
    let message = answer.error_message.as_deref();
    check("the nodes", answer.error_code, message)?;
    let mut topics = answer.topics.into_iter();
    let journal = topics
        .next()
        .and_then(|topic| topic.partitions.into_iter().next());
    let journal = journal.ok_or_else(|| ToolError::Silent {
        api: "DescribeQuorum",
        about: "the journal".to_owned(),
    })?;
    check(
        "the nodes",
        journal.error_code,
        journal.error_message.as_deref(),
    )?;
    Ok((journal, answer.nodes))
}

impl Quorum {
    /// Asks the leader, or where there is none whatever node answers.
    pub(super) async fn ask(client: &mut Client) -> Result<Self, ToolError> {
        let (journal, nodes) = ask(client).await?;
        Ok(Self::of(journal, nodes))
    }

    fn of(journal: PartitionData, nodes: Vec<WireNode>) -> Self {
        let addresses: BTreeMap<i32, WireNode> = nodes
            .into_iter()
            .map(|node| (node.node_id.0, node))
            .collect();
        let leader = Some(journal.leader_id.0).filter(|leader| 0 <= *leader);
        let end = leaders_end(&journal);
        let seen = Seen {
            leader,
            end,
            addresses: &addresses,
        };
        let voters = journal.current_voters.iter();
        let observers = journal.observers.iter();
        let mut members: Vec<Member> = voters
            .map(|state| seen.member(state, Role::Voter))
            .chain(observers.map(|state| seen.member(state, Role::Learner)))
            .collect();
        let known: Vec<_> = members.iter().filter_map(|member| member.node).collect();
        let former = addresses.keys().filter(|id| !known.contains(id));
        members.extend(former.map(|id| seen.former(*id)));
        members.sort_by_key(|member| {
            (
                member.node.unwrap_or(i32::MAX),
                member.role == Role::Waiting,
            )
        });
        Self {
            leader,
            leader_epoch: journal.leader_epoch,
            nodes: members,
        }
    }

    /// How many vote.
    pub(super) fn voters(&self) -> usize {
        self.nodes.iter().filter(|member| member.votes()).count()
    }

    /// The replica that wants to be this node.
    pub(super) fn waiting(&self, node: i32) -> Option<&Member> {
        self.of_node(node)
            .find(|member| member.role == Role::Waiting)
    }

    /// The replica that is this node.
    pub(super) fn member(&self, node: i32) -> Option<&Member> {
        self.of_node(node).find(|member| member.is_member())
    }

    /// A member by its replica.
    pub(super) fn of_replica(&self, replica: u64) -> Option<&Member> {
        let wanted = values::wire_directory(ReplicaId(replica));
        let mut members = self.nodes.iter().filter(|member| member.is_member());
        members.find(|member| member.directory == Some(wanted))
    }

    /// Whether clients are still told of this node although it is no member.
    pub(super) fn is_former(&self, node: i32) -> bool {
        self.of_node(node).any(|member| member.role == Role::Former)
    }

    /// Those that want to be nodes, in words.
    pub(super) fn waiting_nodes(&self) -> Vec<i32> {
        let waiting = self
            .nodes
            .iter()
            .filter(|member| member.role == Role::Waiting);
        waiting.filter_map(|member| member.node).collect()
    }

    /// The one silent voter that goes by no number: another replica is taking its place.
    pub(super) fn nameless(&self) -> Option<&Member> {
        let is_nameless = |member: &&Member| member.votes() && member.node.is_none();
        let mut nameless = self.nodes.iter().filter(is_nameless);
        let first = nameless.next()?;
        nameless.next().is_none().then_some(first)
    }

    fn of_node(&self, node: i32) -> impl Iterator<Item = &Member> {
        self.nodes
            .iter()
            .filter(move |member| member.node == Some(node))
    }
}

/// Where the leader's journal ends; elsewhere the farthest that was heard of.
fn leaders_end(journal: &PartitionData) -> i64 {
    let voters = journal.current_voters.iter();
    voters.map(|voter| voter.log_end_offset).max().unwrap_or(-1)
}

/// What one answer says of all.
struct Seen<'a> {
    leader: Option<i32>,
    end: i64,
    addresses: &'a BTreeMap<i32, WireNode>,
}

impl Seen<'_> {
    fn member(&self, state: &ReplicaState, role: Role) -> Member {
        let node = Some(state.replica_id.0).filter(|node| 0 <= *node);
        let replica_status = extension::replica_status(&state.unknown_tagged_fields);
        let role = match replica_status {
            Some(ReplicaStatus { waiting: true, .. }) => Role::Waiting,
            _ if role == Role::Voter && node.is_some() && node == self.leader => Role::Leader,
            _ => role,
        };
        let of_members = replica_status.filter(|_| role != Role::Waiting);
        Member {
            node,
            role,
            replica: values::replica(state.replica_directory_id).map(|replica| replica.to_string()),
            clients: node.and_then(|node| self.listener(node, CLIENTS)),
            peers: node.and_then(|node| self.listener(node, PEERS)),
            lag: (0 <= state.log_end_offset).then(|| (self.end - state.log_end_offset).max(0)),
            in_sync: of_members.map(|replica_status| replica_status.in_sync),
            answers: of_members.map(|replica_status| replica_status.active),
            room: of_members.map(|replica_status| replica_status.has_room),
            directory: Some(state.replica_directory_id),
        }
    }

    fn former(&self, node: i32) -> Member {
        Member {
            node: Some(node),
            role: Role::Former,
            replica: None,
            clients: self.listener(node, CLIENTS),
            peers: self.listener(node, PEERS),
            lag: None,
            in_sync: None,
            answers: None,
            room: None,
            directory: None,
        }
    }

    fn listener(&self, node: i32, name: &str) -> Option<String> {
        let node = self.addresses.get(&node)?;
        let mut listeners = node.listeners.iter();
        let listener = listeners.find(|listener| listener.name.as_str() == name)?;
        Some(address(&listener.host, listener.port.into()))
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_quorum_response::Listener;

    use super::*;

    fn state(node: i32, replica: u64, end: i64, replica_status: ReplicaStatus) -> ReplicaState {
        ReplicaState::default()
            .with_replica_id(node.into())
            .with_replica_directory_id(Uuid::from_u64_pair(0, replica))
            .with_log_end_offset(end)
            .with_unknown_tagged_fields(replica_status.tagged())
    }

    fn reached_at(node: i32, name: &'static str, port: u16) -> WireNode {
        let listener = Listener::default()
            .with_name(StrBytes::from_static_str(name))
            .with_host(StrBytes::from_static_str("10.0.0.1"))
            .with_port(port);
        WireNode::default()
            .with_node_id(node.into())
            .with_listeners(vec![listener])
    }

    /// Node 1 leads, node 2 is behind, node 3's disk was lost and its successor waits, node 4 has left.
    fn quorum() -> Quorum {
        let well = ReplicaStatus {
            active: true,
            in_sync: true,
            has_room: true,
            waiting: false,
        };
        let behind = ReplicaStatus {
            in_sync: false,
            ..well
        };
        let waits = ReplicaStatus {
            active: true,
            waiting: true,
            ..ReplicaStatus::default()
        };
        let journal = PartitionData::default()
            .with_leader_id(1.into())
            .with_leader_epoch(7)
            .with_current_voters(vec![
                state(1, 11, 500, well),
                state(2, 12, 480, behind),
                state(3, 13, -1, ReplicaStatus::default()),
            ])
            .with_observers(vec![state(3, 33, -1, waits)]);
        let nodes = vec![
            reached_at(1, CLIENTS, 9092),
            reached_at(2, PEERS, 9093),
            reached_at(4, CLIENTS, 9094),
        ];
        Quorum::of(journal, nodes)
    }

    #[test]
    fn members_waiting_replicas_and_former_nodes_are_shown_by_their_number() {
        let lines = quorum().text();
        let lines: Vec<Vec<&str>> = lines
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[0], ["leader", "node", "1", "epoch", "7"]);
        assert_eq!(
            lines[3..],
            [
                vec![
                    "1",
                    "leader",
                    "11",
                    "10.0.0.1:9092",
                    "-",
                    "0",
                    "yes",
                    "yes",
                    "yes"
                ],
                vec![
                    "2",
                    "voter",
                    "12",
                    "-",
                    "10.0.0.1:9093",
                    "20",
                    "no",
                    "yes",
                    "yes"
                ],
                vec!["3", "voter", "13", "-", "-", "-", "no", "no", "no"],
                vec!["3", "waiting", "33", "-", "-", "-", "-", "-", "-"],
                vec!["4", "former", "-", "10.0.0.1:9094", "-", "-", "-", "-", "-"],
            ]
        );
    }

    #[test]
    fn a_number_stands_for_its_member_and_for_the_one_that_waits() {
        let quorum = quorum();
        let replica = |member: Option<&Member>| member.and_then(|it| it.replica.clone());
        assert_eq!(replica(quorum.member(3)).as_deref(), Some("13"));
        assert_eq!(replica(quorum.waiting(3)).as_deref(), Some("33"));
        assert_eq!(quorum.waiting_nodes(), [3]);
        assert!(quorum.is_former(4) && quorum.member(4).is_none());
        assert!(quorum.member(1).is_some_and(Member::is_well));
        assert!(!quorum.member(2).is_some_and(Member::is_well));
        assert!(quorum.nameless().is_none());
    }
}
