//! What the raw loops reach on an idle machine: a run whose floor is far from that says more about the machine's other
//! guests than about us, and does not count.

use std::fmt;

use serde::Serialize;

/// How far a floor may be from the idle machine's, as a share of it.
const TOLERANCE: f64 = 0.25;

/// The idle machine's figures. The defaults are those of the machine that the targets were set on: two cores, ext4.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Floor {
    /// Median of the raw append and sync of half a kilobyte on this machine when it is idle, in microseconds.
    #[arg(long, default_value_t = 60.0)]
    idle_append_us: f64,
    /// Processor time of one raw write to a socket on this machine when it is idle, in microseconds.
    #[arg(long, default_value_t = 7.0)]
    idle_write_us: f64,
}

impl Floor {
    pub(crate) fn append_verdict(&self, found_us: f64) -> Verdict {
        Verdict::of(self.idle_append_us, found_us)
    }

    pub(crate) fn write_verdict(&self, found_us: f64) -> Verdict {
        Verdict::of(self.idle_write_us, found_us)
    }
}

/// Whether a run counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Verdict {
    idle_us: f64,
    found_us: f64,
    pub(crate) counts: bool,
}

impl Verdict {
    fn of(idle_us: f64, found_us: f64) -> Self {
        Self {
            idle_us,
            found_us,
            counts: (found_us - idle_us).abs() <= TOLERANCE * idle_us,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            idle_us,
            found_us,
            counts,
        } = self;
        let verdict = if *counts {
            "this run counts"
        } else {
            "more than 25 % off: THIS RUN DOES NOT COUNT"
        };
        write!(
            f,
            "floor {found_us} us, {idle_us} us on an idle machine: {verdict}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_counts_up_to_a_quarter_off_the_idle_floor_either_way() {
        let counts = |found| Verdict::of(60.0, found).counts;
        assert!(counts(60.0) && counts(75.0) && counts(45.0));
        assert!(!counts(75.1) && !counts(44.9));
        assert!(
            Verdict::of(60.0, 90.0)
                .to_string()
                .contains("DOES NOT COUNT")
        );
    }
}
