//! Commands about consumer groups.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{
    Generation, GroupId, GroupInstanceId, LeaderEpoch, MemberId, Offset, TimestampMs,
    TopicPartition,
};

/// A group has a new generation: what a new leader needs to resume it as stable. Answered by
/// [`crate::state::Response::Done`].
///
/// The same generation again replaces the former record: a static member has returned under a new member id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompleteRebalance {
    /// Which group.
    pub group: GroupId,
    /// The generation.
    pub generation: Generation,
    /// What kind of group; "consumer" for consumers.
    pub protocol_type: Option<String>,
    /// The assignor that was chosen.
    pub protocol: Option<String>,
    /// The member that assigned.
    pub leader: Option<MemberId>,
    /// All members; none when the last one has left.
    pub members: Vec<CompletedMember>,
}

/// A member of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedMember {
    /// Its id.
    pub id: MemberId,
    /// Its static identity.
    pub instance_id: Option<GroupInstanceId>,
    /// `client.id`.
    pub client_id: String,
    /// From where it connected.
    pub client_host: String,
    /// How long it may be silent.
    pub session_timeout_ms: u32,
    /// How long the others wait for it in a rebalance.
    pub rebalance_timeout_ms: u32,
    /// Its metadata for the chosen protocol.
    pub subscription: Bytes,
    /// What it owns.
    pub assignment: Bytes,
}

/// A consumer says how far it has come. Answered by [`crate::state::Response::OffsetsCommitted`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitOffsets {
    /// Which group.
    pub group: GroupId,
    /// As whom.
    pub by: Committer,
    /// The offsets; metadata no longer than `offset.metadata.max.bytes`, which the door checks.
    pub offsets: Vec<NewOffset>,
    /// How long to keep them, from clients that say so (OffsetCommit 2 to 4).
    pub retention_ms: Option<u64>,
}

/// As whom a consumer commits: a member of a generation, or nobody in particular.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committer {
    /// The generation it belongs to.
    pub generation: Option<Generation>,
    /// Its member id.
    pub member: Option<MemberId>,
    /// Its static identity.
    pub instance: Option<GroupInstanceId>,
}

/// How far a consumer has come in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOffset {
    /// Where.
    pub partition: TopicPartition,
    /// The next record it will read.
    pub offset: Offset,
    /// Epoch of the last record it has read.
    pub leader_epoch: Option<LeaderEpoch>,
    /// What it noted; returned as it is.
    pub metadata: String,
}

/// Forget some committed offsets. Answered by [`crate::state::Response::Done`]. That nobody is subscribed to them is
/// checked at the door, which can read subscriptions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteOffsets {
    /// Whose.
    pub group: GroupId,
    /// Which.
    pub partitions: Vec<TopicPartition>,
}

/// Forget a consumer group. Answered by [`crate::state::Response::Done`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteGroup {
    /// Which.
    pub group: GroupId,
}

/// Forget offsets of groups that are empty. Answered by [`crate::state::Response::Expired`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpireOffsets {
    /// Those committed, in groups that became empty, before this time (`offsets.retention.minutes` ago).
    pub committed_before: TimestampMs,
}

/// A partition's name, lengths and numbers.
fn partition_bytes(partition: &TopicPartition) -> usize {
    partition.topic.as_str().len() + 40
}

impl CommitOffsets {
    pub(super) fn payload_bytes(&self) -> usize {
        self.group.as_str().len() + self.by.payload_bytes() + offsets_bytes(&self.offsets)
    }
}

pub(super) fn offsets_bytes(offsets: &[NewOffset]) -> usize {
    offsets
        .iter()
        .map(|offset| partition_bytes(&offset.partition) + offset.metadata.len())
        .sum()
}

pub(super) fn partitions_bytes(partitions: &[TopicPartition]) -> usize {
    partitions.iter().map(partition_bytes).sum()
}

impl Committer {
    /// Whether it claims to be a member.
    pub(in crate::state) fn is_nobody(&self) -> bool {
        self.generation.is_none() && self.member.is_none() && self.instance.is_none()
    }

    pub(super) fn payload_bytes(&self) -> usize {
        let instance = self
            .instance
            .as_ref()
            .map_or(0, |instance| instance.as_str().len());
        self.member
            .as_ref()
            .map_or(0, |member| member.as_str().len())
            + instance
    }
}

impl DeleteOffsets {
    pub(super) fn payload_bytes(&self) -> usize {
        self.group.as_str().len() + partitions_bytes(&self.partitions)
    }
}

impl CompleteRebalance {
    pub(super) fn payload_bytes(&self) -> usize {
        let texts = [&self.protocol_type, &self.protocol]
            .into_iter()
            .flatten()
            .map(String::len)
            .sum::<usize>();
        let leader = self
            .leader
            .as_ref()
            .map_or(0, |leader| leader.as_str().len());
        let members = self
            .members
            .iter()
            .map(CompletedMember::payload_bytes)
            .sum::<usize>();
        self.group.as_str().len() + texts + leader + members
    }
}

impl CompletedMember {
    fn payload_bytes(&self) -> usize {
        let instance = self
            .instance_id
            .as_ref()
            .map_or(0, |instance| instance.as_str().len());
        let texts =
            self.id.as_str().len() + instance + self.client_id.len() + self.client_host.len();
        texts + self.subscription.len() + self.assignment.len() + 60
    }
}
