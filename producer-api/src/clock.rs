//! The one place in this crate that looks at a clock.

use std::time::Instant;

use jiff::Timestamp;

/// The time of day, for events and tokens.
#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
pub(crate) fn wall() -> Timestamp {
    Timestamp::now()
}

/// Time that never goes back, for limits and deadlines.
#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
pub(crate) fn steady() -> Instant {
    Instant::now()
}
