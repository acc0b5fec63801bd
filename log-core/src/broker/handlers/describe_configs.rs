//! DescribeConfigs: every key of a topic or of this broker, with its value, its default and who set it (KIP-133,
//! KIP-226, KIP-569).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::barrier::read_barrier;
use super::described_config::{
    BROKER, DescribedConfig, Source, TOPIC, broker_configs, topic_configs,
};
use super::proposal::ErrorResponse;
use crate::broker::error_code::ErrorScope;
use crate::broker::service::Service;
use crate::ids::TopicName;

pub(in crate::broker) async fn answer(
    service: &Service,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    // Answered anywhere (rule 8), but on a leader with what is current.
    if read_barrier(service, ErrorScope::Controller).await.is_err() {
        tracing::debug!("settings described without the word that they are current");
    }
    let described = request
        .resources
        .iter()
        .map(|resource| describe(service, &request, resource));
    DescribeConfigsResponse::default().with_results(described.collect())
}

fn describe(
    service: &Service,
    request: &DescribeConfigsRequest,
    resource: &DescribeConfigsResource,
) -> DescribeConfigsResult {
    let result = DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone())
        .with_error_message(None);
    match configs(service, resource) {
        Ok(configs) => {
            let wanted = configs
                .into_iter()
                .filter(|config| is_wanted(resource, config));
            result.with_configs(
                wanted
                    .map(|config| entry(request, resource, &config))
                    .collect(),
            )
        }
        Err(failed) => result
            .with_error_code(failed.code.code())
            .with_error_message(failed.message.map(StrBytes::from_string)),
    }
}

fn configs(
    service: &Service,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribedConfig>, ErrorResponse> {
    match resource.resource_type {
        TOPIC => {
            let name = TopicName::parse(&resource.resource_name).map_err(|error| {
                ErrorResponse::of(ResponseError::InvalidTopicException, error.to_string())
            })?;
            let state = service.replica().state();
            let topic = state
                .topic(&name)
                .ok_or(ResponseError::UnknownTopicOrPartition)?;
            Ok(topic_configs(topic.config()).collect())
        }
        BROKER => {
            let ours = service.replica().cluster().node_id.to_string();
            let asked = resource.resource_name.as_str();
            if !asked.is_empty() && asked != ours {
                let message = format!("broker {asked} was asked of broker {ours}");
                return Err(ErrorResponse::of(ResponseError::InvalidRequest, message));
            }
            Ok(broker_configs(service.config(), service.advertised()).collect())
        }
        other => {
            let message =
                format!("resource type {other}: topics (2) and brokers (4) have settings here");
            Err(ErrorResponse::of(ResponseError::InvalidRequest, message))
        }
    }
}

fn is_wanted(resource: &DescribeConfigsResource, config: &DescribedConfig) -> bool {
    let keys = resource.configuration_keys.as_ref();
    keys.is_none_or(|keys| keys.iter().any(|key| key.as_str() == config.name()))
}

fn entry(
    request: &DescribeConfigsRequest,
    resource: &DescribeConfigsResource,
    config: &DescribedConfig,
) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(config.name()))
        .with_value(Some(config.value()))
        // A broker's settings are read at its start and change nowhere else.
        .with_read_only(resource.resource_type == BROKER)
        .with_config_source(config.source() as i8)
        .with_synonyms(if request.include_synonyms {
            synonyms(config)
        } else {
            Vec::new()
        })
        .with_config_type(config.config_type())
        .with_documentation(
            request
                .include_documentation
                .then(|| config.documentation()),
        )
}

/// The values that would hold, strongest first.
fn synonyms(config: &DescribedConfig) -> Vec<DescribeConfigsSynonym> {
    let synonym = |value, source: Source| {
        DescribeConfigsSynonym::default()
            .with_name(StrBytes::from_static_str(config.name()))
            .with_value(Some(value))
            .with_source(source as i8)
    };
    let default = synonym(config.default_value(), Source::Default);
    match config.source() {
        Source::Default => vec![default],
        set => vec![synonym(config.value(), set), default],
    }
}
