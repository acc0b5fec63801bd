//! A node tells the cluster where its clients find it, by a command, so that every node can say so.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use super::config::Advertised;
use super::replica_handle::{Leadership, ReplicaHandle};
use crate::state::{Command, FeatureLevel, Listener, Node, RegisterNode};

/// The listener's name, as Kafka calls one without encryption or authentication.
pub(super) const LISTENER: &str = "PLAINTEXT";
/// The listener for the other nodes.
pub(super) const PEER: &str = "PEER";
/// Between two tries.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Waits until this node leads, then registers it unless the cluster knows the same already.
pub(super) async fn register(replica: &ReplicaHandle, advertised: &Advertised) {
    wait_to_lead(replica).await;
    while !is_known(replica, advertised) {
        if let Err(error) = propose(replica, advertised).await {
            warn!(error, "registration will be tried again");
            sleep(AGAIN_AFTER).await;
        }
    }
    info!(
        host = advertised.host,
        port = advertised.port,
        "clients are told this address"
    );
}

async fn wait_to_lead(replica: &ReplicaHandle) {
    let mut changes = replica.leadership_changes();
    // The replica's thread ends only when the broker does, which whoever waits here watches too.
    if changes
        .wait_for(|leadership| matches!(leadership, Leadership::Leader { .. }))
        .await
        .is_err()
    {
        std::future::pending().await
    }
}

fn is_known(replica: &ReplicaHandle, advertised: &Advertised) -> bool {
    let state = replica.state();
    let ours = state
        .nodes()
        .find(|(id, _)| *id == replica.cluster().node_id);
    ours.is_some_and(|(_, node)| {
        node.replica == replica.cluster().replica
            && node.feature_level_max == FeatureLevel::LATEST
            && address(node).is_some_and(|known| known == *advertised)
    })
}

/// Where clients find a node.
pub(super) fn address(node: &Node) -> Option<Advertised> {
    let listener = node
        .listeners
        .iter()
        .find(|listener| listener.name == LISTENER)?;
    Some(Advertised {
        host: listener.host.clone(),
        port: listener.port,
    })
}

async fn propose(replica: &ReplicaHandle, advertised: &Advertised) -> Result<(), String> {
    let listener = Listener {
        name: LISTENER.to_owned(),
        host: advertised.host.clone(),
        port: advertised.port,
    };
    let register = RegisterNode {
        node: replica.cluster().node_id,
        replica: replica.cluster().replica,
        listeners: vec![listener],
        rack: None,
        feature_level_max: FeatureLevel::LATEST,
    };
    let pending = replica
        .propose(Command::RegisterNode(register))
        .await
        .map_err(|error| error.to_string())?;
    let outcome = pending.outcome().await.map_err(|error| error.to_string())?;
    outcome.map(|_| ()).map_err(|refusal| refusal.to_string())
}
