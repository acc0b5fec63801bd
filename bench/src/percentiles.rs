//! Exact percentiles of what was measured: every sample is kept, so nothing is rounded into buckets.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// Durations as they were measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    pub(crate) fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The percentiles, or None without samples.
    pub(crate) fn percentiles(mut self) -> Option<Percentiles> {
        self.0.sort_unstable();
        let max = *self.0.last()?;
        Some(Percentiles {
            count: self.0.len(),
            p50_us: micros(self.at_least(500)),
            p99_us: micros(self.at_least(990)),
            p99_9_us: micros(self.at_least(999)),
            max_us: micros(max),
        })
    }

    /// The nearest rank: the smallest sample that at least so many in a thousand do not exceed. Sorted, and not empty.
    fn at_least(&self, per_mille: usize) -> Duration {
        let rank = (self.0.len() * per_mille).div_ceil(1_000).max(1);
        self.0[rank - 1]
    }
}

/// In microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) count: usize,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p99_9_us: f64,
    pub(crate) max_us: f64,
}

/// With one digit behind the point.
pub(crate) fn micros(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000_000.0).round() / 10.0
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            count,
            p50_us,
            p99_us,
            p99_9_us,
            max_us,
        } = self;
        write!(
            f,
            "p50 {p50_us:.0}  p99 {p99_us:.0}  p99.9 {p99_9_us:.0}  max {max_us:.0} us  (n {count})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: impl IntoIterator<Item = u64>) -> Percentiles {
        Samples(samples.into_iter().map(Duration::from_micros).collect())
            .percentiles()
            .expect("samples")
    }

    #[test]
    fn a_percentile_is_a_sample_that_so_many_do_not_exceed() {
        let shuffled = of((1..=1_000).map(|n| n * 3 % 1_001));
        assert_eq!(
            (
                shuffled.p50_us,
                shuffled.p99_us,
                shuffled.p99_9_us,
                shuffled.max_us
            ),
            (500.0, 990.0, 999.0, 1_000.0)
        );
        let few = of([10, 20, 30]);
        assert_eq!(
            (few.p50_us, few.p99_us, few.p99_9_us, few.max_us),
            (20.0, 30.0, 30.0, 30.0)
        );
        let one = of([5]);
        assert_eq!((one.count, one.p50_us, one.max_us), (1, 5.0, 5.0));
    }

    #[test]
    fn one_slow_sample_in_a_thousand_shows_in_the_maximum_and_two_in_the_last_percentile() {
        let one = of((0..1_000).map(|n| if n == 3 { 9_000 } else { 10 }));
        assert_eq!((one.p99_9_us, one.max_us), (10.0, 9_000.0));
        let two = of((0..1_000).map(|n| if n < 2 { 9_000 } else { 10 }));
        assert_eq!((two.p99_us, two.p99_9_us), (10.0, 9_000.0));
    }

    #[test]
    fn nothing_measured_has_no_percentiles() {
        assert_eq!(Samples::default().percentiles(), None);
    }
}
