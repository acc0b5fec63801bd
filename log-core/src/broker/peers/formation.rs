//! How nodes with empty folders become one cluster, and how a later one joins it (rule 14). Decides only: what a
//! node does next is a function of who it is and of what the others have answered.
//!
//! No node is told to do anything; each asks. The listed node with the lowest number founds the cluster, once all
//! listed ones have answered that they are part of none and list the same nodes: it chooses the name and takes down who
//! the founders are, by node and data folder. Every other node takes the cluster over from a founder that names it.
//! What was decided is on the disk before anybody hears of it.
//!
//! ```text
//!                   all answered, none formed, same lists, lowest number
//!  part of none ──────────────────────────────────────────────────────────> founds ───┐
//!       │                                                                             v
//!       ├── a formed one names this node and folder ──> takes it over ──────────> part of it, for ever
//!       ├── a formed one says: you are a member by now ─> takes it over ──────────────^
//!       └── anything else ──> asks again
//! ```
//!
//! Why never two clusters from one list that could both elect a leader: a folder is part of one cluster at most, and a
//! founder is a node with its folder. So two clusters founded from one list share each node between them, and only one
//! of them can have a majority. The folder of the founding node may be lost and found again, with the others in between;
//! what is left of the first cluster then never gets a majority, and says so in every log.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::rpc::{NodeInfo, NodeInfoReply};
use crate::ids::NodeId;
use crate::storage::{ClusterIdentity, InitialVoter};

/// What the listed nodes have answered this time, this one left out. `Err` says why there is no answer.
pub(super) type Answers = BTreeMap<NodeId, Result<NodeInfoReply, String>>;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FormationStep {
    /// Found a cluster of these: choose its name, keep it, then start.
    Found(Vec<InitialVoter>),
    /// Keep this cluster, then start.
    TakeOver(ClusterIdentity),
    /// Ask again; this is in the way.
    Wait(Vec<Obstacle>),
}

/// Why a node is not part of a cluster yet, in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// No answer.
    NotReached { node: NodeId, trouble: String },
    /// These are part of a cluster that does not know this node's folder.
    NotAMember { nodes: Vec<NodeId>, local: NodeId },
    /// Told other peers.
    OtherList {
        node: NodeId,
        theirs: Vec<NodeId>,
        ours: Vec<NodeId>,
    },
    /// Two nodes with one data folder.
    SameFolder { nodes: [NodeId; 2] },
    /// All is well, and another one begins.
    Founding { node: NodeId },
}

/// Judges what the others have answered.
pub(super) fn decide(local: &NodeInfo, answers: &Answers) -> FormationStep {
    if let Some(cluster) = cluster_that_counts_us(local, answers) {
        return FormationStep::TakeOver(cluster.clone());
    }
    let obstacles = obstacles(local, answers);
    if !obstacles.is_empty() {
        return FormationStep::Wait(obstacles);
    }
    match answers.keys().next() {
        Some(&lowest) if lowest < local.node => {
            FormationStep::Wait(vec![Obstacle::Founding { node: lowest }])
        }
        _ => FormationStep::Found(founders(local, answers)),
    }
}

/// A cluster that has this very folder among its founders, or has made it a member since. Any such cluster will do:
/// being part of one is what keeps a node from being part of another.
fn cluster_that_counts_us<'a>(
    local: &NodeInfo,
    answers: &'a Answers,
) -> Option<&'a ClusterIdentity> {
    answers.values().flatten().find_map(|answer| {
        let formed = answer.me.formed.as_ref()?;
        let founded = formed
            .founders
            .iter()
            .any(|founder| (founder.node, founder.replica) == (local.node, local.replica));
        (founded || answer.admitted).then_some(formed)
    })
}

fn obstacles(local: &NodeInfo, answers: &Answers) -> Vec<Obstacle> {
    let others = local.listed.iter().filter(|node| **node != local.node);
    let mut obstacles: Vec<_> = others
        .filter_map(|&node| obstacle(local, node, answers.get(&node)))
        .collect();
    obstacles.extend(not_a_member(local, answers));
    obstacles.extend(same_folder(local, answers));
    obstacles
}

fn not_a_member(local: &NodeInfo, answers: &Answers) -> Option<Obstacle> {
    let formed = answers
        .values()
        .flatten()
        .filter(|answer| answer.me.formed.is_some());
    let nodes: Vec<_> = formed.map(|answer| answer.me.node).collect();
    (!nodes.is_empty()).then_some(Obstacle::NotAMember {
        nodes,
        local: local.node,
    })
}

fn obstacle(
    local: &NodeInfo,
    node: NodeId,
    answer: Option<&Result<NodeInfoReply, String>>,
) -> Option<Obstacle> {
    let them = match answer {
        Some(Ok(introduction)) => &introduction.me,
        Some(Err(trouble)) => {
            let trouble = trouble.clone();
            return Some(Obstacle::NotReached { node, trouble });
        }
        None => {
            let trouble = "it was not asked".to_owned();
            return Some(Obstacle::NotReached { node, trouble });
        }
    };
    let differs = them.formed.is_none() && them.listed != local.listed;
    differs.then(|| Obstacle::OtherList {
        node,
        theirs: them.listed.clone(),
        ours: local.listed.clone(),
    })
}

/// Two nodes on copies of one folder would be one voter that votes twice.
fn same_folder(local: &NodeInfo, answers: &Answers) -> Option<Obstacle> {
    let mut seen = BTreeMap::from([(local.replica, local.node)]);
    answers.values().flatten().find_map(|answer| {
        let node = answer.me.node;
        let other = seen.insert(answer.me.replica, node)?;
        Some(Obstacle::SameFolder {
            nodes: [other, node],
        })
    })
}

fn founders(local: &NodeInfo, answers: &Answers) -> Vec<InitialVoter> {
    let others = answers.values().flatten().map(|answer| &answer.me);
    let mut founders: Vec<_> = std::iter::once(local)
        .chain(others)
        .map(|one| InitialVoter {
            replica: one.replica,
            node: one.node,
            address: Some(one.address.clone()),
        })
        .collect();
    founders.sort_by_key(|founder| founder.node);
    let nodes: BTreeSet<_> = founders.iter().map(|founder| founder.node).collect();
    assert!(
        nodes.iter().eq(&local.listed),
        "the founders are the nodes listed, each once"
    );
    founders
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReached { node, trouble } => write!(f, "node {node}: {trouble}"),
            Self::NotAMember { nodes, local } => write!(
                f,
                "nodes {} are part of a cluster that does not know this node's data folder: run `log-core nodes add {local}` to \
                 add it, or `log-core nodes replace {local}` if it stands in for a lost one; if this node had its data \
                 elsewhere, stop it and give it that folder",
                Numbers(nodes)
            ),
            Self::OtherList { node, theirs, ours } => write!(
                f,
                "node {node} was started with --peers {} and this one with {}: start all of them with the same",
                Numbers(theirs),
                Numbers(ours)
            ),
            Self::SameFolder {
                nodes: [one, other],
            } => write!(
                f,
                "nodes {one} and {other} run on copies of one data folder: empty the folder of one"
            ),
            Self::Founding { node } => {
                write!(
                    f,
                    "all listed nodes are there; node {node} founds the cluster"
                )
            }
        }
    }
}

struct Numbers<'a>(&'a [NodeId]);

impl fmt::Display for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, node) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{node}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
