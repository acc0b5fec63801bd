//! Why a broker does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::broker_stopped::{self, BrokerStopped};
use crate::node::NodeError;

/// Why a broker does not start: one sentence each, and nothing is running afterwards.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings that cannot work.
    #[error("settings: {}", .mistakes.join("; "))]
    Settings {
        /// A sentence each.
        mistakes: Vec<String>,
    },
    /// Everybody who reaches the port could read and write everything.
    #[error(
        "listen {address}: the log asks nobody who they are, so it listens beyond loopback only when told that this is \
         wanted (insecure_log, --insecure-log)"
    )]
    InsecureAddress {
        /// The address.
        address: SocketAddr,
    },
    /// The address for clients cannot be had.
    #[error("listen {address}: {}", reason(.source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The address for the operator cannot be had.
    #[error("admin listen {address}: {}", reason(.source))]
    AdminListen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The address for the other nodes cannot be had.
    #[error("peer listen {address}: {}", reason(.source))]
    PeerListen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The folder waits for others, and nobody says which.
    #[error(
        "{}: this data folder is to become part of a cluster and is part of none yet: start it with the same --peers and \
         --peer-listen as before, or with an empty folder to be a cluster of one", .folder.display()
    )]
    NoPeers {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder is one of several, and the others cannot reach it.
    #[error(
        "{}: this data folder is part of a cluster of {nodes} nodes: start it with --peer-listen, where the others \
         connect", .folder.display()
    )]
    NotListening {
        /// The folder.
        folder: PathBuf,
        /// How many there are.
        nodes: usize,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The node ended before it could serve.
    #[error("the node ended before it could serve")]
    Stopped(#[source] Arc<BrokerStopped>),
    /// The runtime, or the caller, ended it before it could serve.
    #[error("the node was ended before it could serve")]
    Ended,
}

impl StartError {
    /// Whether the disk is full. Nothing but room is missing: the same start may be tried again.
    pub fn is_for_want_of_room(&self) -> bool {
        broker_stopped::is_for_want_of_room(self)
    }
}

fn reason(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "the port is taken by another process",
        io::ErrorKind::AddrNotAvailable => "this machine does not have the address",
        io::ErrorKind::PermissionDenied => "not allowed",
        _ => "cannot listen",
    }
}
