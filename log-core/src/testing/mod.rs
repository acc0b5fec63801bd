//! The simulated world: a disk that loses what was not synced, a clock that tests turn by hand.
