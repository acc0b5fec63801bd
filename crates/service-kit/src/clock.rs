//! The one place in this crate that looks at a clock.

use std::time::Instant;

/// Time that never goes back, for shares and deadlines.
#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
pub fn steady() -> Instant {
    Instant::now()
}
