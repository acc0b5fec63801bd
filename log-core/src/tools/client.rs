//! A small Kafka client: one request at a time, to the node that can answer it, each with a deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{
    ApiKey, FindCoordinatorRequest, ListOffsetsRequest, MetadataRequest, MetadataResponse,
};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::{ToolError, check};
use crate::ids::Offset;
use crate::wire::offset_spec::OffsetSpec;
use crate::wire::{decode_answer, encode_request, values};

/// How long a node may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long a node may take to answer; longer than the log itself waits for a command.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// What the log may take for a change, in its own words.
pub(super) const CHANGE_WITHIN_MS: i32 = 20_000;
/// The longest answer read: well above what a Fetch of ours asks for.
const ANSWER_BYTES_MAX: u32 = 256 << 20;
/// What the nodes see as `client.id`.
const CLIENT_ID: &str = "log-core-tools";

/// Kafka's name for the key of a group in FindCoordinator.
const GROUP_KEY: i8 = 0;

/// A partition by its names on the wire.
pub(super) type PartitionName = (String, i32);

/// Which records count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolation {
    /// All.
    ReadUncommitted = 0,
    /// Those outside transactions and of committed ones.
    ReadCommitted = 1,
}

/// Connections to the node that was named, and to others as they are needed.
pub(super) struct Client {
    named: String,
    /// The other nodes, as Metadata has named them: they may know who leads when the one that was named does not.
    others: BTreeSet<String>,
    connections: BTreeMap<String, Connection>,
}

/// A topic as Metadata knows it.
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) partitions: Vec<Partition>,
}

/// A partition of it.
pub(super) struct Partition {
    pub(super) index: i32,
    pub(super) leader: Option<i32>,
}

/// Topics, and the addresses of the nodes that lead them.
pub(super) struct Cluster {
    controller: i32,
    nodes: BTreeMap<i32, String>,
    pub(super) topics: Vec<Topic>,
}

impl Client {
    pub(super) async fn connect(server: &str) -> Result<Self, ToolError> {
        let connection = Connection::open(server).await?;
        Ok(Self {
            named: server.to_owned(),
            others: BTreeSet::new(),
            connections: BTreeMap::from([(server.to_owned(), connection)]),
        })
    }

    /// Asks the node that was named.
    pub(super) async fn ask<R: Request>(
        &mut self,
        version: i16,
        request: R,
    ) -> Result<R::Response, ToolError> {
        let named = self.named.clone();
        self.ask_at(&named, version, request).await
    }

    /// Asks the node at an address.
    pub(super) async fn ask_at<R: Request>(
        &mut self,
        address: &str,
        version: i16,
        request: R,
    ) -> Result<R::Response, ToolError> {
        let mut connection = match self.connections.remove(address) {
            Some(connection) => connection,
            None => Connection::open(address).await?,
        };
        let answer = connection.ask(version, &request).await?;
        // Kept only when it answered: on a broken one it is not known where the next answer begins.
        self.connections.insert(address.to_owned(), connection);
        Ok(answer)
    }

    /// Asks the controller, which alone changes topics.
    pub(super) async fn ask_controller<R: Request>(
        &mut self,
        version: i16,
        request: R,
    ) -> Result<R::Response, ToolError> {
        let address = self.controller().await?;
        self.ask_at(&address, version, request).await
    }

    /// Where the controller is, by the node that was named or else by any other that is known.
    async fn controller(&mut self) -> Result<String, ToolError> {
        let named = self.controller_by(&self.named.clone()).await;
        let Err(error) = named else {
            return named;
        };
        for other in self.others.clone() {
            if let Ok(address) = self.controller_by(&other).await {
                return Ok(address);
            }
        }
        Err(error)
    }

    async fn controller_by(&mut self, node: &str) -> Result<String, ToolError> {
        let request = MetadataRequest::default().with_topics(Some(Vec::new()));
        let cluster = Cluster::of(self.ask_at(node, 12, request).await?)?;
        self.others.extend(cluster.nodes.values().cloned());
        cluster.node(cluster.controller, || "the log".to_owned())
    }

    /// Where the coordinator of a group is.
    pub(super) async fn coordinator(&mut self, group: &str) -> Result<String, ToolError> {
        let request = FindCoordinatorRequest::default()
            .with_key(StrBytes::from_string(group.to_owned()))
            .with_key_type(GROUP_KEY);
        let found = self.ask(3, request).await?;
        let about = format!("the coordinator of group {group}");
        if found.error_code == ResponseError::CoordinatorNotAvailable.code() {
            return Err(ToolError::NoLeader {
                about: format!("group {group}"),
            });
        }
        check(about, found.error_code, found.error_message.as_deref())?;
        Ok(address(&found.host, found.port))
    }

    /// Every topic.
    pub(super) async fn all_topics(&mut self) -> Result<Cluster, ToolError> {
        self.cluster(None).await
    }

    /// One topic, which must be there.
    pub(super) async fn topic(&mut self, name: &str) -> Result<Cluster, ToolError> {
        self.cluster(Some(&[name])).await
    }

    async fn cluster(&mut self, names: Option<&[&str]>) -> Result<Cluster, ToolError> {
        let topic = |name: &&str| {
            let name = StrBytes::from_string((*name).to_owned());
            MetadataRequestTopic::default().with_name(Some(name.into()))
        };
        // Looking must not make a topic.
        let request = MetadataRequest::default()
            .with_topics(names.map(|names| names.iter().map(topic).collect()))
            .with_allow_auto_topic_creation(false);
        Cluster::of(self.ask(12, request).await?)
    }

    /// An offset of each partition; none where no record is as young as the time asked for.
    pub(super) async fn offsets(
        &mut self,
        cluster: &Cluster,
        places: &[PartitionName],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<BTreeMap<PartitionName, Option<Offset>>, ToolError> {
        let mut offsets = BTreeMap::new();
        for (address, places) in cluster.by_leader(places)? {
            let request = list_offsets(&places, spec, isolation);
            let answer = self.ask_at(&address, 7, request).await?;
            for topic in answer.topics {
                for partition in topic.partitions {
                    let place = (topic.name.to_string(), partition.partition_index);
                    check(
                        format!("{}-{}", place.0, place.1),
                        partition.error_code,
                        None,
                    )?;
                    offsets.insert(place, values::offset(partition.offset));
                }
            }
        }
        match places.iter().find(|place| !offsets.contains_key(*place)) {
            None => Ok(offsets),
            Some((topic, partition)) => Err(ToolError::Silent {
                api: "ListOffsets",
                about: format!("{topic}-{partition}"),
            }),
        }
    }
}

fn list_offsets(
    places: &[PartitionName],
    spec: OffsetSpec,
    isolation: Isolation,
) -> ListOffsetsRequest {
    let partition = |index: i32| {
        ListOffsetsPartition::default()
            .with_partition_index(index)
            .with_current_leader_epoch(-1)
            .with_timestamp(spec.to_wire())
    };
    let topic = |(name, indexes): (StrBytes, Vec<i32>)| {
        ListOffsetsTopic::default()
            .with_name(name.into())
            .with_partitions(indexes.into_iter().map(partition).collect())
    };
    ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(isolation as i8)
        .with_topics(by_topic(places).map(topic).collect())
}

/// The partitions of each topic, as requests name them.
pub(super) fn by_topic(
    places: &[PartitionName],
) -> impl Iterator<Item = (StrBytes, Vec<i32>)> + use<> {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in places {
        topics.entry(topic.clone()).or_default().push(*partition);
    }
    topics
        .into_iter()
        .map(|(topic, partitions)| (StrBytes::from_string(topic), partitions))
}

impl Cluster {
    fn of(metadata: MetadataResponse) -> Result<Self, ToolError> {
        let node = |node: kafka_protocol::messages::metadata_response::MetadataResponseBroker| {
            (node.node_id.0, address(&node.host, node.port))
        };
        Ok(Self {
            controller: metadata.controller_id.0,
            nodes: metadata.brokers.into_iter().map(node).collect(),
            topics: metadata
                .topics
                .into_iter()
                .map(Topic::of)
                .collect::<Result<_, _>>()?,
        })
    }

    /// All partitions of all its topics.
    pub(super) fn places(&self) -> Vec<PartitionName> {
        let topic = |topic: &Topic| -> Vec<PartitionName> {
            let indexes = topic.partitions.iter().map(|partition| partition.index);
            indexes.map(|index| (topic.name.clone(), index)).collect()
        };
        self.topics.iter().flat_map(topic).collect()
    }

    /// The places of a topic: one partition, which must be there, or all.
    pub(super) fn chosen(
        &self,
        topic: &str,
        partition: Option<i32>,
    ) -> Result<Vec<PartitionName>, ToolError> {
        let places = self.places();
        let Some(partition) = partition else {
            return Ok(places);
        };
        let wanted = (topic.to_owned(), partition);
        if places.contains(&wanted) {
            return Ok(vec![wanted]);
        }
        Err(ToolError::NoSuchPartition {
            topic: topic.to_owned(),
            partition,
            count: places.len(),
        })
    }

    /// The places that each node leads, by its address.
    pub(super) fn by_leader(
        &self,
        places: &[PartitionName],
    ) -> Result<BTreeMap<String, Vec<PartitionName>>, ToolError> {
        let mut by_leader: BTreeMap<String, Vec<PartitionName>> = BTreeMap::new();
        for place in places {
            let (topic, index) = place;
            let named = || format!("{topic}-{index}");
            let leader = self
                .leader(place)
                .ok_or_else(|| ToolError::NoLeader { about: named() })?;
            by_leader
                .entry(self.node(leader, named)?)
                .or_default()
                .push(place.clone());
        }
        Ok(by_leader)
    }

    fn leader(&self, (topic, index): &PartitionName) -> Option<i32> {
        let topic = self.topics.iter().find(|known| known.name == *topic)?;
        let partition = topic
            .partitions
            .iter()
            .find(|partition| partition.index == *index)?;
        partition.leader
    }

    fn node(&self, id: i32, about: impl Fn() -> String) -> Result<String, ToolError> {
        let address = self.nodes.get(&id).cloned();
        address.ok_or_else(|| ToolError::NoLeader { about: about() })
    }
}

impl Topic {
    fn of(topic: MetadataResponseTopic) -> Result<Self, ToolError> {
        let name = topic.name.map(|name| name.to_string()).unwrap_or_default();
        if topic.error_code == ResponseError::UnknownTopicOrPartition.code() {
            return Err(ToolError::NoSuchTopic { topic: name });
        }
        check(format!("topic {name}"), topic.error_code, None)?;
        let partition =
            |partition: kafka_protocol::messages::metadata_response::MetadataResponsePartition| {
                Partition {
                    index: partition.partition_index,
                    leader: Some(partition.leader_id.0).filter(|leader| 0 <= *leader),
                }
            };
        let mut partitions: Vec<Partition> = topic.partitions.into_iter().map(partition).collect();
        partitions.sort_by_key(|partition| partition.index);
        Ok(Self {
            name,
            id: topic.topic_id.to_string(),
            partitions,
        })
    }
}

/// A host and a port as one connects to them.
pub(super) fn address(host: &str, port: i32) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// A connection to one node.
struct Connection {
    server: String,
    stream: TcpStream,
    correlation_id: i32,
}

impl Connection {
    async fn open(server: &str) -> Result<Self, ToolError> {
        let unreachable = |source| ToolError::Unreachable {
            server: server.to_owned(),
            source,
        };
        let connected = timeout(CONNECT_WITHIN, TcpStream::connect(server)).await;
        let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        Ok(Self {
            server: server.to_owned(),
            stream: connected.map_err(unreachable)?,
            correlation_id: 0,
        })
    }

    async fn ask<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Result<R::Response, ToolError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let not_kafka = |source| ToolError::NotKafka {
            server: self.server.clone(),
            source,
        };
        let frame =
            encode_request(request, version, self.correlation_id, CLIENT_ID).map_err(not_kafka)?;
        let asked = timeout(ANSWER_WITHIN, self.exchange(name_of::<R>(), &frame)).await;
        let answer = asked.map_err(|_| ToolError::NoAnswer {
            server: self.server.clone(),
            api: name_of::<R>(),
            within: ANSWER_WITHIN,
        })??;
        decode_answer::<R>(answer.into(), version, self.correlation_id).map_err(|source| {
            ToolError::NotKafka {
                server: self.server.clone(),
                source,
            }
        })
    }

    /// Sends a frame and reads the next one, without its length.
    async fn exchange(&mut self, api: &'static str, frame: &[u8]) -> Result<Vec<u8>, ToolError> {
        let server = self.server.clone();
        let lost = |source| ToolError::Lost {
            server: server.clone(),
            api,
            source,
        };
        self.stream.write_all(frame).await.map_err(lost)?;
        let bytes = self.stream.read_u32().await.map_err(lost)?;
        if ANSWER_BYTES_MAX < bytes {
            return Err(ToolError::TooLong { server, api, bytes });
        }
        // Memory grows with what arrives, not with what was announced.
        let mut answer = Vec::new();
        let read = (&mut self.stream)
            .take(u64::from(bytes))
            .read_to_end(&mut answer)
            .await;
        match read {
            Ok(count) if u64::try_from(count).is_ok_and(|count| count < u64::from(bytes)) => {
                Err(lost(io::ErrorKind::UnexpectedEof.into()))
            }
            Ok(_) => Ok(answer),
            Err(source) => Err(lost(source)),
        }
    }
}

/// Kafka's name of a request.
fn name_of<R: Request>() -> &'static str {
    let key = ApiKey::try_from(R::KEY).ok();
    key.and_then(|key| crate::wire::served(key as i16))
        .map_or("the request", |api| api.name)
}
