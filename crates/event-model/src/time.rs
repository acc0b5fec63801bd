//! A moment in UTC milliseconds, written as RFC 3339 (`2026-11-20T06:00:00.123Z`). No clock: somebody says the time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC, within 1970 to 9999, the years that RFC 3339 can write without a sign.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct EventTime(i64);

/// The string is no RFC 3339 time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no RFC 3339 time")]
pub struct TimeError(String);

impl EventTime {
    /// 1970-01-01T00:00:00.000Z.
    pub const MIN: Self = Self(0);
    /// 9999-12-30T22:00:00.000Z, the last moment that every time zone can still write.
    pub const MAX: Self = Self(253_402_207_200_000);

    /// A moment from Kafka's milliseconds. What lies outside the range (Kafka's -1 for "no timestamp") is moved to its edge.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Milliseconds from `earlier` to here, negative if `earlier` is later.
    pub fn millis_since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// The moment `duration` later, at most [`Self::MAX`].
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(millis(duration)))
    }

    /// The moment `duration` earlier, at least [`Self::MIN`].
    pub fn minus(self, duration: Duration) -> Self {
        Self::from_millis(self.0.saturating_sub(millis(duration)))
    }

    /// The same moment for calendars and time zones.
    pub fn to_timestamp(self) -> Timestamp {
        Timestamp::from_millisecond(self.0).expect("1970 to 9999 is within jiff's range")
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl From<Timestamp> for EventTime {
    fn from(timestamp: Timestamp) -> Self {
        Self::from_millis(timestamp.as_millisecond())
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.to_timestamp())
    }
}

impl FromStr for EventTime {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let timestamp = Timestamp::from_str(text).map_err(|_| TimeError(text.to_owned()))?;
        Ok(Self::from(timestamp))
    }
}

impl TryFrom<String> for EventTime {
    type Error = TimeError;

    fn try_from(text: String) -> Result<Self, TimeError> {
        text.parse()
    }
}

impl From<EventTime> for String {
    fn from(time: EventTime) -> String {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_milliseconds() {
        let time: EventTime = "2026-11-20T15:00:00.1239+09:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-20T06:00:00.123Z");
    }

    #[test]
    fn times_outside_the_range_are_moved_to_its_edge() {
        assert_eq!(EventTime::from_millis(-1), EventTime::MIN);
        assert_eq!(EventTime::from_millis(i64::MAX), EventTime::MAX);
        assert_eq!(EventTime::MAX.to_string(), "9999-12-30T22:00:00.000Z");
        assert_eq!(EventTime::MIN.minus(Duration::MAX), EventTime::MIN);
        assert_eq!(EventTime::MIN.plus(Duration::MAX), EventTime::MAX);
    }
}
