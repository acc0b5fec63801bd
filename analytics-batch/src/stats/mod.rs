//! The figures: numbers in, numbers out. No log, no files, no formatting, and no names: houses are numbers here.
//!
//! Definitions: the table "Statistics" of the report's own page on method, which these modules follow line by line.

mod calendar;
mod figures;
mod hours;
mod intervals;
mod percentiles;
mod survival;
mod trend;

pub use calendar::{HourSlot, HoursSeen, SLOTS, day_start_ms, hours_seen, slot_of};
pub use figures::{
    ACCEPTED_WITHIN_MS, CategoryFigures, Figures, Flaw, FlawFigures, REPEAT_WITHIN_MS,
    ResponderFigures, SHARES_WITHIN_MS, figures,
};
pub use hours::{HourFigures, by_hour};
pub use intervals::{Interval, wilson};
pub use percentiles::{Percentiles, median, percentile};
pub use survival::{Observation, Outcome, Point, Quantile, Survival};
pub use trend::{Grain, Period, trend};

/// One alert, as far as the figures go. Times are milliseconds since 1970 UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// When it was raised.
    pub raised_at: i64,
    /// The caller: the same number for the same house of the same line.
    pub house: u32,
    /// The hour of the week in the line's time zone.
    pub slot: HourSlot,
    /// Which rule of the dictionary its text met.
    pub category: u8,
    /// What was wrong with the record.
    pub flaws: Vec<Flaw>,
    /// The first accept of each house that accepted, in order of rank.
    pub responses: Vec<Response>,
    /// When the earliest of its accepts was made, whatever its rank.
    pub accepted_from: Option<i64>,
    /// How many accepts it has, second ones of a house included.
    pub accepts: u64,
}

/// The first accept of one house.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// The responder, numbered as the callers are.
    pub house: u32,
    /// When it accepted.
    pub at: i64,
}

impl Case {
    /// From the call to the rank-1 accept, never negative: clocks that disagree count as no time at all.
    pub fn first_accept_ms(&self) -> Option<i64> {
        self.raw_first_accept_ms().map(|millis| millis.max(0))
    }

    /// As the clocks say it.
    pub fn raw_first_accept_ms(&self) -> Option<i64> {
        self.responses
            .first()
            .map(|response| response.at - self.raised_at)
    }

    /// Has a rank-1 accept within the hour that counts.
    pub fn is_accepted(&self) -> bool {
        self.first_accept_ms()
            .is_some_and(|millis| millis <= ACCEPTED_WITHIN_MS)
    }

    /// Raised early enough that its hour was over at `as_of`. Rates and shares look at these only, since the others
    /// may still be accepted.
    pub fn is_mature(&self, as_of: i64) -> bool {
        ACCEPTED_WITHIN_MS <= as_of - self.raised_at
    }
}

/// The times to the first accept of the accepted among some cases, in order.
pub fn accept_times<'a>(cases: impl IntoIterator<Item = &'a Case>) -> Vec<i64> {
    let accepted = cases.into_iter().filter(|case| case.is_accepted());
    let mut times: Vec<i64> = accepted.filter_map(Case::first_accept_ms).collect();
    times.sort_unstable();
    times
}
