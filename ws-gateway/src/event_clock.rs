//! What time it is on the clock that the log's records are stamped by.
//!
//! No single wall clock decides whether an alert is live. A record that is read as it comes is news whatever its time
//! says. For the records that were in the log when the gateway started there are two witnesses: the gateway's own clock,
//! and the records' times, of which at least [`WITNESSES`] must agree, so that one api whose clock is wrong, or one call
//! that waited long in an outbox, does not move it.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use event_model::{EventTime, fold::LIVE_FOR};
use service_kit::clock::Clock;

use crate::{metrics, outbound_event::Recency};

/// How many records must agree on a time.
const WITNESSES: usize = 3;
/// How many of the last records are asked.
const ASKED: usize = 5;
/// How far apart the two witnesses may be for either to be believed: a clock that is a day ahead, and a little more.
const WITNESSES_APART_MAX: Duration = Duration::from_secs(25 * 60 * 60);
/// Clocks that differ by less are right: records are read a little after they are written.
pub(crate) const TOLERANCE: Duration = Duration::from_secs(60);

/// Told by the feed, asked by the shards.
#[derive(Debug)]
pub(crate) struct EventClock {
    clock: Clock,
    /// Milliseconds by which the gateway's clock is ahead of the records' clock.
    ahead_ms: AtomicI64,
    /// The latest moment that enough records vouched for when the log was first read.
    newest_at_start: AtomicI64,
    differences_ms: Mutex<VecDeque<i64>>,
}

impl EventClock {
    /// Trusts the gateway's clock until records say otherwise.
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            ahead_ms: AtomicI64::new(0),
            newest_at_start: AtomicI64::new(i64::MIN),
            differences_ms: Mutex::new(VecDeque::new()),
        }
    }

    /// The log was read: no moment that its records vouch for is still to come. A clock that is ahead cannot be told
    /// from a quiet log yet.
    pub(crate) fn caught_up(&self, newest: Option<EventTime>) {
        let Some(newest) = newest else { return };
        self.newest_at_start
            .store(newest.as_millis(), Ordering::Relaxed);
        let ahead = self.wall().millis_since(newest);
        if ahead < -tolerance_ms() {
            self.set_ahead(ahead);
        }
    }

    /// A record was read as it came, with this timestamp. Whether the difference of the clocks is another from now on.
    pub(crate) fn heard(&self, time: EventTime) -> bool {
        let ahead = self.wall().millis_since(time);
        let mut differences = self
            .differences_ms
            .lock()
            .expect("no holder of this lock panics");
        differences.push_back(ahead);
        if ASKED < differences.len() {
            differences.pop_front();
        }
        if differences.len() < WITNESSES {
            return false;
        }
        let mut sorted: Vec<i64> = differences.iter().copied().collect();
        sorted.sort_unstable();
        let median = sorted[sorted.len() / 2];
        let ahead = if median.abs() < tolerance_ms() {
            0
        } else {
            median
        };
        self.newest_at_start.store(i64::MIN, Ordering::Relaxed);
        let before = self.ahead_ms();
        self.set_ahead(ahead);
        tolerance_ms() <= (ahead - before).abs()
    }

    fn set_ahead(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
        metrics::clock_difference(ahead_ms);
    }

    /// Milliseconds by which the gateway's clock is ahead of the records'; 0 if they agree within [`TOLERANCE`].
    pub(crate) fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }

    fn wall(&self) -> EventTime {
        EventTime::from_millis(self.clock.wall_ms())
    }

    fn now(&self) -> EventTime {
        let wall = self.wall().as_millis();
        EventTime::from_millis(wall.saturating_sub(self.ahead_ms()))
    }

    /// For how long an event is news. One from the future is news now.
    pub(crate) fn age(&self, recency: Recency) -> Duration {
        match recency {
            Recency::Live(at) => self.clock.elapsed().saturating_sub(at),
            Recency::Before(at) => {
                let age = self.now().millis_since(at);
                Duration::from_millis(u64::try_from(age).unwrap_or(0))
            }
        }
    }

    /// Under [`LIVE_FOR`] old. As long as nothing but the log's last records and this gateway's clock bear witness, and they
    /// are no more than a day apart, an alert is live if one of them says so: better told too long than not told.
    pub(crate) fn is_live(&self, recency: Recency) -> bool {
        if self.age(recency) < LIVE_FOR {
            return true;
        }
        let Recency::Before(at) = recency else {
            return false;
        };
        let newest = match self.newest_at_start.load(Ordering::Relaxed) {
            i64::MIN => return false,
            millis => EventTime::from_millis(millis),
        };
        newest < at.plus(LIVE_FOR) && self.now() < newest.plus(WITNESSES_APART_MAX)
    }
}

fn tolerance_ms() -> i64 {
    i64::try_from(TOLERANCE.as_millis()).expect("a minute")
}

/// The latest moment that at least [`WITNESSES`] of these times have reached; of fewer, the earliest.
pub(crate) fn vouched_for(mut times: Vec<EventTime>) -> Option<EventTime> {
    times.sort_unstable();
    let witness = times.len().saturating_sub(WITNESSES);
    times.get(witness).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// A clock that is ahead of the records by this much, or behind them.
    fn clock_that_is(ahead: Duration, behind: Duration) -> (EventClock, EventTime) {
        let clock = Clock::start();
        let true_now = EventTime::from_millis(clock.wall_ms())
            .minus(ahead)
            .plus(behind);
        (EventClock::new(clock), true_now)
    }

    #[test]
    fn a_gateway_whose_clock_is_a_day_ahead_still_tells_what_is_live() {
        let (clock, now) = clock_that_is(DAY, Duration::ZERO);
        let hour_old = Recency::Before(now.minus(60 * MINUTE));
        clock.caught_up(Some(now.minus(10 * MINUTE)));
        assert!(clock.is_live(hour_old));

        let minutes_old = Recency::Before(now.minus(9 * MINUTE));
        for _ in 0..3 {
            clock.heard(now);
        }

        assert!(clock.is_live(hour_old));
        assert!(!clock.is_live(Recency::Before(now.minus(DAY))));
        let age = clock.age(minutes_old);
        assert!(9 * MINUTE <= age && age < 10 * MINUTE, "{age:?}");
    }

    #[test]
    fn a_gateway_whose_clock_is_behind_does_not_tell_old_alerts_as_live() {
        for behind in [DAY, 20_000 * DAY] {
            let (clock, now) = clock_that_is(Duration::ZERO, behind);

            clock.caught_up(Some(now.minus(MINUTE)));

            assert!(!clock.is_live(Recency::Before(now.minus(DAY + MINUTE))));
            assert!(clock.is_live(Recency::Before(now.minus(60 * MINUTE))));
            assert!(9 * MINUTE < clock.age(Recency::Before(now.minus(11 * MINUTE))));
        }
    }

    #[test]
    fn a_quiet_log_makes_no_alert_live_again() {
        let (clock, now) = clock_that_is(Duration::ZERO, Duration::ZERO);
        clock.caught_up(Some(now.minus(2 * DAY)));
        assert!(!clock.is_live(Recency::Before(now.minus(2 * DAY))));
    }

    #[test]
    fn one_record_of_ten_years_ahead_or_a_call_that_waited_long_moves_no_clock() {
        let (clock, now) = clock_that_is(Duration::ZERO, Duration::ZERO);
        for time in [
            now.plus(3_650 * DAY),
            now,
            now,
            now.minus(DAY),
            now,
            now.plus(3_650 * DAY),
        ] {
            clock.heard(time);
            assert_eq!(clock.ahead_ms(), 0);
        }
        let lie = now.plus(3_650 * DAY);
        assert_eq!(vouched_for(vec![now, lie, now, now, lie]), Some(now));
        assert_eq!(vouched_for(vec![now]), Some(now));
        assert_eq!(vouched_for(vec![]), None);
    }

    #[test]
    fn a_call_that_is_read_as_it_comes_is_news_whatever_its_time_says() {
        let (clock, now) = clock_that_is(DAY, Duration::ZERO);
        clock.caught_up(Some(now));
        assert!(clock.is_live(Recency::Live(Duration::ZERO)));
        assert!(clock.age(Recency::Live(Duration::ZERO)) < 10 * MINUTE);
    }
}
