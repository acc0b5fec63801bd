//! When in the week calls come, and how long they wait then.

use super::calendar::{HourSlot, HoursSeen, SLOTS};
use super::{Case, accept_times, median};

/// One hour of the week.
#[derive(Clone, Debug, PartialEq)]
pub struct HourFigures {
    /// Weekday and hour, on the line's clocks.
    pub slot: HourSlot,
    /// How often it occurred while the log was watched, summed over the complexes.
    pub occurred: f64,
    /// Alerts that were raised in it.
    pub alerts: u64,
    /// Those among them that were accepted and mature: what the median is taken from.
    pub timed: u64,
    /// Their median time to the first accept, in milliseconds.
    pub median_ms: Option<f64>,
}

impl HourFigures {
    /// Alerts per occurrence: a complex watched for a year and one watched for a week compare.
    pub fn rate(&self) -> Option<f64> {
        (0.0 < self.occurred).then(|| self.alerts as f64 / self.occurred)
    }
}

/// All hours of the week, Monday first.
pub fn by_hour(cases: &[&Case], seen: &HoursSeen, as_of: i64) -> Vec<HourFigures> {
    let mut cases_of: Vec<Vec<&Case>> = vec![Vec::new(); SLOTS];
    for case in cases {
        cases_of[case.slot.index()].push(case);
    }
    let figures = |slot: HourSlot| {
        let cases = &cases_of[slot.index()];
        let times = accept_times(cases.iter().copied().filter(|case| case.is_mature(as_of)));
        HourFigures {
            slot,
            occurred: seen.0[slot.index()],
            alerts: cases.len() as u64,
            timed: times.len() as u64,
            median_ms: median(&times),
        }
    };
    HourSlot::all().map(figures).collect()
}
