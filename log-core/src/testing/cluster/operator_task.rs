//! What the operator wants of a leader.

use crate::ids::{NodeId, ReplicaId};
use crate::node::VoterChange;
use crate::state::{FeatureLevel, RegisterNode};

/// What the operator wants of a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OperatorTask {
    /// A replica is to vote, perhaps in the place of another.
    Join {
        node: NodeId,
        replica: ReplicaId,
        instead_of: Option<ReplicaId>,
    },
    /// A replica is to be no member any more.
    Leave { replica: ReplicaId },
}

impl OperatorTask {
    /// The request. Whoever is to vote always waits for it here.
    pub(super) fn request(self) -> VoterChange {
        match self {
            Self::Join {
                node,
                replica,
                instead_of,
            } => VoterChange::Add {
                node,
                replica,
                instead_of,
                registration: Some(registration(node, replica)),
            },
            Self::Leave { replica } => VoterChange::Remove { replica },
        }
    }
}

/// A node as it says that it is there.
pub(super) fn registration(node: NodeId, replica: ReplicaId) -> RegisterNode {
    RegisterNode {
        node,
        replica,
        listeners: Vec::new(),
        rack: None,
        feature_level_max: FeatureLevel::LATEST,
    }
}
