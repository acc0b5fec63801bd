//! Real `log-core serve` processes, real faults, and clients by librdkafka whose histories are checked.
//!
//! A test makes a [`Cluster`], lets [`Load`] write and a [`Group`] read, breaks something while produces are in flight,
//! mends it, and in the end hands both histories to [`Cluster::settle`], which reads everything back and judges.
//! Whatever a test starts or mounts ends with it, also when it panics.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(missing_docs, unreachable_pub, reason = "a test's own words")]

pub mod checker;
pub mod disk;
pub mod ground;
pub mod group;
pub mod load;
pub mod network;
pub mod node;
pub mod program;
mod read_back;
pub mod resting;
pub mod slow_syncs;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use tempfile::TempDir;

pub use self::checker::History;
use self::disk::Disk;
pub use self::disk::DiskKind;
pub use self::ground::Ground;
pub use self::group::Group;
pub use self::load::Load;
use self::network::Network;
use self::node::Node;

/// What the clients write to and read from: two partitions, a majority of two needed for every record.
pub const TOPIC: &str = "calls";
pub const PARTITIONS: i32 = 2;

/// One cluster at a time: several would take the processor from each other until elections fail for no fault of ours.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The nodes of one cluster.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub ground: Ground,
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// So many nodes on loopback ports and plain folders, with the topic.
    pub fn of(nodes: u32) -> Self {
        Self::with(nodes, DiskKind::Folder, Ground::loopback(nodes))
    }

    /// The same, elsewhere: on other disks, or in namespaces.
    pub fn with(nodes: u32, disks: DiskKind, ground: Ground) -> Self {
        let mut cluster = Self::none(ground);
        for id in 1..=nodes {
            cluster.add_node(id, disks);
        }
        let peers = cluster.ground.peers(&cluster.ids());
        for node in &mut cluster.nodes {
            node.tell_peers(peers.clone());
            node.start();
        }
        cluster.wait_until_serving();
        cluster.create_topic();
        cluster
    }

    /// A cluster of one, where others may join.
    pub fn of_one_with_room_for(nodes: u32) -> Self {
        let mut cluster = Self::none(Ground::loopback(nodes));
        cluster.add_node(1, DiskKind::Folder);
        cluster.node(1).start();
        cluster.wait_until_serving();
        cluster.create_topic();
        cluster
    }

    fn none(ground: Ground) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = Self {
            nodes: Vec::new(),
            ground,
            folder: tempfile::tempdir().expect("a folder"),
            _turn: turn,
        };
        std::fs::write(cluster.secret_file(), "a secret that only tests share\n").expect("written");
        cluster
    }

    fn add_node(&mut self, id: u32, disks: DiskKind) {
        let folder = self.folder.path().join(format!("node-{id}"));
        let node = Node::new(id, folder, disks, &self.ground, &self.secret_file());
        self.nodes.push(node);
    }

    /// A further node, on an empty disk, made a voter by the operator's command.
    pub fn grow_by(&mut self, id: u32) {
        self.add_node(id, DiskKind::Folder);
        self.start_empty(id);
        self.tool(&["nodes", "add", &id.to_string()]);
    }

    /// The node's disk is lost, and it comes back with an empty one.
    pub fn start_empty(&mut self, id: u32) {
        let peers = self.ground.peers(&self.ids());
        let node = self.node(id);
        node.tell_peers(peers);
        node.lose_disk();
        node.start();
    }

    /// Takes a node out for good, by the operator's command, and stops it.
    pub fn shrink_by(&mut self, id: u32) {
        self.tool(&["nodes", "remove", &id.to_string()]);
        let index = self.nodes.iter().position(|node| node.id == id);
        let mut node = self.nodes.remove(index.expect("one of ours"));
        node.stop();
    }

    fn secret_file(&self) -> PathBuf {
        self.folder.path().join("peer-secret")
    }

    pub fn node(&mut self, id: u32) -> &mut Node {
        let mut nodes = self.nodes.iter_mut();
        let node = nodes.find(|node| node.id == id);
        node.unwrap_or_else(|| panic!("no node {id}"))
    }

    /// The power of these nodes fails at one moment: what they had not synced is gone, and so are their processes.
    pub fn cut_power(&mut self, ids: &[u32]) {
        let struck = |node: &&Node| ids.contains(&node.id);
        Disk::cut_power(self.nodes.iter().filter(struck).map(Node::disk));
        for id in ids {
            self.node(*id).kill();
        }
    }

    /// The power is back, and the nodes are started.
    pub fn restore_power(&mut self, ids: &[u32]) {
        for id in ids {
            self.node(*id).restore_power();
            self.node(*id).start();
        }
    }

    /// The network, where the nodes stand in namespaces.
    pub fn network(&self) -> &Network {
        match &self.ground {
            Ground::Namespaces(network) => network,
            Ground::Loopback(_) => panic!("loopback has no plug to pull"),
        }
    }

    /// The ids of all nodes.
    pub fn ids(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    /// The ids of the others.
    pub fn others(&self, id: u32) -> Vec<u32> {
        let mut ids = self.ids();
        ids.retain(|other| *other != id);
        ids
    }

    /// Where clients begin: all nodes, also those that are to join. (A client that knows one node only, and asks it for
    /// news every five minutes, is lost with that node.)
    pub fn bootstrap(&self) -> String {
        self.ground.client_addresses().join(",")
    }

    /// Producers and a consumer group at work.
    pub fn clients(&self) -> (Load, Group) {
        let bootstrap = self.bootstrap();
        let (load, group) = (Load::start(&bootstrap), Group::start(&bootstrap));
        load.wait_for_progress();
        (load, group)
    }

    /// The node that says that it leads, once there is one.
    pub fn leader(&self) -> u32 {
        self.leader_among(&self.ids())
    }

    /// The same among some: a node that was cut off may still believe that it leads.
    pub fn leader_among(&self, ids: &[u32]) -> u32 {
        let mut found = None;
        self.wait_until("a node leads", || {
            found = self.leads_now(ids);
            found.is_some()
        });
        found.expect("waited for")
    }

    fn leads_now(&self, ids: &[u32]) -> Option<u32> {
        let leads = |node: &&Node| ids.contains(&node.id) && node.leads();
        self.nodes.iter().find(leads).map(|node| node.id)
    }

    /// Waits until a node leads and all running ones know it.
    pub fn wait_until_serving(&self) {
        self.wait_until("all nodes are ready", || {
            self.nodes.iter().all(Node::is_ready)
        });
        self.leader();
    }

    /// Waits until all nodes have applied the same entries, which they do once nobody writes.
    pub fn wait_until_level(&self) {
        let mut found = Vec::new();
        self.wait_until("all nodes have applied as much", || {
            let now: Vec<_> = self.nodes.iter().map(Node::applied_index).collect();
            let level = now.iter().all(|index| index.is_some() && *index == now[0]);
            // Twice the same: what is on its way to a follower shows up in between.
            let settled = level && found == now;
            found = now;
            settled
        });
    }

    /// Waits for a state; a cluster that never reaches it fails the test with what its nodes said.
    pub fn wait_until(&self, what: &str, is_so: impl FnMut() -> bool) {
        wait_until(what, is_so);
    }

    fn create_topic(&self) {
        let replicas = self.nodes.len();
        let at_least = if replicas < 3 { 1 } else { 2 };
        let setting = format!("min.insync.replicas={at_least}");
        let partitions = PARTITIONS.to_string();
        let create = ["topics", "create", TOPIC, "--partitions", &partitions];
        self.tool(&[&create[..], &["--config", &setting]].concat());
    }

    /// Runs a tool of `log-core` on the cluster and returns what it answered; it must succeed.
    pub fn tool(&self, arguments: &[&str]) -> String {
        let output = self.try_tool(arguments);
        assert!(
            output.status.success(),
            "log-core {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// The same, also where it fails.
    fn try_tool(&self, arguments: &[&str]) -> Output {
        let mut ready = None;
        self.wait_until("a node is ready", || {
            ready = self.nodes.iter().find(|node| node.is_ready());
            ready.is_some()
        });
        let server = ready.expect("waited for").clients.to_string();
        Command::new(node::LOG_CORE)
            .args(arguments)
            .args(["--server", &server])
            .output()
            .expect("log-core runs")
    }

    /// Ends the clients, reads everything back, stops the nodes and looks at what each has on its disk. Fails with every
    /// promise that was broken.
    pub fn settle(self, load: Load, group: Group) -> History {
        self.settle_excusing(None, load, group)
    }

    /// The same where the log was allowed to refuse records with a code.
    pub fn settle_excusing(
        mut self,
        excused: Option<&'static str>,
        load: Load,
        group: Group,
    ) -> History {
        let reports = load.finish();
        self.wait_until_serving();
        let records = read_back::all_records(&self.bootstrap());
        let reading = group.finish(&read_back::ends(&records));
        self.wait_until_level();
        for node in &mut self.nodes {
            node.stop();
        }
        let history = History {
            reports,
            reading,
            excused,
            records,
        };
        history.assert_kept();
        resting::assert_sound_and_equal(&self.nodes, &history.records);
        println!("{}", history.summary());
        history
    }

    /// A place for a backup.
    pub fn spare_folder(&self) -> PathBuf {
        self.folder.path().join("spare")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            for node in &self.nodes {
                eprintln!("-- node {} said last:\n{}", node.id, node.last_words());
            }
        }
    }
}

/// How often a state is looked at, and how often at most: about two minutes.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LOOKS: u32 = 12_000;

/// Waits for a state, with a deadline.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if is_so() {
            return;
        }
        thread::sleep(LOOK_EVERY);
    }
    panic!("{what}: not within two minutes");
}

/// How often each fault strikes: few in CI, `CLUSTER_ROUNDS` for a night.
pub fn rounds(default: u32) -> u32 {
    std::env::var("CLUSTER_ROUNDS").map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("CLUSTER_ROUNDS={text} is no number"))
    })
}

/// What every client is set to, as our services set theirs: a lost leader costs one refresh, not a back-off meant for
/// data centres.
fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("socket.timeout.ms", "2000")
        .set("socket.connection.setup.timeout.ms", "1000")
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        .set("retry.backoff.ms", "50")
        .set("retry.backoff.max.ms", "250")
        .set("topic.metadata.refresh.fast.interval.ms", "50")
        .set("log.connection.close", "false");
    config
}
