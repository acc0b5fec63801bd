//! Three nodes in one process that form a cluster over real sockets: who is taken, who is refused, who has to wait.

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use kafka_protocol::messages::{DescribeClusterRequest, MetadataRequest};
use log_core::ids::NodeId;
use log_core::{Broker, Config, Peer, PeerSecret, StartError};
use support::loopback::own_address;
use support::records::batch_of;
use support::wire_client::{WireClient, create_topic, latest_offset, new_producer_id, produce};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Far beyond what any state here takes to come about.
const SOON: Duration = Duration::from_secs(30);

/// Where three nodes would be, and their folders.
struct Site {
    folders: Vec<TempDir>,
    peers: Vec<Peer>,
    secret: &'static str,
}

impl Site {
    fn of(count: u32) -> Self {
        let peer = |node| Peer {
            node: NodeId(node),
            address: own_address().to_string(),
        };
        Self {
            folders: (0..count)
                .map(|_| tempfile::tempdir().expect("a folder"))
                .collect(),
            peers: (1..=count).map(peer).collect(),
            secret: "a secret of sixteen bytes or more",
        }
    }

    fn config(&self, node: usize) -> Config {
        let mut config = config_on(self.folders[node - 1].path());
        config.node_id = self.peers[node - 1].node;
        config.peers = self.peers.clone();
        config.peer_listen = self.peers[node - 1].address.parse().ok();
        config.peer_secret = PeerSecret::new(self.secret.as_bytes()).ok();
        config
    }

    async fn start(&self, node: usize) -> Broker {
        start(self.config(node)).await
    }

    async fn start_all(&self) -> Vec<Broker> {
        let all = (1..=self.peers.len()).map(|node| self.start(node));
        futures_util::future::join_all(all).await
    }
}

fn config_on(folder: &Path) -> Config {
    let mut config = Config::on(folder);
    config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config
}

async fn start(config: Config) -> Broker {
    started(config).await.expect("starts")
}

/// Starts once an earlier broker on the same folder, which was dropped, has let go of it and of its ports.
async fn started(config: Config) -> Result<Broker, StartError> {
    let starting = async {
        loop {
            match Broker::start(config.clone()).await {
                Err(StartError::Node(_) | StartError::PeerListen { .. }) => {
                    sleep(Duration::from_millis(50)).await;
                }
                started => return started,
            }
        }
    };
    timeout(SOON, starting)
        .await
        .expect("clients are served soon")
}

/// A node that is starting, and may wait for long; its operator's address.
struct Starting {
    broker: JoinHandle<Result<Broker, StartError>>,
    admin: SocketAddr,
}

impl Starting {
    fn with(mut config: Config) -> Self {
        let admin = own_address();
        config.admin = Some(admin);
        #[expect(
            clippy::disallowed_methods,
            reason = "the test waits for it, or aborts it"
        )]
        let broker = tokio::spawn(Broker::start(config));
        Self { broker, admin }
    }

    async fn says(&self, part: &str) -> String {
        says(self.admin, part).await
    }

    /// Stops it while it waits.
    async fn stop(self) {
        assert!(!self.broker.is_finished(), "it must still be waiting");
        self.broker.abort();
        drop(self.broker.await);
    }

    async fn served(self) -> Broker {
        let started = timeout(SOON, self.broker).await.expect("soon");
        started.expect("not aborted").expect("starts")
    }
}

/// Waits until the operator of a node is told something with this in it.
async fn says(admin: SocketAddr, part: &str) -> String {
    let mut last = String::new();
    let said = async {
        loop {
            last = readiness(admin).await.unwrap_or_default();
            if last.contains(part) {
                return last.clone();
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let said = timeout(SOON, said).await;
    said.unwrap_or_else(|_| panic!("{part:?} was never said; last: {last}"))
}

async fn readiness(admin: SocketAddr) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(admin).await?;
    let request = b"GET /readyz HTTP/1.1\r\nHost: log\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A client of whoever leads, once all nodes that run are known as brokers.
async fn client_of_leader(brokers: &[Broker]) -> WireClient {
    let leader = &brokers[leader_of(brokers).await];
    WireClient::connect(&leader.address().to_string()).await
}

async fn leader_of(brokers: &[Broker]) -> usize {
    let find = async {
        loop {
            if let Some(leader) = leader_among(brokers).await {
                return leader;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, find).await.expect("one leads soon")
}

async fn leader_among(brokers: &[Broker]) -> Option<usize> {
    let mut client = WireClient::connect(&brokers[0].address().to_string()).await;
    let described = client.ask(1, DescribeClusterRequest::default()).await;
    let known = brokers.iter().all(|ours| {
        let port = i32::from(ours.address().port());
        described.brokers.iter().any(|broker| broker.port == port)
    });
    let leader = described
        .brokers
        .iter()
        .find(|broker| broker.broker_id == described.controller_id)
        .filter(|_| known)?;
    brokers
        .iter()
        .position(|ours| i32::from(ours.address().port()) == leader.port)
}

/// Waits until so many replicas have what the leader has.
async fn wait_for_in_sync(client: &mut WireClient, count: usize) {
    let in_sync = async {
        loop {
            let metadata = client
                .ask(9, MetadataRequest::default().with_topics(None))
                .await;
            if metadata.topics[0].partitions[0].isr_nodes.len() == count {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, in_sync).await.expect("in sync soon");
}

async fn stop_all(brokers: Vec<Broker>) {
    let stopping = brokers.into_iter().map(Broker::shutdown);
    for stopped in futures_util::future::join_all(stopping).await {
        stopped.expect("ends cleanly");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_become_one_cluster_that_outlives_its_leader() {
    let site = Site::of(3);
    let mut brokers = site.start_all().await;
    let mut client = client_of_leader(&brokers).await;
    create_topic(&mut client, "a", 1).await;
    for offset in 0..10 {
        let batch = batch_of(&[&format!("record {offset}")]);
        assert_eq!(produce(&mut client, "a", batch).await, Ok(offset));
    }
    wait_for_in_sync(&mut client, 3).await;
    let before = client.fetch_from("a", 0).await;

    let leader = leader_of(&brokers).await;
    brokers
        .remove(leader)
        .shutdown()
        .await
        .expect("ends cleanly");

    // The two that are left have everything, and go on.
    let mut client = client_of_leader(&brokers).await;
    assert_eq!(client.fetch_from("a", 0).await, before, "byte for byte");
    assert_eq!(
        produce(&mut client, "a", batch_of(&["after"])).await,
        Ok(10)
    );

    // The third comes back, at another port for clients, and catches up.
    brokers.push(site.start(leader + 1).await);
    let mut client = client_of_leader(&brokers).await;
    wait_for_in_sync(&mut client, 3).await;
    assert_eq!(latest_offset(&mut client, "a").await, 11);
    stop_all(brokers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_gets_its_id_from_whichever_node_it_asks() {
    let site = Site::of(3);
    let brokers = site.start_all().await;
    client_of_leader(&brokers).await;

    let mut given = BTreeSet::new();
    for broker in brokers.iter().chain(&brokers) {
        let mut client = WireClient::connect(&broker.address().to_string()).await;
        given.insert(new_producer_id(&mut client).await);
    }
    assert_eq!(given.len(), 6, "each id is given out once: {given:?}");
    stop_all(brokers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_forms_a_cluster_before_all_are_there_and_each_says_who_is_missing() {
    let site = Site::of(3);
    let one = Starting::with(site.config(1));
    let two = Starting::with(site.config(2));
    for waiting in [&one, &two] {
        let said = waiting.says("node 3").await;
        assert!(
            said.starts_with("HTTP/1.1 503") && said.contains("not reachable"),
            "{said}"
        );
    }
    let three = site.start(3).await;
    let brokers = vec![one.served().await, two.served().await, three];
    client_of_leader(&brokers).await;
    stop_all(brokers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_another_secret_is_refused_until_it_has_the_right_one() {
    let mut site = Site::of(3);
    let right = site.secret;
    site.secret = "another secret of sixteen bytes";
    let three = Starting::with(site.config(3));
    site.secret = right;
    let others = [
        Starting::with(site.config(1)),
        Starting::with(site.config(2)),
    ];
    for node in others.iter().chain([&three]) {
        node.says("different secrets").await;
    }
    three.stop().await;

    let mut brokers = vec![site.start(3).await];
    for other in others {
        brokers.push(other.served().await);
    }
    client_of_leader(&brokers).await;
    stop_all(brokers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_node_and_a_stranger_wait_and_say_what_to_do() {
    let mut site = Site::of(3);
    let mut brokers = site.start_all().await;
    client_of_leader(&brokers).await;

    // A node without what it had is another node, whatever its number.
    brokers.remove(1).shutdown().await.expect("ends cleanly");
    site.folders[1] = tempfile::tempdir().expect("a folder");
    let wiped = Starting::with(site.config(2));
    let said = wiped.says("log-core nodes replace 2").await;
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");

    // A fourth one knows the secret, and is no member all the same.
    let mut stranger = site.config(1);
    let folder = tempfile::tempdir().expect("a folder");
    (stranger.data, stranger.node_id) = (folder.path().to_owned(), NodeId(4));
    let address = own_address();
    stranger.peer_listen = Some(address);
    stranger.peers.push(Peer {
        node: NodeId(4),
        address: address.to_string(),
    });
    let stranger = Starting::with(stranger);
    stranger.says("log-core nodes add 4").await;

    // Meanwhile the others are a cluster, and not one of four.
    let mut client = client_of_leader(&brokers).await;
    create_topic(&mut client, "a", 1).await;
    assert_eq!(produce(&mut client, "a", batch_of(&["x"])).await, Ok(0));
    wiped.stop().await;
    stranger.stop().await;
    stop_all(brokers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_another_cluster_is_not_taken_for_a_member() {
    let mut site = Site::of(3);
    let mut brokers = site.start_all().await;
    client_of_leader(&brokers).await;
    let foreign = Site::of(1);
    start(foreign.config(1))
        .await
        .shutdown()
        .await
        .expect("ends cleanly");

    // Node 1's folder is swapped for that of another cluster's node 1.
    brokers.remove(0).shutdown().await.expect("ends cleanly");
    site.folders[0] = foreign.folders.into_iter().next().expect("one");
    let swapped = site.start(1).await;

    let mut client = client_of_leader(&brokers).await;
    let cluster = client.ask(1, DescribeClusterRequest::default()).await;
    let mut other = WireClient::connect(&swapped.address().to_string()).await;
    let theirs = other.ask(1, DescribeClusterRequest::default()).await;
    assert_ne!(cluster.cluster_id, theirs.cluster_id);
    brokers.push(swapped);
    stop_all(brokers).await;
}

#[tokio::test]
async fn a_folder_that_waits_for_others_does_not_become_a_cluster_of_one() {
    let site = Site::of(3);
    let waiting = Starting::with(site.config(1));
    waiting.says("not reachable").await;
    waiting.stop().await;

    let mut alone = site.config(1);
    alone.peers.clear();
    let refused = started(alone).await;
    let sentence = refused.err().expect("refused").to_string();
    assert!(
        sentence.contains("start it with the same --peers"),
        "{sentence}"
    );
}

#[tokio::test]
async fn a_node_that_waits_for_its_peers_ends_when_it_is_told_to() {
    let site = Site::of(3);
    let admin = own_address();
    let listed: Vec<_> = site
        .peers
        .iter()
        .map(|peer| format!("{}@{}", peer.node, peer.address))
        .collect();
    let mut process = Command::new(env!("CARGO_BIN_EXE_log-core"))
        .args(["serve", "--node-id", "1", "--listen", "127.0.0.1:0"])
        .args(["--data".as_ref(), site.folders[0].path().as_os_str()])
        .args(["--admin-listen", &admin.to_string()])
        .args(["--peer-listen", &site.peers[0].address])
        .args(["--peers", &listed.join(",")])
        .env("LOG_CORE_PEER_SECRET", site.secret)
        .stderr(Stdio::null())
        .spawn()
        .expect("the program is there");
    says(admin, "not reachable").await;

    let told = Command::new("kill").arg(process.id().to_string()).status();
    assert!(told.expect("there is a kill").success());

    let ended = async {
        loop {
            if let Some(ended) = process.try_wait().expect("our child") {
                return ended;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let ended = timeout(SOON, ended).await.expect("it ends soon");
    assert!(ended.success(), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_the_others_cannot_reach_does_not_start() {
    let site = Site::of(3);
    stop_all(site.start_all().await).await;
    let mut deaf = site.config(1);
    (deaf.peers, deaf.peer_listen) = (Vec::new(), None);
    let refused = Broker::start(deaf)
        .await
        .err()
        .expect("refused")
        .to_string();
    assert!(
        refused.contains("part of a cluster of 3 nodes"),
        "{refused}"
    );
}

#[tokio::test]
async fn beyond_loopback_the_nodes_must_share_a_secret() {
    let site = Site::of(3);
    let mut open_to_all = site.config(1);
    open_to_all.peer_listen = Some(SocketAddr::from(([0, 0, 0, 0], 0)));
    open_to_all.peer_secret = None;
    let refused = Broker::start(open_to_all).await.err().expect("refused");
    assert!(
        refused.to_string().contains("must share a secret"),
        "{refused}"
    );
}
