//! What this node knows of clocks: command time, the wall clocks of the other nodes, the times that producers write into
//! their records, and what waits because no clock can be trusted with it. Told as gauges, limited warnings and reasons.
//!
//! Nothing here decides about records: a clock that differs is a number, never a refusal.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::gauge;
use serde::Serialize;
use tracing::{error, warn};

use super::command_clock::{CommandClock, CommandStamp};
use super::now::Now;
use crate::ids::{ReplicaId, TimestampMs};

/// From here on clocks differ: more than any network or queue inside of a house explains. 5 s.
const DIFFERS_MS: i64 = 5_000;
/// What is known of a clock holds for so long.
const KNOWN_FOR: Duration = Duration::from_secs(5 * 60);
/// Between two warnings about the same.
const WARN_EVERY: Duration = Duration::from_secs(10 * 60);
/// Less time than this that nobody lived through is not worth an operator's while: what waits for it goes by itself. 1 h.
pub(super) const TELL_MS_MIN: u64 = 3_600_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Clocks {
    command: Mutex<CommandClock>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// How far a record's time was ahead of this leader's wall at most, in the present span of time and in the last one.
    records: [Option<i64>; 2],
    records_since: Duration,
    peers: BTreeMap<ReplicaId, Known>,
    waiting: Option<RetentionBacklog>,
    warned: BTreeMap<&'static str, Duration>,
}

/// How far a clock is ahead of this node's, and when that was seen.
#[derive(Clone, Copy, Debug)]
struct Known {
    ahead_ms: i64,
    at: Duration,
}

/// What would be deleted if all time counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RetentionBacklog {
    /// Partitions with records beyond their retention by the wall clock, and not by the time that leaders lived through.
    pub(crate) partitions: usize,
    /// How much time that is, in milliseconds.
    pub(crate) unwitnessed_ms: u64,
}

/// Why an operator should look at the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockReason {
    /// Producers' clocks are ahead of this leader's, by so many milliseconds.
    RecordsAhead(i64),
    /// The clock of another node differs from this one's, by so many milliseconds at most.
    NodesDiffer(i64),
    /// Records wait for an operator's word.
    RetentionWaits(RetentionBacklog),
}

impl ClockReason {
    /// A stable name for machines.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::RecordsAhead(_) => "records_ahead",
            Self::NodesDiffer(_) => "node_clocks_differ",
            Self::RetentionWaits(_) => "retention_waits",
        }
    }
}

impl std::fmt::Display for ClockReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = |ms: i64| ms.unsigned_abs() / 1_000;
        match self {
            Self::RecordsAhead(ms) => write!(
                f,
                "records are up to {} s ahead of this leader's clock: a producer's clock is wrong, or this one",
                seconds(*ms)
            ),
            Self::NodesDiffer(ms) => write!(
                f,
                "the nodes' clocks differ by up to {} s: one of them is wrong",
                seconds(*ms)
            ),
            Self::RetentionWaits(waiting) => write!(
                f,
                "records of {} partitions are beyond their retention only if {} s passed in which no leader ran: they are kept \
                 until an operator says what that time was (`log-core clock list`)",
                waiting.partitions,
                waiting.unwitnessed_ms / 1_000
            ),
        }
    }
}

impl Clocks {
    /// Goes on from the last command's time.
    pub(crate) fn from(at: TimestampMs, elapsed: Duration) -> Self {
        Self {
            command: Mutex::new(CommandClock::from(at, elapsed)),
            seen: Mutex::default(),
        }
    }

    /// Command time. A short lock on plain data.
    pub(crate) fn command(&self) -> MutexGuard<'_, CommandClock> {
        self.command.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a command would get now.
    pub(super) fn stamp(&self, now: Now) -> CommandStamp {
        self.command().stamp(now.wall, now.elapsed)
    }

    /// Notes the latest time in a batch that a producer sent.
    pub(crate) fn note_record(&self, at: TimestampMs, now: Now) {
        // Without a time of its own it says nothing.
        if at < TimestampMs(0) {
            return;
        }
        let ahead_ms = at.0.saturating_sub(now.wall.0);
        let now = now.elapsed;
        let mut seen = self.seen();
        seen.turn_to(now);
        seen.records[0] = seen.records[0].max(Some(ahead_ms));
        if DIFFERS_MS <= ahead_ms && seen.may_warn("records", now) {
            warn!(
                seconds = ahead_ms / 1_000,
                "records carry times ahead of this leader's clock: they are stored as they are; a producer's clock is wrong, \
                 or this one"
            );
        }
    }

    /// Notes what another node's wall clock shows.
    pub(crate) fn note_peer(&self, peer: ReplicaId, wall: TimestampMs, now: Now) {
        let ahead_ms = wall.0.saturating_sub(now.wall.0);
        let now = now.elapsed;
        let mut seen = self.seen();
        seen.peers.insert(peer, Known { ahead_ms, at: now });
        if i64::try_from(ahead_ms.unsigned_abs()).unwrap_or(i64::MAX) >= DIFFERS_MS
            && seen.may_warn("peers", now)
        {
            warn!(
                %peer,
                seconds = ahead_ms / 1_000,
                "another node's clock differs from this one's: one of them is wrong"
            );
        }
    }

    /// Notes what retention would delete if all time counted.
    pub(crate) fn note_waiting(&self, waiting: Option<RetentionBacklog>, now: Now) {
        let waiting = waiting.filter(|waiting| TELL_MS_MIN <= waiting.unwitnessed_ms);
        let mut seen = self.seen();
        seen.waiting = waiting;
        if let Some(waiting) = waiting
            && seen.may_warn("waiting", now.elapsed)
        {
            error!(
                partitions = waiting.partitions,
                seconds = waiting.unwitnessed_ms / 1_000,
                "retention waits: records are too old only if time passed in which no leader ran. If the log stood still for so \
                 long, say `log-core clock time-passed`; if a clock was wrong, `log-core clock was-wrong`"
            );
        }
    }

    /// Why an operator should look, if anything is odd now.
    pub(crate) fn reasons(&self, now: Duration) -> Vec<ClockReason> {
        let mut seen = self.seen();
        seen.turn_to(now);
        let records = seen.records_ahead().filter(|ahead| DIFFERS_MS <= *ahead);
        let peers = seen.peers_differ(now).filter(|most| DIFFERS_MS <= *most);
        let records = records.map(ClockReason::RecordsAhead);
        let peers = peers.map(ClockReason::NodesDiffer);
        let waiting = seen.waiting.map(ClockReason::RetentionWaits);
        [waiting, peers, records].into_iter().flatten().collect()
    }

    /// Shows the gauges.
    pub(crate) fn show(&self, now: Now, open_ms: u64) {
        let Now { wall, elapsed: now } = now;
        let command = self.command().now(now);
        let mut seen = self.seen();
        seen.turn_to(now);
        let seconds = |ms: i64| float(ms) / 1_000.0;
        gauge!("log_records_ahead_seconds").set(seconds(seen.records_ahead().unwrap_or(0)));
        gauge!("log_node_clocks_differ_seconds").set(seconds(seen.peers_differ(now).unwrap_or(0)));
        gauge!("log_command_time_ahead_seconds").set(seconds(command.0.saturating_sub(wall.0)));
        let open_ms = i64::try_from(open_ms).unwrap_or(i64::MAX);
        gauge!("log_unwitnessed_time_seconds").set(seconds(open_ms));
        let waiting = seen.waiting.map_or(0, |waiting| waiting.partitions);
        gauge!("log_retention_waiting_partitions")
            .set(float(i64::try_from(waiting).unwrap_or(i64::MAX)));
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// What is too old to count goes.
    fn turn_to(&mut self, now: Duration) {
        let since = now.saturating_sub(self.records_since);
        if KNOWN_FOR <= since {
            let [present, _] = self.records;
            self.records = [None, present.filter(|_| since < 2 * KNOWN_FOR)];
            self.records_since = now;
        }
    }

    fn records_ahead(&self) -> Option<i64> {
        self.records[0].max(self.records[1])
    }

    fn peers_differ(&self, now: Duration) -> Option<i64> {
        let fresh = |known: &&Known| now.saturating_sub(known.at) < KNOWN_FOR;
        let differ = self.peers.values().filter(fresh);
        differ.map(|known| known.ahead_ms.saturating_abs()).max()
    }

    fn may_warn(&mut self, about: &'static str, now: Duration) -> bool {
        let warned = self.warned.get(about);
        let may = warned.is_none_or(|warned| WARN_EVERY <= now.saturating_sub(*warned));
        if may {
            self.warned.insert(about, now);
        }
        may
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; exact to 2^53"
)]
fn float(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SimClock;

    const WALL: TimestampMs = TimestampMs(1_800_000_000_000);

    fn clocks() -> (Clocks, SimClock) {
        (Clocks::from(WALL, Duration::ZERO), SimClock::at(WALL))
    }

    #[test]
    fn a_producer_whose_clock_is_ahead_is_a_reason_as_long_as_its_records_are_new() {
        let (clocks, clock) = clocks();
        clocks.note_record(TimestampMs(WALL.0 - 60_000), clock.now());
        clocks.note_record(TimestampMs(-1), clock.now());
        assert_eq!(
            clocks.reasons(clock.now().elapsed),
            [],
            "a record may have waited"
        );

        let two_hours = 2 * 3_600_000;
        clocks.note_record(TimestampMs(WALL.0 + two_hours), clock.now());
        clocks.note_record(WALL, clock.now());
        let ahead = [ClockReason::RecordsAhead(two_hours)];
        assert_eq!(clocks.reasons(clock.now().elapsed), ahead);
        clock.advance(KNOWN_FOR);
        assert_eq!(clocks.reasons(clock.now().elapsed), ahead);
        clock.advance(KNOWN_FOR);
        assert_eq!(clocks.reasons(clock.now().elapsed), []);
    }

    #[test]
    fn a_node_whose_clock_differs_either_way_is_a_reason_until_it_is_set_right() {
        let (clocks, clock) = clocks();
        let peer = ReplicaId(2);
        for off in [-7_200_000, 7_200_000] {
            clocks.note_peer(peer, TimestampMs(WALL.0 + off), clock.now());
            let differ = [ClockReason::NodesDiffer(7_200_000)];
            assert_eq!(clocks.reasons(clock.now().elapsed), differ);
        }
        clocks.note_peer(peer, TimestampMs(WALL.0 + 20), clock.now());
        assert_eq!(clocks.reasons(clock.now().elapsed), []);
    }

    #[test]
    fn retention_that_waits_is_a_reason_unless_it_waits_for_minutes_only() {
        let (clocks, clock) = clocks();
        let waiting = |unwitnessed_ms| RetentionBacklog {
            partitions: 2,
            unwitnessed_ms,
        };
        clocks.note_waiting(Some(waiting(60_000)), clock.now());
        assert_eq!(clocks.reasons(clock.now().elapsed), []);
        let long = waiting(TELL_MS_MIN);
        clocks.note_waiting(Some(long), clock.now());
        assert_eq!(
            clocks.reasons(clock.now().elapsed),
            [ClockReason::RetentionWaits(long)]
        );
        clocks.note_waiting(None, clock.now());
        assert_eq!(clocks.reasons(clock.now().elapsed), []);
    }

    #[test]
    fn the_same_is_warned_of_once_in_a_while() {
        let mut seen = Seen::default();
        let at = Duration::from_secs;
        let warned: Vec<_> = [0, 1, 599, 600, 601]
            .into_iter()
            .filter(|second| seen.may_warn("peers", at(*second)))
            .collect();
        assert_eq!(warned, [0, 600]);
    }
}
