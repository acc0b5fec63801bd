//! The clean end: another leads, or what was proposed goes to disk and is answered; then a checkpoint makes the next start
//! short.

use std::time::Duration;

use tracing::info;

use super::effect::Effect;
use super::replica::Replica;
use crate::ids::ReplicaId;

/// How long a leader that ends waits for another to take over.
const HAND_OVER_WAIT: Duration = Duration::from_secs(1);

/// How far the end has come.
///
/// ```text
/// HandsOver --another leads, or 1 s--> Checkpoints --one under way ends--> LastCheckpoint --it is durable--> Ended
/// Answers --all proposals are answered--^
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shutdown {
    /// Clients find the next leader at once instead of after an election's silence. All inputs are taken.
    HandsOver {
        /// Who is to lead.
        to: ReplicaId,
        /// Until then.
        until: Duration,
    },
    /// Alone: what was proposed is answered; nothing more is taken on.
    Answers,
    /// A checkpoint may be under way; nothing more is taken on.
    Checkpoints,
    /// The last one is under way.
    LastCheckpoint,
    /// There is nothing more to do.
    Ended,
}

impl Shutdown {
    /// Begins.
    pub(super) fn begin(replica: &mut Replica, now: Duration) -> Self {
        if replica.is_alone() {
            return Self::Answers;
        }
        let Some(to) = replica.successor() else {
            return Self::Checkpoints;
        };
        replica.hand_over_to(to);
        Self::HandsOver {
            to,
            until: now + HAND_OVER_WAIT,
        }
    }

    /// Whether requests are still taken on, and groups coordinated.
    pub(super) fn takes_requests(self) -> bool {
        matches!(self, Self::HandsOver { .. })
    }

    /// As far as it can go now.
    pub(super) fn go_on(
        mut self,
        replica: &mut Replica,
        now: Duration,
        effects: &mut Vec<Effect>,
    ) -> Self {
        loop {
            self = match self {
                Self::HandsOver { until, .. } if replica.is_leading() && now < until => {
                    return self;
                }
                Self::HandsOver { to, .. } => {
                    let done = !replica.is_leading();
                    info!(to = to.0, done, "leadership handed over");
                    Self::Checkpoints
                }
                Self::Answers if replica.has_proposals() => return self,
                Self::Answers => Self::Checkpoints,
                Self::Checkpoints | Self::LastCheckpoint if replica.is_checkpointing() => {
                    return self;
                }
                Self::Checkpoints => {
                    replica.capture_checkpoint(effects);
                    Self::LastCheckpoint
                }
                Self::LastCheckpoint => {
                    effects.push(Effect::Ended);
                    Self::Ended
                }
                Self::Ended => return self,
            };
        }
    }
}
