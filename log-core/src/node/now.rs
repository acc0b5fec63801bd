//! The time at which an input is taken: a value like any other, so that a seed replays.

use std::time::Duration;

use crate::ids::TimestampMs;

/// What both clocks of a node show at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Time since some fixed start; never falls.
    pub(crate) elapsed: Duration,
    /// The wall clock; may jump.
    pub(crate) wall: TimestampMs,
}
