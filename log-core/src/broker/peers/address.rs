//! A node of the cluster and where it listens for the others.

use std::str::FromStr;

use super::waiting::host_and_port;
use crate::ids::NodeId;

/// A node of the cluster and where it listens for the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its number.
    pub node: NodeId,
    /// Host and port, as this node reaches it.
    pub address: String,
}

/// Why a text names no peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: needs NUMBER@HOST:PORT")]
pub struct InvalidPeer {
    /// What was given.
    pub text: String,
}

impl FromStr for Peer {
    type Err = InvalidPeer;

    /// `1@host:port`
    fn from_str(text: &str) -> Result<Self, InvalidPeer> {
        let named = text.trim().split_once('@');
        let peer = named.and_then(|(node, address)| {
            host_and_port(address)?;
            Some(Self {
                node: NodeId(node.parse().ok()?),
                address: address.to_owned(),
            })
        });
        peer.ok_or_else(|| InvalidPeer {
            text: text.to_owned(),
        })
    }
}
