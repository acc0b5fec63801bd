//! AlterConfigs and IncrementalAlterConfigs: a topic's settings change (KIP-133, KIP-339).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResponse;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use super::described_config::{BROKER, TOPIC};
use super::proposal::{ErrorResponse, propose_and_wait, to_wire};
use crate::broker::error_code::{ErrorScope, not_leading};
use crate::broker::service::Service;
use crate::ids::TopicName;
use crate::state::{AlterTopicConfigs, Command, ConfigAction, ConfigChange, ConfigOp};

/// The requests have no deadline of their own.
const WAIT: Duration = Duration::from_secs(10);

pub(in crate::broker) async fn replace(
    service: &Service,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let mut once = Once::default();
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let configs = resource.configs.into_iter().map(|config| {
            let key = config.name.to_string();
            match config.value {
                Some(value) => Ok((key, value.to_string())),
                None => Err(value_needed(&key)),
            }
        });
        let configs: Result<BTreeMap<String, String>, ErrorResponse> = configs.collect();
        let named = ResourceKey {
            kind: resource.resource_type,
            name: &resource.resource_name,
        };
        let change = configs.map(ConfigChange::Replace);
        let done = alter(service, &mut once, named, change, request.validate_only).await;
        let (code, message) = to_wire(done);
        responses.push(
            AlterConfigsResourceResponse::default()
                .with_error_code(code)
                .with_error_message(message)
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name),
        );
    }
    AlterConfigsResponse::default().with_responses(responses)
}

pub(in crate::broker) async fn incremental(
    service: &Service,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut once = Once::default();
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let ops = resource
            .configs
            .iter()
            .map(op)
            .collect::<Result<Vec<_>, _>>();
        let named = ResourceKey {
            kind: resource.resource_type,
            name: &resource.resource_name,
        };
        let change = ops.map(ConfigChange::Incremental);
        let done = alter(service, &mut once, named, change, request.validate_only).await;
        let (code, message) = to_wire(done);
        responses.push(
            IncrementalResponse::default()
                .with_error_code(code)
                .with_error_message(message)
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name),
        );
    }
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

fn value_needed(key: &str) -> ErrorResponse {
    ErrorResponse::of(
        ResponseError::InvalidRequest,
        format!("{key}: a value is needed"),
    )
}

/// One setting's change: the wire's 0 sets, 1 deletes, 2 appends, 3 subtracts.
fn op(config: &AlterableConfig) -> Result<ConfigOp, ErrorResponse> {
    let key = config.name.to_string();
    let value = config.value.as_ref().map(ToString::to_string);
    let needed = || value_needed(&key);
    let action = match config.config_operation {
        0 => ConfigAction::Set(value.ok_or_else(needed)?),
        1 => ConfigAction::Delete,
        2 => ConfigAction::Append(value.ok_or_else(needed)?),
        3 => ConfigAction::Subtract(value.ok_or_else(needed)?),
        other => {
            let message = format!("{key}: operation {other}, known are 0 to 3");
            return Err(ErrorResponse::of(ResponseError::InvalidRequest, message));
        }
    };
    Ok(ConfigOp { key, action })
}

/// What a request has named; a second time is a mistake.
#[derive(Default)]
struct Once(BTreeSet<(i8, String)>);

struct ResourceKey<'a> {
    kind: i8,
    name: &'a str,
}

async fn alter(
    service: &Service,
    once: &mut Once,
    named: ResourceKey<'_>,
    change: Result<ConfigChange, ErrorResponse>,
    validate_only: bool,
) -> Result<(), ErrorResponse> {
    if !once.0.insert((named.kind, named.name.to_owned())) {
        return Err(ErrorResponse::of(
            ResponseError::InvalidRequest,
            "the request names this more than once",
        ));
    }
    if let Some(code) = not_leading(service.replica().leadership(), ErrorScope::Controller) {
        return Err(code.into());
    }
    let command = command(service, &named, change?)?;
    let voters = service.replica().membership().voters.len();
    let storable = service
        .replica()
        .state()
        .check_alter_storable(&command, voters);
    storable.map_err(|refusal| ErrorResponse::from(&refusal))?;
    if validate_only {
        return Ok(());
    }
    propose_and_wait(
        service,
        Command::AlterTopicConfigs(command),
        ErrorScope::Controller,
        WAIT,
    )
    .await
    .map(|_| ())
}

fn command(
    service: &Service,
    named: &ResourceKey<'_>,
    change: ConfigChange,
) -> Result<AlterTopicConfigs, ErrorResponse> {
    match named.kind {
        TOPIC => {
            let name =
                TopicName::parse(named.name).map_err(|_| ResponseError::UnknownTopicOrPartition)?;
            let state = service.replica().state();
            let topic = state
                .topic(&name)
                .ok_or(ResponseError::UnknownTopicOrPartition)?;
            Ok(AlterTopicConfigs {
                topic_id: topic.id(),
                change,
            })
        }
        BROKER => {
            let message = "a broker's settings are read at its start, and change nowhere else";
            Err(ErrorResponse::of(ResponseError::InvalidRequest, message))
        }
        other => {
            let message =
                format!("resource type {other}: only topics (2) have settings that can be changed");
            Err(ErrorResponse::of(ResponseError::InvalidRequest, message))
        }
    }
}
