//! The seam to time. The world's clock is here; the simulated one lives in `testing/`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::ids::TimestampMs;

/// Tells the time: one that only grows, for timers, and the wall's, for stamps.
pub trait Clock: Send + Sync + 'static {
    /// Time since some fixed start; never falls.
    fn elapsed(&self) -> Duration;
    /// The wall clock; may jump.
    fn wall(&self) -> TimestampMs;
}

/// The world's clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
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
}

impl Clock for SystemClock {
    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the world for the time"
    )]
    fn wall(&self) -> TimestampMs {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        TimestampMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
