//! One node of the log without threads or sockets: consensus, state machine and partitions put together, and what goes
//! with them. An input goes in with the time; effects come out in the order in which they must be performed. `broker`
//! drives it with threads, a simulation from one seed.
//!
//! The only I/O: applying an entry writes partition files, under the state's lock, so that a reader who sees an offset
//! finds its bytes.

pub(crate) mod assemble;
pub(crate) mod clocks;
mod command_clock;
pub(crate) mod disk_room;
pub(crate) mod due;
mod effect;
pub(crate) mod group_commit;
mod group_coordinator;
mod housekeeping;
mod housework;
mod input;
mod installation;
mod node_error;
mod now;
pub(crate) mod partition_bound;
mod propose_error;
mod published;
mod recorded_group;
mod replica;
mod reply;
mod requests;
mod retention;
mod shutdown;
mod view;
mod voter_change;
mod voter_changes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::assemble::{Limits, assemble};
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::command_clock::CommandClock;
pub(crate) use self::effect::Effect;
pub(crate) use self::group_coordinator::GroupCoordinator;
pub(crate) use self::housekeeping::HousekeepingConfig;
pub(crate) use self::input::{GroupRequest, Input, NodeRequest, SnapshotLost};
pub(crate) use self::installation::{InstallError, forget_fetched, install};
pub use self::node_error::NodeError;
pub(crate) use self::now::Now;
pub use self::partition_bound::TooManyPartitions;
pub use self::propose_error::{AppliedOutcome, Outcome, ProposeError};
pub(crate) use self::published::Published;
pub(crate) use self::replica::{ReplicaError, perform};
pub(crate) use self::reply::NodeReply;
pub(crate) use self::requests::{Requests, Until};
pub(crate) use self::view::SharedView;
pub use self::view::{Cluster, Leadership};
pub(crate) use self::voter_change::{Reached, VoterChange, VoterChangeError};

use self::housekeeping::{Household, Housekeeping};
use self::housework::Housework;
use self::installation::Installation;
use self::replica::{Proposer, Replica};
use self::shutdown::Shutdown;
use self::voter_changes::{Leader, VoterChanges};
use crate::consensus::Membership;
use crate::ids::{EntryIndex, LeaderEpoch, RequestId};
use crate::state::Command;

/// Bytes of the largest command. The journal's largest record is 8 MiB; the rest is for what surrounds a command.
pub(crate) const COMMAND_BYTES_MAX: usize = 7 << 20;

/// The length of consensus' tick.
const TICK: Duration = Duration::from_millis(25);
/// The time between two ticks of a node that leads nobody but itself: nothing is measured in them then, and a machine that
/// has nothing to do is not woken forty times a second.
const TICK_ALONE: Duration = Duration::from_millis(250);

/// A produce that is not proposed yet.
struct OpenProduce {
    command: Command,
    until: Until,
    deadline: Duration,
}

/// One node. See the module.
pub(crate) struct Node {
    replica: Replica,
    groups: GroupCoordinator,
    housekeeping: Housekeeping,
    voter_changes: VoterChanges,
    requests: Requests,
    /// Produces that find no room: a majority is to confirm that this node leads, before they are refused for good.
    without_room: BTreeMap<RequestId, OpenProduce>,
    shared: Arc<SharedView>,
    installation: Option<Installation>,
    shutdown: Option<Shutdown>,
}

impl Node {
    fn new(replica: Replica, limits: Limits, shared: Arc<SharedView>, now: Now) -> Self {
        Self {
            replica,
            groups: GroupCoordinator::new(limits.groups),
            housekeeping: Housekeeping::new(limits.housekeeping, now.elapsed),
            voter_changes: VoterChanges::default(),
            requests: Requests::default(),
            without_room: BTreeMap::new(),
            shared,
            installation: None,
            shutdown: None,
        }
    }

    /// Takes one input. Call [`Node::work`] after one or several: what several ask goes to disk with one write.
    pub(crate) fn take(&mut self, now: Now, input: Input, effects: &mut Vec<Effect>) {
        if let Some(installation) = &mut self.installation {
            return installation.take(input, &mut self.replica, effects);
        }
        match input {
            Input::Request { id, request } => self.take_request(now, id, request, effects),
            Input::ForgetGroup(group) => self.groups.forget(&group),
            Input::Persisted { number } => self.replica.persisted(number),
            Input::Message(message) => self.replica.hear(message, effects),
            Input::Tick => {
                self.replica.tick(effects);
                self.groups.wake(now.elapsed, effects);
                self.keep_house(now);
                self.voter_changes.tick();
                self.judge_room(now);
                self.look_at_requests(now, effects);
            }
            Input::Status { from, room, quorum } => {
                self.shared.room.report(from, room, now.elapsed);
                self.judge_room(now);
                if let Some(quorum) = quorum {
                    self.replica.hear_quorum(quorum);
                }
            }
            Input::DiskFree { bytes } => {
                self.shared.room.note(bytes);
                self.judge_room(now);
            }
            Input::CheckpointDurable { index } => self.replica.checkpoint_durable(index, effects),
            Input::SnapshotHeld(held) => self.replica.snapshot_held(held),
            Input::SnapshotServed { to } => self.replica.snapshot_served(to),
            Input::SnapshotFetched(fetched) => self.take_fetched(fetched, effects),
            Input::CheckpointSealed(captured, synced) => {
                effects.push(Effect::CompleteCheckpoint(captured, synced));
            }
            Input::Stop => {
                self.shutdown = Some(Shutdown::begin(&mut self.replica, now.elapsed));
            }
            Input::JournalEnded => unreachable!("it ends before an installation only"),
        }
    }

    /// A node that is about to end leaves it to the next start.
    fn take_fetched(
        &mut self,
        fetched: Result<EntryIndex, SnapshotLost>,
        effects: &mut Vec<Effect>,
    ) {
        if self.shutdown.is_some() {
            return effects.push(Effect::DropFetched);
        }
        if let Some(applied) = self.replica.snapshot_fetched(fetched, effects) {
            self.installation = Some(Installation::of(applied));
            effects.push(Effect::EndJournal);
        }
    }

    fn take_request(
        &mut self,
        now: Now,
        id: RequestId,
        request: NodeRequest,
        effects: &mut Vec<Effect>,
    ) {
        let takes_requests = self.shutdown.is_none_or(Shutdown::takes_requests);
        match request {
            NodeRequest::Propose(_) | NodeRequest::Produce { .. } if !takes_requests => {
                let reply = NodeReply::Outcome(Err(ProposeError::Stopped));
                effects.push(Effect::Reply { to: id, reply });
            }
            NodeRequest::Propose(command) => {
                self.replica
                    .propose(now, Proposer::Request(id), command, effects);
            }
            NodeRequest::Produce {
                command,
                until,
                deadline,
            } => {
                let open = OpenProduce {
                    command,
                    until,
                    deadline,
                };
                // One that comes behind such as wait must not overtake them.
                if self.shared.room.is_enough() && self.without_room.is_empty() {
                    self.produce(now, id, open, effects);
                } else {
                    self.without_room.insert(id, open);
                    self.replica.confirm(id, effects);
                }
            }
            NodeRequest::ChangeVoters { change, deadline } => match self.coordinates() {
                Some(epoch) => self.voter_changes.ask(id, change, deadline, epoch),
                None => {
                    let error = VoterChangeError::Proposal(ProposeError::NotLeader);
                    effects.push(voter_changes::reply(id, Err(error)));
                }
            },
            NodeRequest::ReadBarrier => self.replica.read(id, effects),
            NodeRequest::Group(request) => {
                // A message of this round may have ended the epoch.
                self.groups.follow(now.elapsed, self.coordinates(), effects);
                self.groups
                    .request(now.elapsed, id, request, &self.shared, effects);
            }
        }
    }

    fn produce(&mut self, now: Now, id: RequestId, open: OpenProduce, effects: &mut Vec<Effect>) {
        let admitted = match self.replica.leads() {
            _ if open.deadline <= now.elapsed => Err(ProposeError::Dropped),
            None => Err(ProposeError::NotLeader),
            Some(_) => {
                let (quorum, members) = (self.replica.quorum(), self.replica.membership());
                open.until.admit(quorum, members)
            }
        };
        match admitted {
            Ok(on_disks) => {
                self.requests.open(id, on_disks, open.deadline);
                let proposer = Proposer::Produce(id);
                self.replica.propose(now, proposer, open.command, effects);
            }
            Err(error) => {
                let reply = NodeReply::Outcome(Err(error));
                effects.push(Effect::Reply { to: id, reply });
            }
        }
    }

    /// That disks are full is a final word for a client: only a leader may say it, and one whose process stood still may be
    /// none any more. By the time a majority has confirmed it, the reports that they had sent have come too.
    fn refuse_for_want_of_room(
        &mut self,
        now: Now,
        to: RequestId,
        confirmed: Result<(), ProposeError>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(open) = self.without_room.remove(&to) else {
            return;
        };
        let error = match confirmed {
            Ok(()) if self.shared.room.is_enough() => {
                return self.produce(now, to, open, effects);
            }
            Ok(()) => ProposeError::DiskFull,
            Err(_) => ProposeError::NotLeader,
        };
        let reply = NodeReply::Outcome(Err(error));
        effects.push(Effect::Reply { to, reply });
    }

    fn judge_room(&self, now: Now) {
        let (me, leads) = (self.shared.cluster.replica, self.replica.leads().is_some());
        let members = self.replica.membership();
        self.shared.room.judge(me, members, leads, now.elapsed);
    }

    fn look_at_requests(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let late = self
            .without_room
            .extract_if(.., |_, open| open.deadline <= now.elapsed);
        for (to, _) in late {
            let reply = NodeReply::Outcome(Err(ProposeError::Dropped));
            effects.push(Effect::Reply { to, reply });
        }
        let quorum = self.replica.quorum();
        self.requests.tick(now.elapsed, quorum, effects);
    }

    /// Does all that the inputs so far have made possible.
    ///
    /// # Errors
    /// [`ReplicaError`]: this node must not go on. Effects pushed before it are still right.
    pub(crate) fn work(&mut self, now: Now, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        if let Some(installation) = &mut self.installation {
            installation.go_on(&self.replica, effects);
            return Ok(());
        }
        loop {
            self.propose_records(now, effects);
            self.propose_housework(now, effects);
            self.change_voters(now, effects);
            self.replica.work(now, effects)?;
            self.groups.follow(now.elapsed, self.coordinates(), effects);
            let confirmed = self.replica.take_confirmed();
            let decided = self.replica.take_decided();
            if decided.is_empty() && confirmed.is_empty() {
                break;
            }
            for (id, confirmed) in confirmed {
                self.refuse_for_want_of_room(now, id, confirmed, effects);
            }
            // The write locks of the entries are gone: the groups may look at the state.
            for (proposer, outcome) in decided {
                self.take_decided(now, proposer, outcome, effects);
            }
        }
        self.groups.resume_some(now.elapsed, &self.shared, effects);
        if let Some(shutdown) = self.shutdown {
            self.shutdown = Some(shutdown.go_on(&mut self.replica, now.elapsed, effects));
        }
        debug_assert!(
            is_published_first(effects),
            "who has a reply must not find an older leader, quorum or member list"
        );
        Ok(())
    }

    fn take_decided(
        &mut self,
        now: Now,
        proposer: Proposer,
        outcome: Result<AppliedOutcome, ProposeError>,
        effects: &mut Vec<Effect>,
    ) {
        match proposer {
            Proposer::Request(_) => unreachable!("its reply has told"),
            Proposer::Group(record) => {
                let outcome = outcome.map(|(_, outcome)| outcome);
                self.groups
                    .recorded(now.elapsed, &record, &outcome, effects);
            }
            Proposer::Housekeeping(work) => {
                let Some(housekept) = self.housekeeping.decided(work, outcome) else {
                    return;
                };
                if let Housework::UnusedGroup(group) = &housekept.work {
                    self.groups.forget(group);
                }
                effects.push(Effect::Housekept(housekept));
            }
            Proposer::VoterChange(id) => self.voter_changes.decided(id, outcome),
            Proposer::Produce(id) => {
                let quorum = self.replica.quorum();
                self.requests.decided(id, outcome, quorum, effects);
            }
        }
    }

    fn change_voters(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let mut leader = Leader {
            now,
            leads: self.coordinates(),
            replica: &mut self.replica,
            shared: &self.shared,
        };
        self.voter_changes.go_on(&mut leader, effects);
    }

    fn keep_house(&mut self, now: Now) {
        let household = Household {
            shared: &self.shared,
            membership: self.replica.membership(),
            groups: &self.groups,
            leads: self.coordinates().is_some(),
        };
        self.housekeeping.tick(now, &household);
    }

    fn propose_housework(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while let Some((work, command)) = self.housekeeping.next() {
            let proposer = Proposer::Housekeeping(work);
            self.replica.propose(now, proposer, command, effects);
        }
    }

    /// The epoch in which this node coordinates the groups: as it leads, and until it is about to end.
    fn coordinates(&self) -> Option<LeaderEpoch> {
        let takes_requests = self.shutdown.is_none_or(Shutdown::takes_requests);
        self.replica.leads().filter(|_| takes_requests)
    }

    /// What was decided in one epoch must not be recorded in another, where the groups were resumed without it.
    fn propose_records(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let records = self.groups.take_records();
        if records.is_empty() {
            return;
        }
        for (record, command) in records {
            let error = if Some(record.epoch) != self.replica.leads() {
                ProposeError::NotLeader
            } else if COMMAND_BYTES_MAX < command.bytes_estimate() {
                ProposeError::TooLarge
            } else {
                let proposer = Proposer::Group(record);
                self.replica.propose(now, proposer, command, effects);
                continue;
            };
            self.groups
                .recorded(now.elapsed, &record, &Err(error), effects);
        }
    }

    /// When [`Input::Tick`] is due, the last having come at `last`. Every input and every round of work may change it.
    pub(crate) fn tick_due(&self, last: Duration) -> Duration {
        let rests = self.shutdown.is_none()
            && !self.is_installing()
            && self.replica.leads_itself_alone()
            && !self.has_deadlines();
        if !rests {
            return last + TICK;
        }
        let rest = last + TICK_ALONE;
        let group = self.groups.next_due().unwrap_or(rest);
        rest.min(group.max(last + TICK))
    }

    fn has_deadlines(&self) -> bool {
        let no_produce = self.requests.is_empty() && self.without_room.is_empty();
        !no_produce || !self.voter_changes.is_empty()
    }

    /// Stands for election at once: a cluster of one has nobody to wait for.
    pub(crate) fn campaign(&mut self) {
        self.replica.campaign();
    }

    /// Whether a snapshot is being installed: the driver feeds nothing but the last words of what writes in the folder.
    pub(crate) fn is_installing(&self) -> bool {
        self.installation.is_some()
    }

    /// Whether it leads, or is about to.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_leading(&self) -> bool {
        self.replica.is_leading()
    }

    /// Whether this node alone decides.
    pub(crate) fn is_alone(&self) -> bool {
        self.replica.is_alone()
    }

    /// Lets another lead, where one is known to be there.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn hand_over(&mut self) {
        if let Some(to) = self.replica.successor() {
            self.replica.hand_over_to(to);
        }
    }

    /// Changes the members without any proof, for a planted bug.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn change_members_unproved(&mut self, change: crate::consensus::MembershipChange) {
        let nobody = Proposer::VoterChange(RequestId(u64::MAX));
        self.replica
            .change_membership(nobody, &change, &mut Vec::new());
    }

    /// The members as of the last applied entry.
    pub(crate) fn membership(&self) -> &Membership {
        self.replica.membership()
    }

    /// The last applied entry and its epoch.
    pub(crate) fn applied(&self) -> (EntryIndex, LeaderEpoch) {
        self.replica.applied()
    }
}

fn is_published_first(effects: &[Effect]) -> bool {
    let is_publish = |effect: &Effect| matches!(effect, Effect::Publish(_));
    let first_other = effects.iter().position(|effect| !is_publish(effect));
    let last_publish = effects.iter().rposition(is_publish);
    first_other.is_none_or(|other| last_publish.is_none_or(|publish| publish < other))
}

#[cfg(test)]
mod tests;
