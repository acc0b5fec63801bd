//! What the leader does from time to time: propose that records beyond their retention go, that transactions open for too
//! long are aborted, and that what was unused for long is forgotten. All of it by commands, so that every replica does the
//! same at the same place of the journal; what fails is tried again when its time comes.

use std::collections::VecDeque;
use std::time::Duration;

use tracing::debug;

use super::due::{self, DueRecords, Remembered};
use super::group_coordinator::GroupCoordinator;
use super::housework::{Housekept, Housework};
use super::now::Now;
use super::propose_error::{AppliedOutcome, ProposeError};
use super::view::SharedView;
use crate::consensus::Membership;
use crate::ids::GroupId;
use crate::state::{Command, DeleteGroup, FeatureLevel, RaiseFeatureLevel, Response, Topic};

/// How often, and what is kept for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HousekeepingConfig {
    /// How late records beyond their retention may be deleted (`log.retention.check.interval.ms`).
    pub(crate) retention_every: Duration,
    /// How late what is unused may be forgotten (Kafka's `offsets.retention.check.interval.ms` and its kin).
    pub(crate) unused_every: Duration,
    /// For how long it is kept.
    pub(crate) remembered: Remembered,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for HousekeepingConfig {
    fn default() -> Self {
        Self {
            retention_every: Duration::from_secs(5 * 60),
            unused_every: Duration::from_secs(10 * 60),
            remembered: Remembered {
                producers: DAY,
                offsets: 7 * DAY,
                transactional_ids: 7 * DAY,
            },
        }
    }
}

/// How late an overdue transaction may be aborted (Kafka's
/// `transaction.abort.timed.out.transaction.cleanup.interval.ms` is 10 s).
const TRANSACTIONS_EVERY: Duration = Duration::from_secs(1);
/// How late a cluster that has nothing to lose by it works at the latest level.
const LEVEL_EVERY: Duration = Duration::from_millis(500);
/// A cluster without older topics is new: what it has written no earlier software has to read.
const NEW_FOR_MS: i64 = 600_000;
/// Between two looks at the clocks.
const CLOCKS_EVERY: Duration = Duration::from_secs(5);
/// Proposals under way at once: a node with many partitions keeps the rest for later.
const UNDER_WAY_MAX: usize = 64;

/// What comes round.
#[derive(Clone, Copy, Debug)]
enum Task {
    Retention,
    Transactions,
    Unused,
    Level,
    Clocks,
}

/// See the module.
pub(super) struct Housekeeping {
    config: HousekeepingConfig,
    /// When each comes next.
    due: [(Task, Duration); 5],
    /// What is to be proposed.
    queue: VecDeque<(Housework, Command)>,
    under_way: usize,
}

/// What housekeeping looks at.
pub(super) struct Household<'a> {
    pub(super) shared: &'a SharedView,
    pub(super) membership: &'a Membership,
    pub(super) groups: &'a GroupCoordinator,
    /// Whether this node leads.
    pub(super) leads: bool,
}

impl Housekeeping {
    /// Begins now: everything comes for the first time after its interval.
    pub(super) fn new(config: HousekeepingConfig, now: Duration) -> Self {
        let first = |task| (task, now + every(config, task));
        let due = [
            Task::Retention,
            Task::Transactions,
            Task::Unused,
            Task::Level,
            Task::Clocks,
        ];
        Self {
            config,
            due: due.map(first),
            queue: VecDeque::new(),
            under_way: 0,
        }
    }

    /// Decides what is to be proposed, where something is due and what was is done.
    pub(super) fn tick(&mut self, now: Now, household: &Household<'_>) {
        if !household.leads {
            self.queue.clear();
        }
        if !self.queue.is_empty() || self.under_way != 0 {
            return;
        }
        for at in 0..self.due.len() {
            let (task, due) = self.due[at];
            if due <= now.elapsed {
                self.due[at].1 = now.elapsed + every(self.config, task);
                self.begin(task, now, household);
            }
        }
    }

    fn begin(&mut self, task: Task, now: Now, household: &Household<'_>) {
        let shared = household.shared;
        match task {
            Task::Clocks => {
                let open_ms = shared.state().clock_jumps().open_ms();
                shared.clocks.show(now, open_ms);
            }
            _ if !household.leads => {}
            Task::Retention => {
                let DueRecords { moves, waiting } = due::records(shared, now);
                shared.clocks.note_waiting(waiting, now);
                let work = |(partition, command)| {
                    let command = Command::MoveLogStart(command);
                    (Housework::Retention(partition), command)
                };
                self.queue.extend(moves.into_iter().map(work));
            }
            Task::Transactions => {
                let overdue = due::transactions(shared, now);
                let work = |command| (Housework::Transactions, command);
                self.queue.extend(overdue.map(work));
            }
            Task::Unused => {
                let unused = due::unused(shared, self.config.remembered, now);
                self.queue
                    .extend(unused.map(|command| (Housework::Unused, command)));
                self.queue.extend(unused_groups(household));
            }
            Task::Level if may_raise_level(household) => {
                let level = FeatureLevel::LATEST;
                let raise = Command::RaiseFeatureLevel(RaiseFeatureLevel { level });
                self.queue.push_back((Housework::Level, raise));
            }
            Task::Level => {}
        }
    }

    /// What is to be proposed next, if more may be under way.
    pub(super) fn next(&mut self) -> Option<(Housework, Command)> {
        if self.under_way == UNDER_WAY_MAX {
            return None;
        }
        let next = self.queue.pop_front()?;
        self.under_way += 1;
        Some(next)
    }

    /// What became of a proposal; what it has changed.
    pub(super) fn decided(
        &mut self,
        work: Housework,
        outcome: Result<AppliedOutcome, ProposeError>,
    ) -> Option<Housekept> {
        self.under_way -= 1;
        let error: &(dyn std::error::Error + 'static) = match &outcome {
            Ok((_, Ok(Response::Expired { count: 0 }))) => return None,
            Ok((_, Ok(response))) => {
                let response = response.clone();
                return Some(Housekept { work, response });
            }
            Ok((_, Err(refusal))) => refusal,
            Err(error) => error,
        };
        debug!(?work, error, "housekeeping was not carried out");
        None
    }
}

fn every(config: HousekeepingConfig, task: Task) -> Duration {
    match task {
        Task::Retention => config.retention_every,
        Task::Transactions => TRANSACTIONS_EVERY,
        Task::Unused => config.unused_every,
        Task::Level => LEVEL_EVERY,
        Task::Clocks => CLOCKS_EVERY,
    }
}

/// Members that are still joining are known to the coordinator alone.
fn unused_groups(household: &Household<'_>) -> Vec<(Housework, Command)> {
    let state = household.shared.state();
    let unused = state
        .groups()
        .filter(|(id, group)| group.is_unused() && !household.groups.has_members(id));
    let delete = |(id, _): (&GroupId, _)| {
        let group = id.clone();
        let command = Command::DeleteGroup(DeleteGroup { group });
        (Housework::UnusedGroup(id.clone()), command)
    };
    unused.map(delete).collect()
}

/// Whether no operator has to be asked: a node alone has nobody who could lag behind, and a new cluster nothing that older
/// software would have to read.
fn may_raise_level(household: &Household<'_>) -> bool {
    let Membership {
        voters, learners, ..
    } = household.membership;
    let state = household.shared.state();
    if FeatureLevel::LATEST <= state.feature_level() {
        return false;
    }
    let members = voters.iter().chain(learners);
    let all_have_it = members.clone().all(|member| {
        let node = state.node_of(*member);
        node.is_some_and(|(_, node)| FeatureLevel::LATEST <= node.feature_level_max)
    });
    let is_new = |topic: &Topic| state.clock().0.saturating_sub(topic.created_at().0) < NEW_FOR_MS;
    all_have_it && (members.count() == 1 || state.topics().all(|(_, topic)| is_new(topic)))
}
