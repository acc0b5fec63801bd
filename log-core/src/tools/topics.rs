//! `topics`: list, create, describe, alter, delete.

use std::collections::BTreeMap;
use std::io::Write;

use clap::{Args, Subcommand};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, DescribeLogDirsRequest,
    IncrementalAlterConfigsRequest,
};
use kafka_protocol::protocol::StrBytes;
use serde::Serialize;

use super::client::{CHANGE_WITHIN_MS, Client, Cluster, Isolation, PartitionName};
use super::error::{ToolError, check};
use super::options::{Options, setting};
use super::output::{Done, Output, Printable, head, or_dash, table, table_or};
use crate::ids::Offset;
use crate::wire::offset_spec::OffsetSpec;

/// A topic, as Kafka numbers what can have settings.
const TOPIC: i8 = 2;
/// Where a setting comes from that nobody has set.
const DEFAULT: i8 = 5;
/// What IncrementalAlterConfigs does with a setting.
const SET: i8 = 0;
const DELETE: i8 = 1;

/// `topics`
#[derive(Args, Debug)]
pub struct Topics {
    #[command(flatten)]
    pub(super) options: Options,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All topics.
    List,
    /// Make a topic.
    Create(Create),
    /// A topic's partitions, and its settings where they are not the defaults.
    Describe {
        /// Its name.
        topic: String,
        /// All settings.
        #[arg(long)]
        all: bool,
    },
    /// Change a topic's settings.
    Alter(Alter),
    /// Delete topics with all their records. There is no way back.
    Delete {
        /// Their names.
        #[arg(required = true, value_name = "TOPIC")]
        topics: Vec<String>,
    },
}

#[derive(Args, Debug)]
struct Create {
    /// Its name.
    topic: String,
    /// How many partitions [default: the log's num.partitions].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// A setting; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    config: Vec<(String, String)>,
}

#[derive(Args, Debug)]
struct Alter {
    /// Its name.
    topic: String,
    /// A setting to set; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting, required_unless_present = "delete")]
    set: Vec<(String, String)>,
    /// A setting to give its default back; may be given several times.
    #[arg(long, value_name = "NAME")]
    delete: Vec<String>,
}

impl Topics {
    pub(super) async fn run(
        self,
        client: &mut Client,
        out: &mut Output<'_, impl Write>,
    ) -> Result<(), ToolError> {
        match self.action {
            Action::List => out.answer(&list(client).await?),
            Action::Create(create) => out.answer(&create.run(client).await?),
            Action::Describe { topic, all } => out.answer(&describe(client, &topic, all).await?),
            Action::Alter(alter) => out.answer(&alter.run(client).await?),
            Action::Delete { topics } => out.answer(&delete(client, &topics).await?),
        }
    }
}

/// What `list` shows.
#[derive(Serialize)]
struct Listed {
    topics: Vec<ListedTopic>,
}

#[derive(Serialize)]
struct ListedTopic {
    topic: String,
    partitions: usize,
    /// Offsets from start to end: markers of transactions count too.
    records: u64,
    bytes: Option<u64>,
}

impl Printable for Listed {
    fn text(&self) -> String {
        let row = |topic: &ListedTopic| {
            [
                topic.topic.clone(),
                topic.partitions.to_string(),
                topic.records.to_string(),
                or_dash(topic.bytes),
            ]
        };
        let columns = ["TOPIC", "PARTITIONS", "RECORDS", "BYTES"];
        table_or(
            "no topics",
            columns,
            &columns[1..],
            self.topics.iter().map(row),
        )
    }
}

async fn list(client: &mut Client) -> Result<Listed, ToolError> {
    let cluster = client.all_topics().await?;
    let partitions = described_partitions(client, &cluster).await?;
    let mut topics = Vec::with_capacity(cluster.topics.len());
    for topic in &cluster.topics {
        let own = || {
            partitions
                .iter()
                .filter(|partition| partition.topic == topic.name)
        };
        topics.push(ListedTopic {
            topic: topic.name.clone(),
            partitions: topic.partitions.len(),
            records: own()
                .map(|partition| partition.end.saturating_sub(partition.start))
                .sum(),
            bytes: own().map(|partition| partition.bytes).sum(),
        });
    }
    topics.sort_by(|one, other| one.topic.cmp(&other.topic));
    Ok(Listed { topics })
}

/// What `describe` shows.
#[derive(Serialize)]
struct Described {
    topic: String,
    id: String,
    partitions: Vec<DescribedPartition>,
    configs: Vec<DescribedConfig>,
}

#[derive(Serialize)]
struct DescribedPartition {
    #[serde(skip)]
    topic: String,
    partition: i32,
    leader: Option<i32>,
    start: u64,
    end: u64,
    bytes: Option<u64>,
}

#[derive(Serialize)]
struct DescribedConfig {
    name: String,
    value: Option<String>,
    default: bool,
}

impl Printable for Described {
    fn text(&self) -> String {
        let partition = |partition: &DescribedPartition| {
            [
                partition.partition.to_string(),
                or_dash(partition.leader),
                partition.start.to_string(),
                partition.end.to_string(),
                or_dash(partition.bytes),
            ]
        };
        let columns = ["PARTITION", "LEADER", "START", "END", "BYTES"];
        let partitions = table(columns, &columns, self.partitions.iter().map(partition));
        let head = head([("topic", &self.topic), ("id", &self.id)]);
        format!("{head}\n{partitions}\n{}", self.configs_text())
    }
}

impl Described {
    fn configs_text(&self) -> String {
        let origin = |config: &DescribedConfig| if config.default { "default" } else { "topic" };
        let config = |config: &DescribedConfig| {
            [
                config.name.clone(),
                or_dash(config.value.as_ref()),
                origin(config).to_owned(),
            ]
        };
        let columns = ["SETTING", "VALUE", "SET BY"];
        let defaults = "all settings are the defaults";
        table_or(defaults, columns, &[], self.configs.iter().map(config))
    }
}

async fn describe(client: &mut Client, topic: &str, all: bool) -> Result<Described, ToolError> {
    let cluster = client.topic(topic).await?;
    let partitions = described_partitions(client, &cluster).await?;
    let configs = configs(client, topic)
        .await?
        .into_iter()
        .filter(|config| all || !config.default);
    let id = cluster
        .topics
        .first()
        .map(|topic| topic.id.clone())
        .unwrap_or_default();
    Ok(Described {
        topic: topic.to_owned(),
        id,
        partitions,
        configs: configs.collect(),
    })
}

async fn described_partitions(
    client: &mut Client,
    cluster: &Cluster,
) -> Result<Vec<DescribedPartition>, ToolError> {
    let places = cluster.places();
    let all = Isolation::ReadUncommitted;
    let starts = client
        .offsets(cluster, &places, OffsetSpec::Earliest, all)
        .await?;
    let ends = client
        .offsets(cluster, &places, OffsetSpec::Latest, all)
        .await?;
    let sizes = sizes(client).await?;
    let offset = |offsets: &BTreeMap<PartitionName, Option<Offset>>, place: &PartitionName| {
        offsets
            .get(place)
            .copied()
            .flatten()
            .map_or(0, |offset| offset.0)
    };
    let mut described = Vec::with_capacity(places.len());
    for topic in &cluster.topics {
        for partition in &topic.partitions {
            let place = (topic.name.clone(), partition.index);
            described.push(DescribedPartition {
                topic: topic.name.clone(),
                partition: partition.index,
                leader: partition.leader,
                start: offset(&starts, &place),
                end: offset(&ends, &place),
                bytes: sizes.get(&place).copied(),
            });
        }
    }
    Ok(described)
}

/// The bytes of every partition on the node asked; every node holds all of them.
async fn sizes(client: &mut Client) -> Result<BTreeMap<PartitionName, u64>, ToolError> {
    let answer = client
        .ask(4, DescribeLogDirsRequest::default().with_topics(None))
        .await?;
    let mut sizes = BTreeMap::new();
    for folder in answer.results {
        check("the sizes of the partitions", folder.error_code, None)?;
        for topic in folder.topics {
            for partition in topic.partitions {
                let place = (topic.name.to_string(), partition.partition_index);
                sizes.insert(place, u64::try_from(partition.partition_size).unwrap_or(0));
            }
        }
    }
    Ok(sizes)
}

async fn configs(client: &mut Client, topic: &str) -> Result<Vec<DescribedConfig>, ToolError> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(StrBytes::from_string(topic.to_owned()))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let mut configs = Vec::new();
    for result in client.ask(4, request).await?.results {
        check(
            format!("topic {topic}"),
            result.error_code,
            result.error_message.as_deref(),
        )?;
        configs.extend(result.configs.into_iter().map(DescribedConfig::of));
    }
    configs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(configs)
}

impl DescribedConfig {
    fn of(config: DescribeConfigsResourceResult) -> Self {
        Self {
            name: config.name.to_string(),
            value: config.value.map(|value| value.to_string()),
            default: config.config_source == DEFAULT,
        }
    }
}

impl Create {
    async fn run(self, client: &mut Client) -> Result<Done, ToolError> {
        let config = |(name, value): &(String, String)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string(name.clone()))
                .with_value(Some(StrBytes::from_string(value.clone())))
        };
        let topic = CreatableTopic::default()
            .with_name(StrBytes::from_string(self.topic.clone()).into())
            .with_num_partitions(self.partitions.unwrap_or(-1))
            .with_replication_factor(-1)
            .with_configs(self.config.iter().map(config).collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(CHANGE_WITHIN_MS);
        let answer = client.ask_controller(7, request).await?;
        let made = answer
            .topics
            .into_iter()
            .next()
            .ok_or_else(|| ToolError::Silent {
                api: "CreateTopics",
                about: self.topic.clone(),
            })?;
        check(
            format!("topic {}", self.topic),
            made.error_code,
            made.error_message.as_deref(),
        )?;
        let partitions = made.num_partitions;
        Ok(Done {
            done: format!("topic {} created, partitions: {partitions}", self.topic),
        })
    }
}

impl Alter {
    async fn run(self, client: &mut Client) -> Result<Done, ToolError> {
        let change = |name: &String, operation: i8, value: Option<&String>| {
            AlterableConfig::default()
                .with_name(StrBytes::from_string(name.clone()))
                .with_config_operation(operation)
                .with_value(value.map(|value| StrBytes::from_string(value.clone())))
        };
        let set = self
            .set
            .iter()
            .map(|(name, value)| change(name, SET, Some(value)));
        let deleted = self.delete.iter().map(|name| change(name, DELETE, None));
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(StrBytes::from_string(self.topic.clone()))
            .with_configs(set.chain(deleted).collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        for result in client.ask_controller(1, request).await?.responses {
            if result.error_code == ResponseError::UnknownTopicOrPartition.code() {
                return Err(ToolError::NoSuchTopic { topic: self.topic });
            }
            check(
                format!("topic {}", self.topic),
                result.error_code,
                result.error_message.as_deref(),
            )?;
        }
        Ok(Done {
            done: format!("topic {} changed", self.topic),
        })
    }
}

async fn delete(client: &mut Client, topics: &[String]) -> Result<Done, ToolError> {
    let name = |name: &String| StrBytes::from_string(name.clone()).into();
    let request = DeleteTopicsRequest::default()
        .with_topic_names(topics.iter().map(name).collect())
        .with_timeout_ms(CHANGE_WITHIN_MS);
    for result in client.ask_controller(5, request).await?.responses {
        let topic = result.name.map(|name| name.to_string()).unwrap_or_default();
        if result.error_code == ResponseError::UnknownTopicOrPartition.code() {
            return Err(ToolError::NoSuchTopic { topic });
        }
        check(
            format!("topic {topic}"),
            result.error_code,
            result.error_message.as_deref(),
        )?;
    }
    Ok(Done {
        done: format!("deleted: {}", topics.join(", ")),
    })
}
