//! How long alerts wait, those that are still waiting included: the estimate of Kaplan and Meier (1958).
//!
//! The plain percentiles look only at alerts that were accepted, and so hide the bad cases. Here an alert that nobody has
//! accepted yet says what it knows: that it waited at least so long.

use super::intervals::{Interval, Z_95};

/// What is known of one alert's wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// How long it was watched, in milliseconds.
    pub time_ms: i64,
    /// How the watching ended.
    pub outcome: Outcome,
}

/// How the watching of an alert ended. At the same time accepts come before censorings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// A neighbour accepted.
    Accepted,
    /// No neighbour had accepted by then, and what came later is not known or no longer counts.
    Censored,
}

/// The estimate after one moment at which a neighbour accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The moment, in milliseconds after the call.
    pub time_ms: i64,
    /// How many alerts were still waiting and watched just before it.
    pub at_risk: u64,
    /// How many were accepted at it.
    pub accepted: u64,
    /// The share of alerts that still wait after it.
    pub waiting: f64,
    /// 95 % by Greenwood (1926) on the log-log scale. `None` where no caller waits any more: the method says nothing there.
    pub interval: Option<Interval>,
}

/// When a share of the alerts is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantile {
    /// The least time after which at most 1 - p wait. `None`: not reached within the time that was watched.
    pub time_ms: Option<i64>,
    /// The least time at which the lower curve gets there.
    pub low_ms: Option<i64>,
    /// The least time at which the upper curve gets there.
    pub high_ms: Option<i64>,
}

/// The curve: what share of the alerts still waits after a time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survival {
    points: Vec<Point>,
}

/// A product of many fractions is a little off; a share that should be one half must not miss one half by that.
const ROUNDING: f64 = 1e-9;

impl Survival {
    /// Estimates the curve from every alert there is.
    pub fn estimate(mut observations: Vec<Observation>) -> Self {
        observations.sort_unstable_by_key(|observation| (observation.time_ms, observation.outcome));
        let mut points = Vec::new();
        let mut at_risk = observations.len() as u64;
        let (mut waiting, mut greenwood) = (1.0, 0.0);
        for same_time in observations.chunk_by(|left, right| left.time_ms == right.time_ms) {
            let accepted = same_time
                .iter()
                .filter(|one| one.outcome == Outcome::Accepted)
                .count() as u64;
            if 0 < accepted {
                let (n, d) = (at_risk as f64, accepted as f64);
                waiting *= 1.0 - d / n;
                greenwood += d / (n * (n - d));
                let interval = log_log(waiting, greenwood);
                points.push(Point {
                    time_ms: same_time[0].time_ms,
                    at_risk,
                    accepted,
                    waiting,
                    interval,
                });
            }
            at_risk -= same_time.len() as u64;
        }
        Self { points }
    }

    /// Every moment at which a neighbour accepted, in order. Between two of them the curve is level; before the first all wait.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The last point at or before a time. `None`: all still wait.
    pub fn at(&self, time_ms: i64) -> Option<&Point> {
        let after = self
            .points
            .partition_point(|point| point.time_ms <= time_ms);
        self.points[..after].last()
    }

    /// When the share `accepted` of all alerts is accepted.
    pub fn quantile(&self, accepted: f64) -> Quantile {
        let waiting = 1.0 - accepted + ROUNDING;
        let first = |below: &dyn Fn(&Point) -> bool| {
            self.points
                .iter()
                .find(|point| below(point))
                .map(|point| point.time_ms)
        };
        Quantile {
            time_ms: first(&|point| point.waiting <= waiting),
            low_ms: first(&|point| {
                point
                    .interval
                    .is_none_or(|interval| interval.low <= waiting)
            }),
            high_ms: first(&|point| {
                point
                    .interval
                    .is_some_and(|interval| interval.high <= waiting)
            }),
        }
    }
}

/// S to the power of exp(+-z se), where se is the standard error of ln(-ln S).
fn log_log(waiting: f64, greenwood: f64) -> Option<Interval> {
    if waiting <= ROUNDING {
        return None;
    }
    let spread = (Z_95 * greenwood.sqrt() / -waiting.ln()).exp();
    Some(Interval {
        low: waiting.powf(spread),
        high: waiting.powf(1.0 / spread),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observations(accepted: &[i64], censored: &[i64]) -> Vec<Observation> {
        let accepted = accepted.iter().map(|time_ms| Observation {
            time_ms: *time_ms,
            outcome: Outcome::Accepted,
        });
        let censored = censored.iter().map(|time_ms| Observation {
            time_ms: *time_ms,
            outcome: Outcome::Censored,
        });
        censored.chain(accepted).collect()
    }

    #[test]
    fn the_curve_is_the_one_of_the_textbook() {
        // Remission of leukaemia under 6-mercaptopurine (Freireich 1963), as in Collett and in R's survival package:
        // survfit(Surv(time, status) ~ 1, conf.type = "log-log").
        let survival = Survival::estimate(observations(
            &[6, 6, 6, 7, 10, 13, 16, 22, 23],
            &[6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35],
        ));
        let rounded: Vec<(i64, u64, String)> = survival
            .points()
            .iter()
            .map(|point| {
                (
                    point.time_ms,
                    point.at_risk,
                    format!("{:.3}", point.waiting),
                )
            })
            .collect();
        let expected = [
            (6, 21, "0.857"),
            (7, 17, "0.807"),
            (10, 15, "0.753"),
            (13, 12, "0.690"),
            (16, 11, "0.627"),
            (22, 7, "0.538"),
            (23, 6, "0.448"),
        ];
        assert_eq!(
            rounded,
            expected.map(|(time, at_risk, waiting)| (time, at_risk, waiting.to_owned()))
        );
        let interval = survival.at(10).unwrap().interval.unwrap();
        assert_eq!(
            (
                format!("{:.3}", interval.low),
                format!("{:.3}", interval.high)
            ),
            ("0.503".to_owned(), "0.889".to_owned())
        );
        let median = survival.quantile(0.5);
        assert_eq!(
            median,
            Quantile {
                time_ms: Some(23),
                low_ms: Some(13),
                high_ms: None
            }
        );
    }

    #[test]
    fn where_nobody_is_censored_a_half_is_a_half() {
        let survival = Survival::estimate(observations(&(1..=10).collect::<Vec<_>>(), &[]));
        assert_eq!(survival.quantile(0.5).time_ms, Some(5));
        assert_eq!(survival.quantile(0.9).time_ms, Some(9));
        assert_eq!(survival.points().last().unwrap().interval, None);
    }

    #[test]
    fn a_share_that_never_accepts_is_not_reached() {
        let survival = Survival::estimate(observations(&[1], &[60, 60, 60]));
        assert_eq!(
            survival.quantile(0.5),
            Quantile {
                time_ms: None,
                low_ms: Some(1),
                high_ms: None
            }
        );
        assert_eq!(
            Survival::estimate(vec![]).quantile(0.5),
            Quantile::default()
        );
    }
}
