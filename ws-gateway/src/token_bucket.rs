//! How much a client may still ask for: a token bucket.

use std::time::Duration;

/// Holds `BURST` at most, and gains `PER_SECOND` in every whole second.
#[derive(Debug)]
pub(crate) struct TokenBucket<const BURST: i64, const PER_SECOND: i64> {
    left: i64,
    counted_at: Duration,
}

impl<const BURST: i64, const PER_SECOND: i64> TokenBucket<BURST, PER_SECOND> {
    pub(crate) fn full(now: Duration) -> Self {
        Self {
            left: BURST,
            counted_at: now,
        }
    }

    /// Takes so much, if anything is left: the last of it buys any amount, so that nothing is too large to be asked for once.
    pub(crate) fn take(&mut self, amount: i64, now: Duration) -> bool {
        self.refill(now);
        let is_left = 0 < self.left;
        if is_left {
            self.left -= amount;
        }
        is_left
    }

    /// Whether it is as if nothing had been taken.
    pub(crate) fn is_full(&mut self, now: Duration) -> bool {
        self.refill(now);
        self.left == BURST
    }

    fn refill(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.counted_at).as_secs();
        if 0 < seconds {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            let gained = seconds.saturating_mul(PER_SECOND);
            self.left = self.left.saturating_add(gained).min(BURST);
            self.counted_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_once_and_then_what_each_second_brings() {
        let mut bucket = TokenBucket::<1_000, 100>::full(Duration::ZERO);
        let mut taken = |second| {
            let now = Duration::from_secs(second);
            (0..5_000).take_while(|_| bucket.take(1, now)).count()
        };
        // A client that was silent for an hour has no more than one that has just come.
        assert_eq!(taken(3_600), 1_000);
        assert_eq!(taken(3_600), 0);
        assert_eq!(taken(3_601), 100);
        assert_eq!(taken(9_999), 1_000);
    }

    #[test]
    fn the_last_of_it_buys_any_amount_and_is_owed_for() {
        let mut bucket = TokenBucket::<1_000, 100>::full(Duration::ZERO);
        assert!(bucket.take(2_000, Duration::ZERO));
        assert!(!bucket.take(1, Duration::from_secs(10)));
        assert!(!bucket.is_full(Duration::from_secs(19)));
        assert!(bucket.is_full(Duration::from_secs(20)));
    }
}
