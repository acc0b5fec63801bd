//! A network of our own: a namespace for each node, all on one bridge, with this process on it too.
//!
//! Names carry the id of the process that made them, so that what a killed test left behind is found and removed.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::program::{run, run_if_possible, said};

/// Every name begins so; an interface's name has at most 15 bytes.
const PREFIX: &str = "lc";
/// Where the bridge has its namespace; the nodes count from 1.
const BRIDGE: u32 = 0;
/// The last byte of this process's address.
const HERE: u8 = 254;

/// Namespaces, links and bridge. Dropping it removes them.
pub struct Network {
    name: String,
    nodes: u32,
    /// The first three bytes of every address.
    subnet: [u8; 3],
}

impl Network {
    /// Whether this machine lets us make one.
    pub fn is_possible() -> bool {
        static PROBED: OnceLock<bool> = OnceLock::new();
        *PROBED.get_or_init(Self::probe)
    }

    fn probe() -> bool {
        let probe = format!("{PREFIX}{}probe", std::process::id());
        let made = run_if_possible("ip", &["netns", "add", &probe])
            && run_if_possible(
                "ip",
                &[
                    "netns", "exec", &probe, "iptables", "-A", "INPUT", "-s", "10.0.0.1", "-j",
                    "DROP",
                ],
            );
        run_if_possible("ip", &["netns", "delete", &probe]);
        made
    }

    pub fn of(nodes: u32) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        remove_what_the_dead_left();
        let (process, made) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        // Different for test programs that run at the same time, and for the networks of one.
        let [.., high, low] = process.wrapping_mul(2).wrapping_add(made).to_be_bytes();
        let network = Self {
            name: format!(
                "{PREFIX}{process}{}",
                char::from_digit(10 + made % 26, 36).expect("a letter")
            ),
            nodes,
            subnet: [10, 64 | (high & 63), low],
        };
        network.build();
        network
    }

    /// The bridge stands in a namespace of its own: where the machine runs containers, its own rules would drop what
    /// the bridge passes on.
    fn build(&self) {
        let (bridge, link) = (self.namespace(BRIDGE), self.link(BRIDGE));
        run("ip", &["netns", "add", &bridge]);
        run(
            "ip",
            &["-n", &bridge, "link", "add", "bridge", "type", "bridge"],
        );
        run("ip", &["-n", &bridge, "link", "set", "bridge", "up"]);
        let here = format!("{}/24", self.address(HERE));
        run(
            "ip",
            &[
                "link", "add", &link, "type", "veth", "peer", "name", "here", "netns", &bridge,
            ],
        );
        run("ip", &["address", "add", &here, "dev", &link]);
        run("ip", &["link", "set", &link, "up"]);
        run(
            "ip",
            &[
                "-n", &bridge, "link", "set", "here", "master", "bridge", "up",
            ],
        );
        for node in 1..=self.nodes {
            self.add(node, &bridge);
        }
    }

    fn add(&self, node: u32, bridge: &str) {
        let (namespace, link) = (self.namespace(node), self.link(node));
        run("ip", &["netns", "add", &namespace]);
        let pair = ["-n", bridge, "link", "add", &link, "type", "veth"];
        run(
            "ip",
            &[&pair[..], &["peer", "name", "eth0", "netns", &namespace]].concat(),
        );
        run(
            "ip",
            &["-n", bridge, "link", "set", &link, "master", "bridge", "up"],
        );
        let address = format!("{}/24", self.host(node));
        run(
            "ip",
            &["-n", &namespace, "address", "add", &address, "dev", "eth0"],
        );
        run("ip", &["-n", &namespace, "link", "set", "eth0", "up"]);
        run("ip", &["-n", &namespace, "link", "set", "lo", "up"]);
    }

    pub fn size(&self) -> u32 {
        self.nodes
    }

    pub fn host(&self, node: u32) -> Ipv4Addr {
        self.address(u8::try_from(node).expect("few nodes"))
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.subnet;
        Ipv4Addr::new(a, b, c, last)
    }

    pub fn namespace(&self, node: u32) -> String {
        format!("{}n{node}", self.name)
    }

    fn link(&self, node: u32) -> String {
        format!("{}v{node}", self.name)
    }

    /// Pulls the plug: nobody reaches the node, clients neither.
    pub fn unplug(&self, node: u32) {
        self.set_plug(node, "down");
    }

    fn set_plug(&self, node: u32, state: &str) {
        let bridge = self.namespace(BRIDGE);
        run(
            "ip",
            &["-n", &bridge, "link", "set", &self.link(node), state],
        );
    }

    /// Cuts the node off its peers both ways; clients still reach it.
    pub fn part_from_peers(&self, node: u32) {
        self.deafen(node);
        self.silence(node);
    }

    /// The node no longer hears its peers; they hear it.
    pub fn deafen(&self, node: u32) {
        for peer in self.peers_of(node) {
            self.drop_packets(node, &["INPUT", "-s", &peer]);
        }
    }

    /// The node's peers no longer hear it; it hears them.
    pub fn silence(&self, node: u32) {
        for peer in self.peers_of(node) {
            self.drop_packets(node, &["OUTPUT", "-d", &peer]);
        }
    }

    fn drop_packets(&self, node: u32, from_or_to: &[&str]) {
        let namespace = self.namespace(node);
        let before = ["netns", "exec", &namespace, "iptables", "-A"];
        run("ip", &[&before[..], from_or_to, &["-j", "DROP"]].concat());
    }

    fn peers_of(&self, node: u32) -> Vec<String> {
        let others = (1..=self.nodes).filter(|other| *other != node);
        others.map(|other| self.host(other).to_string()).collect()
    }

    /// Takes every fault of the node's network back.
    pub fn heal(&self, node: u32) {
        self.set_plug(node, "up");
        run(
            "ip",
            &["netns", "exec", &self.namespace(node), "iptables", "-F"],
        );
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // A link goes with its namespace, but only some time later.
        run_if_possible("ip", &["link", "delete", &self.link(BRIDGE)]);
        for place in BRIDGE..=self.nodes {
            run_if_possible("ip", &["netns", "delete", &self.namespace(place)]);
        }
    }
}

/// A test that was killed could not clean up.
fn remove_what_the_dead_left() {
    for line in said("ip", &["netns", "list"]).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if is_of_a_dead_process(name) {
            run_if_possible("ip", &["netns", "delete", name]);
        }
    }
    for line in said("ip", &["-brief", "link"]).lines() {
        let name = line.split(['@', ' ']).next().unwrap_or_default();
        if is_of_a_dead_process(name) {
            run_if_possible("ip", &["link", "delete", name]);
        }
    }
}

fn is_of_a_dead_process(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return false;
    };
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    0 < digits && !Path::new("/proc").join(&rest[..digits]).exists()
}
