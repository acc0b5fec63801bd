//! Asks the listed nodes until this one is part of a cluster, and keeps that on the disk before anybody hears of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use journal::disk::Disk;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};
use uuid::Uuid;

use super::formation::{Answers, FormationStep, Obstacle, decide};
use super::registry::PeerRegistry;
use super::rpc_client::who_are_you;
use super::{Peer, Peers};
use crate::storage::{ClusterIdentity, Identity, IdentityError, cluster_id_of};

/// Between two rounds of questions.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// The same obstacles are named again after so many rounds: every ten seconds.
const SAY_AGAIN_AFTER: u32 = 20;

/// Waits until this node is part of a cluster. `say` is told what is in the way, for readiness.
///
/// # Errors
/// [`IdentityError::Unwritable`]: it could not be kept, and no other node has heard of it.
///
/// # Panics
/// Without peers: a cluster of one is formed by its only node.
pub(in crate::broker) async fn form(
    peers: &Peers,
    disk: &Arc<dyn Disk>,
    folder: &Path,
    mut identity: Identity,
    say: impl Fn(String),
) -> Result<Identity, IdentityError> {
    let registry = peers
        .registry
        .as_ref()
        .expect("a node that forms has peers");
    let formed = agree(registry, say).await;
    identity.form(formed.cluster_id.clone(), formed.founders.clone());
    let (disk, folder) = (Arc::clone(disk), folder.to_owned());
    let kept = tokio::task::spawn_blocking(move || {
        identity.keep(disk.as_ref(), &folder)?;
        Ok(identity)
    });
    let identity = kept.await.expect("a file is written or is not")?;
    let founders = formed.founders.len();
    info!(
        cluster_id = formed.cluster_id,
        founders, "part of a cluster from now on"
    );
    if founders % 2 == 0 {
        warn!(
            founders,
            "an even number of nodes survives no more failures than one node fewer"
        );
    }
    registry.local.form(formed);
    Ok(identity)
}

async fn agree(registry: &Arc<PeerRegistry>, say: impl Fn(String)) -> ClusterIdentity {
    let mut rounds = interval(ASK_EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = ObstacleLog::default();
    loop {
        rounds.tick().await;
        let answers = ask_all(registry).await;
        match decide(&registry.local.info(), &answers) {
            FormationStep::TakeOver(formed) => return formed,
            FormationStep::Found(founders) => {
                return ClusterIdentity {
                    cluster_id: cluster_id_of(Uuid::new_v4()),
                    founders,
                };
            }
            FormationStep::Wait(obstacles) => said.note(&obstacles, &say),
        }
    }
}

/// Asks all others at once, so that their answers are of one moment, about.
async fn ask_all(registry: &Arc<PeerRegistry>) -> Answers {
    let mut asking = JoinSet::new();
    let others = registry.local.listed.iter();
    for Peer { node, address } in others
        .filter(|peer| peer.node != registry.local.node)
        .cloned()
    {
        let registry = Arc::clone(registry);
        asking.spawn(async move {
            let answer = who_are_you(&registry, node, &address).await;
            (
                node,
                answer.map_err(|trouble| format!("{address}: {trouble}")),
            )
        });
    }
    let mut answers = Answers::new();
    while let Some(asked) = asking.join_next().await {
        let (node, answer) = asked.expect("asking does not panic");
        answers.insert(node, answer);
    }
    answers
}

/// What was said last, and how long ago.
#[derive(Default)]
struct ObstacleLog {
    obstacles: Vec<Obstacle>,
    rounds_ago: u32,
}

impl ObstacleLog {
    /// Says what is in the way when that changes, and every now and then.
    fn note(&mut self, obstacles: &[Obstacle], say: impl Fn(String)) {
        self.rounds_ago += 1;
        let news = self.obstacles != obstacles;
        if !news && self.rounds_ago < SAY_AGAIN_AFTER {
            return;
        }
        for obstacle in obstacles {
            info!(%obstacle, "waiting to become part of a cluster");
        }
        let reasons: Vec<_> = obstacles.iter().map(ToString::to_string).collect();
        say(reasons.join("; "));
        self.obstacles = obstacles.to_vec();
        self.rounds_ago = 0;
    }
}
