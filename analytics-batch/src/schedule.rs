//! When to write a report: five fields of cron, in a time zone.

use std::fmt;
use std::str::FromStr;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A cron expression: minute, hour, day of month, month, day of week.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
}

/// Why a string is no schedule.
#[derive(Debug, thiserror::Error)]
#[error("{expression:?} is no cron expression (minute hour day month weekday)")]
pub struct ScheduleError {
    expression: String,
    #[source]
    source: croner::errors::CronError,
}

impl Schedule {
    /// The next moment after `now` that the expression names on the clocks of `zone`. `None` if there is no more, as for
    /// 30 February.
    pub fn next_after(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let next = self
            .cron
            .find_next_occurrence(&now.to_zoned(zone.clone()), false);
        next.ok().map(|zoned| zoned.timestamp())
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(expression: &str) -> Result<Self, ScheduleError> {
        // Five fields: six would be read as seconds first, and `* * * * * *` write a report every second.
        let parser = CronParser::builder().seconds(Seconds::Disallowed);
        let cron = parser.year(Year::Disallowed).build().parse(expression);
        cron.map(|cron| Self { cron })
            .map_err(|source| ScheduleError {
                expression: expression.to_owned(),
                source,
            })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cron.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, zone: &str, now: &str) -> Option<String> {
        let schedule: Schedule = expression.parse().unwrap();
        let next = schedule.next_after(now.parse().unwrap(), &TimeZone::get(zone).unwrap());
        next.map(|next| next.to_string())
    }

    #[test]
    fn a_schedule_is_read_on_the_clocks_of_its_zone() {
        assert_eq!(
            next("0 6 * * *", "Asia/Seoul", "2026-11-20T06:00:00Z").unwrap(),
            "2026-11-20T21:00:00Z"
        );
        assert_eq!(
            next("0 6 * * MON", "UTC", "2026-11-20T06:00:00Z").unwrap(),
            "2026-11-23T06:00:00Z"
        );
    }

    #[test]
    fn the_moment_itself_is_not_named_again() {
        assert_eq!(
            next("0 6 * * *", "UTC", "2026-11-20T06:00:00Z").unwrap(),
            "2026-11-21T06:00:00Z"
        );
    }

    #[test]
    fn summer_time_moves_the_moment_and_loses_no_day() {
        // In New York 02:30 does not exist on 2026-03-08.
        let first = next("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z").unwrap();
        assert!(first.starts_with("2026-03-08T"), "{first}");
        assert_eq!(
            next("0 6 * * *", "America/New_York", "2026-03-08T05:00:00Z").unwrap(),
            "2026-03-08T10:00:00Z"
        );
    }

    #[test]
    fn what_is_no_expression_is_refused_and_what_never_comes_has_no_next() {
        for expression in [
            "whenever",
            "",
            "0 6 * *",
            "60 6 * * *",
            "0 0 6 * * *",
            "0 6 32 * *",
        ] {
            assert!(expression.parse::<Schedule>().is_err(), "{expression}");
        }
        assert_eq!(
            next("0 0 29 2 *", "UTC", "2026-11-20T06:00:00Z").unwrap(),
            "2028-02-29T00:00:00Z"
        );
        assert_eq!(next("0 0 30 2 *", "UTC", "2026-11-20T06:00:00Z"), None);
    }
}
