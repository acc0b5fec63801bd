//! What may be published: small numbers say things about single households.
//!
//! The shareable edition withholds every count of 1 to 4. A withheld count must not follow from what is shown: where the
//! sum of a group is known, at least two of its counts are withheld, and those that are add up to at least five
//! (complementary suppression). This guards every sum on its own; it is no proof against a reader who combines
//! several reports, which is why editions of single lines are for those lines.

use std::fmt;
use std::str::FromStr;

/// Counts below this are withheld, unless they are 0.
const SMALL: u64 = 5;

/// Whom a report is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edition {
    /// Anybody: no small numbers, no words of a caller, no names of houses, no points, no rows.
    #[default]
    Shareable,
    /// Who answers for the complex: everything.
    Admin,
}

impl Edition {
    /// The name on the command line and in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shareable => "shareable",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The string names no edition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no edition: shareable or admin")]
pub struct EditionError(String);

impl FromStr for Edition {
    type Err = EditionError;

    fn from_str(name: &str) -> Result<Self, EditionError> {
        let known = [Self::Shareable, Self::Admin]
            .into_iter()
            .find(|edition| edition.as_str() == name);
        known.ok_or_else(|| EditionError(name.to_owned()))
    }
}

/// A count as it may be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PublishedCount {
    Count(u64),
    Withheld,
}

impl PublishedCount {
    pub(super) fn count(self) -> Option<u64> {
        match self {
            Self::Count(count) => Some(count),
            Self::Withheld => None,
        }
    }
}

impl Edition {
    /// A count that is part of no known sum.
    pub(super) fn alone(self, count: u64) -> PublishedCount {
        if self == Self::Shareable && is_small(count) {
            PublishedCount::Withheld
        } else {
            PublishedCount::Count(count)
        }
    }

    /// A count of a known whole: what is left of the whole says something too.
    pub(super) fn part(self, count: u64, whole: u64) -> PublishedCount {
        self.parts(&[count, whole - count])[0]
    }

    /// Counts that add up to a known whole.
    pub(super) fn parts(self, counts: &[u64]) -> Vec<PublishedCount> {
        self.sums(counts, &[(0..counts.len()).collect()])
    }

    /// Counts and the groups among them whose sums are known.
    pub(super) fn sums(self, counts: &[u64], groups: &[Vec<usize>]) -> Vec<PublishedCount> {
        let mut withheld: Vec<bool> = counts
            .iter()
            .map(|count| self == Self::Shareable && is_small(*count))
            .collect();
        while groups
            .iter()
            .any(|group| withhold_one_more(counts, group, &mut withheld))
        {}
        let shown = |(count, withheld): (&u64, &bool)| {
            if *withheld {
                PublishedCount::Withheld
            } else {
                PublishedCount::Count(*count)
            }
        };
        counts.iter().zip(&withheld).map(shown).collect()
    }

    /// Rows of two counts with their sums known, in which the columns of the given groups of rows have known sums too.
    pub(super) fn pairs(
        self,
        rows: &[[u64; 2]],
        groups: &[Vec<usize>],
    ) -> Vec<[PublishedCount; 2]> {
        let counts = rows.as_flattened();
        let of_rows = (0..rows.len()).map(|row| vec![2 * row, 2 * row + 1]);
        let column = |group: &Vec<usize>, side| group.iter().map(|row| 2 * row + side).collect();
        let of_columns = groups
            .iter()
            .flat_map(|group| [column(group, 0), column(group, 1)]);
        let shown = self.sums(counts, &of_rows.chain(of_columns).collect::<Vec<_>>());
        shown.as_chunks::<2>().0.to_vec()
    }

    /// Rising counts, and the larger ones among which they are told: no step between two shown counts may be small.
    pub(super) fn steps(self, counts: &[u64], ends: &[u64]) -> Vec<PublishedCount> {
        let mut last = 0;
        let mut step = |count: u64| {
            let small = is_small(count - last) || ends.iter().any(|end| is_small(end - count));
            if self == Self::Shareable && small {
                return PublishedCount::Withheld;
            }
            last = count;
            PublishedCount::Count(count)
        };
        counts.iter().map(|count| step(*count)).collect()
    }

    /// Percentiles and the maximum of so few say what happened to single ones.
    pub(super) fn allows_quantiles_of(self, count: u64) -> bool {
        self == Self::Admin || SMALL <= count
    }
}

fn is_small(count: u64) -> bool {
    (1..SMALL).contains(&count)
}

/// Withholds the smallest shown count of a group that gives away what is withheld in it. Those that are not 0 go first:
/// a reader would guess a withheld 0.
fn withhold_one_more(counts: &[u64], group: &[usize], withheld: &mut [bool]) -> bool {
    let hidden: Vec<u64> = group
        .iter()
        .filter(|index| withheld[**index])
        .map(|index| counts[*index])
        .collect();
    let is_safe = hidden.is_empty() || (2 <= hidden.len() && SMALL <= hidden.iter().sum());
    if is_safe {
        return false;
    }
    let shown = group.iter().copied().filter(|index| !withheld[*index]);
    let Some(next) = shown.min_by_key(|index| (counts[*index] == 0, counts[*index])) else {
        return false;
    };
    withheld[next] = true;
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(shown: &[PublishedCount]) -> Vec<Option<u64>> {
        shown.iter().map(|shown| shown.count()).collect()
    }

    #[test]
    fn a_small_count_is_withheld_with_its_complement() {
        assert_eq!(counts(&Edition::Shareable.parts(&[3, 90])), [None, None]);
        assert_eq!(
            counts(&Edition::Shareable.parts(&[3, 90, 7, 0])),
            [None, Some(90), None, Some(0)]
        );
        assert_eq!(
            counts(&Edition::Shareable.parts(&[0, 93])),
            [Some(0), Some(93)]
        );
        assert_eq!(Edition::Shareable.part(90, 93), PublishedCount::Withheld);
    }

    #[test]
    fn what_is_withheld_cannot_be_two_ones() {
        assert_eq!(
            counts(&Edition::Shareable.parts(&[1, 1, 50, 60])),
            [None, None, None, Some(60)]
        );
    }

    #[test]
    fn the_admin_sees_everything() {
        assert_eq!(
            counts(&Edition::Admin.parts(&[1, 0, 4])),
            [Some(1), Some(0), Some(4)]
        );
        assert!(
            Edition::Admin.allows_quantiles_of(1) && !Edition::Shareable.allows_quantiles_of(4)
        );
    }

    #[test]
    fn no_step_between_two_shown_counts_is_small() {
        assert_eq!(
            counts(&Edition::Shareable.steps(&[10, 12, 16, 40], &[42, 100])),
            [Some(10), None, Some(16), None]
        );
    }

    proptest! {
        #[test]
        fn no_known_sum_gives_away_a_withheld_count(rows in prop::collection::vec([0..30u64, 0..30u64], 1..12), cut in 0..12usize) {
            let cut = cut.min(rows.len());
            let groups = [(0..rows.len()).collect(), (0..cut).collect(), (cut..rows.len()).collect()];
            let shown = Edition::Shareable.pairs(&rows, &groups);
            let mut sums: Vec<Vec<(u64, PublishedCount)>> =
                rows.iter().zip(&shown).map(|(row, shown)| vec![(row[0], shown[0]), (row[1], shown[1])]).collect();
            for (group, side) in groups.iter().flat_map(|group| [(group, 0), (group, 1)]) {
                sums.push(group.iter().map(|row| (rows[*row][side], shown[*row][side])).collect());
            }
            for sum in sums {
                let hidden: Vec<u64> = sum.iter().filter(|(_, shown)| *shown == PublishedCount::Withheld).map(|(count, _)| *count).collect();
                let all_hidden = hidden.len() == sum.len();
                prop_assert!(hidden.is_empty() || all_hidden || (2 <= hidden.len() && SMALL <= hidden.iter().sum()));
                prop_assert!(sum.iter().all(|(count, shown)| !is_small(*count) || *shown == PublishedCount::Withheld));
            }
        }
    }
}
