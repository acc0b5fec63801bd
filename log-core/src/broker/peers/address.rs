//! A node of the cluster and where it listens for the others; addresses of hosts and ports.

use std::str::FromStr;

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

/// The two parts of an address; brackets around an IPv6 address are not part of the host.
pub(in crate::broker) fn host_and_port(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let sound = !host.is_empty() && (bare.is_some() || !host.contains(':'));
    sound.then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        assert_eq!(
            host_and_port("log.example:9093"),
            Some(("log.example".to_owned(), 9093))
        );
        assert_eq!(host_and_port("[::1]:1"), Some(("::1".to_owned(), 1)));
        for bad in [
            "log.example",
            ":9093",
            "log.example:port",
            "::1:9093",
            "[]:1",
        ] {
            assert_eq!(host_and_port(bad), None, "{bad}");
        }
    }
}
