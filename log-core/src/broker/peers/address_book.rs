//! Where the other replicas are. What a peer says of itself counts most, for it is the newest; then what it registered,
//! where it was when the cluster was formed, and what this node's own list of peers says.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::handshake::Name;
use super::local_node::LocalNode;
use crate::ids::{NodeId, ReplicaId};
use crate::state::{RegisteredNode, State, listener};

/// More replicas than any cluster has had in its life between two restarts of a node; beyond it the book begins anew.
const HEARD_MAX: usize = 256;

#[derive(Default)]
pub(super) struct AddressBook {
    heard: Mutex<BTreeMap<ReplicaId, (NodeId, String)>>,
}

impl AddressBook {
    /// Takes down where a peer, which has proved that it is one, says it is.
    pub(super) fn note(&self, peer: &Name) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if HEARD_MAX <= heard.len() {
            heard.clear();
        }
        heard.insert(peer.replica, (peer.node, peer.address.clone()));
    }

    /// Where a replica may be, the likeliest first, each place once.
    pub(super) fn addresses_of(
        &self,
        replica: ReplicaId,
        local: &LocalNode,
        state: Option<&State>,
    ) -> Vec<String> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = heard.get(&replica).cloned();
        let registered = state.and_then(|state| registered(state, replica));
        let formed = local.formed();
        let founder = formed
            .iter()
            .flat_map(|formed| &formed.founders)
            .find(|founder| founder.replica == replica);
        let node = heard
            .as_ref()
            .or(registered.as_ref())
            .map(|(node, _)| *node)
            .or(founder.map(|founder| founder.node));
        let listed = local.listed.iter().find(|peer| Some(peer.node) == node);

        let mut places = Vec::new();
        let known = [
            heard.map(|(_, address)| address),
            registered.map(|(_, address)| address),
            founder.and_then(|founder| founder.address.clone()),
            listed.map(|peer| peer.address.clone()),
        ];
        for place in known.into_iter().flatten() {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }
}

fn registered(state: &State, replica: ReplicaId) -> Option<(NodeId, String)> {
    let (id, node) = state.nodes().find(|(_, node)| node.replica == replica)?;
    Some((id, peer_address(node)?))
}

/// Where a registered node listens for its peers.
fn peer_address(node: &RegisteredNode) -> Option<String> {
    let listener = node
        .listeners
        .iter()
        .find(|listener| listener.name == listener::PEER)?;
    Some(join(&listener.host, listener.port))
}

/// Host and port as one text; an IPv6 address in brackets.
pub(in crate::broker) fn join(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::broker::peers::Peer;
    use crate::storage::{Identity, InitialVoter};

    #[test]
    fn what_a_peer_says_of_itself_comes_first_and_no_place_twice() {
        let mut identity = Identity::unformed(NodeId(1), Uuid::from_u128(1));
        let founder = InitialVoter {
            replica: ReplicaId(22),
            node: NodeId(2),
            address: Some("old.example:9093".to_owned()),
        };
        identity.form("a".to_owned(), vec![founder]);
        let listed = Peer {
            node: NodeId(2),
            address: "listed.example:9093".to_owned(),
        };
        let local = LocalNode::new(&identity, "here:1".to_owned(), vec![listed], None);
        let book = AddressBook::default();
        assert_eq!(
            book.addresses_of(ReplicaId(22), &local, None),
            ["old.example:9093", "listed.example:9093"]
        );

        for address in ["listed.example:9093", "new.example:9093"] {
            book.note(&Name {
                node: NodeId(2),
                replica: ReplicaId(22),
                cluster: None,
                address: address.to_owned(),
            });
            let places = book.addresses_of(ReplicaId(22), &local, None);
            assert_eq!(places[0], address);
        }
        assert_eq!(
            book.addresses_of(ReplicaId(22), &local, None),
            [
                "new.example:9093",
                "old.example:9093",
                "listed.example:9093"
            ]
        );
        assert!(book.addresses_of(ReplicaId(33), &local, None).is_empty());
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        assert_eq!(join("::1", 9093), "[::1]:9093");
        assert_eq!(join("log.example", 9093), "log.example:9093");
    }
}
