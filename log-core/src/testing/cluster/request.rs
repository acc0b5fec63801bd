//! What clients and nodes say to each other.

use rand_chacha::ChaCha8Rng;

use super::coverage::Coverage;
use super::failure::Failure;
use super::history::History;
use super::view::View;
use crate::group::{self, Caller, GroupError};
use crate::ids::GroupId;
use crate::node::{Outcome, ProposeError};
use crate::state::{Command, CommitOffsets};

/// Which client asks, and in which of its tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestOrigin {
    pub(super) client: usize,
    pub(super) attempt: u64,
}

/// What a client asks of a node.
#[derive(Debug)]
pub(super) enum Request {
    /// Apply this command.
    Propose(Command),
    /// Apply this commit, if the group's coordinator admits it.
    Commit {
        caller: Caller,
        commit: CommitOffsets,
    },
    /// Show what is current.
    Read,
    /// Show what there is (Fetch).
    Look,
    /// Something of a consumer group's coordinator.
    Group(GroupId, group::Input),
}

/// What a node answers.
#[derive(Debug)]
pub(super) enum Reply {
    /// To [`Request::Propose`] and [`Request::Commit`].
    Outcome(Result<Outcome, ProposeError>),
    /// To [`Request::Read`]: whether what the node shows is current.
    Readable(Result<(), ProposeError>),
    /// To [`Request::Look`].
    Shown,
    /// To [`Request::Group`].
    Group(group::Response),
    /// To [`Request::Commit`], by the coordinator, or a node that is none.
    NotAdmitted(GroupError),
}

/// What the world is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FaultPhase {
    /// Faults come.
    Trouble,
    /// No faults come any more: everybody ends what was begun.
    Calm,
    /// And nobody writes any more: readers come to the end.
    Quiet,
}

/// What a client knows when it asks.
pub(super) struct RequestContext<'a> {
    pub(super) asker: RequestOrigin,
    pub(super) phase: FaultPhase,
    pub(super) chance: &'a mut ChaCha8Rng,
    pub(super) history: &'a mut History,
}

/// What a client sees when it is answered.
pub(super) struct ReplyContext<'a> {
    pub(super) client: usize,
    pub(super) phase: FaultPhase,
    pub(super) view: View<'a>,
    pub(super) history: &'a mut History,
    pub(super) coverage: &'a mut Coverage,
    /// What is wrong with the node's files, if a read of them failed.
    pub(super) damage: Option<Failure>,
}

/// Whom to ask next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextNode {
    /// The same node.
    Stay,
    /// Another one: this one does not lead.
    Elsewhere,
}
