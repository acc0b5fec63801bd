//! A member of a group: who it is, what it can do, what it owns and what it waits for.

use std::time::Duration;

use bytes::Bytes;

use crate::ids::{GroupInstanceId, RequestId};

/// One way of dividing the partitions that a member knows, such as `range`, with what it says to the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name, which the members vote on.
    pub name: String,
    /// The member's subscription in that protocol: bytes between the consumers, not ours to read.
    pub metadata: Bytes,
}

/// Who a member is and what it offers, as its latest JoinGroup said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The static identity, if it has one.
    pub instance_id: Option<GroupInstanceId>,
    /// `client.id`, for an operator who describes the group.
    pub client_id: String,
    /// From where it connected, for an operator who describes the group.
    pub client_host: String,
    /// How long it may be silent before it is dropped.
    pub session_timeout: Duration,
    /// How long the others wait for it in a rebalance (a Java client's `max.poll.interval.ms`).
    pub rebalance_timeout: Duration,
    /// What it supports, the preferred one first.
    pub protocols: Vec<Protocol>,
}

impl Profile {
    pub(super) fn supports(&self, name: &str) -> bool {
        self.protocols.iter().any(|protocol| protocol.name == name)
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let instance_id = self.instance_id.as_ref().map_or(0, |id| id.as_str().len());
        let of = |protocol: &Protocol| protocol.name.len() + protocol.metadata.len();
        let protocols = self.protocols.iter().map(of).sum::<usize>();
        instance_id + self.client_id.len() + self.client_host.len() + protocols
    }

    pub(super) fn metadata(&self, name: &str) -> Bytes {
        let named = self.protocols.iter().find(|protocol| protocol.name == name);
        named
            .map(|protocol| protocol.metadata.clone())
            .unwrap_or_default()
    }
}

/// The one request that a member may have open with us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenRequest {
    /// None.
    Nothing,
    /// A JoinGroup: answered when the rebalance has gathered everybody.
    Join(RequestId),
    /// A SyncGroup: answered when the leader's assignment is recorded.
    Sync(RequestId),
}

/// A member as its group keeps it.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) profile: Profile,
    /// What the leader of the current generation gave it; empty until then.
    pub(super) assignment: Bytes,
    pub(super) waiting: OpenRequest,
    /// Whether it has asked for its assignment in the current generation.
    pub(super) synced: bool,
    /// When it counts as gone. None while it waits for us: it cannot send heartbeats then.
    pub(super) expires_at: Option<Duration>,
}

impl Member {
    pub(super) fn is_joining(&self) -> bool {
        matches!(self.waiting, OpenRequest::Join(_))
    }

    /// A sign of life.
    pub(super) fn touch(&mut self, now: Duration) {
        if self.waiting == OpenRequest::Nothing {
            self.expires_at = Some(now + self.profile.session_timeout);
        }
    }

    /// Opens a request; its member is not expected to beat until it is answered.
    pub(super) fn wait(&mut self, waiting: OpenRequest) {
        self.waiting = waiting;
        self.expires_at = None;
    }

    /// Takes the open request to answer it; the session runs again from now.
    pub(super) fn stop_waiting(&mut self, now: Duration) -> OpenRequest {
        let waiting = std::mem::replace(&mut self.waiting, OpenRequest::Nothing);
        if waiting != OpenRequest::Nothing {
            self.touch(now);
        }
        waiting
    }
}
