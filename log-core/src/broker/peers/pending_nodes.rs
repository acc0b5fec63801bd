//! Nodes that have presented themselves and are members of nothing yet: what `log-core nodes list` shows as waiting.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::address::host_and_port;
use super::rpc::NodeInfo;
use crate::ids::{NodeId, ReplicaId};
use crate::state::FeatureLevel;

/// Who has not presented itself for so long has gone. A node that waits does so every half second.
const GONE_AFTER: Duration = Duration::from_secs(5);
/// More than anybody starts at once; the rest is not listed.
const WAITING_MAX: usize = 64;

/// A node that waits to be made a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) struct PendingNode {
    /// The name of its data folder.
    pub(in crate::broker) replica: ReplicaId,
    /// Its number.
    pub(in crate::broker) node: NodeId,
    /// Where it listens for its peers.
    pub(in crate::broker) host: String,
    /// The same.
    pub(in crate::broker) port: u16,
    /// The highest feature level its software has.
    pub(in crate::broker) feature_level_max: FeatureLevel,
}

#[derive(Default)]
pub(super) struct PendingNodes {
    seen: Mutex<BTreeMap<ReplicaId, (Duration, PendingNode)>>,
}

impl PendingNodes {
    /// Takes down who has presented itself. A member is not waiting.
    pub(super) fn note(&self, now: Duration, who: &NodeInfo) {
        let Some((host, port)) = host_and_port(&who.address) else {
            return;
        };
        let waiting = PendingNode {
            replica: who.replica,
            node: who.node,
            host,
            port,
            feature_level_max: who.feature_level_max,
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, (at, _)| now.saturating_sub(*at) < GONE_AFTER);
        if seen.len() < WAITING_MAX || seen.contains_key(&who.replica) {
            seen.insert(who.replica, (now, waiting));
        }
    }

    /// It waits no longer.
    pub(super) fn forget(&self, replica: ReplicaId) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.remove(&replica);
    }

    /// Who waits now, ordered by node.
    pub(super) fn list(&self, now: Duration) -> Vec<PendingNode> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = seen
            .values()
            .filter(|(at, _)| now.saturating_sub(*at) < GONE_AFTER);
        let mut waiting: Vec<_> = fresh.map(|(_, waiting)| waiting.clone()).collect();
        waiting.sort_by_key(|waiting| (waiting.node, waiting.replica));
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(node: u32, replica: u64) -> NodeInfo {
        NodeInfo {
            node: NodeId(node),
            replica: ReplicaId(replica),
            address: format!("10.0.0.{node}:9093"),
            formed: None,
            listed: Vec::new(),
            feature_level_max: FeatureLevel::LATEST,
        }
    }

    #[test]
    fn who_waits_is_listed_until_it_is_silent_or_admitted() {
        let room = PendingNodes::default();
        let at = Duration::from_secs;
        room.note(at(0), &info(3, 33));
        room.note(at(2), &info(2, 22));
        let nodes = |now| -> Vec<_> {
            let waiting = room.list(now);
            waiting.iter().map(|waiting| waiting.node.0).collect()
        };
        assert_eq!(nodes(at(3)), [2, 3]);
        assert_eq!(nodes(at(6)), [2], "3 is silent since the beginning");

        room.forget(ReplicaId(22));
        assert!(nodes(at(3)).iter().all(|&node| node != 2));
    }
}
