//! DescribeQuorum: who decides, who learns, who waits to be added, and how far each of them is (KIP-595, KIP-853).
//!
//! Answered by every node from what it knows: on the leader that is current, elsewhere it is what a leader last told.
//! An operator who looks at a log without a leader needs it most.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_quorum_request::TopicData as AskedTopic;
use kafka_protocol::messages::describe_quorum_response::{
    Listener as WireListener, Node as WireNode, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{DescribeQuorumRequest, DescribeQuorumResponse};
use kafka_protocol::protocol::StrBytes;

use super::barrier::read_barrier;
use super::metadata::View;
use crate::broker::error_code::ErrorScope;
use crate::broker::service::{PendingNode, Service};
use crate::consensus::{Membership, Quorum, QuorumMember};
use crate::ids::{EntryIndex, NodeId, ReplicaId};
use crate::state::{Listener, State, listener};
use crate::wire::extension::{ClockReport, ReplicaStatus, ReportedJump};
use crate::wire::values;

/// What Kafka calls the partition that its controllers keep together; ours is the journal.
const JOURNAL: (&str, i32) = ("__cluster_metadata", 0);

pub(in crate::broker) async fn describe(
    service: &Service,
    version: i16,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    if read_barrier(service, ErrorScope::Controller).await.is_err() {
        tracing::debug!("the quorum is described as a leader last told of it");
    }
    let state = service.replica().state();
    let known = Known::of(service, &state, version);
    let topics = request.topics.iter().map(|topic| known.topic(topic));
    let response = DescribeQuorumResponse::default()
        .with_error_message(None)
        .with_topics(topics.collect());
    if version < 2 {
        return response;
    }
    response.with_nodes(known.nodes())
}

/// What this node knows of the members.
struct Known<'a> {
    version: i16,
    service: &'a Service,
    view: View<'a>,
    state: &'a State,
    membership: Membership,
    quorum: std::sync::Arc<Quorum>,
    waiting: Vec<PendingNode>,
}

impl Known<'_> {
    fn topic(&self, asked: &AskedTopic) -> TopicData {
        let partition = |index: i32| {
            if (asked.topic_name.as_str(), index) == JOURNAL {
                return self.journal();
            }
            PartitionData::default()
                .with_partition_index(index)
                .with_error_message(None)
                .with_error_code(ResponseError::UnknownTopicOrPartition.code())
        };
        let indexes = asked.partitions.iter();
        TopicData::default()
            .with_topic_name(asked.topic_name.clone())
            .with_partitions(
                indexes
                    .map(|asked| partition(asked.partition_index))
                    .collect(),
            )
    }

    fn journal(&self) -> PartitionData {
        let voters = self.membership.voters.iter();
        let learners = self.membership.learners.iter();
        let waiting = self.waiting.iter().map(|waiting| self.waits(waiting));
        PartitionData::default()
            .with_unknown_tagged_fields(self.clock().tagged())
            .with_error_message(None)
            .with_leader_id(self.view.leader_id())
            .with_leader_epoch(self.view.leader_epoch())
            .with_high_watermark(end_after(self.applied()))
            .with_current_voters(voters.map(|voter| self.member(*voter)).collect())
            .with_observers(
                learners
                    .map(|learner| self.member(*learner))
                    .chain(waiting)
                    .collect(),
            )
    }

    fn clock(&self) -> ClockReport {
        let replica = self.service.replica();
        let elapsed = replica.now().elapsed;
        let jumps = self.state.clock_jumps().iter();
        ClockReport {
            now_ms: replica.clocks().command().now(elapsed).0,
            wall_ms: replica.wall().0,
            jumps: jumps
                .map(|jump| ReportedJump {
                    at_ms: jump.at.0,
                    unwitnessed_ms: jump.unwitnessed_ms,
                    dismissed: jump.dismissed,
                })
                .collect(),
        }
    }

    /// The members are as of a moment ago; what is applied must not lie beyond what all of them have.
    fn applied(&self) -> EntryIndex {
        let applied = *self.service.replica().applied().borrow();
        let stored = self.quorum.members.iter().map(|member| member.matched);
        stored.max().map_or(applied, |stored| applied.min(stored))
    }

    fn member(&self, replica: ReplicaId) -> ReplicaState {
        let member = self.quorum.member(replica);
        let node = self.state.node_of(replica).map(|(id, _)| id);
        let is = |word: fn(&QuorumMember) -> bool| member.is_some_and(word);
        let replica_status = ReplicaStatus {
            active: is(|member| member.active),
            in_sync: is(|member| member.in_sync),
            has_room: self.has_room(replica),
            waiting: false,
        };
        self.replica_state(node, replica)
            .with_log_end_offset(member.map_or(-1, |member| end_after(member.matched)))
            .with_unknown_tagged_fields(replica_status.tagged())
    }

    fn waits(&self, waiting: &PendingNode) -> ReplicaState {
        let replica_status = ReplicaStatus {
            active: true,
            waiting: true,
            ..ReplicaStatus::default()
        };
        self.replica_state(Some(waiting.node), waiting.replica)
            .with_log_end_offset(-1)
            .with_unknown_tagged_fields(replica_status.tagged())
    }

    fn replica_state(&self, node: Option<NodeId>, replica: ReplicaId) -> ReplicaState {
        let state = ReplicaState::default()
            .with_replica_id(values::wire_node(node).into())
            .with_last_fetch_timestamp(-1)
            .with_last_caught_up_timestamp(-1);
        // Before version 2 replicas had no names of their own.
        match self.version {
            ..=1 => state,
            2.. => state.with_replica_directory_id(values::wire_directory(replica)),
        }
    }

    fn has_room(&self, replica: ReplicaId) -> bool {
        let room = self.service.replica().room();
        if replica == self.service.replica().cluster().replica {
            return room.own_report().has_room;
        }
        room.reported(replica).is_some_and(|report| report.has_room)
    }

    /// Where each node is reached: the registered ones, and those that wait.
    fn nodes(&self) -> Vec<WireNode> {
        let waiting = self.waiting.iter().map(|waiting| {
            let listener = Listener {
                name: listener::PEER.to_owned(),
                host: waiting.host.clone(),
                port: waiting.port,
            };
            (waiting.node, vec![listener])
        });
        let registered = self
            .state
            .nodes()
            .map(|(id, node)| (id, node.listeners.clone()));
        let nodes: BTreeMap<NodeId, Vec<Listener>> = waiting.chain(registered).collect();
        nodes.into_iter().map(wire_node).collect()
    }
}

impl<'a> Known<'a> {
    fn of(service: &'a Service, state: &'a State, version: i16) -> Self {
        Self {
            version,
            service,
            view: View::new(service, state),
            state,
            membership: service.replica().membership(),
            quorum: service.replica().quorum(),
            waiting: service.waiting(),
        }
    }
}

fn wire_node((id, listeners): (NodeId, Vec<Listener>)) -> WireNode {
    let listener = |listener: Listener| {
        WireListener::default()
            .with_name(StrBytes::from_string(listener.name))
            .with_host(StrBytes::from_string(listener.host))
            .with_port(listener.port)
    };
    WireNode::default()
        .with_node_id(values::wire_node(Some(id)).into())
        .with_listeners(listeners.into_iter().map(listener).collect())
}

/// Entries count from 1, and Kafka's ends are exclusive.
fn end_after(index: EntryIndex) -> i64 {
    i64::try_from(index.0 + 1).unwrap_or(i64::MAX)
}
