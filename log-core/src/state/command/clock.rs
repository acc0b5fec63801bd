//! Commands about command time itself.

use serde::{Deserialize, Serialize};

use crate::ids::TimestampMs;

/// The leader's wall clock is further ahead of the last command's time than the leader has lived through: this command's
/// own time is the first after the jump. Answered by [`crate::state::Response::Done`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteClockJump {
    /// How much of the way no leader lived through, in milliseconds.
    pub unwitnessed_ms: u64,
}

/// An operator says what jumps of the clock were. Answered by [`crate::state::Response::ClockJumpsJudged`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgeClockJumps {
    /// Those up to this command time; later ones the operator has not seen.
    pub until: TimestampMs,
    /// What they were.
    pub verdict: JumpVerdict,
}

/// What a jump of the clock was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JumpVerdict {
    /// The log stood still for so long: the time counts, and what it makes due goes.
    TimePassed,
    /// The clock was wrong: the time never counts.
    ClockWasWrong,
}
