//! Settings under which a topic could store nothing are refused, at creation and at every kind of change.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_request::{
    AlterConfigsResource as ReplacedResource, AlterableConfig as ReplacedConfig,
};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{
    AlterConfigsRequest, ApiKey, CreateTopicsRequest, IncrementalAlterConfigsRequest,
};

use super::puppet::{Puppet, TOPIC, create};
use super::requests::{code_of, produce, text};
use crate::wire::{RequestBody, ResponseBody};

/// With three voters, each of these makes every record of a topic impossible.
const IMPOSSIBLE: [(&str, &str); 4] = [
    ("min.insync.replicas", "4"),
    ("max.message.bytes", "0"),
    ("message.timestamp.before.max.ms", "0"),
    ("message.timestamp.after.max.ms", "0"),
];

const INVALID_CONFIG: Option<ResponseError> = Some(ResponseError::InvalidConfig);

async fn code(
    puppet: &Puppet,
    key: ApiKey,
    version: i16,
    body: RequestBody,
) -> Option<ResponseError> {
    ResponseError::try_from_code(code_of(&puppet.ask(key, version, body).await))
}

fn creation(key: &str, value: &str, validate_only: bool) -> RequestBody {
    let config = CreatableTopicConfig::default()
        .with_name(text(key))
        .with_value(Some(text(value)));
    let topic = CreatableTopic::default()
        .with_name(text("new").into())
        .with_num_partitions(1)
        .with_replication_factor(-1)
        .with_configs(vec![config]);
    RequestBody::CreateTopics(
        CreateTopicsRequest::default()
            .with_timeout_ms(1_000)
            .with_validate_only(validate_only)
            .with_topics(vec![topic]),
    )
}

fn change(key: &str, value: &str, validate_only: bool) -> RequestBody {
    let config = AlterableConfig::default()
        .with_name(text(key))
        .with_value(Some(text(value)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(TOPIC))
        .with_configs(vec![config]);
    RequestBody::IncrementalAlterConfigs(
        IncrementalAlterConfigsRequest::default()
            .with_validate_only(validate_only)
            .with_resources(vec![resource]),
    )
}

fn replacement(key: &str, value: &str, validate_only: bool) -> RequestBody {
    let config = ReplacedConfig::default()
        .with_name(text(key))
        .with_value(Some(text(value)));
    let resource = ReplacedResource::default()
        .with_resource_type(2)
        .with_resource_name(text(TOPIC))
        .with_configs(vec![config]);
    RequestBody::AlterConfigs(
        AlterConfigsRequest::default()
            .with_validate_only(validate_only)
            .with_resources(vec![resource]),
    )
}

#[tokio::test]
async fn a_setting_that_would_refuse_every_record_is_refused_itself() {
    let puppet = Puppet::leader().await;
    for (key, value) in IMPOSSIBLE {
        for validate_only in [true, false] {
            let made = creation(key, value, validate_only);
            assert_eq!(
                code(&puppet, ApiKey::CreateTopics, 7, made).await,
                INVALID_CONFIG,
                "{key}"
            );
            let changed = change(key, value, validate_only);
            let api = ApiKey::IncrementalAlterConfigs;
            assert_eq!(
                code(&puppet, api, 1, changed).await,
                INVALID_CONFIG,
                "{key}"
            );
            let replaced = replacement(key, value, validate_only);
            assert_eq!(
                code(&puppet, ApiKey::AlterConfigs, 2, replaced).await,
                INVALID_CONFIG,
                "{key}"
            );
        }
    }
    assert_eq!(
        code(&puppet, ApiKey::Produce, 9, produce(TOPIC, 1, 1_000)).await,
        None
    );
}

/// An empty cleanup.policy keeps everything: it must not come about by leaving the value out.
#[tokio::test]
async fn a_setting_without_a_value_is_refused_as_by_kafka() {
    let puppet = Puppet::leader().await;
    let RequestBody::CreateTopics(mut made) = creation("cleanup.policy", "", false) else {
        panic!("CreateTopics")
    };
    made.topics[0].configs[0].value = None;
    let made = RequestBody::CreateTopics(made);
    assert_eq!(
        code(&puppet, ApiKey::CreateTopics, 7, made).await,
        INVALID_CONFIG
    );
    let RequestBody::AlterConfigs(mut replaced) = replacement("cleanup.policy", "", false) else {
        panic!("AlterConfigs")
    };
    replaced.resources[0].configs[0].value = None;
    let replaced = RequestBody::AlterConfigs(replaced);
    let refused = code(&puppet, ApiKey::AlterConfigs, 2, replaced).await;
    assert_eq!(refused, Some(ResponseError::InvalidRequest));
}

#[tokio::test]
async fn the_refusal_of_a_setting_says_which_it_is_and_what_it_may_be() {
    let puppet = Puppet::leader().await;
    let answer = puppet.ask(
        ApiKey::CreateTopics,
        7,
        creation("min.insync.replicas", "99", false),
    );
    let ResponseBody::CreateTopics(answer) = answer.await else {
        panic!("CreateTopics")
    };
    let said = answer.topics[0].error_message.as_ref().expect("a sentence");
    assert_eq!(
        said.as_str(),
        "min.insync.replicas=99: needs at most the number of voters, 3"
    );
}

/// What an earlier version took is in the journal, and calls must go on.
#[tokio::test]
async fn a_topic_whose_old_settings_cannot_be_met_stores_on_all_voters_there_are() {
    let puppet = Puppet::leader().await;
    let (name, old) = (
        "old",
        [
            ("min.insync.replicas", "99"),
            ("max.message.bytes", "0"),
            ("mayday.acks.min", "all"),
        ],
    );
    puppet.apply(create(name, &old));
    puppet.has_in_sync(&[1, 2]);
    let refused = code(&puppet, ApiKey::Produce, 9, produce(name, -1, 1_000)).await;
    assert_eq!(
        refused,
        Some(ResponseError::NotEnoughReplicas),
        "one of three is away"
    );

    puppet.has_in_sync(&[1, 2, 3]);
    let mut applied = puppet.view.watches.applied.subscribe();
    let answer = puppet.begin(ApiKey::Produce, 9, produce(name, -1, 30_000));
    let answer = answer.await;
    applied.changed().await.expect("the puppet holds it");
    puppet.has_in_sync(&[1, 2, 3]);
    let crate::broker::request_outcome::RequestOutcome::Body(body) = answer.await else {
        panic!("answered")
    };
    assert_eq!(code_of(&body), 0);
}
