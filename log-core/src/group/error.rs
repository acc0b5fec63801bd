//! Why a member's request was refused: a variant per answer that Kafka's classic protocol has.

use crate::ids::MemberId;

/// Why a request was refused. Nothing was changed for the one who asked, unless a variant says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// MEMBER_ID_REQUIRED: join again with this id, which waits for it a session timeout long (KIP-394).
    #[error("join again as {member_id}")]
    MemberIdRequired {
        /// The id.
        member_id: MemberId,
    },
    /// UNKNOWN_MEMBER_ID: not, or no longer, a member. Its partitions are others'; join as a newcomer.
    #[error("the group has no such member")]
    UnknownMemberId,
    /// FENCED_INSTANCE_ID: a newer process has the same static identity. Stop for good.
    #[error("the static identity now belongs to a newer member")]
    FencedInstanceId,
    /// ILLEGAL_GENERATION: the group has moved on. Join again.
    #[error("the group is at another generation")]
    IllegalGeneration,
    /// REBALANCE_IN_PROGRESS: still a member; join again to stay one.
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    /// INCONSISTENT_GROUP_PROTOCOL: no protocol, or no protocol type, in common with the other members.
    #[error("no group protocol in common with the other members")]
    InconsistentGroupProtocol,
    /// INVALID_SESSION_TIMEOUT: outside `group.min.session.timeout.ms` and `group.max.session.timeout.ms`.
    #[error("the session timeout is outside what the broker allows")]
    InvalidSessionTimeout,
    /// GROUP_MAX_SIZE_REACHED: `group.max.size` members are in, or all groups together say as much as may be kept.
    #[error("the group is full")]
    GroupMaxSizeReached,
    /// COORDINATOR_NOT_AVAILABLE: the change could not be recorded. Try again.
    #[error("the group's change could not be recorded")]
    CoordinatorNotAvailable,
    /// NOT_COORDINATOR: another node coordinates the group now. Find it.
    #[error("this node does not coordinate the group")]
    NotCoordinator,
}
