//! What must hold at every step, whatever happens.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::group::{CompletedRebalance, Input, Response};
use crate::ids::{Generation, GroupInstanceId, MemberId, RequestId};

/// Longer than any wait that the timeouts of the consumers and the delays of the log can add up to.
const ANSWER_BOUND: Duration = Duration::from_secs(150);

/// Who owns something: static members keep what they own under a new member id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Dynamic(MemberId),
    Static(GroupInstanceId),
}

/// A request that the coordinator has.
#[derive(Debug)]
struct Open {
    since: Duration,
    member_id: Option<MemberId>,
    instance_id: Option<GroupInstanceId>,
    generation: Option<Generation>,
}

/// How much a run has seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Coverage {
    pub(super) generations: u64,
    pub(super) same_generation_again: u64,
    pub(super) coordinators: u64,
    pub(super) records_failed: u64,
    pub(super) fenced: u64,
    pub(super) expired: u64,
    pub(super) emptied: u64,
    pub(super) skipped_assignments: u64,
}

impl Coverage {
    pub(super) fn add(&mut self, other: &Self) {
        self.generations += other.generations;
        self.same_generation_again += other.same_generation_again;
        self.coordinators += other.coordinators;
        self.records_failed += other.records_failed;
        self.fenced += other.fenced;
        self.expired += other.expired;
        self.emptied += other.emptied;
        self.skipped_assignments += other.skipped_assignments;
    }

    pub(super) fn is_complete(&self) -> bool {
        let all = [
            self.generations,
            self.same_generation_again,
            self.coordinators,
            self.records_failed,
            self.fenced,
            self.expired,
            self.emptied,
            self.skipped_assignments,
        ];
        all.iter().all(|count| 0 < *count)
    }
}

#[derive(Debug, Default)]
pub(super) struct Checker {
    open: BTreeMap<RequestId, Open>,
    owners: BTreeMap<(Generation, u8), Owner>,
    /// The latest member id that each static identity was answered with by this coordinator, or is recorded with.
    current: BTreeMap<GroupInstanceId, MemberId>,
    applied: Option<CompletedRebalance>,
    pub(super) coverage: Coverage,
}

impl Checker {
    /// A request reaches the coordinator.
    pub(super) fn asked(&mut self, now: Duration, input: &Input) {
        let (from, member_id, instance_id, generation) = match input {
            Input::Join(join) => (
                join.from,
                join.member_id.clone(),
                join.profile.instance_id.clone(),
                None,
            ),
            Input::Sync(sync) => {
                let caller = sync.caller.clone();
                (
                    sync.from,
                    Some(caller.member_id),
                    caller.instance_id,
                    caller.generation,
                )
            }
            Input::Heartbeat(beat) => {
                let caller = beat.caller.clone();
                (
                    beat.from,
                    Some(caller.member_id),
                    caller.instance_id,
                    caller.generation,
                )
            }
            Input::Leave(leave) => (leave.from, None, None, None),
            Input::Recorded(_) | Input::RecordFailed(_) | Input::Tick | Input::Retire => return,
        };
        self.open.insert(
            from,
            Open {
                since: now,
                member_id,
                instance_id,
                generation,
            },
        );
    }

    /// The coordinator answers.
    pub(super) fn answered(&mut self, to: RequestId, response: &Response) -> Result<(), String> {
        let open = self
            .open
            .remove(&to)
            .ok_or_else(|| format!("{to:?} is answered without being open: {response:?}"))?;
        match response {
            Response::Join(Ok(joined)) => {
                if let Some(instance_id) = open.instance_id {
                    self.current.insert(instance_id, joined.member_id.clone());
                }
                self.coverage.skipped_assignments += u64::from(joined.skip_assignment);
                Ok(())
            }
            Response::Sync(Ok(synced)) => {
                self.check_not_fenced(&open)?;
                self.check_owner(&open, &synced.assignment)
            }
            Response::Heartbeat(Ok(())) => self.check_not_fenced(&open),
            Response::Join(Err(_))
            | Response::Sync(Err(_))
            | Response::Heartbeat(Err(_))
            | Response::Leave(_) => Ok(()),
        }
    }

    pub(super) fn current(&self, instance_id: &GroupInstanceId) -> Option<&MemberId> {
        self.current.get(instance_id)
    }

    fn check_not_fenced(&self, open: &Open) -> Result<(), String> {
        let current = open
            .instance_id
            .as_ref()
            .and_then(|instance_id| self.current.get(instance_id));
        match (current, &open.member_id) {
            (Some(current), Some(member_id)) if current != member_id => Err(format!(
                "{member_id} was served after {current} had taken its place"
            )),
            _ => Ok(()),
        }
    }

    fn check_owner(&mut self, open: &Open, assignment: &[u8]) -> Result<(), String> {
        let generation = open
            .generation
            .ok_or("a sync without generation was answered")?;
        let owner = match (&open.instance_id, &open.member_id) {
            (Some(instance_id), _) => Owner::Static(instance_id.clone()),
            (None, Some(member_id)) => Owner::Dynamic(member_id.clone()),
            (None, None) => return Err("an assignment for nobody".to_owned()),
        };
        for partition in assignment {
            let first = self
                .owners
                .entry((generation, *partition))
                .or_insert_with(|| owner.clone());
            if *first != owner {
                return Err(format!(
                    "partition {partition} of generation {generation} belongs to {first:?} and {owner:?}"
                ));
            }
        }
        Ok(())
    }

    /// A record is applied.
    pub(super) fn applied(&mut self, rebalance: &CompletedRebalance) -> Result<(), String> {
        let before = self.applied.replace(rebalance.clone());
        self.coverage.emptied += u64::from(rebalance.members.is_empty());
        let Some(before) = before else { return Ok(()) };
        if rebalance.generation < before.generation {
            return Err(format!(
                "generation {} was recorded after {}",
                rebalance.generation, before.generation
            ));
        }
        if before.generation < rebalance.generation {
            self.coverage.generations += 1;
            return Ok(());
        }
        self.coverage.same_generation_again += 1;
        if owned(&before) != owned(rebalance) {
            return Err(format!(
                "generation {} was recorded twice with different owners",
                rebalance.generation
            ));
        }
        Ok(())
    }

    pub(super) fn last_applied(&self) -> Option<&CompletedRebalance> {
        self.applied.as_ref()
    }

    /// The coordinator is gone, and with it what it had not answered.
    pub(super) fn coordinator_died(&mut self) -> Vec<RequestId> {
        let recorded = self.applied.iter().flat_map(|rebalance| &rebalance.members);
        let current = recorded
            .filter_map(|member| Some((member.instance_id.clone()?, member.member_id.clone())));
        self.current = current.collect();
        std::mem::take(&mut self.open).into_keys().collect()
    }

    pub(super) fn check_nothing_open(&self) -> Result<(), String> {
        if self.open.is_empty() {
            Ok(())
        } else {
            Err(format!("never answered: {:?}", self.open))
        }
    }

    pub(super) fn check_patience(&self, now: Duration) -> Result<(), String> {
        match self
            .open
            .iter()
            .find(|(_, open)| open.since + ANSWER_BOUND < now)
        {
            Some((id, open)) => Err(format!(
                "{id:?} waits since {:?}, now {now:?}: {open:?}",
                open.since
            )),
            None => Ok(()),
        }
    }
}

fn owned(rebalance: &CompletedRebalance) -> BTreeMap<Owner, &[u8]> {
    let owner = |member: &crate::group::RecordedMember| match &member.instance_id {
        Some(instance_id) => Owner::Static(instance_id.clone()),
        None => Owner::Dynamic(member.member_id.clone()),
    };
    rebalance
        .members
        .iter()
        .map(|member| (owner(member), member.assignment.as_ref()))
        .collect()
}
