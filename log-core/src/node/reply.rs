//! What a node replies to a request, each in its own kind.

use super::propose_error::{AppliedOutcome, ProposeError};
use super::voter_change::VoterChangeError;
use crate::group::{Description, GroupError, Overview, Response};
use crate::ids::GroupId;

/// The reply to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NodeReply {
    /// Of what was proposed: the outcome and its entry, or why there is none.
    Outcome(Result<AppliedOutcome, ProposeError>),
    /// Whether it is done, and why not.
    VotersChanged(Result<(), VoterChangeError>),
    /// Whether what is current may be read here.
    Readable(Result<(), ProposeError>),
    /// To a member of a group.
    Member(Response),
    /// Whether a commit may be proposed.
    Admitted(Result<(), GroupError>),
    /// What a group looks like; none when it never had a member.
    Described(Result<Option<Description>, GroupError>),
    /// All groups that have or had members, by id.
    Listed(Result<Vec<(GroupId, Overview)>, GroupError>),
}
