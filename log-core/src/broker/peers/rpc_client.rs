//! Asks another node. A question opens a connection of its own: questions are rare, and a connection just opened is one
//! that works. A series of them shares one.

use std::time::Duration;

use bytes::{BufMut, BytesMut};

use super::connection::{PeerConnection, PeerError, call};
use super::frame::{FrameKind, put_frame};
use super::handshake::{ExpectedPeer, Purpose};
use super::local_node::LocalNode;
use super::registry::PeerRegistry;
use super::rpc::{self, ForwardedCommand, NodeInfoReply, PeerRequest, PeerResponse};
use super::rpc_server::SETTLED_WITHIN;
use crate::broker::node_handle::NodeHandle;
use crate::ids::{NodeId, ReplicaId};
use crate::node::{Leadership, Outcome, ProposeError};
use crate::state::Command;

/// How long an answer from memory or a local disk may take to begin, and to bring another byte: a large one over a slow
/// link takes the time it takes.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// What an answer takes to come back, beside the time it may take to be found.
const ON_THE_WAY: Duration = Duration::from_secs(1);

/// A connection on which questions are asked, one after the other.
pub(super) struct RpcClient {
    connection: PeerConnection,
}

impl RpcClient {
    /// Calls a node.
    ///
    /// # Errors
    /// [`PeerError`].
    pub(super) async fn open(
        local: &LocalNode,
        address: &str,
        wanted: ExpectedPeer,
    ) -> Result<Self, PeerError> {
        let connection = call(local, address, wanted, Purpose::Requests).await?;
        Ok(Self { connection })
    }

    /// Calls a replica at the first of its places that answers.
    ///
    /// # Errors
    /// [`PeerError`] of the last place.
    pub(super) async fn open_to(registry: &PeerRegistry, to: ReplicaId) -> Result<Self, PeerError> {
        let wanted = ExpectedPeer {
            node: None,
            replica: Some(to),
        };
        let mut last = PeerError::NoAddress;
        for address in registry.addresses_of(to) {
            match Self::open(&registry.local, &address, wanted).await {
                Ok(client) => return Ok(client),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`PeerError`]: the question may have been heard or not; ask no more on this connection.
    pub(super) async fn ask(&mut self, request: &PeerRequest) -> Result<PeerResponse, PeerError> {
        self.ask_within(ANSWER_WITHIN, request).await
    }

    async fn ask_within(
        &mut self,
        wait: Duration,
        request: &PeerRequest,
    ) -> Result<PeerResponse, PeerError> {
        let mut frame = BytesMut::new();
        put_frame(&mut frame, FrameKind::Request, |to| {
            to.put_slice(&rpc::encode(request));
        });
        self.connection.send(&frame).await?;
        let heard = self.connection.next(wait).await?;
        let heard = heard.ok_or(PeerError::Closed)?;
        match heard.kind {
            FrameKind::Answer => rpc::decode(&heard.body).map_err(|_| PeerError::Unreadable),
            other => Err(PeerError::Unexpected(other)),
        }
    }
}

/// Presents this node to another, and asks who that is.
///
/// # Errors
/// [`PeerError`].
pub(super) async fn who_are_you(
    registry: &PeerRegistry,
    node: NodeId,
    address: &str,
) -> Result<NodeInfoReply, PeerError> {
    let wanted = ExpectedPeer {
        node: Some(node),
        replica: None,
    };
    let mut client = RpcClient::open(&registry.local, address, wanted).await?;
    registry.book.note(&client.connection.peer);
    let request = PeerRequest::WhoAreYou(registry.local.info());
    match client.ask(&request).await? {
        PeerResponse::NodeInfo(introduction) if introduction.me.node == node => Ok(introduction),
        _ => Err(PeerError::Unreadable),
    }
}

/// Has the leader propose a command, wherever it is.
///
/// # Errors
/// [`ProposeError`], as if it had been proposed here.
pub(super) async fn forward(
    registry: &PeerRegistry,
    command: Command,
) -> Result<Outcome, ProposeError> {
    let replica = registry.replica().ok_or(ProposeError::NotLeader)?;
    let Leadership::Follower { leader } = replica.leadership() else {
        return replica.propose(command).await?.outcome().await;
    };
    let (node, _) = leader.ok_or(ProposeError::NotLeader)?;
    let leader = replica_of(replica, node).ok_or(ProposeError::NotLeader)?;
    let forwarded = ForwardedCommand::new(command).map_err(|_| ProposeError::NotLeader)?;
    // Not said, not proposed.
    let mut client = RpcClient::open_to(registry, leader)
        .await
        .map_err(|_| ProposeError::NotLeader)?;
    let request = PeerRequest::Forward(forwarded);
    let answer = client.ask_within(SETTLED_WITHIN + ON_THE_WAY, &request);
    match answer.await {
        Ok(PeerResponse::Forward(settled)) => settled.into_outcome(),
        Ok(_) => Err(ProposeError::NotLeader),
        Err(_) => Err(ProposeError::OutcomeUnknown),
    }
}

fn replica_of(replica: &NodeHandle, node: NodeId) -> Option<ReplicaId> {
    let state = replica.state();
    let found = state.nodes().find(|(id, _)| *id == node);
    found.map(|(_, node)| node.replica)
}
