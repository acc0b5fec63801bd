//! Asks another node. A question opens a connection of its own: questions are rare, and a connection just opened is one
//! that works. A series of them shares one.

use std::time::Duration;

use bytes::{BufMut, BytesMut};

use super::answering::SETTLED_WITHIN;
use super::conversation::{Conversation, TalkError, call};
use super::frame::{FrameKind, put_frame};
use super::handshake::{Purpose, Wanted};
use super::inner::Inner;
use super::question::{self, Answer, Forwarded, Introduction, Request};
use super::us::Us;
use crate::broker::replica_handle::ReplicaHandle;
use crate::ids::{NodeId, ReplicaId};
use crate::node::{Leadership, Outcome, ProposeError};
use crate::state::Command;

/// How long an answer from memory or a local disk may take to begin, and to bring another byte: a large one over a slow
/// link takes the time it takes.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// What an answer takes to come back, beside the time it may take to be found.
const ON_THE_WAY: Duration = Duration::from_secs(1);

/// A connection on which questions are asked, one after the other.
pub(super) struct Asking {
    conversation: Conversation,
}

impl Asking {
    /// Calls a node.
    ///
    /// # Errors
    /// [`TalkError`].
    pub(super) async fn open(us: &Us, address: &str, wanted: Wanted) -> Result<Self, TalkError> {
        let conversation = call(us, address, wanted, Purpose::Requests).await?;
        Ok(Self { conversation })
    }

    /// Calls a replica at the first of its places that answers.
    ///
    /// # Errors
    /// [`TalkError`] of the last place.
    pub(super) async fn open_to(inner: &Inner, to: ReplicaId) -> Result<Self, TalkError> {
        let wanted = Wanted {
            node: None,
            replica: Some(to),
        };
        let mut last = TalkError::NoAddress;
        for address in inner.addresses_of(to) {
            match Self::open(&inner.us, &address, wanted).await {
                Ok(asking) => return Ok(asking),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`TalkError`]: the question may have been heard or not; ask no more on this connection.
    pub(super) async fn ask(&mut self, request: &Request) -> Result<Answer, TalkError> {
        self.ask_within(ANSWER_WITHIN, request).await
    }

    async fn ask_within(&mut self, wait: Duration, request: &Request) -> Result<Answer, TalkError> {
        let mut frame = BytesMut::new();
        put_frame(&mut frame, FrameKind::Request, |to| {
            to.put_slice(&question::encode(request));
        });
        self.conversation.send(&frame).await?;
        let heard = self.conversation.next(wait).await?;
        let heard = heard.ok_or(TalkError::Closed)?;
        match heard.kind {
            FrameKind::Answer => question::decode(&heard.body).map_err(|_| TalkError::Unreadable),
            other => Err(TalkError::Unexpected(other)),
        }
    }
}

/// Presents this node to another, and asks who that is.
///
/// # Errors
/// [`TalkError`].
pub(super) async fn who_are_you(
    inner: &Inner,
    node: NodeId,
    address: &str,
) -> Result<Introduction, TalkError> {
    let wanted = Wanted {
        node: Some(node),
        replica: None,
    };
    let mut asking = Asking::open(&inner.us, address, wanted).await?;
    inner.book.note(&asking.conversation.peer);
    let request = Request::WhoAreYou(inner.us.presentation());
    match asking.ask(&request).await? {
        Answer::Introduction(introduction) if introduction.me.node == node => Ok(introduction),
        _ => Err(TalkError::Unreadable),
    }
}

/// Has the leader propose a command, wherever it is.
///
/// # Errors
/// [`ProposeError`], as if it had been proposed here.
pub(super) async fn forward(inner: &Inner, command: Command) -> Result<Outcome, ProposeError> {
    let replica = inner.replica().ok_or(ProposeError::NotLeader)?;
    let Leadership::Follower { leader } = replica.leadership() else {
        return replica.propose(command).await?.outcome().await;
    };
    let (node, _) = leader.ok_or(ProposeError::NotLeader)?;
    let leader = replica_of(replica, node).ok_or(ProposeError::NotLeader)?;
    let forwarded = Forwarded::new(command).map_err(|_| ProposeError::NotLeader)?;
    // Not said, not proposed.
    let mut asking = Asking::open_to(inner, leader)
        .await
        .map_err(|_| ProposeError::NotLeader)?;
    let request = Request::Forward(forwarded);
    let answer = asking.ask_within(SETTLED_WITHIN + ON_THE_WAY, &request);
    match answer.await {
        Ok(Answer::Settled(settled)) => settled.into_outcome(),
        Ok(_) => Err(ProposeError::NotLeader),
        Err(_) => Err(ProposeError::OutcomeUnknown),
    }
}

fn replica_of(replica: &ReplicaHandle, node: NodeId) -> Option<ReplicaId> {
    let state = replica.state();
    let found = state.nodes().find(|(id, _)| *id == node);
    found.map(|(_, node)| node.replica)
}
