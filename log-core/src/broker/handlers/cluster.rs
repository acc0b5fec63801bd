//! DescribeCluster and DescribeLogDirs: what an operator asks of the cluster (KIP-700, KIP-113).

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeClusterResponse, DescribeLogDirsRequest,
    DescribeLogDirsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::metadata::{CLUSTER_OPERATIONS, View};
use super::named_partition::wire_topic;
use crate::broker::service::Service;
use crate::ids::{PartitionIndex, TopicName, TopicPartition};
use crate::wire::values;

/// Whose addresses are asked for; 2 would be those of controllers, which are the brokers here.
const BROKERS: i8 = 1;

pub(in crate::broker) fn describe(
    service: &Service,
    version: i16,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    let response = DescribeClusterResponse::default()
        .with_error_message(None)
        .with_cluster_id(StrBytes::from_string(
            service.replica().cluster().cluster_id.clone(),
        ));
    if 1 <= version && request.endpoint_type != BROKERS {
        return response.with_error_code(ResponseError::MismatchedEndpointType.code());
    }
    let state = service.replica().state();
    let view = View::new(service, &state);
    let brokers = view.brokers().into_iter().map(|broker| {
        DescribeClusterBroker::default()
            .with_broker_id(broker.node_id)
            .with_host(broker.host)
            .with_port(broker.port)
            .with_rack(broker.rack)
    });
    let response = response
        .with_controller_id(view.leader_id())
        .with_brokers(brokers.collect());
    if request.include_cluster_authorized_operations {
        return response.with_cluster_authorized_operations(CLUSTER_OPERATIONS);
    }
    response
}

pub(in crate::broker) fn log_dirs(
    service: &Service,
    request: &DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let mut topics: BTreeMap<TopicName, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for place in partitions_asked(service, request.topics.as_deref()) {
        let Some(reader) = service.replica().partitions().reader(&place) else {
            continue;
        };
        let described = DescribeLogDirsPartition::default()
            .with_partition_index(values::wire_partition(place.partition))
            .with_partition_size(i64::try_from(reader.size_bytes()).unwrap_or(i64::MAX));
        topics.entry(place.topic).or_default().push(described);
    }
    let topic = |(name, partitions)| {
        DescribeLogDirsTopic::default()
            .with_name(wire_topic(&name))
            .with_partitions(partitions)
    };
    let folder = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_string(
            service.config().data.display().to_string(),
        ))
        .with_topics(topics.into_iter().map(topic).collect());
    DescribeLogDirsResponse::default().with_results(vec![folder])
}

/// `None` asks for all.
fn partitions_asked(
    service: &Service,
    topics: Option<&[DescribableLogDirTopic]>,
) -> Vec<TopicPartition> {
    let Some(topics) = topics else {
        let state = service.replica().state();
        let all = state.topics().flat_map(|(name, topic)| {
            topic
                .partitions()
                .map(|(index, _)| TopicPartition::new(name.clone(), index))
        });
        return all.collect();
    };
    let named = topics
        .iter()
        .filter_map(|topic| Some((TopicName::parse(&topic.topic).ok()?, &topic.partitions)));
    let each = named.flat_map(|(name, indexes)| {
        let index = |wire: &i32| values::partition_index(*wire);
        let place = move |index: PartitionIndex| TopicPartition::new(name.clone(), index);
        indexes.iter().filter_map(index).map(place)
    });
    each.collect()
}
