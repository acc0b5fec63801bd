//! The figures of one complex, or of all of them together.

use std::collections::BTreeMap;

use super::{Case, Observation, Outcome, Percentiles, Survival, accept_times, median};

/// An alert counts as accepted if its first accept came within this time, and is mature when so much time has passed.
pub const ACCEPTED_WITHIN_MS: i64 = 60 * 60 * 1_000;

/// A call of the same house within this time of one that no neighbour has accepted is a repeat press.
pub const REPEAT_WITHIN_MS: i64 = 120 * 1_000;

/// The times whose shares are told.
pub const SHARES_WITHIN_MS: [i64; 3] = [10_000, 60_000, 300_000];

/// What can be wrong with an alert's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// It says nothing about where the caller is.
    NoLocation,
    /// What it said was no point on earth.
    InvalidLocation,
    /// It says (0, 0).
    NullIsland,
    /// Its text was cut.
    Truncated,
    /// The record's timestamp and the event's own time are more than a few seconds apart.
    Skew,
}

/// The figures of some alerts at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Alerts, by distinct ids.
    pub alerts: u64,
    /// Those that repeat an earlier call of the same house.
    pub repeat_presses: u64,
    /// Those whose hour was over.
    pub mature: u64,
    /// Mature ones with a first accept within the hour.
    pub accepted: u64,
    /// Accepted ones within each of [`SHARES_WITHIN_MS`].
    pub accepted_within: [u64; SHARES_WITHIN_MS.len()],
    /// Alerts whose first accept came after the hour.
    pub accepted_late: u64,
    /// First accepts that the clocks put before their alert.
    pub clamped: u64,
    /// Times to the first accept of mature accepted alerts, in milliseconds.
    pub naive: Option<Percentiles>,
    /// The wait of all alerts.
    pub survival: Survival,
    /// By the index of the category.
    pub categories: BTreeMap<u8, CategoryFigures>,
    /// How many houses came, and how the load was shared.
    pub responders: ResponderFigures,
    /// What was wrong with the records.
    pub flaws: FlawFigures,
}

/// The alerts of one category.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CategoryFigures {
    /// Alerts of the category, by distinct ids.
    pub alerts: u64,
    /// Those that are mature.
    pub mature: u64,
    /// Those among the mature that were accepted.
    pub accepted: u64,
    /// The median time to the first accept of those, in milliseconds.
    pub median_ms: Option<f64>,
}

/// Who accepted how often.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResponderFigures {
    /// Mature alerts with no, one, two, and three or more houses that accepted, whenever that was.
    pub per_alert: [u64; 4],
    /// Alerts that each house accepted, by its number.
    pub load: BTreeMap<u32, u64>,
    /// Alerts where each house was the first.
    pub first: BTreeMap<u32, u64>,
    /// Accepts by a house that had accepted the same alert before.
    pub repeated_accepts: u64,
    /// Accepts of the caller's own house.
    pub own_accepts: u64,
    /// Times from rank 1 to rank 2 in order, in milliseconds, never negative.
    pub gaps_ms: Vec<i64>,
}

/// How many records have each flaw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlawFigures {
    /// [`Flaw::NoLocation`].
    pub no_location: u64,
    /// [`Flaw::InvalidLocation`].
    pub invalid_location: u64,
    /// [`Flaw::NullIsland`].
    pub null_island: u64,
    /// [`Flaw::Truncated`].
    pub truncated: u64,
    /// [`Flaw::Skew`].
    pub skew: u64,
}

/// Computes the figures of alerts at `as_of`.
pub fn figures(cases: &[&Case], as_of: i64) -> Figures {
    let mature: Vec<&Case> = cases
        .iter()
        .copied()
        .filter(|case| case.is_mature(as_of))
        .collect();
    let times = accept_times(mature.iter().copied());
    let within = |limit: i64| times.partition_point(|time| *time <= limit) as u64;
    Figures {
        alerts: cases.len() as u64,
        repeat_presses: repeat_presses(cases),
        mature: mature.len() as u64,
        accepted: times.len() as u64,
        accepted_within: SHARES_WITHIN_MS.map(within),
        accepted_late: count(cases, |case| {
            case.first_accept_ms()
                .is_some_and(|time| ACCEPTED_WITHIN_MS < time)
        }),
        clamped: count(cases, |case| {
            case.raw_first_accept_ms().is_some_and(i64::is_negative)
        }),
        naive: Percentiles::of(&times),
        survival: Survival::estimate(cases.iter().map(|case| observe(case, as_of)).collect()),
        categories: by_category(cases, as_of),
        responders: responders(cases, &mature),
        flaws: flaws(cases),
    }
}

fn count(cases: &[&Case], mut has: impl FnMut(&Case) -> bool) -> u64 {
    cases.iter().filter(|case| has(case)).count() as u64
}

/// Walks each house's calls by time. All earlier calls within the time are looked at, since any of them may still wait.
fn repeat_presses(cases: &[&Case]) -> u64 {
    let mut calls_of: BTreeMap<u32, Vec<&Case>> = BTreeMap::new();
    for case in cases {
        calls_of.entry(case.house).or_default().push(case);
    }
    calls_of.into_values().map(repeats_of_house).sum()
}

fn repeats_of_house(mut calls: Vec<&Case>) -> u64 {
    calls.sort_by_key(|case| case.raised_at);
    let mut repeats = 0;
    for (index, call) in calls.iter().enumerate() {
        let earlier = calls[..index].iter().rev();
        let mut recent =
            earlier.take_while(|previous| call.raised_at - previous.raised_at <= REPEAT_WITHIN_MS);
        let waits = |previous: &&Case| {
            previous
                .accepted_from
                .is_none_or(|accepted| call.raised_at < accepted)
        };
        repeats += u64::from(recent.any(waits));
    }
    repeats
}

/// An alert that no neighbour accepted was watched until now, but no longer than the hour.
fn observe(case: &Case, as_of: i64) -> Observation {
    match case.first_accept_ms() {
        Some(time_ms) if time_ms <= ACCEPTED_WITHIN_MS => Observation {
            time_ms,
            outcome: Outcome::Accepted,
        },
        _ => {
            let watched = (as_of - case.raised_at).clamp(0, ACCEPTED_WITHIN_MS);
            Observation {
                time_ms: watched,
                outcome: Outcome::Censored,
            }
        }
    }
}

fn by_category(cases: &[&Case], as_of: i64) -> BTreeMap<u8, CategoryFigures> {
    let mut cases_of: BTreeMap<u8, Vec<&Case>> = BTreeMap::new();
    for case in cases {
        cases_of.entry(case.category).or_default().push(case);
    }
    let figures = |cases: Vec<&Case>| {
        let mature: Vec<&Case> = cases
            .iter()
            .copied()
            .filter(|case| case.is_mature(as_of))
            .collect();
        let times = accept_times(mature.iter().copied());
        CategoryFigures {
            alerts: cases.len() as u64,
            mature: mature.len() as u64,
            accepted: times.len() as u64,
            median_ms: median(&times),
        }
    };
    cases_of
        .into_iter()
        .map(|(category, cases)| (category, figures(cases)))
        .collect()
}

fn responders(cases: &[&Case], mature: &[&Case]) -> ResponderFigures {
    let mut figures = ResponderFigures::default();
    for case in mature {
        figures.per_alert[case.responses.len().min(3)] += 1;
    }
    for case in cases {
        for response in &case.responses {
            *figures.load.entry(response.house).or_default() += 1;
            figures.own_accepts += u64::from(response.house == case.house);
        }
        if let Some(first) = case.responses.first() {
            *figures.first.entry(first.house).or_default() += 1;
        }
        figures.repeated_accepts += case.accepts - case.responses.len() as u64;
        if let [first, second, ..] = case.responses[..] {
            figures.gaps_ms.push((second.at - first.at).max(0));
        }
    }
    figures.gaps_ms.sort_unstable();
    figures
}

fn flaws(cases: &[&Case]) -> FlawFigures {
    let with = |flaw: Flaw| count(cases, |case| case.flaws.contains(&flaw));
    FlawFigures {
        no_location: with(Flaw::NoLocation),
        invalid_location: with(Flaw::InvalidLocation),
        null_island: with(Flaw::NullIsland),
        truncated: with(Flaw::Truncated),
        skew: with(Flaw::Skew),
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::stats::{Response, slot_of};

    const MINUTE: i64 = 60_000;
    const AS_OF: i64 = 1_790_000_000_000;

    /// A call of house 0, so many minutes before the report, accepted by houses after so many milliseconds.
    fn call(minutes_before: i64, responses: &[(u32, i64)]) -> Case {
        let raised_at = AS_OF - minutes_before * MINUTE;
        let responses: Vec<Response> = responses
            .iter()
            .map(|(house, after)| Response {
                house: *house,
                at: raised_at + after,
            })
            .collect();
        Case {
            raised_at,
            house: 0,
            slot: slot_of(&TimeZone::UTC, raised_at),
            category: 0,
            flaws: vec![],
            accepted_from: responses.iter().map(|response| response.at).min(),
            accepts: responses.len() as u64,
            responses,
        }
    }

    fn figures_of(cases: &[Case]) -> Figures {
        figures(&cases.iter().collect::<Vec<_>>(), AS_OF)
    }

    #[test]
    fn only_alerts_whose_hour_is_over_count_for_rates() {
        let figures = figures_of(&[call(60, &[]), call(59, &[]), call(59, &[(1, 10)])]);
        assert_eq!(
            (figures.alerts, figures.mature, figures.accepted),
            (3, 1, 0)
        );
    }

    #[test]
    fn an_accept_after_the_hour_is_late_and_its_alert_unaccepted() {
        let figures = figures_of(&[
            call(200, &[(1, 60 * MINUTE)]),
            call(190, &[(1, 60 * MINUTE + 1)]),
        ]);
        assert_eq!(
            (figures.mature, figures.accepted, figures.accepted_late),
            (2, 1, 1)
        );
        assert_eq!(figures.responders.per_alert, [0, 2, 0, 0]);
    }

    #[test]
    fn an_accept_before_its_alert_took_no_time_and_is_counted() {
        let figures = figures_of(&[call(90, &[(1, -2_000)])]);
        assert_eq!(
            (figures.naive.map(|naive| naive.max), figures.clamped),
            (Some(0.0), 1)
        );
    }

    #[test]
    fn a_second_press_repeats_the_first_only_while_that_waits_and_within_two_minutes() {
        assert_eq!(
            figures_of(&[call(90, &[]), call(88, &[])]).repeat_presses,
            1
        );
        assert_eq!(
            figures_of(&[call(91, &[]), call(88, &[])]).repeat_presses,
            0
        );
        assert_eq!(
            figures_of(&[call(90, &[(1, 2 * MINUTE)]), call(88, &[])]).repeat_presses,
            0
        );
        assert_eq!(
            figures_of(&[call(90, &[(1, 2 * MINUTE + 1)]), call(88, &[])]).repeat_presses,
            1
        );
    }

    #[test]
    fn shares_count_up_to_their_limit_included() {
        let figures = figures_of(&[
            call(90, &[(1, 10_000)]),
            call(80, &[(1, 10_001)]),
            call(70, &[(1, 300_001)]),
        ]);
        assert_eq!(figures.accepted_within, [1, 2, 2]);
    }

    #[test]
    fn the_gap_is_between_the_first_two_houses() {
        let figures = figures_of(&[
            call(90, &[(1, 1_000), (2, 4_000), (3, 2_000)]),
            call(80, &[(2, 1_000)]),
        ]);
        assert_eq!(figures.responders.gaps_ms, [3_000]);
        assert_eq!(
            figures.responders.load.into_iter().collect::<Vec<_>>(),
            [(1, 1), (2, 2), (3, 1)]
        );
        assert_eq!(
            figures.responders.first.into_iter().collect::<Vec<_>>(),
            [(1, 1), (2, 1)]
        );
    }
}
