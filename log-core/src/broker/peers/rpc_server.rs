//! What a node answers when another asks.

use std::time::Duration;

use service_kit::error_value;
use tokio::time::timeout;
use tracing::warn;

use super::handshake::Name;
use super::registry::PeerRegistry;
use super::rpc::{
    ForwardResult, ForwardedCommand, NodeInfo, NodeInfoReply, PeerRequest, PeerResponse,
};
use crate::broker::node_handle::{ChunkError, NodeHandle};
use crate::ids::{EntryIndex, ReplicaId};
use crate::node::ProposeError;
use crate::state::Command;

/// How long a forwarded command may take to be applied. The node that forwards it waits a little longer.
pub(super) const SETTLED_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn answer(
    registry: &PeerRegistry,
    peer: &Name,
    request: PeerRequest,
) -> PeerResponse {
    if let PeerRequest::WhoAreYou(who) = request {
        return introduce(registry, peer, &who);
    }
    // A node that is part of no cluster has nothing else to ask for.
    let Some(replica) = registry.replica().filter(|_| peer.cluster.is_some()) else {
        return PeerResponse::Unable;
    };
    match request {
        PeerRequest::WhoAreYou(_) => unreachable!("answered above"),
        PeerRequest::Forward(forwarded) => {
            PeerResponse::Forward(settle(replica, peer, forwarded).await)
        }
        PeerRequest::Chunk {
            applied,
            file,
            position,
        } => chunk(replica, peer.replica, applied, file, position).await,
    }
}

fn introduce(registry: &PeerRegistry, peer: &Name, who: &NodeInfo) -> PeerResponse {
    if (who.node, who.replica) != (peer.node, peer.replica) {
        return PeerResponse::Unable;
    }
    let membership = registry.replica().map(NodeHandle::membership);
    let admitted = membership.is_some_and(|members| members.has(who.replica));
    if admitted || who.formed.is_some() {
        registry.pending.forget(who.replica);
    } else {
        registry.pending.note(registry.clock.elapsed(), who);
    }
    PeerResponse::NodeInfo(NodeInfoReply {
        me: registry.local.info(),
        admitted,
    })
}

async fn settle(replica: &NodeHandle, peer: &Name, forwarded: ForwardedCommand) -> ForwardResult {
    let command = forwarded.into_command();
    if !may_ask(replica, peer, &command) {
        return ForwardResult::NotLeader;
    }
    let proposed = async { replica.propose(command).await?.outcome().await };
    let outcome = timeout(SETTLED_WITHIN, proposed).await;
    ForwardResult::of(outcome.unwrap_or(Err(ProposeError::OutcomeUnknown)))
}

/// A node registers itself and no other, only while it is a member, and not in the place of another member: one that was
/// replaced and does not know it yet must not take its successor's place.
fn may_ask(replica: &NodeHandle, peer: &Name, command: &Command) -> bool {
    let Command::RegisterNode(register) = command else {
        return true;
    };
    let membership = replica.membership();
    let state = replica.state();
    let before = state.nodes().find(|(id, _)| *id == register.node);
    let in_anothers_place = before
        .is_some_and(|(_, node)| node.replica != peer.replica && membership.has(node.replica));
    (register.node, register.replica) == (peer.node, peer.replica)
        && membership.has(peer.replica)
        && !in_anothers_place
}

/// Reads a file: off the async threads.
async fn chunk(
    replica: &NodeHandle,
    to: ReplicaId,
    applied: EntryIndex,
    file: u32,
    position: u64,
) -> PeerResponse {
    let replica = replica.clone();
    let read =
        tokio::task::spawn_blocking(move || replica.snapshot_chunk(to, applied, file, position));
    match read.await {
        Ok(Ok(chunk)) => PeerResponse::Chunk(chunk),
        Ok(Err(ChunkError::Gone)) => PeerResponse::NotHeld,
        Ok(Err(ChunkError::Snapshot(error))) => {
            warn!(
                error = error_value(&error),
                "a part of a snapshot cannot be read"
            );
            PeerResponse::Unable
        }
        Err(_) => PeerResponse::Unable,
    }
}
