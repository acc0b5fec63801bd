//! The limits that all groups of a broker share, under Kafka's names.

use std::time::Duration;

/// The limits of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`, 6 s. Too low: members that pause a moment are dropped, and everybody
    /// rebalances. Too high: clients with a lower `session.timeout.ms` are refused.
    pub session_timeout_min: Duration,
    /// `group.max.session.timeout.ms`, 30 min. Too high: the partitions of a dead member rest that long.
    pub session_timeout_max: Duration,
    /// `group.max.size`, 10,000, those who were told an id and have not used it yet included. Kafka sets no limit;
    /// here a flood of joins must not take the memory of the alert path.
    pub size_max: usize,
    /// Bytes of what the members of all groups say of themselves and are given: ids, subscriptions, assignments. Default
    /// 32 MiB; memory holds them a few times over. Kafka bounds each group by the largest record (1 MiB) and their number
    /// by nothing. Too low refuses members; too high lets strangers take the memory of the alert path.
    pub bytes_max: usize,
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members before its first
    /// generation. 0 where Kafka has 3 s: a gateway that starts must not be deaf for three seconds.
    pub initial_rebalance_delay: Duration,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(30 * 60),
            size_max: 10_000,
            bytes_max: 32 << 20,
            initial_rebalance_delay: Duration::ZERO,
        }
    }
}
