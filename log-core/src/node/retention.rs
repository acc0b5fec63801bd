//! Which records a topic's retention has given up, from what the files say of themselves (`retention.ms`,
//! `retention.bytes`). Whole segments go, the oldest first, as in Kafka's `UnifiedLog.deleteOldSegments`.
//!
//! A segment's age is that of its last append, in command time that leaders lived through. What producers wrote into
//! their records neither deletes nor keeps.

use crate::ids::{Offset, TimestampMs};
use crate::state::ClockJumps;
use crate::storage::SegmentSummary;

/// How long and how much is kept; `None` is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Retention {
    pub(super) ms: Option<u64>,
    pub(super) bytes: Option<u64>,
}

/// Command time, and which parts of it count for nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ages<'a> {
    pub(super) now: TimestampMs,
    pub(super) jumps: &'a ClockJumps,
}

/// The first offset that is kept; `None` when everything is.
pub(super) fn log_start(
    retention: Retention,
    segments: &[SegmentSummary],
    ages: Ages<'_>,
) -> Option<Offset> {
    let too_old = retention
        .ms
        .and_then(|ms| end_of_the_old(ms, segments, ages));
    let too_many = retention
        .bytes
        .and_then(|bytes| end_of_the_many(bytes, segments));
    too_old.max(too_many)
}

/// A segment is old when its last append is. One without any stays, and so do those after it.
fn end_of_the_old(ms: u64, segments: &[SegmentSummary], ages: Ages<'_>) -> Option<Offset> {
    let Ages { now, jumps } = ages;
    let is_old = |segment: &&SegmentSummary| {
        segment
            .appended
            .is_some_and(|appended| ms < jumps.age_ms(appended.last, now))
    };
    segments
        .iter()
        .take_while(is_old)
        .last()
        .map(|segment| segment.end_offset)
}

/// A segment goes as long as what is left still has the bytes that are to be kept.
fn end_of_the_many(bytes: u64, segments: &[SegmentSummary]) -> Option<Offset> {
    let mut left: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let mut end = None;
    for segment in segments {
        left -= segment.bytes;
        if left < bytes {
            break;
        }
        end = Some(segment.end_offset);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::segment_summary::AppendTimes;

    /// Segments of ten records and a hundred bytes each, the last append of each at the time given. Their records say that
    /// they are of another century.
    fn segments(last_appends: &[Option<i64>]) -> Vec<SegmentSummary> {
        let segment = |(number, last): (u64, &Option<i64>)| SegmentSummary {
            base_offset: Offset(number * 10),
            end_offset: Offset(number * 10 + 10),
            bytes: 100,
            max_timestamp: Some(TimestampMs(if number % 2 == 0 { 0 } else { i64::MAX })),
            appended: last.map(|last| AppendTimes {
                first: TimestampMs(0),
                last: TimestampMs(last),
            }),
        };
        (0..).zip(last_appends).map(segment).collect()
    }

    fn log_start_at(
        ms: Option<u64>,
        bytes: Option<u64>,
        segments: &[SegmentSummary],
        jumps: &ClockJumps,
    ) -> Option<Offset> {
        let now = TimestampMs(1_000);
        log_start(Retention { ms, bytes }, segments, Ages { now, jumps })
    }

    #[test]
    fn segments_whose_last_append_is_too_old_go_up_to_the_first_that_is_not() {
        let segments = segments(&[Some(100), Some(200), Some(900), Some(300)]);
        let by_time = |ms| log_start_at(Some(ms), None, &segments, &ClockJumps::default());
        assert_eq!(by_time(900), None, "exactly as old as allowed");
        assert_eq!(by_time(899), Some(Offset(10)));
        assert_eq!(by_time(500), Some(Offset(20)));
        assert_eq!(
            by_time(0),
            Some(Offset(40)),
            "all of them, the active one too"
        );
    }

    #[test]
    fn time_that_no_leader_lived_through_makes_no_segment_old() {
        let segments = segments(&[Some(100), Some(200), Some(900), Some(950)]);
        let mut jumps = ClockJumps::default();
        jumps.note(TimestampMs(900), 650);
        let by_time = |ms| log_start_at(Some(ms), None, &segments, &jumps);
        assert_eq!(by_time(250), None);
        assert_eq!(by_time(249), Some(Offset(10)));
        assert_eq!(by_time(149), Some(Offset(20)));
    }

    #[test]
    fn a_segment_without_an_append_is_not_deleted_by_time() {
        let segments = segments(&[Some(100), None, Some(200)]);
        let kept = log_start_at(Some(1), None, &segments, &ClockJumps::default());
        assert_eq!(kept, Some(Offset(10)));
    }

    #[test]
    fn segments_go_while_what_is_left_has_the_bytes_that_are_to_be_kept() {
        let segments = segments(&[Some(1), Some(2), Some(3)]);
        let by_bytes = |bytes| log_start_at(None, Some(bytes), &segments, &ClockJumps::default());
        assert_eq!(by_bytes(301), None);
        assert_eq!(
            by_bytes(201),
            None,
            "one less would leave less than is to be kept"
        );
        assert_eq!(by_bytes(200), Some(Offset(10)));
        assert_eq!(by_bytes(0), Some(Offset(30)));
    }

    #[test]
    fn without_limits_everything_stays() {
        let segments = segments(&[Some(1)]);
        let kept = log_start_at(None, None, &segments, &ClockJumps::default());
        assert_eq!(kept, None);
    }
}
