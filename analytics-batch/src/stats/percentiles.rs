//! Percentiles of what was measured: type 7 of Hyndman and Fan (1996), the one of R, NumPy and spreadsheets.

/// Of times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    /// How many times they were taken from.
    pub count: usize,
    /// Half were at most this, in the unit of the times.
    pub p50: f64,
    /// Three quarters were at most this.
    pub p75: f64,
    /// Nine in ten were.
    pub p90: f64,
    /// Nineteen in twenty were.
    pub p95: f64,
    /// All but one in a hundred were.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Percentiles {
    /// Of times in order. `None` of none.
    pub fn of(sorted: &[i64]) -> Option<Self> {
        Some(Self {
            count: sorted.len(),
            p50: percentile(sorted, 0.5)?,
            p75: percentile(sorted, 0.75)?,
            p90: percentile(sorted, 0.9)?,
            p95: percentile(sorted, 0.95)?,
            p99: percentile(sorted, 0.99)?,
            max: percentile(sorted, 1.0)?,
        })
    }
}

/// The type 7 percentile of values in order; `share` from 0 to 1. `None` of none.
pub fn percentile(sorted: &[i64], share: f64) -> Option<f64> {
    debug_assert!(sorted.is_sorted());
    let last = sorted.len().checked_sub(1)?;
    let position = share * float(last);
    let below = position.floor();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to the last index"
    )]
    let index = below as usize;
    let (lower, upper) = (sorted[index] as f64, sorted[(index + 1).min(last)] as f64);
    Some(lower + (position - below) * (upper - lower))
}

/// The type 7 median of values in order.
pub fn median(sorted: &[i64]) -> Option<f64> {
    percentile(sorted, 0.5)
}

fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_r_type_7() {
        // quantile(c(1, 2, 3, 4, 10), c(.5, .75, .9, .95, .99, 1), type = 7)
        let percentiles = Percentiles::of(&[1, 2, 3, 4, 10]).unwrap();
        let Percentiles {
            p50,
            p75,
            p90,
            p95,
            p99,
            max,
            ..
        } = percentiles;
        let expected = [3.0, 4.0, 7.6, 8.8, 9.76, 10.0];
        for (found, expected) in [p50, p75, p90, p95, p99, max].into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn one_value_is_every_percentile_and_none_is_none() {
        assert_eq!(percentile(&[7], 0.99), Some(7.0));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
