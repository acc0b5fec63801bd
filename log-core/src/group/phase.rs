//! Where a group is in its protocol.

use std::time::Duration;

use super::record_id::RecordId;

/// Where a group is in its protocol, under Kafka's names.
///
/// ```text
///               the first member joins              everybody is here, or time is up
///  ┌───────┐ ───────────────────────> ┌────────────────────┐ ──────────> ┌─────────────────────┐
///  │ Empty │                          │ PreparingRebalance │             │ CompletingRebalance │
///  └───────┘ <─────────────────────── └────────────────────┘ <────────── └─────────────────────┘
///             nobody is left              ^    a join, a leave, a silence,      │  the leader's assignment
///             (from every phase)          │    the record failed                v  is recorded
///                                         │                                ┌────────┐
///                                         └─────────────────────────────── │ Stable │
///                                           a join with news, a leave,     └────────┘
///                                           a silence
///  every phase ── Retire ──> Dead
/// ```
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Nobody is in. Join: begins to gather. All else: UNKNOWN_MEMBER_ID; commits by nobody in particular are taken.
    Empty {
        /// The record that the group is empty failed: record it again then, or its last members would haunt the
        /// next coordinator.
        record_again_at: Option<Duration>,
    },
    /// Waits for the members to join again. Join: waits. Sync: REBALANCE_IN_PROGRESS. Heartbeat: the same, and
    /// keeps the session. Commits of the generation that ends are taken. Ends when all members wait and nobody who
    /// was told an id is still to come, or at the deadline, without those who are missing; static members stay.
    PreparingRebalance(Gathering),
    /// The generation is announced; waits for the leader's assignment and its record. Join with the same protocols:
    /// told the generation once more; with others: gathers again. Sync: waits. Heartbeat: fine. Commits:
    /// REBALANCE_IN_PROGRESS. A member that has not asked for its assignment at the deadline is dropped.
    CompletingRebalance {
        /// The deadline; None once it has passed and only the record is awaited.
        sync_by: Option<Duration>,
        /// The record of the assignment, once the leader has sent it.
        recording: Option<RecordId>,
    },
    /// Everybody knows what is whose. Join of the leader, or with other protocols: gathers again; else told the
    /// generation once more. A static member returns without a rebalance. Sync: its assignment. Heartbeat,
    /// commits: fine.
    Stable {
        /// A member that has not asked for its assignment then is dropped; None when all have.
        sync_by: Option<Duration>,
    },
    /// Coordinated elsewhere. Everything: NOT_COORDINATOR. Nothing moves it on.
    Dead,
}

impl Phase {
    /// Kafka's word.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "Empty",
            Self::PreparingRebalance(_) => "PreparingRebalance",
            Self::CompletingRebalance { .. } => "CompletingRebalance",
            Self::Stable { .. } => "Stable",
            Self::Dead => "Dead",
        }
    }

    /// When it ends by itself.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Empty { record_again_at } => *record_again_at,
            Self::PreparingRebalance(gathering) => Some(gathering.until),
            Self::CompletingRebalance { sync_by, .. } | Self::Stable { sync_by } => *sync_by,
            Self::Dead => None,
        }
    }
}

/// The wait for members to join.
#[derive(Clone, Debug)]
pub(super) struct Gathering {
    /// How long at most.
    pub(super) until: Duration,
    /// Set while an empty group waits for its first members: then it also waits no less.
    pub(super) initial_delay: Option<InitialDelay>,
}

/// `group.initial.rebalance.delay.ms`, which begins again whenever a new member joins, up to the rebalance timeout.
#[derive(Clone, Debug)]
pub(super) struct InitialDelay {
    /// A new member joined since it last began.
    pub(super) newcomers: bool,
    /// How much of the rebalance timeout is left after it.
    pub(super) remaining: Duration,
}

impl Gathering {
    /// The wait that follows this one at its deadline, if there is one.
    pub(super) fn prolonged(&self, delay: Duration) -> Option<Self> {
        let initial = self.initial_delay.as_ref()?;
        if !initial.newcomers || initial.remaining.is_zero() {
            return None;
        }
        let delay = delay.min(initial.remaining);
        let initial_delay = InitialDelay {
            newcomers: false,
            remaining: initial.remaining - delay,
        };
        Some(Self {
            until: self.until + delay,
            initial_delay: Some(initial_delay),
        })
    }
}
