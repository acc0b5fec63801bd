//! What a broker can be told. Plain values, read once; nothing below reads the environment.
//!
//! Where Kafka has the setting, it has Kafka's name (with `_` for `.`) and default, or the doc says why not.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use service_kit::bounds::Memory;

use super::peers::{Peer, PeerSecret, host_and_port};
use super::readiness::Readiness;
use crate::group::GroupConfig;
use crate::ids::NodeId;
use crate::storage::StorageConfig;

const DAY_SECS: u64 = 24 * 60 * 60;

/// A broker's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of journal, partitions and checkpoints. One broker at a time; made when missing.
    pub data: PathBuf,
    /// Where Kafka clients connect. Port 0 takes a free one. Default `127.0.0.1:9092`.
    pub listen: SocketAddr,
    /// The host and port that clients are told to use (`advertised.listeners`). Default: the address bound, or
    /// `localhost` when that is a wildcard. Wrong, and clients reach the first connection but nothing after it.
    pub advertised: Option<Advertised>,
    /// Where `/metrics`, `/healthz` and `/readyz` are served. Default: nowhere.
    pub admin: Option<SocketAddr>,
    /// Told how far the broker has come, for a program that embeds it and has an operator's listener of its own.
    pub readiness: Readiness,
    /// This broker's number among those of its cluster (`node.id`). Default 1.
    pub node_id: NodeId,
    /// The nodes that form a cluster together, this one included: three or five. Default: none, a cluster of one. Looked
    /// at while the data folder is part of no cluster; from then on the log itself knows the members.
    pub peers: Vec<Peer>,
    /// Where the other nodes connect. Default: nowhere, a cluster of one. Beyond loopback it needs
    /// [`Config::peer_secret`].
    pub peer_listen: Option<SocketAddr>,
    /// The host and port that the other nodes are told to use. Default: what [`Config::peers`] says of this node, else the
    /// address bound. Wrong, and this node hears nothing.
    pub peer_advertised: Option<String>,
    /// What the nodes of the cluster share and nobody else knows. Default: none, and any process that reaches
    /// [`Config::peer_listen`] is taken for a node.
    pub peer_secret: Option<PeerSecret>,
    /// Allows [`Config::listen`] to be other than loopback. The log asks nobody who they are: whoever reaches the port
    /// reads and writes everything. Default false.
    pub insecure_log: bool,
    /// Partitions of a topic made without saying how many (`num.partitions`). Default 2, Kafka's is 1: two is what
    /// our topics have. Too many cost files and memory; too few cannot be read by more than that many members.
    pub num_partitions: u32,
    /// Whether asking for an unknown topic makes it (`auto.create.topics.enable`). Default false, Kafka's is true:
    /// a misspelt topic would take records that nobody reads.
    pub auto_create_topics_enable: bool,
    /// Bytes of the largest request (`socket.request.max.bytes`). Default 100 MiB. Too low refuses large produce
    /// requests by closing the connection; too high lets one connection take that much memory.
    pub socket_request_max_bytes: usize,
    /// Bytes of requests that are being read or answered, all connections together (`queued.max.request.bytes`, which
    /// in Kafka is unbounded). The first 64 KiB of each connection do not count. Default 256 MiB. Too low makes large
    /// requests wait for each other; too high is memory.
    pub queued_max_request_bytes: usize,
    /// Bytes of answers that are being read or written, all connections together; Kafka has no such setting. The first
    /// 64 KiB of each connection do not count. Default 256 MiB. Too low shrinks what readers get with one request; too
    /// high is memory that slow readers take.
    pub queued_max_answer_bytes: usize,
    /// Bytes of requests that one connection may have under way; a larger request is alone. Default 16 MiB. Too low
    /// keeps a producer from pipelining; too high lets few connections fill `queued_max_request_bytes`.
    pub connection_request_bytes_max: usize,
    /// Connections of clients at once (`max.connections`, which in Kafka is unbounded). When all are taken, the one that
    /// asked for nothing for the longest time makes room; where none can, a new one is closed as it comes.
    /// [`Config::on`] has 2,000; a program takes its own from [`Config::take_connections`]. Too low closes idle
    /// connections early; too high runs out of file descriptors.
    pub max_connections: usize,
    /// Handshakes with other nodes at once, 8 of them with one machine. Default 64. A cluster has few nodes;
    /// too low keeps them out while strangers try.
    pub peer_handshakes_max: usize,
    /// A connection without requests for so long is closed (`connections.max.idle.ms`). Default 10 minutes. Too low
    /// makes clients reconnect; too high keeps dead ones.
    pub connections_max_idle: Duration,
    /// Bytes of one Fetch answer, whatever the client asks (`fetch.max.bytes`). Default 55 MiB. At least one batch is
    /// always given. Too low costs round trips; too high is memory per reading connection.
    pub fetch_max_bytes: usize,
    /// The limits of consumer groups. See [`GroupConfig`] for the numbers.
    pub group: GroupConfig,
    /// How often what is too old is looked for and deleted (`log.retention.check.interval.ms`). Default 5 minutes. Too
    /// low reads indexes for nothing; too high keeps records beyond their retention.
    pub log_retention_check_interval: Duration,
    /// How long an idle producer is remembered (`producer.id.expiration.ms`). Default 1 day. Too low forgets one that
    /// may still send a batch again; too high keeps every producer that ever was.
    pub producer_id_expiration: Duration,
    /// How long the offsets of an empty group are kept (`offsets.retention.minutes`). Default 7 days. Too low makes a
    /// consumer that rests start over; too high keeps every group that ever was.
    pub offsets_retention: Duration,
    /// How long an idle transactional id is remembered (`transactional.id.expiration.ms`). Default 7 days.
    pub transactional_id_expiration: Duration,
    /// The longest transaction that a producer may ask for (`transaction.max.timeout.ms`). Default 15 minutes. Too low
    /// refuses producers; too high lets a dead one hold readers of committed records back for as long.
    pub transaction_max_timeout: Duration,
    /// What `/metrics` renders; the process installs the recorder once. Default: none, and there is nothing at `/metrics`.
    pub metrics: Option<PrometheusHandle>,
    /// The journal's files. See [`StorageConfig`] for the numbers.
    pub storage: StorageConfig,
    /// Free space on the data folder's disk that records leave alone, for deletes, commits, checkpoints and the next start.
    /// Default 256 MiB: two segments of the journal with their checkpoint, and a second's worth of writing. Too low risks a
    /// log that cannot start again; too high refuses records while there is room.
    pub disk_reserve_bytes: u64,
    /// Bytes of journal between two checkpoints. Default 64 MiB. Too low rewrites the state often; too high makes a
    /// start slow (all of it is applied again) and keeps as much in memory.
    pub checkpoint_bytes: u64,
    /// How long [`super::Broker::shutdown`] lets requests under way finish. Default 5 s. Too low cuts answers off;
    /// too high delays a restart.
    pub shutdown_grace: Duration,
}

/// A host and port as clients are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// A name or address that clients can resolve. `localhost` may mean `::1`: use what was bound.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Why a text is no [`Advertised`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: needs host:port")]
pub struct InvalidAddress {
    text: String,
}

impl FromStr for Advertised {
    type Err = InvalidAddress;

    /// `host:port`, an IPv6 address in brackets.
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let parts = host_and_port(text).map(|(host, port)| Self { host, port });
        parts.ok_or_else(|| InvalidAddress {
            text: text.to_owned(),
        })
    }
}

impl Config {
    /// The defaults, on a data folder.
    pub fn on(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 9092)),
            advertised: None,
            admin: None,
            readiness: Readiness::default(),
            node_id: NodeId(1),
            peers: Vec::new(),
            peer_listen: None,
            peer_advertised: None,
            peer_secret: None,
            insecure_log: false,
            num_partitions: 2,
            auto_create_topics_enable: false,
            socket_request_max_bytes: 100 << 20,
            queued_max_request_bytes: 256 << 20,
            queued_max_answer_bytes: 256 << 20,
            connection_request_bytes_max: 16 << 20,
            max_connections: 2_000,
            peer_handshakes_max: 64,
            connections_max_idle: Duration::from_secs(600),
            fetch_max_bytes: 55 << 20,
            group: GroupConfig::default(),
            log_retention_check_interval: Duration::from_secs(5 * 60),
            producer_id_expiration: Duration::from_secs(DAY_SECS),
            offsets_retention: Duration::from_secs(7 * DAY_SECS),
            transactional_id_expiration: Duration::from_secs(7 * DAY_SECS),
            transaction_max_timeout: Duration::from_secs(15 * 60),
            metrics: None,
            storage: StorageConfig::default(),
            disk_reserve_bytes: 256 << 20,
            checkpoint_bytes: 64 << 20,
            shutdown_grace: Duration::from_secs(5),
        }
    }

    /// Takes so many connections in all: for clients, less what other nodes may need.
    pub fn take_connections(&mut self, connections: usize) {
        self.max_connections = connections;
        if self.peer_listen.is_some() {
            self.peer_handshakes_max = (connections / 4).clamp(16, 64);
            self.max_connections = connections.saturating_sub(self.peer_handshakes_max);
        }
    }

    /// Takes the log's shares of the memory: what requests, the largest of them and answers may hold.
    pub fn take_memory(&mut self, memory: Memory) {
        self.queued_max_request_bytes = memory.log_requests();
        self.socket_request_max_bytes = memory.log_request_max();
        self.queued_max_answer_bytes = memory.log_answers();
    }

    /// What is wrong with the settings, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut at_least = |name: &str, value: usize, least: usize| {
            if value < least {
                mistakes.push(format!("{name} {value}: needs at least {least}"));
            }
        };
        at_least("num_partitions", self.num_partitions as usize, 1);
        at_least(
            "socket_request_max_bytes",
            self.socket_request_max_bytes,
            1024,
        );
        at_least(
            "connection_request_bytes_max",
            self.connection_request_bytes_max,
            1024,
        );
        at_least("max_connections", self.max_connections, 1);
        at_least("peer_handshakes_max", self.peer_handshakes_max, 8);
        // Two of the usual largest batches.
        at_least(
            "queued_max_answer_bytes",
            self.queued_max_answer_bytes,
            2 << 20,
        );
        // One partition in use, and the next file of its segment.
        at_least(
            "open_partition_files_max",
            self.storage.open_partition_files_max,
            6,
        );
        at_least("fetch_max_bytes", self.fetch_max_bytes, 1024);
        // Else a request of the largest size would wait for memory that never comes.
        at_least(
            "queued_max_request_bytes",
            self.queued_max_request_bytes,
            self.socket_request_max_bytes,
        );
        mistakes.extend(self.storage.journal.mistake());
        self.add_mistakes_about_peers(&mut mistakes);
        mistakes
    }

    fn add_mistakes_about_peers(&self, mistakes: &mut Vec<String>) {
        let mut seen = BTreeSet::new();
        for Peer { node, address } in &self.peers {
            if host_and_port(address).is_none() {
                mistakes.push(format!(
                    "peers: node {node} at {address:?}: needs host:port"
                ));
            }
            if !seen.insert(*node) {
                mistakes.push(format!("peers: node {node} is listed twice"));
            }
        }
        if !self.peers.is_empty() && !seen.contains(&self.node_id) {
            let node = self.node_id;
            mistakes.push(format!(
                "peers: node {node} itself is not listed: list all nodes of the cluster, the same everywhere"
            ));
        }
        if !self.peers.is_empty() && self.peer_listen.is_none() {
            mistakes.push("peers: needs peer_listen, where the other nodes connect".to_owned());
        }
        if let Some(address) = &self.peer_advertised
            && host_and_port(address).is_none()
        {
            mistakes.push(format!("peer_advertised {address:?}: needs host:port"));
        }
        let Some(listen) = self.peer_listen else {
            return;
        };
        if !listen.ip().is_loopback() && self.peer_secret.is_none() {
            mistakes.push(format!(
                "peer_listen {listen}: beyond loopback the nodes must share a secret (peer_secret_file): whoever reaches \
                 the port could take part in the cluster"
            ));
        }
        if listen.ip().is_unspecified() && self.peer_told().is_none() {
            mistakes.push(format!(
                "peer_listen {listen}: needs peer_advertised, the host and port that the other nodes can reach"
            ));
        }
    }

    /// What the settings say of where the other nodes find this one.
    fn peer_told(&self) -> Option<&str> {
        let listed = self.peers.iter().find(|peer| peer.node == self.node_id);
        let listed = listed.map(|peer| peer.address.as_str());
        self.peer_advertised.as_deref().or(listed)
    }

    /// Where the other nodes are told to find this one, given the address that was bound.
    pub(super) fn peer_advertised_for(&self, bound: SocketAddr) -> Advertised {
        let told = self.peer_told().and_then(host_and_port);
        let (host, port) = told.unwrap_or_else(|| (bound.ip().to_string(), bound.port()));
        Advertised { host, port }
    }

    /// What clients are told, given the address that was bound.
    pub(super) fn advertised_for(&self, bound: SocketAddr) -> Advertised {
        if let Some(advertised) = &self.advertised {
            return advertised.clone();
        }
        let host = match bound.ip() {
            ip if ip.is_unspecified() => "localhost".to_owned(),
            ip => ip.to_string(),
        };
        Advertised {
            host,
            port: bound.port(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_about_peers_is_named() {
        let mut config = Config::on("/nowhere");
        config.node_id = NodeId(3);
        config.peer_listen = Some(SocketAddr::from(([0, 0, 0, 0], 9093)));
        let peer = |node, address: &str| Peer {
            node: NodeId(node),
            address: address.to_owned(),
        };
        config.peers = vec![peer(1, "a:1"), peer(2, "nowhere"), peer(2, "b:1")];
        let said = config.mistakes().join("\n");
        for part in [
            "node 2 at \"nowhere\": needs host:port",
            "node 2 is listed twice",
            "node 3 itself is not listed",
            "beyond loopback the nodes must share a secret",
            "needs peer_advertised",
        ] {
            assert!(said.contains(part), "{part} in\n{said}");
        }

        config.peers = vec![peer(1, "a:1"), peer(2, "b:1"), peer(3, "c:7")];
        config.peer_secret = Some(PeerSecret::new(b"sixteen bytes or more").expect("long enough"));
        assert_eq!(config.mistakes(), [""; 0]);
        let bound = "0.0.0.0:9093".parse().expect("an address");
        let told = config.peer_advertised_for(bound);
        assert_eq!((told.host.as_str(), told.port), ("c", 7));

        config.peer_listen = None;
        assert!(config.mistakes()[0].contains("needs peer_listen"));
    }

    #[test]
    fn clients_are_told_the_address_that_was_bound() {
        let config = Config::on("/nowhere");
        let told = |bound: &str| {
            config
                .advertised_for(bound.parse().expect("an address"))
                .host
        };
        assert_eq!(told("127.0.0.1:5"), "127.0.0.1");
        assert_eq!(told("0.0.0.0:5"), "localhost");
        assert_eq!(told("[::]:5"), "localhost");
    }
}
