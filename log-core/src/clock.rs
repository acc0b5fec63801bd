//! The world's time. Nothing that decides looks here: it is told the time with each input.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::ids::TimestampMs;

/// Tells the time: one that only grows, for timers, and the wall's, for stamps.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// Starts counting.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the world for the time"
    )]
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// Time since the start; never falls.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The wall clock; may jump.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the world for the time"
    )]
    pub fn wall(&self) -> TimestampMs {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        TimestampMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
