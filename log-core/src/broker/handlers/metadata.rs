//! Metadata: which brokers and topics there are, and who leads (KIP-4, KIP-430, KIP-516).

use std::collections::BTreeSet;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::named_partition::wire_topic;
use super::topics::create_as_asked_for;
use crate::broker::service::Service;
use crate::consensus::QuorumMember;
use crate::ids::{LeaderEpoch, NodeId, PartitionIndex, ReplicaId, TopicId, TopicName};
use crate::node::Leadership;
use crate::state::{RegisteredNode, State, Topic};
use crate::wire::values;

/// How long making a topic that was asked for may hold up the answer.
const CREATE_WAIT: Duration = Duration::from_secs(5);

/// What a client may do with a topic, as Kafka's bit set: read, write, create, delete, alter, describe, describe and
/// alter configs. No client is refused anything as long as none is asked who it is.
pub(super) const TOPIC_OPERATIONS: i32 =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;
/// And with the cluster: create, alter, describe, cluster action, describe and alter configs, idempotent write.
pub(super) const CLUSTER_OPERATIONS: i32 =
    1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

pub(in crate::broker) async fn answer(
    service: &Service,
    version: i16,
    request: MetadataRequest,
) -> MetadataResponse {
    // Before version 4 asking for a topic always meant to have it.
    let may_create = version < 4 || request.allow_auto_topic_creation;
    if may_create && service.config().auto_create_topics_enable {
        create_missing(service, &request).await;
    }
    let state = service.replica().state();
    let view = View::new(service, &state);
    let topics = match asked_for(version, request.topics) {
        None => state
            .topics()
            .map(|(name, topic)| view.topic(name, topic))
            .collect(),
        Some(asked) => asked
            .into_iter()
            .map(|asked| view.asked(version, asked))
            .collect::<Vec<_>>(),
    };
    let with_operations = |mut topic: MetadataResponseTopic| {
        if request.include_topic_authorized_operations && topic.error_code == 0 {
            topic.topic_authorized_operations = TOPIC_OPERATIONS;
        }
        topic
    };
    let response = MetadataResponse::default()
        .with_brokers(view.brokers())
        .with_cluster_id(Some(StrBytes::from_string(
            service.replica().cluster().cluster_id.clone(),
        )))
        .with_controller_id(view.leader_id())
        .with_topics(topics.into_iter().map(with_operations).collect());
    if request.include_cluster_authorized_operations {
        return response.with_cluster_authorized_operations(CLUSTER_OPERATIONS);
    }
    response
}

/// `None` for all topics: in version 0 by naming none, later by null, when naming none means none.
fn asked_for(
    version: i16,
    topics: Option<Vec<MetadataRequestTopic>>,
) -> Option<Vec<MetadataRequestTopic>> {
    topics.filter(|topics| 0 < version || !topics.is_empty())
}

async fn create_missing(service: &Service, request: &MetadataRequest) {
    let named = request
        .topics
        .iter()
        .flatten()
        .filter_map(|topic| topic.name.as_ref());
    let missing = {
        let state = service.replica().state();
        let parsed = named.filter_map(|name| TopicName::parse(name).ok());
        parsed
            .filter(|name| state.topic(name).is_none())
            .collect::<Vec<_>>()
    };
    for name in missing {
        // Whatever comes of it, the answer says what is there.
        create_as_asked_for(service, name, CREATE_WAIT).await;
    }
}

/// The nodes of some replicas by their numbers, which people gave them; what replicas are called is chance.
fn broker_ids(state: &State, replicas: impl IntoIterator<Item = ReplicaId>) -> Vec<BrokerId> {
    let nodes = replicas.into_iter().filter_map(|it| state.node_of(it));
    let nodes: BTreeSet<NodeId> = nodes.map(|(node, _)| node).collect();
    let on_the_wire = nodes.into_iter().map(|it| values::wire_node(Some(it)));
    on_the_wire.map(BrokerId::from).collect()
}

/// The cluster as one answer sees it.
pub(super) struct View<'a> {
    service: &'a Service,
    state: &'a State,
    leader: Option<NodeId>,
    epoch: LeaderEpoch,
    replicas: Vec<BrokerId>,
    in_sync: Vec<BrokerId>,
    offline: Vec<BrokerId>,
}

impl<'a> View<'a> {
    pub(super) fn new(service: &'a Service, state: &'a State) -> Self {
        let (leader, epoch) = leader_and_epoch(service);
        let quorum = service.replica().quorum();
        let voters = service.replica().membership().voters;
        let members = |is: fn(&QuorumMember) -> bool| {
            let voters = quorum.members.iter().filter(|member| member.voter);
            let some = voters.filter(|member| is(member));
            broker_ids(state, some.map(|member| member.replica))
        };
        Self {
            service,
            state,
            leader,
            epoch,
            replicas: broker_ids(state, voters),
            in_sync: members(|member| member.in_sync),
            offline: members(|member| !member.active),
        }
    }

    pub(super) fn leader_id(&self) -> BrokerId {
        values::wire_node(self.leader).into()
    }

    /// The nodes that hold every partition.
    pub(super) fn replicas(&self) -> &[BrokerId] {
        &self.replicas
    }

    pub(super) fn leader_epoch(&self) -> i32 {
        // Before the first leader there is no epoch.
        let known = Some(self.epoch).filter(|epoch| *epoch != LeaderEpoch::default());
        values::wire_leader_epoch(known)
    }

    pub(super) fn brokers(&self) -> Vec<MetadataResponseBroker> {
        self.state
            .nodes()
            .filter_map(|(id, node)| self.broker(id, node))
            .collect()
    }

    fn broker(&self, id: NodeId, node: &RegisteredNode) -> Option<MetadataResponseBroker> {
        let address = self.service.address_of(id, node)?;
        Some(
            MetadataResponseBroker::default()
                .with_node_id(values::wire_node(Some(id)).into())
                .with_host(StrBytes::from_string(address.host))
                .with_port(i32::from(address.port))
                .with_rack(node.rack.clone().map(StrBytes::from_string)),
        )
    }

    fn asked(&self, version: i16, asked: MetadataRequestTopic) -> MetadataResponseTopic {
        match asked.name {
            Some(name) => self.named(&name),
            // Versions 10 and 11 have a place for the id in the answer only.
            None if version < 12 => MetadataResponseTopic::default()
                .with_name(Some(StrBytes::new().into()))
                .with_error_code(ResponseError::InvalidRequest.code()),
            None => self.identified(asked.topic_id),
        }
    }

    fn named(&self, name: &str) -> MetadataResponseTopic {
        let unknown = |code: ResponseError| {
            let name = StrBytes::from_string(name.to_owned()).into();
            MetadataResponseTopic::default()
                .with_name(Some(name))
                .with_error_code(code.code())
        };
        let Ok(parsed) = TopicName::parse(name) else {
            return unknown(ResponseError::InvalidTopicException);
        };
        match self.state.topic(&parsed) {
            Some(topic) => self.topic(&parsed, topic),
            None => unknown(ResponseError::UnknownTopicOrPartition),
        }
    }

    fn identified(&self, id: Uuid) -> MetadataResponseTopic {
        match self.state.topic_by_id(TopicId(id)) {
            Some((name, topic)) => self.topic(name, topic),
            None => MetadataResponseTopic::default()
                .with_name(None)
                .with_topic_id(id)
                .with_error_code(ResponseError::UnknownTopicId.code()),
        }
    }

    fn topic(&self, name: &TopicName, topic: &Topic) -> MetadataResponseTopic {
        MetadataResponseTopic::default()
            .with_name(Some(wire_topic(name)))
            .with_topic_id(topic.id().0)
            .with_partitions(
                topic
                    .partitions()
                    .map(|(index, _)| self.partition(index))
                    .collect(),
            )
    }

    /// All voters hold every partition.
    pub(super) fn partition(&self, index: PartitionIndex) -> MetadataResponsePartition {
        let code = if self.leader.is_some() {
            0
        } else {
            ResponseError::LeaderNotAvailable.code()
        };
        MetadataResponsePartition::default()
            .with_error_code(code)
            .with_partition_index(values::wire_partition(index))
            .with_leader_id(self.leader_id())
            .with_leader_epoch(self.leader_epoch())
            .with_replica_nodes(self.replicas.clone())
            .with_isr_nodes(self.in_sync.clone())
            .with_offline_replicas(self.offline.clone())
    }
}

/// One pair: librdkafka ignores a leader with an epoch below one that it has seen, and no leader without the last epoch.
/// A leader that has not applied its own epoch's first entry is not named yet (rules 5 and 7).
fn leader_and_epoch(service: &Service) -> (Option<NodeId>, LeaderEpoch) {
    match service.replica().leadership() {
        Leadership::Leader { epoch } => (Some(service.replica().cluster().node_id), epoch),
        Leadership::Follower {
            leader: Some((node, epoch)),
        } => (Some(node), epoch),
        Leadership::Follower { leader: None } | Leadership::Starting => {
            (None, service.replica().applied_epoch())
        }
    }
}
