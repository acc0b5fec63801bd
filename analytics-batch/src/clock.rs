//! The seam to the clocks: the one place that asks what time it is.

use std::time::Instant;

use event_model::EventTime;
use jiff::Timestamp;

/// The wall clock.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn now() -> EventTime {
    Timestamp::now().into()
}

/// The clock that only goes forward.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}
