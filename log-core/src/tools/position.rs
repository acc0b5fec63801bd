//! A place in a partition as a person names it.

use std::fmt;
use std::str::FromStr;

use crate::ids::{Offset, TimestampMs};

/// Where to read or to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// At the first record there is.
    Earliest,
    /// Behind the last record.
    Latest,
    /// At this offset.
    Offset(Offset),
    /// At the first record of this time or later.
    Time(TimestampMs),
}

/// Why a text names no position.
#[derive(Debug, thiserror::Error)]
#[error("a position is earliest, latest, an offset, or a time such as 2026-11-20T09:00:00+09:00")]
pub(super) struct NoPosition;

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        match text {
            "earliest" => return Ok(Self::Earliest),
            "latest" => return Ok(Self::Latest),
            _ => {}
        }
        if let Ok(offset) = text.parse() {
            return Ok(Self::Offset(Offset(offset)));
        }
        let time: jiff::Timestamp = text.parse().map_err(|_| NoPosition)?;
        // Times before 1970 would read as Kafka's words for "earliest" and "latest".
        match time.as_millisecond() {
            at @ 0.. => Ok(Self::Time(TimestampMs(at))),
            _ => Err(NoPosition),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Offset(offset) => write!(f, "offset {}", offset.0),
            Self::Time(at) => f.write_str(&time(*at)),
        }
    }
}

/// A time as people and machines read it: RFC 3339 in UTC, to the millisecond.
pub(super) fn time(at: TimestampMs) -> String {
    match jiff::Timestamp::from_millisecond(at.0) {
        // A record without a time carries Kafka's -1.
        Ok(time) if 0 <= at.0 => format!("{time:.3}"),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_offsets_and_times_of_any_zone_are_positions() {
        let at = |text: &str| text.parse::<Position>().expect("a position");
        assert_eq!(at("earliest"), Position::Earliest);
        assert_eq!(at("latest"), Position::Latest);
        assert_eq!(at("41"), Position::Offset(Offset(41)));
        let nine_in_seoul = at("2026-11-20T09:00:00+09:00");
        assert_eq!(nine_in_seoul, at("2026-11-20T00:00:00Z"));
        assert_eq!(nine_in_seoul.to_string(), "2026-11-20T00:00:00.000Z");
    }

    #[test]
    fn nonsense_is_no_position() {
        for text in [
            "",
            "-1",
            "newest",
            "2026-11-20",
            "2026-11-20T09:00:00",
            "1969-12-31T23:59:59Z",
            "1.5",
        ] {
            assert!(text.parse::<Position>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_record_without_a_time_shows_none() {
        assert_eq!(time(TimestampMs(-1)), "-");
    }
}
