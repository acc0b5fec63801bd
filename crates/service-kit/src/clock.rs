//! The one place in this crate that looks at a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time since a program's start, and the time of day.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// Begins to count.
    pub fn start() -> Self {
        Self { started: steady() }
    }

    /// Time since the start: never falls.
    pub fn elapsed(&self) -> Duration {
        steady().saturating_duration_since(self.started)
    }

    /// The time of day: [`wall_ms`].
    pub fn wall_ms(&self) -> i64 {
        wall_ms()
    }
}

/// The wall clock, in milliseconds since 1970-01-01 UTC: may jump, either way.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn wall_ms() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// Time that never goes back, for shares and deadlines.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn steady() -> Instant {
    Instant::now()
}
