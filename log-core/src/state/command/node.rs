//! Commands about brokers.

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, ReplicaId};
use crate::state::feature_level::FeatureLevel;
use crate::state::listener::Listener;

/// A broker says where it is reached. Answered by [`crate::state::Response::Done`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterNode {
    /// Its broker id.
    pub node: NodeId,
    /// Its Raft id.
    pub replica: ReplicaId,
    /// Its advertised listeners.
    pub listeners: Vec<Listener>,
    /// Where it stands (`broker.rack`).
    pub rack: Option<String>,
    /// The highest feature level its software has.
    pub feature_level_max: FeatureLevel,
}

/// A broker has left. Answered by [`crate::state::Response::Done`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnregisterNode {
    /// Its broker id.
    pub node: NodeId,
}

/// Allow what the present software can do. Answered by [`crate::state::Response::Done`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaiseFeatureLevel {
    /// Up to where.
    pub level: FeatureLevel,
}

impl RegisterNode {
    pub(super) fn payload_bytes(&self) -> usize {
        let listeners = self
            .listeners
            .iter()
            .map(|listener| listener.name.len() + listener.host.len() + 20);
        listeners.sum::<usize>() + self.rack.as_ref().map_or(0, String::len)
    }
}
