//! The hours of a week as people live them: which one a moment falls into, and how often each was there to be called in.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Hours in a week.
pub const SLOTS: usize = 7 * 24;

const HOUR_MS: i64 = 60 * 60 * 1_000;

/// One hour of the week: 0 is Monday 00:00 to 01:00 local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HourSlot(u8);

impl HourSlot {
    /// All of them, Monday first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..168).map(Self)
    }

    /// Its place in an array of [`SLOTS`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// 0 for Monday.
    pub fn weekday(self) -> u8 {
        self.0 / 24
    }

    /// 0 to 23.
    pub fn hour(self) -> u8 {
        self.0 % 24
    }
}

/// How often each hour of the week occurred, in hours: days with a clock change have 23 or 25, and what was seen of an
/// hour only in part counts in part.
#[derive(Clone, Debug, PartialEq)]
pub struct HoursSeen(pub [f64; SLOTS]);

impl Default for HoursSeen {
    fn default() -> Self {
        Self([0.0; SLOTS])
    }
}

impl HoursSeen {
    /// Adds the hours of another complex.
    pub fn add(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own += other;
        }
    }
}

/// The hour of the week at a moment.
pub fn slot_of(zone: &TimeZone, at_ms: i64) -> HourSlot {
    slot_of_local(at_ms + offset_ms(zone, at_ms))
}

/// How often each hour of the week occurred from one moment to another.
pub fn hours_seen(zone: &TimeZone, from_ms: i64, to_ms: i64) -> HoursSeen {
    let mut seen = HoursSeen::default();
    let mut at = from_ms;
    while at < to_ms {
        let local = at + offset_ms(zone, at);
        let hour_end = at + HOUR_MS - local.rem_euclid(HOUR_MS);
        let end = next_change_ms(zone, at)
            .map_or(hour_end, |change| hour_end.min(change))
            .min(to_ms);
        seen.0[slot_of_local(local).index()] += (end - at) as f64 / HOUR_MS as f64;
        at = end;
    }
    seen
}

/// When the day began at a moment.
pub fn day_start_ms(zone: &TimeZone, at_ms: i64) -> i64 {
    midnight_ms(timestamp(at_ms).to_zoned(zone.clone()).date(), zone)
}

/// When a day begins: where clocks change at midnight, that may be later than 00:00.
pub(super) fn midnight_ms(date: Date, zone: &TimeZone) -> i64 {
    let start = date
        .to_zoned(zone.clone())
        .expect("event times lie far from the calendar's ends");
    start.timestamp().as_millisecond()
}

fn slot_of_local(local_ms: i64) -> HourSlot {
    // 1970-01-01 was a Thursday, three days after a Monday.
    let hours = local_ms.div_euclid(HOUR_MS) + 3 * 24;
    HourSlot(u8::try_from(hours.rem_euclid(168)).expect("below 168"))
}

fn offset_ms(zone: &TimeZone, at_ms: i64) -> i64 {
    i64::from(zone.to_offset(timestamp(at_ms)).seconds()) * 1_000
}

/// When the zone's clocks change next.
fn next_change_ms(zone: &TimeZone, at_ms: i64) -> Option<i64> {
    zone.following(timestamp(at_ms))
        .next()
        .map(|change| change.timestamp().as_millisecond())
}

fn timestamp(at_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at_ms).expect("event times lie between 1970 and 9999")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    #[test]
    fn a_moment_falls_into_the_hour_that_the_residents_clock_shows() {
        let slot = slot_of(&zone("Asia/Seoul"), millis("2026-11-22T15:30:00Z"));
        assert_eq!((slot.weekday(), slot.hour()), (0, 0));
        let slot = slot_of(&zone("America/New_York"), millis("2026-11-22T15:30:00Z"));
        assert_eq!((slot.weekday(), slot.hour()), (6, 10));
    }

    #[test]
    fn a_week_has_each_of_its_hours_once() {
        let seen = hours_seen(
            &zone("Asia/Seoul"),
            millis("2026-11-20T06:00:00Z"),
            millis("2026-11-27T06:00:00Z"),
        );
        assert!(seen.0.iter().all(|hours| (hours - 1.0).abs() < 1e-9));
    }

    #[test]
    fn the_hour_that_spring_skips_did_not_occur_and_the_one_that_autumn_repeats_occurred_twice() {
        let new_york = zone("America/New_York");
        let sunday = |hour: usize| 6 * 24 + hour;
        let spring = hours_seen(
            &new_york,
            millis("2026-03-08T05:00:00Z"),
            millis("2026-03-09T04:00:00Z"),
        );
        assert_eq!(
            [1, 2, 3].map(|hour| spring.0[sunday(hour)]),
            [1.0, 0.0, 1.0]
        );
        let autumn = hours_seen(
            &new_york,
            millis("2026-11-01T04:00:00Z"),
            millis("2026-11-02T05:00:00Z"),
        );
        assert_eq!(
            [0, 1, 2].map(|hour| autumn.0[sunday(hour)]),
            [1.0, 2.0, 1.0]
        );
    }

    #[test]
    fn a_change_of_half_an_hour_counts_half_an_hour() {
        let lord_howe = zone("Australia/Lord_Howe");
        let seen = hours_seen(
            &lord_howe,
            millis("2026-10-03T13:30:00Z"),
            millis("2026-10-04T13:00:00Z"),
        );
        assert_eq!([1, 2, 3].map(|hour| seen.0[6 * 24 + hour]), [1.0, 0.5, 1.0]);
    }

    #[test]
    fn an_hour_seen_in_part_counts_in_part() {
        let seen = hours_seen(
            &zone("Asia/Seoul"),
            millis("2026-11-22T15:15:00Z"),
            millis("2026-11-22T16:30:00Z"),
        );
        assert_eq!((seen.0[0], seen.0[1]), (0.75, 0.5));
    }
}
