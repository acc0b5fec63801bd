//! This node, as it presents itself to the others.

use std::sync::{PoisonError, RwLock};

use super::address::Peer;
use super::handshake::Name;
use super::rpc::NodeInfo;
use super::secret::PeerSecret;
use crate::ids::{NodeId, ReplicaId};
use crate::state::FeatureLevel;
use crate::storage::{ClusterIdentity, Identity};

pub(super) struct LocalNode {
    pub(super) node: NodeId,
    pub(super) replica: ReplicaId,
    /// Where the others are told to connect.
    pub(super) address: String,
    /// The nodes to form a cluster with, this one included.
    pub(super) listed: Vec<Peer>,
    pub(super) secret: Option<PeerSecret>,
    /// Chance, made at each start.
    pub(super) process: u64,
    formed: RwLock<Option<ClusterIdentity>>,
}

impl LocalNode {
    pub(super) fn new(
        identity: &Identity,
        address: String,
        listed: Vec<Peer>,
        secret: Option<PeerSecret>,
    ) -> Self {
        Self {
            node: identity.node,
            replica: identity.replica,
            address,
            listed,
            secret,
            process: rand::random(),
            formed: RwLock::new(identity.formed.clone()),
        }
    }

    /// The cluster that this node is part of, if it is.
    pub(super) fn formed(&self) -> Option<ClusterIdentity> {
        let formed = self.formed.read().unwrap_or_else(PoisonError::into_inner);
        formed.clone()
    }

    /// From now on this node speaks as part of a cluster. Its folder says so already.
    pub(super) fn form(&self, cluster: ClusterIdentity) {
        let mut formed = self.formed.write().unwrap_or_else(PoisonError::into_inner);
        *formed = Some(cluster);
    }

    pub(super) fn name(&self) -> Name {
        Name {
            node: self.node,
            replica: self.replica,
            cluster: self.formed().map(|formed| formed.cluster_id),
            address: self.address.clone(),
        }
    }

    pub(super) fn info(&self) -> NodeInfo {
        let mut listed: Vec<_> = self.listed.iter().map(|peer| peer.node).collect();
        listed.sort_unstable();
        NodeInfo {
            node: self.node,
            replica: self.replica,
            address: self.address.clone(),
            formed: self.formed(),
            listed,
            feature_level_max: FeatureLevel::LATEST,
        }
    }
}
