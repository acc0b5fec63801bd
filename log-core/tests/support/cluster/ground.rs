//! Where the nodes of a cluster stand: on loopback ports, or each in a network namespace of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use super::network::Network;
use super::program::run_if_possible;

/// The addresses of one node.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub clients: SocketAddr,
    pub peers: SocketAddr,
    pub admin: SocketAddr,
}

/// Where the nodes stand.
pub enum Ground {
    Loopback(Vec<Addresses>),
    Namespaces(Network),
}

impl Ground {
    /// For so many nodes, numbered from 1.
    pub fn loopback(nodes: u32) -> Self {
        let node = |_| Addresses {
            clients: loopback_address(),
            peers: loopback_address(),
            admin: loopback_address(),
        };
        Self::Loopback((0..nodes).map(node).collect())
    }

    /// Where this machine allows it; says so where it does not.
    pub fn namespaces(nodes: u32) -> Option<Self> {
        if !Network::is_possible() {
            eprintln!("no network namespaces can be made here (root and iproute2 are needed)");
            return None;
        }
        Some(Self::Namespaces(Network::of(nodes)))
    }

    pub fn addresses(&self, node: u32) -> Addresses {
        match self {
            Self::Loopback(nodes) => nodes[node as usize - 1],
            Self::Namespaces(network) => {
                let at = |port| SocketAddr::from((network.host(node), port));
                Addresses {
                    clients: at(9092),
                    peers: at(9093),
                    admin: at(9094),
                }
            }
        }
    }

    /// Where the clients of all nodes connect.
    pub fn client_addresses(&self) -> Vec<String> {
        let nodes = match self {
            Self::Loopback(nodes) => u32::try_from(nodes.len()).expect("few"),
            Self::Namespaces(network) => network.size(),
        };
        let address = |node| self.addresses(node).clients.to_string();
        (1..=nodes).map(address).collect()
    }

    /// What nodes are told about each other.
    pub fn peers(&self, nodes: &[u32]) -> String {
        let peer = |node: &u32| format!("{node}@{}", self.addresses(*node).peers);
        nodes.iter().map(peer).collect::<Vec<_>>().join(",")
    }

    /// The words before a program's name that make it run at a node's place and not outlive this test.
    pub fn launcher(&self, node: u32) -> Vec<String> {
        let mut words = Vec::new();
        if let Self::Namespaces(network) = self {
            words.extend(["ip", "netns", "exec"].map(str::to_owned));
            words.push(network.namespace(node));
        }
        if run_if_possible("setpriv", &["--version"]) {
            words.extend(["setpriv", "--pdeathsig", "KILL"].map(str::to_owned));
        }
        words
    }
}

/// An address that stays free while its node is down: below the ports that the system gives to whoever asks for any.
fn loopback_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 11_000;
    const COUNT: u16 = 20_000;
    // Test programs that run at the same time begin far from each other.
    let spread = std::process::id().wrapping_mul(211) % u32::from(COUNT);
    let begin = u16::try_from(spread).expect("a port");
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (begin.wrapping_add(step)) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free");
}
