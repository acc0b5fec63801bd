//! A setting as DescribeConfigs and CreateTopics show it: its value, and who set it.

use std::time::Duration;

use kafka_protocol::protocol::StrBytes;

use crate::broker::config::Advertised;
use crate::broker::config::Config;
use crate::state::{BROKER_KEYS, ConfigKey, ConfigType, TOPIC_KEYS, TopicConfig};

/// A topic, as Kafka numbers what can have settings.
pub(super) const TOPIC: i8 = 2;
/// A broker.
pub(super) const BROKER: i8 = 4;

/// Who set a value, under Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Topic = 1,
    StaticBroker = 4,
    Default = 5,
}

pub(super) struct DescribedConfig {
    key: &'static ConfigKey,
    value: String,
    source: Source,
}

impl DescribedConfig {
    pub(super) fn name(&self) -> &'static str {
        self.key.name
    }

    pub(super) fn value(&self) -> StrBytes {
        StrBytes::from_string(self.value.clone())
    }

    pub(super) fn default_value(&self) -> StrBytes {
        StrBytes::from_static_str(self.key.default)
    }

    pub(super) fn source(&self) -> Source {
        self.source
    }

    pub(super) fn documentation(&self) -> StrBytes {
        StrBytes::from_static_str(self.key.doc)
    }

    /// Its type under Kafka's number.
    pub(super) fn config_type(&self) -> i8 {
        match self.key.config_type() {
            ConfigType::Boolean => 1,
            ConfigType::String => 2,
            ConfigType::Int => 3,
            ConfigType::Long => 5,
            ConfigType::Double => 6,
            ConfigType::List => 7,
        }
    }
}

/// Every key of a topic: tools expect all of them, set or not.
pub(super) fn topic_configs(config: &TopicConfig) -> impl Iterator<Item = DescribedConfig> + '_ {
    TOPIC_KEYS
        .iter()
        .map(|key| match config.overrides().get(key.name) {
            Some(value) => DescribedConfig {
                key,
                value: value.clone(),
                source: Source::Topic,
            },
            None => DescribedConfig {
                key,
                value: key.default.to_owned(),
                source: Source::Default,
            },
        })
}

/// Every key of a broker, with what this one was started with.
pub(super) fn broker_configs(
    config: &Config,
    advertised: &Advertised,
) -> impl Iterator<Item = DescribedConfig> {
    let listeners = format!("PLAINTEXT://{}", config.listen);
    let advertised = format!("PLAINTEXT://{}:{}", advertised.host, advertised.port);
    let started_with = [
        ("advertised.listeners", advertised),
        (
            "auto.create.topics.enable",
            config.auto_create_topics_enable.to_string(),
        ),
        ("broker.id", config.node_id.to_string()),
        (
            "group.initial.rebalance.delay.ms",
            milliseconds(config.group.initial_rebalance_delay),
        ),
        (
            "group.max.session.timeout.ms",
            milliseconds(config.group.session_timeout_max),
        ),
        ("group.max.size", config.group.size_max.to_string()),
        (
            "group.min.session.timeout.ms",
            milliseconds(config.group.session_timeout_min),
        ),
        ("listeners", listeners),
        ("num.partitions", config.num_partitions.to_string()),
        (
            "offsets.retention.minutes",
            (config.offsets_retention.as_secs() / 60).to_string(),
        ),
        (
            "producer.id.expiration.ms",
            milliseconds(config.producer_id_expiration),
        ),
        (
            "socket.request.max.bytes",
            config.socket_request_max_bytes.to_string(),
        ),
        (
            "transaction.max.timeout.ms",
            milliseconds(config.transaction_max_timeout),
        ),
        (
            "transactional.id.expiration.ms",
            milliseconds(config.transactional_id_expiration),
        ),
    ];
    BROKER_KEYS.iter().map(move |key| {
        match started_with.iter().find(|(name, _)| *name == key.name) {
            Some((_, value)) => DescribedConfig {
                key,
                value: value.clone(),
                source: Source::StaticBroker,
            },
            None => DescribedConfig {
                key,
                value: key.default.to_owned(),
                source: Source::Default,
            },
        }
    })
}

fn milliseconds(time: Duration) -> String {
    time.as_millis().to_string()
}
