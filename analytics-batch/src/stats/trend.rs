//! What changes over days, weeks and months.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::calendar::midnight_ms;
use super::{Case, accept_times, median};

/// The length of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grain {
    /// A local day.
    Day,
    /// A week from Monday on (ISO 8601).
    Week,
    /// A calendar month.
    Month,
}

impl Grain {
    fn first_day(self, date: Date) -> Date {
        match self {
            Self::Day => date,
            Self::Week => {
                let since_monday = date.weekday().since(Weekday::Monday);
                date.checked_sub(i64::from(since_monday).days())
                    .expect("event times lie far from the calendar's ends")
            }
            Self::Month => date.first_of_month(),
        }
    }

    fn next(self, first: Date) -> Date {
        let span = match self {
            Self::Day => 1.day(),
            Self::Week => 1.week(),
            Self::Month => 1.month(),
        };
        first
            .checked_add(span)
            .expect("event times lie far from the calendar's ends")
    }
}

/// One day, week or month.
#[derive(Clone, Debug, PartialEq)]
pub struct Period {
    /// Its first day.
    pub first: Date,
    /// Watched only in part, at either end: to be shown, but not compared with others.
    pub is_partial: bool,
    /// Alerts that were raised in it.
    pub alerts: u64,
    /// Those among them that are mature.
    pub mature: u64,
    /// Those among the mature that were accepted.
    pub accepted: u64,
    /// The median time to the first accept of those, in milliseconds.
    pub median_ms: Option<f64>,
}

/// Every period from the one that holds `since_ms` to the one that holds `as_of_ms`, those without a call included.
pub fn trend(
    cases: &[&Case],
    grain: Grain,
    zone: &TimeZone,
    since_ms: i64,
    as_of_ms: i64,
) -> Vec<Period> {
    let mut sorted: Vec<&Case> = cases.to_vec();
    sorted.sort_by_key(|case| case.raised_at);
    let mut rest: &[&Case] = &sorted;
    let mut periods = Vec::new();
    let mut first = grain.first_day(timestamp(since_ms).to_zoned(zone.clone()).date());
    loop {
        let next = grain.next(first);
        let (start_ms, end_ms) = (midnight_ms(first, zone), midnight_ms(next, zone));
        let (within, later) = rest.split_at(rest.partition_point(|case| case.raised_at < end_ms));
        periods.push(period(
            first,
            start_ms < since_ms || as_of_ms < end_ms,
            within,
            as_of_ms,
        ));
        if as_of_ms < end_ms {
            return periods;
        }
        (first, rest) = (next, later);
    }
}

fn period(first: Date, is_partial: bool, cases: &[&Case], as_of_ms: i64) -> Period {
    let mature: Vec<&Case> = cases
        .iter()
        .copied()
        .filter(|case| case.is_mature(as_of_ms))
        .collect();
    let times = accept_times(mature.iter().copied());
    Period {
        first,
        is_partial,
        alerts: cases.len() as u64,
        mature: mature.len() as u64,
        accepted: times.len() as u64,
        median_ms: median(&times),
    }
}

fn timestamp(at_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at_ms).expect("event times lie between 1970 and 9999")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Response, slot_of};

    fn millis(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn case(raised: &str, accepted_after_ms: Option<i64>) -> Case {
        let raised_at = millis(raised);
        Case {
            raised_at,
            house: 0,
            slot: slot_of(&TimeZone::UTC, raised_at),
            category: 0,
            flaws: vec![],
            responses: accepted_after_ms
                .map(|after| Response {
                    house: 1,
                    at: raised_at + after,
                })
                .into_iter()
                .collect(),
            accepted_from: None,
            accepts: 0,
        }
    }

    #[test]
    fn periods_without_a_call_are_there_and_those_at_the_ends_are_marked() {
        let cases = [
            case("2026-11-02T12:00:00Z", Some(4_000)),
            case("2026-11-16T12:00:00Z", None),
        ];
        let cases: Vec<&Case> = cases.iter().collect();
        let weeks = trend(
            &cases,
            Grain::Week,
            &TimeZone::UTC,
            millis("2026-11-02T12:00:00Z"),
            millis("2026-11-18T00:00:00Z"),
        );
        let seen: Vec<(String, bool, u64, u64)> = weeks
            .iter()
            .map(|week| {
                (
                    week.first.to_string(),
                    week.is_partial,
                    week.alerts,
                    week.accepted,
                )
            })
            .collect();
        let expected = [
            ("2026-11-02", true, 1, 1),
            ("2026-11-09", false, 0, 0),
            ("2026-11-16", true, 1, 0),
        ];
        assert_eq!(
            seen,
            expected.map(|(first, partial, alerts, accepted)| (
                first.to_owned(),
                partial,
                alerts,
                accepted
            ))
        );
    }

    #[test]
    fn a_day_is_the_residents_day() {
        let cases = [
            case("2026-11-02T14:59:59Z", None),
            case("2026-11-02T15:00:00Z", None),
        ];
        let cases: Vec<&Case> = cases.iter().collect();
        let seoul = TimeZone::get("Asia/Seoul").unwrap();
        let days = trend(
            &cases,
            Grain::Day,
            &seoul,
            millis("2026-11-01T15:00:00Z"),
            millis("2026-11-03T15:00:00Z"),
        );
        let seen: Vec<(bool, u64)> = days
            .iter()
            .map(|day| (day.is_partial, day.alerts))
            .collect();
        assert_eq!(seen, [(false, 1), (false, 1), (true, 0)]);
    }

    #[test]
    fn a_month_that_ends_with_the_report_is_whole() {
        let months = trend(
            &[],
            Grain::Month,
            &TimeZone::UTC,
            millis("2026-10-01T00:00:00Z"),
            millis("2026-12-01T00:00:00Z"),
        );
        let seen: Vec<(String, bool)> = months
            .iter()
            .map(|month| (month.first.to_string(), month.is_partial))
            .collect();
        assert_eq!(
            seen,
            [
                ("2026-10-01".to_owned(), false),
                ("2026-11-01".to_owned(), false),
                ("2026-12-01".to_owned(), true)
            ]
        );
    }
}
