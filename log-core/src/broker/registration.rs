//! A node tells the cluster where it is found, by a command, so that every node can say so.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{debug, info};

use super::config::Advertised;
use super::node_handle::NodeHandle;
use super::peers::Peers;
use crate::node::{Leadership, ProposeError};
use crate::state::listener::PEER;
use crate::state::{Command, FeatureLevel, Listener, RegisterNode, RegisteredNode};

/// The listener's name, as Kafka calls one without encryption or authentication.
pub(super) const LISTENER: &str = "PLAINTEXT";
/// Between two tries.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Between two looks whether the cluster still knows this node as it is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where a node is found.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// By clients.
    pub(super) clients: Advertised,
    /// By the other nodes, where there may be any.
    pub(super) peers: Option<Advertised>,
}

/// Tells the cluster where this node is found, unless it knows already. Waits for a leader to tell it to.
pub(super) async fn register(replica: &NodeHandle, peers: &Peers, addresses: &Addresses) {
    let mut leadership = replica.leadership_changes();
    while !is_known(replica, addresses) {
        leadership.mark_unchanged();
        if let Err(error) = propose(replica, peers, addresses).await {
            debug!(error, "registration will be tried again");
            // A change of leadership is worth another try at once.
            drop(timeout(AGAIN_AFTER, leadership.changed()).await);
        }
    }
    info!(
        host = addresses.clients.host,
        port = addresses.clients.port,
        "clients are told this address"
    );
}

/// The same again and again: an older process of this node may have told the cluster otherwise.
pub(super) async fn stay_registered(replica: NodeHandle, peers: Peers, addresses: Addresses) {
    loop {
        register(&replica, &peers, &addresses).await;
        while is_known(&replica, &addresses) {
            sleep(LOOK_EVERY).await;
        }
    }
}

fn is_known(replica: &NodeHandle, addresses: &Addresses) -> bool {
    let state = replica.state();
    let ours = state
        .nodes()
        .find(|(id, _)| *id == replica.cluster().node_id);
    ours.is_some_and(|(_, node)| {
        node.replica == replica.cluster().replica
            && node.feature_level_max == FeatureLevel::LATEST
            && node.listeners == listeners(addresses)
    })
}

/// Where clients find a node.
pub(super) fn address(node: &RegisteredNode) -> Option<Advertised> {
    let listener = node
        .listeners
        .iter()
        .find(|listener| listener.name == LISTENER)?;
    Some(Advertised {
        host: listener.host.clone(),
        port: listener.port,
    })
}

fn listeners(addresses: &Addresses) -> Vec<Listener> {
    let listener = |name: &str, at: &Advertised| Listener {
        name: name.to_owned(),
        host: at.host.clone(),
        port: at.port,
    };
    let clients = listener(LISTENER, &addresses.clients);
    let peers = addresses.peers.as_ref().map(|at| listener(PEER, at));
    std::iter::once(clients).chain(peers).collect()
}

async fn propose(replica: &NodeHandle, peers: &Peers, addresses: &Addresses) -> Result<(), String> {
    // A node that is no member is not looked for. It may be a node that was replaced and does not know it yet.
    if !replica.membership().has(replica.cluster().replica) {
        return Err("this node is no member".to_owned());
    }
    let register = Command::RegisterNode(RegisterNode {
        node: replica.cluster().node_id,
        replica: replica.cluster().replica,
        listeners: listeners(addresses),
        rack: None,
        feature_level_max: FeatureLevel::LATEST,
    });
    let outcome = match replica.leadership() {
        Leadership::Leader { .. } => replica.propose(register).await,
        Leadership::Starting => Err(ProposeError::NotLeader),
        Leadership::Follower { .. } => {
            let outcome = peers.forward(register).await;
            let outcome = outcome.map_err(|error| error.to_string())?;
            return wait_to_see_it(outcome.map(|_| ()).map_err(|refusal| refusal.to_string()))
                .await;
        }
    };
    let pending = outcome.map_err(|error| error.to_string())?;
    let outcome = pending.outcome().await.map_err(|error| error.to_string())?;
    outcome.map(|_| ()).map_err(|refusal| refusal.to_string())
}

/// What the leader has applied comes here a moment later.
async fn wait_to_see_it(done: Result<(), String>) -> Result<(), String> {
    sleep(AGAIN_AFTER).await;
    done
}
