//! Open loop: each request is due at a time of its own, and a late one counts from when it was due. A generator that
//! waits for the answer before it asks again measures a system that it has itself relieved.

use std::thread;
use std::time::{Duration, Instant};

use service_kit::clock;

/// How long before a request is due the generator stops sleeping: a sleep ends late by about this much at worst on a
/// machine that is not full.
const SPIN: Duration = Duration::from_micros(150);

/// When each request is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start: Instant,
    per_second: u32,
    pub(crate) count: u32,
}

impl Schedule {
    /// So many a second, for so long.
    pub(crate) fn new(start: Instant, per_second: u32, seconds: u32) -> Self {
        Self {
            start,
            per_second,
            count: per_second * seconds,
        }
    }

    /// Computed from the start each time, so that no error adds up.
    pub(crate) fn due(&self, request: u32) -> Instant {
        let nanos = u64::from(request) * 1_000_000_000 / u64::from(self.per_second);
        self.start + Duration::from_nanos(nanos)
    }

    /// Waits until a request is due; returns at once if it is late already.
    pub(crate) fn wait_for(&self, request: u32) -> Instant {
        let due = self.due(request);
        let nap = due
            .saturating_duration_since(clock::steady())
            .saturating_sub(SPIN);
        if !nap.is_zero() {
            thread::sleep(nap);
        }
        while clock::steady() < due {
            std::hint::spin_loop();
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_request_of_a_second_is_due_where_no_error_has_added_up() {
        let start = clock::steady();
        let schedule = Schedule::new(start, 3, 1_000);
        assert_eq!(schedule.count, 3_000);
        assert_eq!(schedule.due(0), start);
        assert_eq!(schedule.due(3), start + Duration::from_secs(1));
        assert_eq!(schedule.due(2_997), start + Duration::from_secs(999));
    }

    #[test]
    fn a_request_that_is_late_is_still_due_when_it_was() {
        let start = clock::steady()
            .checked_sub(Duration::from_secs(1))
            .expect("the machine is up for longer");
        let schedule = Schedule::new(start, 1_000, 1);
        assert_eq!(schedule.wait_for(10), start + Duration::from_millis(10));
    }

    #[test]
    fn nobody_is_let_go_before_the_time() {
        let schedule = Schedule::new(clock::steady(), 200, 1);
        for request in 0..4 {
            let due = schedule.wait_for(request);
            assert!(due <= clock::steady());
        }
    }
}
