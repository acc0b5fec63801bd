//! The brokers as clients are told of them, and what all of them can do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::command::{RaiseFeatureLevel, RegisterNode};
use super::command_error::CommandError;
use super::feature_level::FeatureLevel;
use super::listener::Listener;
use crate::ids::{NodeId, ReplicaId};

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredNode {
    /// Its Raft id.
    pub replica: ReplicaId,
    /// Where it is reached.
    pub listeners: Vec<Listener>,
    /// Where it stands.
    pub rack: Option<String>,
    /// The highest feature level its software has.
    pub feature_level_max: FeatureLevel,
}

/// All registered brokers and the level they work at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Nodes {
    pub(super) registered: BTreeMap<NodeId, RegisteredNode>,
    pub(super) feature_level: FeatureLevel,
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            registered: BTreeMap::new(),
            feature_level: FeatureLevel::FIRST,
        }
    }
}

impl Nodes {
    /// A broker says where it is reached; the last word counts.
    pub(super) fn register(&mut self, register: &RegisterNode) -> Result<(), CommandError> {
        if register.feature_level_max < self.feature_level {
            let (level, node) = (self.feature_level, register.node);
            return Err(CommandError::FeatureLevelUnsupported { level, node });
        }
        let RegisterNode {
            node,
            replica,
            listeners,
            rack,
            feature_level_max,
        } = register.clone();
        self.registered.insert(
            node,
            RegisteredNode {
                replica,
                listeners,
                rack,
                feature_level_max,
            },
        );
        Ok(())
    }

    /// A broker has left.
    pub(super) fn unregister(&mut self, node: NodeId) -> Result<(), CommandError> {
        self.registered
            .remove(&node)
            .map(|_| ())
            .ok_or(CommandError::UnknownNode { node })
    }

    /// Raises the level; the present one is fine too, so that a retry is.
    pub(super) fn raise(&mut self, raise: &RaiseFeatureLevel) -> Result<(), CommandError> {
        self.check_raise(raise)?;
        self.feature_level = raise.level;
        Ok(())
    }

    pub(super) fn check_raise(&self, raise: &RaiseFeatureLevel) -> Result<(), CommandError> {
        let level = raise.level;
        if level < self.feature_level {
            return Err(CommandError::FeatureLevelFalls {
                from: self.feature_level,
                to: level,
            });
        }
        let lacking = self
            .registered
            .iter()
            .find(|(_, node)| node.feature_level_max < level);
        if let Some((&node, _)) = lacking {
            return Err(CommandError::FeatureLevelUnsupported { level, node });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(nodes: &mut Nodes, node: u32, level: u16) -> Result<(), CommandError> {
        nodes.register(&RegisterNode {
            node: NodeId(node),
            replica: ReplicaId(node.into()),
            listeners: Vec::new(),
            rack: None,
            feature_level_max: FeatureLevel(level),
        })
    }

    fn raise(nodes: &mut Nodes, level: u16) -> Result<(), CommandError> {
        let level = FeatureLevel(level);
        nodes.raise(&RaiseFeatureLevel { level })
    }

    #[test]
    fn a_level_is_raised_once_the_last_registered_node_has_it_and_then_keeps_older_ones_out() {
        let (level, node) = (FeatureLevel(2), NodeId(2));
        let lacking = Err(CommandError::FeatureLevelUnsupported { level, node });
        let mut nodes = Nodes::default();
        register(&mut nodes, 1, 2).unwrap();
        register(&mut nodes, 2, 1).unwrap();
        assert_eq!(raise(&mut nodes, 2), lacking);
        assert_eq!(nodes.feature_level, FeatureLevel::FIRST);

        register(&mut nodes, 2, 3).unwrap();
        assert_eq!(raise(&mut nodes, 2), Ok(()));
        assert_eq!(nodes.feature_level, level);
        assert_eq!(register(&mut nodes, 2, 1), lacking);

        nodes.unregister(node).unwrap();
        let node = NodeId(1);
        let level = FeatureLevel(3);
        let lacking = Err(CommandError::FeatureLevelUnsupported { level, node });
        assert_eq!(raise(&mut nodes, 3), lacking);
    }
}
