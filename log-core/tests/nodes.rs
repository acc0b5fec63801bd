//! The nodes of a log of three, in one process: who is told what, and `nodes list`, `add`, `remove`, `replace`.

mod support;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, DescribeQuorumRequest, InitProducerIdRequest, MetadataRequest,
    MetadataResponse, RemoveRaftVoterRequest,
};
use log_core::ids::NodeId;
use log_core::tools::{Command, ToolError, run};
use log_core::{Advertised, Broker, Config, Peer};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use support::holding_proxy::{Gate, HoldingProxy};
use support::loopback::own_address;
use support::records::batch_of;
use support::wire_client::{
    WireClient, create_topic_with, latest_offset, produce, produce_request, text,
};

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// Nodes and their folders; nodes come and go, addresses stay.
struct House {
    ground: TempDir,
    peers: Vec<Peer>,
    nodes: Vec<Option<Broker>>,
    /// How often each node's disk was lost.
    disks: Vec<usize>,
}

impl House {
    /// Addresses for `count` nodes, of which the first three form a log.
    async fn of(count: usize) -> Self {
        Self::of_with(count, |_, _| {}).await
    }

    /// The same, each node with a setting of its own.
    async fn of_with(count: usize, change: impl Fn(usize, &mut Config)) -> Self {
        let mut house = Self::empty(count);
        let started = |node| {
            let mut config = house.config(node);
            change(node, &mut config);
            started(config)
        };
        let (one, two, three) = tokio::join!(started(1), started(2), started(3));
        house.nodes[0] = Some(one);
        house.nodes[1] = Some(two);
        house.nodes[2] = Some(three);
        until("all known, and in sync", async || {
            let nodes = house.nodes(1).await;
            let well = nodes
                .iter()
                .filter(|node| node["in_sync"] == true && node["clients"].is_string());
            (well.count() == 3).then_some(())
        })
        .await;
        house
    }

    /// Nobody lives there yet.
    fn empty(count: usize) -> Self {
        support::write_log_lines_when_asked();
        let peer = |node: usize| Peer {
            node: NodeId(u32::try_from(node).expect("small")),
            address: own_address().to_string(),
        };
        Self {
            ground: tempfile::tempdir().expect("a folder"),
            peers: (1..=count).map(peer).collect(),
            nodes: (0..count).map(|_| None).collect(),
            disks: vec![0; count],
        }
    }

    fn config(&self, node: usize) -> Config {
        let mut config = Config::on(self.folder(node));
        config.node_id = NodeId(u32::try_from(node).expect("small"));
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let founders = self.peers[..3].iter();
        let own = self.peers[node - 1..node].iter();
        let all = founders.chain(own.filter(|_| 3 < node));
        config.peers = all.cloned().collect();
        let address = &self.peers[node - 1].address;
        config.peer_listen = Some(address.parse().expect("an address"));
        config
    }

    fn folder(&self, node: usize) -> PathBuf {
        let disk = self.disks[node - 1];
        self.ground.path().join(format!("node-{node}-disk-{disk}"))
    }

    async fn started(&self, node: usize) -> Broker {
        started(self.config(node)).await
    }

    async fn stop(&mut self, node: usize) {
        let broker = self.nodes[node - 1].take().expect("it runs");
        broker.shutdown().await.expect("ends cleanly");
    }

    fn address(&self, node: usize) -> String {
        let broker = self.nodes[node - 1].as_ref().expect("it runs");
        broker.address().to_string()
    }

    async fn ask(&self, at: usize, line: &[&str]) -> Result<String, ToolError> {
        let arguments = ["log"].iter().chain(line);
        let line = Line::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}"));
        let mut out = Vec::new();
        run(line.command, Some(self.address(at)), &mut out).await?;
        Ok(String::from_utf8(out).expect("UTF-8"))
    }

    /// `nodes list` as JSON, one value for each node.
    async fn nodes(&self, at: usize) -> Vec<Value> {
        let listed = self.ask(at, &["nodes", "list", "--json"]).await;
        let listed: Value = serde_json::from_str(&listed.expect("listed")).expect("JSON");
        listed["nodes"].as_array().expect("nodes").clone()
    }

    /// Node numbers and roles, the leader being a voter.
    async fn roles(&self, at: usize) -> Vec<(i64, String)> {
        let role = |node: &Value| {
            let role = node["role"]
                .as_str()
                .expect("a role")
                .replace("leader", "voter");
            (node["node"].as_i64().unwrap_or(-1), role)
        };
        self.nodes(at).await.iter().map(role).collect()
    }

    async fn metadata(&self, at: usize) -> MetadataResponse {
        let mut client = WireClient::connect(&self.address(at)).await;
        let request = MetadataRequest::default().with_topics(None);
        client.ask(12, request).await
    }

    /// Who leads, once a node knows.
    async fn leader(&self, at: usize) -> usize {
        let found = async {
            loop {
                if let Ok(leader) = usize::try_from(self.metadata(at).await.controller_id.0) {
                    return leader;
                }
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(PATIENCE, found).await.expect("a leader in time")
    }

    async fn leaders_client(&self, at: usize) -> WireClient {
        let leader = self.leader(at).await;
        WireClient::connect(&self.address(leader)).await
    }

    /// The leader hands over, as one that is to be removed does; nobody asks again, so that it stays.
    async fn hand_over(&self, leader: usize) {
        let mut client = WireClient::connect(&self.address(leader)).await;
        let asked = DescribeQuorumRequest::default().with_topics(vec![journal()]);
        let quorum = client.ask(2, asked).await;
        let partition = &quorum.topics[0].partitions[0];
        let mut voters = partition.current_voters.iter();
        let voter = voters.find(|it| it.replica_id == partition.leader_id);
        let voter = voter.expect("it leads");
        let request = RemoveRaftVoterRequest::default()
            .with_cluster_id(None)
            .with_voter_id(voter.replica_id.0)
            .with_voter_directory_id(voter.replica_directory_id);
        let answer = client.ask(0, request).await;
        let says = answer.error_message.as_deref().unwrap_or_default();
        assert!(says.contains("has handed over"), "{answer:?}");
    }

    async fn end(mut self) {
        for node in 1..=self.nodes.len() {
            if self.nodes[node - 1].is_some() {
                self.stop(node).await;
            }
        }
    }
}

async fn started(config: Config) -> Broker {
    let started = timeout(PATIENCE, Broker::start(config)).await;
    started.expect("in time").expect("starts")
}

fn voters(numbers: &[i64]) -> Vec<(i64, String)> {
    let voter = |number: &i64| (*number, "voter".to_owned());
    numbers.iter().map(voter).collect()
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(PATIENCE, found)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"))
}

const INVALID_REPLICATION_FACTOR: i16 = 38;

/// What a topic with so many replicas is answered; it is not made.
async fn replicated(client: &mut WireClient, factor: i16) -> i16 {
    let topic = CreatableTopic::default()
        .with_name(text("an-accept").into())
        .with_num_partitions(2)
        .with_replication_factor(factor);
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_validate_only(true)
        .with_timeout_ms(10_000);
    client.ask(7, request).await.topics[0].error_code
}

/// What producer-api makes on three nodes: three replicas, two of which must have a call on their disks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_tell_the_same_of_themselves_and_hold_what_is_acknowledged() {
    let house = House::of(3).await;
    let mut client = house.leaders_client(1).await;
    let three = replicated(&mut client, 3).await;
    assert_eq!(three, 0, "what producer-api asks for");
    let four = replicated(&mut client, 4).await;
    assert_eq!(four, INVALID_REPLICATION_FACTOR);
    let configs = [("min.insync.replicas", "2"), ("mayday.acks.min", "all")];
    create_topic_with(&mut client, "an-alert", 2, &configs).await;
    assert_eq!(
        produce(&mut client, "an-alert", batch_of(&["fire"])).await,
        Ok(0)
    );

    let leader = house.leader(1).await;
    for node in 1..=3 {
        // All are registered, and this one has heard that all are in sync.
        let partition = until("all in sync", async || {
            let metadata = house.metadata(node).await;
            let topic = metadata.topics.first()?;
            let partition = topic.partitions.first()?.clone();
            let is_all = metadata.brokers.len() == 3 && partition.isr_nodes.len() == 3;
            is_all.then_some(partition)
        });
        let partition = partition.await;
        assert_eq!(
            usize::try_from(partition.leader_id.0),
            Ok(leader),
            "as {node} says"
        );
        assert_eq!(partition.replica_nodes, [1, 2, 3].map(BrokerId));
        assert_eq!(house.roles(node).await, voters(&[1, 2, 3]));
    }
    house.end().await;
}

/// Where to begin, a consumer asks when it has been given its partitions: just then the leader changes, here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_whose_coordinator_changes_before_it_is_told_where_to_begin_reads_all_the_same()
{
    let gate = Gate::closed();
    let listens = [1, 2, 3].map(|_| own_address());
    let mut passing = JoinSet::new();
    let mut advertised = Vec::new();
    for listen in listens {
        let proxy = HoldingProxy::bind(&gate).await;
        advertised.push(proxy.address());
        passing.spawn(proxy.pass_to(listen));
    }
    let house = House::of_with(3, |node, config| {
        config.listen = listens[node - 1];
        config.advertised = Some(Advertised {
            host: advertised[node - 1].ip().to_string(),
            port: advertised[node - 1].port(),
        });
    });
    let house = house.await;
    let former = house.leader(1).await;
    let mut client = WireClient::connect(&house.address(former)).await;
    create_topic_with(&mut client, "an-alert", 1, &[]).await;
    assert_eq!(
        produce(&mut client, "an-alert", batch_of(&["fire"])).await,
        Ok(0)
    );

    let servers: Vec<String> = advertised.iter().map(ToString::to_string).collect();
    let reader = spawn_blocking(move || join_and_read(&servers.join(",")));
    timeout(PATIENCE, gate.holds_one()).await.expect("it joins");
    house.hand_over(former).await;
    until("another leads", async || {
        (house.leader(former).await != former).then_some(())
    })
    .await;
    gate.open();

    assert_eq!(reader.await.expect("it reads"), "fire");
    house.end().await;
}

/// The first record, as a new member of a group reads it.
fn join_and_read(servers: &str) -> String {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("group.id", "readers")
        .set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    consumer.subscribe(&["an-alert"]).expect("subscribed");
    for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
        if let Some(Ok(record)) = consumer.poll(LOOK_EVERY) {
            return String::from_utf8_lossy(record.payload().unwrap_or_default()).into_owned();
        }
    }
    panic!("nothing is read");
}

/// The log's own journal, as DescribeQuorum asks for it.
fn journal() -> TopicData {
    let partition = PartitionData::default().with_partition_index(0);
    TopicData::default()
        .with_topic_name(text("__cluster_metadata").into())
        .with_partitions(vec![partition])
}

/// One full disk is no reason to refuse a call; two are: the third alone could not keep what it took.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_refused_while_two_of_three_disks_are_full() {
    const POLICY_VIOLATION: i16 = 44;
    for (full, admits) in [(&[3][..], true), (&[2, 3], false)] {
        let house = House::of_with(3, |node, config| {
            if full.contains(&node) {
                config.disk_reserve_bytes = u64::MAX;
            }
        })
        .await;
        let mut client = house.leaders_client(1).await;
        create_topic_with(&mut client, "an-alert", 1, &[]).await;
        until("each node's room told", async || {
            let nodes = house.nodes(1).await;
            let with_room = nodes.iter().filter(|node| node["room"] == true).count();
            (with_room == 3 - full.len()).then_some(())
        })
        .await;

        let said = until("as the disks are", async || {
            let said = produce(&mut client, "an-alert", batch_of(&["fire"])).await;
            (said.is_ok() == admits).then_some(said)
        });

        match said.await {
            Ok(_) => assert!(admits),
            Err(code) => assert_eq!(code, POLICY_VIOLATION),
        }
        house.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_gives_out_producer_ids_and_sends_everything_else_to_the_leader() {
    let house = House::of(3).await;
    let mut client = house.leaders_client(1).await;
    create_topic_with(&mut client, "an-alert", 1, &[]).await;
    let leader = house.leader(1).await;
    let follower = (1..=3).find(|node| *node != leader).expect("two of them");
    let mut client = WireClient::connect(&house.address(follower)).await;

    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let given = until("a producer id", async || {
        let given = client.ask(4, request.clone()).await;
        (given.error_code == 0).then_some(given)
    });
    assert_eq!(given.await.producer_epoch, 0);

    // It says whom to ask, so that the next try goes there (KIP-951).
    let request = produce_request("an-alert", 0, -1, batch_of(&["fire"]));
    let answer = client.ask(10, request).await;
    let refused = &answer.responses[0].partition_responses[0];
    assert_eq!(refused.error_code, 6);
    let endpoint = &answer.node_endpoints[0];
    let address = format!("{}:{}", endpoint.host.as_str(), endpoint.port);
    assert_eq!(address, house.address(leader));
    assert_eq!(
        usize::try_from(refused.current_leader.leader_id.0),
        Ok(leader)
    );
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fourth_node_is_added_and_another_removed_and_the_leader_hands_over_first() {
    let mut house = House::of(4).await;
    let mut client = house.leaders_client(1).await;
    create_topic_with(&mut client, "an-alert", 1, &[]).await;
    assert_eq!(
        produce(&mut client, "an-alert", batch_of(&["fire"])).await,
        Ok(0)
    );

    let early = house.ask(1, &["nodes", "remove", "4"]).await;
    assert!(early.is_err_and(|error| error.to_string().contains("no node 4")));
    // The fourth node serves as soon as it is a member: the tool may be called before or after it was started.
    let (added, fourth) = tokio::join!(house.ask(1, &["nodes", "add", "4"]), house.started(4));
    house.nodes[3] = Some(fourth);
    assert_eq!(added.expect("added"), "node 4 is one of 4 voters\n");
    assert_eq!(house.roles(1).await, voters(&[1, 2, 3, 4]));
    let again = house.ask(1, &["nodes", "add", "4"]).await;
    assert_eq!(again.expect("it is"), "node 4 is one of 4 voters\n");

    let leader = house.leader(1).await;
    let other = (1..=3).find(|node| *node != leader).expect("two of them");
    let removed = house
        .ask(leader, &["nodes", "remove", &leader.to_string()])
        .await;
    assert_eq!(
        removed.expect("removed"),
        format!("node {leader} is removed: 3 voters are left\n")
    );
    let left = (1..=4).filter(|node| *node != i64::try_from(leader).expect("small"));
    let left = voters(&left.collect::<Vec<_>>());
    // The node that was removed runs on, and would be a member again if it were added.
    let members = house.roles(other).await.into_iter();
    let members = members.filter(|(_, role)| role != "waiting");
    assert_eq!(members.collect::<Vec<_>>(), left);
    assert_eq!(house.metadata(other).await.brokers.len(), 3);

    // What was acknowledged is where it was, and more can be written.
    let mut client = house.leaders_client(other).await;
    assert_eq!(latest_offset(&mut client, "an-alert").await, 1);
    assert_eq!(
        produce(&mut client, "an-alert", batch_of(&["out"])).await,
        Ok(1)
    );
    house.end().await;
}

/// As by any broker of Kafka: a client asks whom it happens to be connected to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_asked_for_at_a_follower_is_made() {
    let switched_on = |_, config: &mut Config| config.auto_create_topics_enable = true;
    let house = House::of_with(3, switched_on).await;
    let leader = house.leader(1).await;
    let follower = (1..=3).find(|node| *node != leader).expect("two of them");
    let mut client = WireClient::connect(&house.address(follower)).await;
    let asked = |allowed| {
        let named = MetadataRequestTopic::default().with_name(Some(text("new").into()));
        MetadataRequest::default()
            .with_topics(Some(vec![named]))
            .with_allow_auto_topic_creation(allowed)
    };

    let refused = client.ask(12, asked(false)).await;
    assert_ne!(refused.topics[0].error_code, 0, "not allowed");
    until("made", async || {
        let metadata = client.ask(12, asked(true)).await;
        let topic = &metadata.topics[0];
        (topic.error_code == 0 && topic.partitions.len() == 2).then_some(())
    })
    .await;
    let mut leaders = house.leaders_client(follower).await;
    assert_eq!(
        produce(&mut leaders, "new", batch_of(&["fire"])).await,
        Ok(0)
    );
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_on_an_empty_disk_takes_its_own_place_and_has_all_the_records() {
    let mut house = House::of(3).await;
    let mut client = house.leaders_client(1).await;
    let configs = [("min.insync.replicas", "2")];
    create_topic_with(&mut client, "an-alert", 1, &configs).await;
    for number in 0..20 {
        let stored = produce(&mut client, "an-alert", batch_of(&["fire"])).await;
        assert_eq!(stored, Ok(number));
    }
    let leader = house.leader(1).await;
    let lost = (1..=3).find(|node| *node != leader).expect("two of them");

    house.stop(lost).await;
    house.disks[lost - 1] += 1;
    let number = lost.to_string();
    let wrong = house
        .ask(
            leader,
            &["nodes", "remove", &leader.to_string(), "--within", "1"],
        )
        .await;
    assert!(wrong.is_err(), "one of two would be left");
    let line = ["nodes", "replace", &number];
    let (replaced, started) = tokio::join!(house.ask(leader, &line), house.started(lost));
    house.nodes[lost - 1] = Some(started);

    assert_eq!(
        replaced.expect("replaced"),
        format!("node {lost} is one of 3 voters\n")
    );
    assert_eq!(house.roles(leader).await, voters(&[1, 2, 3]));
    // It counts: with the third one gone, two disks must have what is written now.
    let third = (1..=3)
        .find(|node| *node != leader && *node != lost)
        .expect("one");
    house.stop(third).await;
    let stored = until("stored on two disks", async || {
        let mut client = house.leaders_client(lost).await;
        produce(&mut client, "an-alert", batch_of(&["late"]))
            .await
            .ok()
    });
    assert_eq!(stored.await, 20);
    house.end().await;
}

/// A moment ago, before the log was formed, the founder had presented itself to the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_gone_for_good_is_not_listed_as_waiting() {
    let mut house = House::of(3).await;
    house.stop(1).await;

    let removed = house.ask(2, &["nodes", "remove", "1"]).await;
    assert_eq!(
        removed.expect("removed"),
        "node 1 is removed: 2 voters are left\n"
    );

    let leader = house.leader(2).await;
    assert_eq!(house.roles(leader).await, voters(&[2, 3]));
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_grows_to_three_and_keeps_what_it_had() {
    let mut house = House::empty(3);
    let mut alone = house.config(1);
    alone.peers = Vec::new();
    alone.peer_listen = None;
    house.nodes[0] = Some(started(alone).await);
    let mut client = house.leaders_client(1).await;
    create_topic_with(&mut client, "an-alert", 1, &[]).await;
    assert_eq!(
        produce(&mut client, "an-alert", batch_of(&["fire"])).await,
        Ok(0)
    );
    house.stop(1).await;

    let mut listening = house.config(1);
    listening.peers = Vec::new();
    house.nodes[0] = Some(started(listening).await);
    for node in [2, 3] {
        let line = ["nodes", "add", &node.to_string()];
        let (added, started) = tokio::join!(house.ask(1, &line), house.started(node));
        assert_eq!(
            added.expect("added"),
            format!("node {node} is one of {node} voters\n")
        );
        house.nodes[node - 1] = Some(started);
    }

    // The first one is not needed any more.
    house.stop(1).await;
    let stored = until("stored by the other two", async || {
        let mut client = house.leaders_client(2).await;
        produce(&mut client, "an-alert", batch_of(&["out"]))
            .await
            .ok()
    });
    assert_eq!(stored.await, 1);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_said_in_a_sentence_and_changes_nothing() {
    let house = House::of(3).await;
    let says = async |line: &[&str]| {
        let refused = house.ask(1, line).await.expect_err("refused");
        refused.to_string()
    };
    let waits = says(&["nodes", "add", "9"]).await;
    assert!(
        waits.contains("node 9 does not wait to be added"),
        "{waits}"
    );
    let beyond = says(&["nodes", "raise-level", "99"]).await;
    assert!(beyond.contains("99"), "{beyond}");
    let nobody = says(&["nodes", "remove", "--replica", "77"]).await;
    assert!(nobody.contains("nodes list"), "{nobody}");

    let present = house.ask(1, &["nodes", "replace", "2"]).await;
    assert_eq!(present.expect("it is well"), "node 2 is one of 3 voters\n");
    let level = house.ask(1, &["nodes", "raise-level"]).await;
    assert_eq!(level.expect("as it is"), "the log works at level 2\n");
    assert_eq!(house.roles(2).await, voters(&[1, 2, 3]));
    house.end().await;
}

/// Without a majority nobody leads; whoever has to mend that sees what the node last heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_node_still_lists_the_others() {
    let mut house = House::of(3).await;
    house.stop(2).await;
    house.stop(3).await;

    let alone = until("no leader", async || {
        let listed = house.ask(1, &["nodes", "list"]).await.ok()?;
        listed.starts_with("leader none").then_some(listed)
    });

    assert_eq!(
        alone.await.lines().count(),
        6,
        "a head, a header and three nodes"
    );
    let refused = house
        .ask(1, &["nodes", "remove", "3", "--within", "1"])
        .await;
    assert!(
        matches!(refused, Err(ToolError::NotInTime { .. })),
        "{refused:?}"
    );
    house.end().await;
}
