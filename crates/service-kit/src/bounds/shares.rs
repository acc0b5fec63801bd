//! Who gets how many of the files that the process may have open.

use std::{collections::BTreeMap, fmt};

use tracing::info;

use super::{FileLimit, Memory, TooFewFiles};

/// Files that are no row's: the journal, the outbox, admin listeners, clients of the log, wakers, what closes.
const KEPT_BACK: usize = 256;

/// What holds files in numbers that others decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// Open files of the log's partitions, three a partition.
    PartitionFiles,
    /// Connections at the api.
    ApiConnections,
    /// Connections at the gateway that speak HTTP still.
    GatewayConnections,
    /// Connections of Kafka clients and of other nodes.
    LogConnections,
    /// Residents' sockets.
    Sockets,
}

/// A row's part, in thousandths, and its bounds.
struct Rule {
    weight: usize,
    min: usize,
    cap: usize,
}

impl Row {
    /// All rows: a process with everything in it.
    pub const ALL: [Row; 5] = [
        Row::PartitionFiles,
        Row::ApiConnections,
        Row::GatewayConnections,
        Row::LogConnections,
        Row::Sockets,
    ];

    fn rule(self, memory: Memory) -> Rule {
        let (weight, min, cap) = match self {
            Row::PartitionFiles => (150, 72, 65_536),
            Row::ApiConnections => (100, 16, 8_192),
            Row::GatewayConnections => (75, 16, 8_192),
            Row::LogConnections => (25, 96, 4_096),
            Row::Sockets => (650, 16, memory.sockets_max().max(16)),
        };
        Rule { weight, min, cap }
    }

    fn name(self) -> &'static str {
        match self {
            Row::PartitionFiles => "partition files",
            Row::ApiConnections => "api connections",
            Row::GatewayConnections => "gateway connections",
            Row::LogConnections => "log connections",
            Row::Sockets => "sockets",
        }
    }
}

/// How many files each row of a program has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    files: FileLimit,
    rows: BTreeMap<Row, usize>,
}

/// What was set does not fit into what is allowed; nothing is divided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{needed} open files are needed and {files} are allowed: {sum}; set less, or raise the hard limit (`ulimit -Hn`, \
     LimitNOFILE=)"
)]
pub struct DoesNotFit {
    files: FileLimit,
    needed: usize,
    /// The rows, as a person adds them up.
    sum: String,
}

/// Why a program cannot keep its bounds where it is started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BoundsError {
    /// It may have too few files open.
    #[error(transparent)]
    TooFewFiles(#[from] TooFewFiles),
    /// What is set does not fit.
    #[error(transparent)]
    DoesNotFit(#[from] DoesNotFit),
}

impl Shares {
    /// Raises the limit of open files and divides it among the rows of this process, and says so in the log.
    ///
    /// # Errors
    ///
    /// As [`FileLimit::raise`] and [`Shares::divide`]; the program should not start.
    pub fn of_process(rows: &[(Row, Option<usize>)]) -> Result<Self, BoundsError> {
        let memory = Memory::read();
        let shares = Self::divide(FileLimit::raise()?, memory, rows)?;
        info!(bounds = %shares, memory_mib = memory.bytes() >> 20, "what this process may hold");
        Ok(shares)
    }

    /// Divides the files among the rows of a program: first what is set, then the others by their proportions, each
    /// within its bounds; the one with the largest part takes what is left.
    ///
    /// # Errors
    ///
    /// What is set leaves the others less than their least.
    pub fn divide(
        files: FileLimit,
        memory: Memory,
        rows: &[(Row, Option<usize>)],
    ) -> Result<Self, DoesNotFit> {
        let mut shares: BTreeMap<Row, usize> = rows
            .iter()
            .filter_map(|(row, set)| Some((*row, (*set)?)))
            .collect();
        let mut derived: Vec<(Row, Rule)> = rows
            .iter()
            .filter(|(_, set)| set.is_none())
            .map(|(row, _)| (*row, row.rule(memory)))
            .collect();
        derived.sort_by_key(|(_, rule)| rule.weight);
        let set: usize = shares.values().fold(0, |sum, set| sum.saturating_add(*set));
        let least: usize = derived.iter().map(|(_, rule)| rule.min).sum();
        let needed = set.saturating_add(KEPT_BACK + least);
        if files.files() < needed {
            return Err(DoesNotFit {
                files,
                needed,
                sum: sum_of(rows, memory),
            });
        }
        let free = files.files() - KEPT_BACK - set;
        let weights: usize = derived.iter().map(|(_, rule)| rule.weight).sum();
        let last = derived.pop();
        let mut left = free;
        let mut least_of_rest = least;
        for (row, rule) in derived {
            least_of_rest -= rule.min;
            let share = (free * rule.weight / weights).clamp(rule.min, rule.cap);
            let share = share.min(left - least_of_rest);
            left -= share;
            shares.insert(row, share);
        }
        if let Some((row, rule)) = last {
            shares.insert(row, left.min(rule.cap));
        }
        Ok(Self {
            files,
            rows: shares,
        })
    }

    /// The files of a row; 0 for one that the program does not have.
    pub fn of(&self, row: Row) -> usize {
        self.rows.get(&row).copied().unwrap_or(0)
    }

    /// What was divided.
    pub fn files(&self) -> FileLimit {
        self.files
    }
}

/// As one line of a log: `20000 files: 2961 partition files, ...`.
impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files: ", self.files)?;
        for (row, share) in &self.rows {
            write!(f, "{share} {}, ", row.name())?;
        }
        write!(f, "{KEPT_BACK} for the rest")
    }
}

fn sum_of(rows: &[(Row, Option<usize>)], memory: Memory) -> String {
    let parts = rows.iter().map(|(row, set)| match set {
        Some(set) => format!("{set} {} (set)", row.name()),
        None => format!("{} {} (at least)", row.rule(memory).min, row.name()),
    });
    let parts: Vec<String> = parts.chain([format!("{KEPT_BACK} for the rest")]).collect();
    parts.join(" + ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLENTY: Memory = Memory::of(1 << 40);

    fn house(files: usize) -> [usize; 5] {
        let rows = Row::ALL.map(|row| (row, None));
        let shares = Shares::divide(FileLimit::of(files).unwrap(), PLENTY, &rows).unwrap();
        Row::ALL.map(|row| shares.of(row))
    }

    #[test]
    fn a_house_divides_its_files_by_the_table() {
        assert_eq!(house(512), [72, 25, 19, 96, 44]);
        assert_eq!(house(1_024), [115, 76, 57, 96, 424]);
        assert_eq!(house(20_000), [2_961, 1_974, 1_480, 493, 12_836]);
        assert_eq!(
            house(1_048_576),
            [65_536, 8_192, 8_192, 4_096, 962_304],
            "sockets are bounded by memory alone"
        );
    }

    #[test]
    fn sockets_take_at_most_a_quarter_of_the_memory() {
        let rows = Row::ALL.map(|row| (row, None));
        let files = FileLimit::of(1_048_576).unwrap();
        let shares = Shares::divide(files, Memory::of(512 << 20), &rows).unwrap();

        assert_eq!(shares.of(Row::Sockets), 21_845);
    }

    #[test]
    fn a_program_of_its_own_divides_everything_among_its_own_rows() {
        let divide = |files, rows: &[Row]| {
            let rows: Vec<_> = rows.iter().map(|row| (*row, None)).collect();
            let shares = Shares::divide(FileLimit::of(files).unwrap(), PLENTY, &rows).unwrap();
            rows.iter()
                .map(|(row, _)| shares.of(*row))
                .collect::<Vec<_>>()
        };
        let log = [Row::PartitionFiles, Row::LogConnections];
        let gateway = [Row::GatewayConnections, Row::Sockets];

        assert_eq!(divide(1_024, &[Row::ApiConnections]), [768]);
        assert_eq!(divide(20_000, &[Row::ApiConnections]), [8_192]);
        assert_eq!(divide(512, &log), [160, 96]);
        assert_eq!(divide(1_024, &log), [659, 109]);
        assert_eq!(divide(1_024, &gateway), [79, 689]);
        assert_eq!(divide(20_000, &gateway), [2_042, 17_702]);
    }

    #[test]
    fn what_is_set_and_does_not_fit_is_refused_with_the_sum() {
        let files = FileLimit::of(1_024).unwrap();
        let divide = |sockets| {
            let rows = [
                (Row::GatewayConnections, None),
                (Row::Sockets, Some(sockets)),
            ];
            Shares::divide(files, PLENTY, &rows)
        };

        let fits = divide(752).unwrap();
        assert_eq!(
            (fits.of(Row::GatewayConnections), fits.of(Row::Sockets)),
            (16, 752)
        );
        let refused = divide(15_000).unwrap_err().to_string();
        assert!(
            refused.contains("15272 open files are needed and 1024 are allowed"),
            "{refused}"
        );
        assert!(refused.contains("15000 sockets (set)"), "{refused}");
        assert!(divide(753).is_err());
        assert!(divide(usize::MAX).is_err());
    }

    proptest! {
        #[test]
        fn the_shares_never_exceed_what_is_allowed(
            files in 512usize..1_100_000,
            rows in prop::sample::subsequence(Row::ALL.to_vec(), 1..=5),
            set in prop::option::of((0usize..5, 1usize..2_000)),
            memory in 1usize << 20..1 << 36,
        ) {
            let mut rows: Vec<(Row, Option<usize>)> = rows.into_iter().map(|row| (row, None)).collect();
            if let Some((at, value)) = set {
                let at = at % rows.len();
                rows[at].1 = Some(value);
            }
            let files = FileLimit::of(files).unwrap();
            if let Ok(shares) = Shares::divide(files, Memory::of(memory), &rows) {
                let sum: usize = rows.iter().map(|(row, _)| shares.of(*row)).sum();
                prop_assert!(sum + KEPT_BACK <= files.files());
                for (row, set) in rows {
                    let least = set.unwrap_or(row.rule(Memory::of(memory)).min);
                    prop_assert!(least <= shares.of(row), "{row:?}");
                }
            } else {
                prop_assert!(set.is_some());
            }
        }
    }
}
