//! How sure a share is.

/// The two-sided 95 % quantile of the normal distribution.
pub(super) const Z_95: f64 = 1.959_963_984_540_054;

/// Where the truth lies in 95 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Not below this.
    pub low: f64,
    /// Not above this.
    pub high: f64,
}

/// The 95 % interval of a share by Wilson (1927): unlike the textbook one it stays between 0 and 1, and does not
/// collapse where nothing was seen to fail. `None` of no trials.
pub fn wilson(successes: u64, trials: u64) -> Option<Interval> {
    if trials == 0 {
        return None;
    }
    let n = trials as f64;
    let share = successes as f64 / n;
    let z2 = Z_95 * Z_95;
    let centre = share + z2 / (2.0 * n);
    let spread = Z_95 * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    Some(Interval {
        low: ((centre - spread) / scale).max(0.0),
        high: ((centre + spread) / scale).min(1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // Newcombe (1998), table I, method 3: 81 of 263, and 0 of 20.
        let rounded = |successes, trials| {
            let interval = wilson(successes, trials).unwrap();
            [interval.low, interval.high].map(|bound| format!("{bound:.4}"))
        };
        assert_eq!(rounded(81, 263), ["0.2553", "0.3662"]);
        assert_eq!(rounded(0, 20), ["0.0000", "0.1611"]);
        assert_eq!(wilson(0, 0), None);
    }
}
