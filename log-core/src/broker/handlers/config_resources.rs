//! ListConfigResources: what has settings that DescribeConfigs tells (KIP-1142); in version 0 the telemetry subscriptions
//! of clients, of which there are none.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;

use super::described_config::{BROKER, TOPIC};
use crate::broker::service::Service;

/// What Kafka lists: topics, brokers, their loggers, telemetry subscriptions, groups. Only the first two have settings here.
const TYPES: [i8; 5] = [TOPIC, BROKER, 8, 16, 32];

pub(in crate::broker) fn list(
    service: &Service,
    version: i16,
    request: &ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let response = ListConfigResourcesResponse::default();
    if version < 1 {
        return response;
    }
    let asked = &request.resource_types;
    if asked.iter().any(|kind| !TYPES.contains(kind)) {
        return response.with_error_code(ResponseError::UnsupportedVersion.code());
    }
    let is_asked = |kind: i8| asked.is_empty() || asked.contains(&kind);
    let resource = |kind: i8, name: String| {
        ConfigResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_string(name))
    };
    let state = service.replica().state();
    let nodes = state
        .nodes()
        .map(|(node, _)| resource(BROKER, node.to_string()));
    let topics = state
        .topics()
        .map(|(name, _)| resource(TOPIC, name.as_str().to_owned()));
    response.with_config_resources(
        nodes
            .filter(|_| is_asked(BROKER))
            .chain(topics.filter(|_| is_asked(TOPIC)))
            .collect(),
    )
}
