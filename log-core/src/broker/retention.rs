//! Which records a topic's retention has given up, from what the files say of themselves (`retention.ms`,
//! `retention.bytes`). Whole segments go, the oldest first, as in Kafka's `UnifiedLog.deleteOldSegments`.

use crate::ids::{Offset, TimestampMs};
use crate::storage::SegmentSummary;

/// How long and how much is kept; `None` is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Retention {
    pub(super) ms: Option<u64>,
    pub(super) bytes: Option<u64>,
}

/// The first offset that is kept; `None` when everything is.
pub(super) fn log_start(
    retention: Retention,
    segments: &[SegmentSummary],
    now: TimestampMs,
) -> Option<Offset> {
    let too_old = retention
        .ms
        .and_then(|ms| end_of_the_old(ms, segments, now));
    let too_many = retention
        .bytes
        .and_then(|bytes| end_of_the_many(bytes, segments));
    too_old.max(too_many)
}

/// A segment is old when its youngest record is. One without any stays, and so do those after it.
fn end_of_the_old(ms: u64, segments: &[SegmentSummary], now: TimestampMs) -> Option<Offset> {
    let kept_since = TimestampMs(now.0.saturating_sub_unsigned(ms));
    let is_old = |segment: &&SegmentSummary| {
        segment
            .max_timestamp
            .is_some_and(|youngest| youngest < kept_since)
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

    /// Segments of ten records and a hundred bytes each, the youngest record of each at the time given.
    fn segments(youngest: &[Option<i64>]) -> Vec<SegmentSummary> {
        let segment = |(number, youngest): (u64, &Option<i64>)| SegmentSummary {
            base_offset: Offset(number * 10),
            end_offset: Offset(number * 10 + 10),
            bytes: 100,
            max_timestamp: youngest.map(TimestampMs),
        };
        (0..).zip(youngest).map(segment).collect()
    }

    #[test]
    fn segments_whose_youngest_record_is_too_old_go_up_to_the_first_that_is_not() {
        let segments = segments(&[Some(100), Some(200), Some(900), Some(300)]);
        let by_time = |ms| {
            log_start(
                Retention {
                    ms: Some(ms),
                    bytes: None,
                },
                &segments,
                TimestampMs(1_000),
            )
        };
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
    fn a_segment_without_a_timestamp_is_not_deleted_by_time() {
        let segments = segments(&[Some(100), None, Some(200)]);
        let kept = log_start(
            Retention {
                ms: Some(1),
                bytes: None,
            },
            &segments,
            TimestampMs(1_000),
        );
        assert_eq!(kept, Some(Offset(10)));
    }

    #[test]
    fn segments_go_while_what_is_left_has_the_bytes_that_are_to_be_kept() {
        let segments = segments(&[Some(1), Some(2), Some(3)]);
        let by_bytes = |bytes| {
            log_start(
                Retention {
                    ms: None,
                    bytes: Some(bytes),
                },
                &segments,
                TimestampMs(4),
            )
        };
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
        assert_eq!(
            log_start(
                Retention::default(),
                &segments(&[Some(1)]),
                TimestampMs(i64::MAX)
            ),
            None
        );
    }
}
