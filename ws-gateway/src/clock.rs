//! The one place that asks the world for the time.

use std::time::{Duration, Instant};

use event_model::EventTime;
use jiff::Timestamp;

/// Tells the time: one that only grows, for timers, and the wall's, for tokens and alerts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the world for the time"
    )]
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// Since the start; never falls.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the world for the time"
    )]
    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    /// The wall's time as events carry it.
    pub(crate) fn event_time(&self) -> EventTime {
        EventTime::from_millis(self.wall().as_millisecond())
    }
}

/// Time that only grows, for shares of places.
pub(crate) fn steady() -> Instant {
    service_kit::clock::steady()
}
