//! The one place that asks the world for the time.

use std::time::Instant;

use log_core::clock::{Clock, SystemClock};
use log_core::ids::TimestampMs;

/// For intervals.
#[expect(
    clippy::disallowed_methods,
    reason = "a bench measures the world's time, and asks for it only here"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// For stamps.
pub(crate) fn wall() -> TimestampMs {
    SystemClock::start().wall()
}
