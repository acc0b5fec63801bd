//! How fast to read. Decides only: time is an argument.

use std::num::NonZeroU64;
use std::time::Duration;

/// A steady rate since the reading began.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: NonZeroU64,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(bytes_per_second: NonZeroU64) -> Self {
        Self {
            bytes_per_second,
            bytes: 0,
        }
    }

    /// Counts what was read, and says how long to rest when `elapsed` has passed since the reading began.
    pub(super) fn read(&mut self, bytes: usize, elapsed: Duration) -> Duration {
        self.bytes += bytes as u64;
        let due = Duration::from_secs_f64(self.bytes as f64 / self.bytes_per_second.get() as f64);
        due.saturating_sub(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_ahead_of_the_rate_rests_until_it_is_met() {
        let mut pace = Pace::new(NonZeroU64::new(1_000).unwrap());
        assert_eq!(pace.read(500, Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(
            pace.read(1_500, Duration::from_secs(1)),
            Duration::from_secs(1)
        );
    }
}
