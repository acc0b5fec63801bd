//! The time of day as events carry it, and time that never goes back. The clock itself is service-kit's.

use event_model::EventTime;

pub(crate) use service_kit::clock::steady;

/// The time of day, for events and tokens.
pub(crate) fn wall() -> EventTime {
    EventTime::from_millis(service_kit::clock::wall_ms())
}
