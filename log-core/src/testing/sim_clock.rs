//! A clock that moves when told.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::ids::TimestampMs;
use crate::node::Now;

/// The simulated twin of [`service_kit::clock::Clock`]: starts at zero, its wall wherever it is put.
#[derive(Debug)]
pub struct SimClock {
    hands: Mutex<Hands>,
}

#[derive(Debug)]
struct Hands {
    elapsed: Duration,
    /// What the wall shows beyond `elapsed`, in microseconds: milliseconds would lose the small steps.
    wall_ahead_us: i64,
    /// How much faster the wall goes, in millionths.
    drift_ppm: i64,
}

impl SimClock {
    /// A clock whose wall shows `wall`.
    pub fn at(wall: TimestampMs) -> Self {
        Self {
            hands: Mutex::new(Hands {
                elapsed: Duration::ZERO,
                wall_ahead_us: wall.0.saturating_mul(1_000),
                drift_ppm: 0,
            }),
        }
    }

    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        let mut hands = self.hands();
        hands.elapsed += time;
        let passed_us = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let drifted_us = passed_us.saturating_mul(hands.drift_ppm) / 1_000_000;
        hands.wall_ahead_us = hands.wall_ahead_us.saturating_add(drifted_us);
    }

    /// Sets the wall forward or back, as an operator or a time server does; timers notice nothing.
    pub fn jump_wall(&self, by_ms: i64) {
        let mut hands = self.hands();
        hands.wall_ahead_us = hands
            .wall_ahead_us
            .saturating_add(by_ms.saturating_mul(1_000));
    }

    /// From now on the wall goes faster by so many millionths, or slower; timers do not.
    pub fn drift_wall(&self, ppm: i64) {
        self.hands().drift_ppm = ppm;
    }

    /// What it shows now.
    pub(crate) fn now(&self) -> Now {
        let hands = self.hands();
        let elapsed_us = i64::try_from(hands.elapsed.as_micros()).unwrap_or(i64::MAX);
        let wall_us = elapsed_us.saturating_add(hands.wall_ahead_us);
        Now {
            elapsed: hands.elapsed,
            wall: TimestampMs(wall_us.div_euclid(1_000)),
        }
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        // Plain numbers: whoever panicked with the lock held left them whole.
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_may_jump_while_the_time_for_timers_only_grows() {
        let clock = SimClock::at(TimestampMs(1_000));
        clock.advance(Duration::from_millis(5));
        assert_eq!(
            (clock.now().elapsed, clock.now().wall),
            (Duration::from_millis(5), TimestampMs(1_005))
        );

        clock.jump_wall(-2_000);
        assert_eq!(
            (clock.now().elapsed, clock.now().wall),
            (Duration::from_millis(5), TimestampMs(-995))
        );
    }

    #[test]
    fn the_wall_may_drift_while_the_time_for_timers_does_not() {
        let clock = SimClock::at(TimestampMs(0));
        clock.drift_wall(500_000);
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.now().elapsed, Duration::from_secs(2));
        assert_eq!(clock.now().wall, TimestampMs(3_000));
    }

    #[test]
    fn steps_below_a_millisecond_add_up() {
        let clock = SimClock::at(TimestampMs(0));
        for _ in 0..10 {
            clock.advance(Duration::from_micros(300));
        }
        assert_eq!(clock.now().wall, TimestampMs(3));
    }
}
