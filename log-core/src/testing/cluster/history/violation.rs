//! A promise that broke.

use std::time::Duration;

use super::super::failure::Untimely;
use super::Bounds;
use crate::ids::{EntryIndex, Generation, GroupId, LeaderEpoch, MemberId, Offset, PartitionIndex};

/// A promise that broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A record was acknowledged and is not where it was said to be.
    #[error(
        "partition {partition}: value {value:#x} was acknowledged at offset {offset}, where node {node} has {found:x?}"
    )]
    Lost {
        /// Where.
        partition: PartitionIndex,
        /// What.
        value: u64,
        /// Where exactly.
        offset: Offset,
        /// Who should have it.
        node: usize,
        /// What stands there.
        found: Option<u64>,
    },
    /// A value stands in a partition more than once.
    #[error("partition {partition}: value {value:#x} stands at offsets {offsets:?}")]
    Doubled {
        /// Where.
        partition: PartitionIndex,
        /// What.
        value: u64,
        /// Where exactly.
        offsets: Vec<Offset>,
    },
    /// Two readers were given different values at one offset.
    #[error("partition {partition}: offset {offset} was {before:#x} and is {after:#x}")]
    Changed {
        /// Where.
        partition: PartitionIndex,
        /// Where exactly.
        offset: Offset,
        /// What was read first.
        before: u64,
        /// And then.
        after: u64,
    },
    /// A leader's disk was slow beside quick ones, and it leads on.
    #[error("epoch {epoch}: node {node} leads on with a slow disk beside quick ones")]
    SlowLeader {
        /// Who.
        node: usize,
        /// Since when.
        epoch: LeaderEpoch,
    },
    /// A producer was told that nothing was stored, and it was.
    #[error(
        "partition {partition}: value {value:#x} stands at offset {offset}, though its producer was told that it was not stored"
    )]
    NotRefused {
        /// Where.
        partition: PartitionIndex,
        /// What.
        value: u64,
        /// Where exactly.
        offset: Offset,
    },
    /// A producer's records stand in another order than they were acknowledged in.
    #[error("partition {partition}: client {client}'s offsets fall: {before} then {after}")]
    Reordered {
        /// Where.
        partition: PartitionIndex,
        /// Whose.
        client: usize,
        /// The earlier record's offset.
        before: Offset,
        /// The later record's.
        after: Offset,
    },
    /// A record of a transaction that did not commit was given to somebody who reads only what is committed.
    #[error(
        "partition {partition}: value {value:#x} at offset {offset} was read as committed, and is not"
    )]
    AbortedSeen {
        /// Where.
        partition: PartitionIndex,
        /// What.
        value: u64,
        /// Where exactly.
        offset: Offset,
    },
    /// A transaction counts in part.
    #[error("of a transaction's values {there:x?} are committed and {missing:x?} are not")]
    TornTransaction {
        /// What counts.
        there: Vec<u64>,
        /// What does not.
        missing: Vec<u64>,
    },
    /// A reader was not given a record, or was given one that does not count.
    #[error("partition {partition}: at offset {offset} a reader has {seen:x?}, the log {there:x?}")]
    Misread {
        /// Where.
        partition: PartitionIndex,
        /// Where exactly.
        offset: Offset,
        /// What the reader was given.
        seen: Option<u64>,
        /// What the log holds.
        there: Option<u64>,
    },
    /// A read leaves out offsets, or goes back.
    #[error("partition {partition}: offset {expected} was asked for, a batch at {found} came")]
    Hole {
        /// Where.
        partition: PartitionIndex,
        /// What was asked for.
        expected: Offset,
        /// What came.
        found: Offset,
    },
    /// A read that was said to be current does not show what had been acknowledged before it was asked for.
    #[error("partition {partition}: {known} was known, node {node} then showed {shown} as current")]
    StaleRead {
        /// Where.
        partition: PartitionIndex,
        /// Who showed it.
        node: usize,
        /// What was known.
        known: Bounds,
        /// What was shown.
        shown: Bounds,
    },
    /// High watermark, last stable offset or log start went back.
    #[error("partition {partition}: {before} at an entry before {index}, {after} there")]
    BoundsFell {
        /// Where.
        partition: PartitionIndex,
        /// At which entry.
        index: EntryIndex,
        /// What they were.
        before: Bounds,
        /// What they are.
        after: Bounds,
    },
    /// A node has voted or taken entries in an epoch, and does not know of it any more.
    #[error(
        "node {node} has promised epoch {promised}, and its folder knows of epoch {found} only"
    )]
    PromiseForgotten {
        /// Who.
        node: usize,
        /// What others count on.
        promised: LeaderEpoch,
        /// What is left.
        found: LeaderEpoch,
    },
    /// A node answered a member as its coordinator, of a generation that by the node's own state is over.
    #[error(
        "node {node} answers a member of generation {generation}, and has generation {recorded} recorded"
    )]
    OldCoordinator {
        /// Who.
        node: usize,
        /// The member's.
        generation: Generation,
        /// What its state says.
        recorded: Generation,
    },
    /// A leader has let those vote who had not proved that they are there.
    #[error(
        "node {node} changed in epoch {epoch} who votes, before they had stored an entry of it"
    )]
    UnprovedVoters {
        /// Who.
        node: usize,
        /// When.
        epoch: LeaderEpoch,
    },
    /// A record was acknowledged before it was on the disks that its topic wants.
    #[error("node {node} acknowledged a record on {disks} disks instead of {required}")]
    OnTooFewDisks {
        /// Who.
        node: usize,
        /// Which have it.
        disks: usize,
        /// So many are wanted.
        required: usize,
    },
    /// A group's committed offset went back.
    #[error(
        "group {group}, partition {partition}: committed offset {before}, then {after} at entry {index}"
    )]
    OffsetFell {
        /// Whose.
        group: GroupId,
        /// Where.
        partition: PartitionIndex,
        /// At which entry.
        index: EntryIndex,
        /// What it was.
        before: Offset,
        /// What it is.
        after: Offset,
    },
    /// A member of a generation that is over has committed.
    #[error("{member} committed in generation {generation}, when {current} had begun")]
    FencedMemberCommitted {
        /// Who.
        member: MemberId,
        /// As what.
        generation: Generation,
        /// What was current.
        current: Generation,
    },
    /// Two members were given the same partition in one generation.
    #[error("partition {partition} of generation {generation} belongs to {first} and to {second}")]
    TwoOwners {
        /// Which.
        partition: PartitionIndex,
        /// When.
        generation: Generation,
        /// One.
        first: String,
        /// And the other.
        second: String,
    },
    /// Two transactions moved a group's offset to the same place: both have consumed the same input.
    #[error("partition {partition}: two transactions moved the offset to {offset}")]
    ConsumedTwice {
        /// Where.
        partition: PartitionIndex,
        /// Where to.
        offset: Offset,
    },
    /// Records went that were younger than their retention.
    #[error(
        "partition {partition}: records before offset {log_start} were deleted, seconds after they were written"
    )]
    DeletedEarly {
        /// Where.
        partition: PartitionIndex,
        /// Up to where.
        log_start: Offset,
    },
    /// Records went that were younger than their short retention.
    #[error("records before offset {log_start} were deleted {age_ms} ms after they were written")]
    TakenEarly {
        /// Up to where.
        log_start: Offset,
        /// How old the youngest was at most.
        age_ms: u64,
    },
    /// A transaction was aborted as overdue before its time.
    #[error("transaction of {id}: aborted as overdue {open:?} after it began")]
    AbortedEarly {
        /// Whose.
        id: String,
        /// How long it was open.
        open: Duration,
    },
    /// A node did what no clock excuses.
    #[error("node {node}: {what:?}")]
    Untimely {
        /// Which.
        node: usize,
        /// What.
        what: Untimely,
    },
    /// Two replicas differ at the same applied index.
    #[error("entry {index}: node {node} is not what another node was there")]
    Diverged {
        /// Where.
        index: EntryIndex,
        /// Who.
        node: usize,
    },
    /// Two replicas' partitions differ.
    #[error("partition {partition}: node {node} does not hold what node 0 holds")]
    DifferentBytes {
        /// Where.
        partition: PartitionIndex,
        /// Who.
        node: usize,
    },
    /// Two nodes led the same epoch.
    #[error("epoch {epoch}: nodes {first} and {second} both led it")]
    TwoLeaders {
        /// Which.
        epoch: LeaderEpoch,
        /// One.
        first: usize,
        /// And the other.
        second: usize,
    },
    /// A correct client was refused for good.
    #[error("client {client} was refused: {refusal}")]
    Refused {
        /// Who.
        client: usize,
        /// Why.
        refusal: String,
    },
    /// A node failed, and nothing was wrong with its disk.
    #[error("node {node} on a sound disk: {error}")]
    Broke {
        /// Which.
        node: usize,
        /// What it said.
        error: String,
    },
    /// The faults stopped and the cluster did not serve again.
    #[error("{what}, {within:?} after the last fault")]
    NoRecovery {
        /// What is not as it should be.
        what: String,
        /// How long.
        within: Duration,
    },
}
