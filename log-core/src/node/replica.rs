//! One replica: consensus, state machine and partitions put together.

mod checkpoints;
mod reads;
mod snapshots;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tracing::{info, warn};

use self::checkpoints::CheckpointPlan;
use self::reads::Reads;
use self::snapshots::SnapshotPlan;
use super::clocks::TELL_MS_MIN;
use super::command_clock::CommandStamp;
use super::effect::Effect;
use super::group_coordinator::GroupRecord;
use super::housework::Housework;
use super::now::Now;
use super::propose_error::{AppliedOutcome, Outcome, ProposeError};
use super::published::Publisher;
use super::reply::NodeReply;
use super::view::{Leadership, SharedView};
use crate::consensus::followers::Followers;
use crate::consensus::leader_disk::{LeaderDisk, Verdict};
use crate::consensus::{
    Driver, LogId, Membership, MembershipChange, Persist, ProposalDropped, Quorum, Role,
};
use crate::entry::{Entry, EntryKind};
use crate::ids::{EntryIndex, LeaderEpoch, NodeId, ReplicaId, RequestId, TimestampMs};
use crate::state::{
    Applied, Change, Command, Envelope, EnvelopeError, NoteClockJump, Response, State,
};
use crate::storage::{Partitions, PartitionsError};

/// Why a replica cannot go on. The broker stops; the process that embeds it does not.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// A committed entry that this version does not understand: going on would make this replica differ.
    #[error("entry {index}: its command is not known to this version")]
    Command {
        /// The entry.
        index: EntryIndex,
        /// What is wrong with it.
        #[source]
        source: EnvelopeError,
    },
    /// A partition's files could not be changed.
    #[error("entry {index}: its change could not be written")]
    Partitions {
        /// The entry.
        index: EntryIndex,
        /// The file and the cause.
        #[source]
        source: PartitionsError,
    },
}

/// Who proposes, and is told what became of it.
#[derive(Debug)]
pub(super) enum Proposer {
    /// Its reply tells.
    Request(RequestId),
    /// The node itself, which asks with [`Replica::take_decided`]: the coordinator of the groups.
    Group(GroupRecord),
    /// Housekeeping.
    Housekeeping(Housework),
    /// A change of voters, by the request for it.
    VoterChange(RequestId),
    /// A request that is not answered as soon as it is applied, or has a deadline.
    Produce(RequestId),
}

/// One replica. See the module.
pub(super) struct Replica {
    driver: Driver,
    membership: Membership,
    shared: Arc<SharedView>,
    applied: EntryIndex,
    applied_epoch: LeaderEpoch,
    proposed: BTreeMap<EntryIndex, (LeaderEpoch, Proposer)>,
    /// What became of what the node itself has proposed.
    decided: Vec<(Proposer, Result<AppliedOutcome, ProposeError>)>,
    /// Whether the node's own questions for what is current were answered, and how.
    confirmed: Vec<(RequestId, Result<(), ProposeError>)>,
    reads: Reads,
    checkpoint: CheckpointPlan,
    /// The epoch in which this replica was last seen to lead.
    led: Option<LeaderEpoch>,
    /// The leader that the log's lines have named last.
    told: Option<(NodeId, LeaderEpoch)>,
    followers: Followers,
    snapshot: SnapshotPlan,
    leader_disk: LeaderDisk,
    unsynced: Unsynced,
    publisher: Publisher,
}

impl Replica {
    /// Puts a replica together from what recovery found. `applied` is the checkpoint's place.
    pub(super) fn new(
        driver: Driver,
        membership: Membership,
        shared: Arc<SharedView>,
        applied: (EntryIndex, LeaderEpoch),
        checkpoint_bytes: u64,
    ) -> Self {
        let me = shared.cluster.replica;
        Self {
            driver,
            membership,
            shared,
            applied: applied.0,
            applied_epoch: applied.1,
            proposed: BTreeMap::new(),
            decided: Vec::new(),
            confirmed: Vec::new(),
            reads: Reads::default(),
            checkpoint: CheckpointPlan {
                bytes_between: CheckpointPlan::spread(checkpoint_bytes, me),
                bytes_since: 0,
                under_way: false,
                durable: applied.0,
                trimmed: applied.0,
            },
            led: None,
            told: None,
            followers: Followers::default(),
            snapshot: SnapshotPlan::default(),
            leader_disk: LeaderDisk::default(),
            unsynced: Unsynced::default(),
            publisher: Publisher::after(applied),
        }
    }

    /// Those who watch knew another replica in its place.
    pub(super) fn publish_anew(&mut self) {
        self.publisher = Publisher::default();
        self.publisher.membership(self.membership.clone());
    }

    /// The members as of the last applied entry.
    pub(crate) fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The last applied entry and its epoch.
    pub(crate) fn applied(&self) -> (EntryIndex, LeaderEpoch) {
        (self.applied, self.applied_epoch)
    }

    pub(super) fn change_membership(
        &mut self,
        proposer: Proposer,
        change: &MembershipChange,
        effects: &mut Vec<Effect>,
    ) {
        let proposed = self.driver.change_membership(change);
        self.note_proposed(proposer, proposed, effects);
    }

    pub(super) fn hand_over_to(&mut self, to: ReplicaId) {
        self.driver.hand_over_to(to);
    }

    pub(super) fn checkpoint_durable(&mut self, index: EntryIndex, effects: &mut Vec<Effect>) {
        self.checkpoint.under_way = false;
        self.checkpoint.durable = index;
        self.trim(effects);
    }

    pub(super) fn snapshot_served(&mut self, to: ReplicaId) {
        self.followers.served(to);
    }

    /// Does all that the inputs so far have made possible.
    ///
    /// # Errors
    /// [`ReplicaError`]: this replica must not go on. Effects pushed before it are still right.
    pub(super) fn work(&mut self, now: Now, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        let worked = self.work_through(now, effects);
        if let Some(published) = self.publisher.take() {
            // Behind what a round before has published and its driver has not performed yet.
            let published_before = effects
                .iter()
                .take_while(|effect| matches!(effect, Effect::Publish(_)));
            let at = published_before.count();
            effects.insert(at, Effect::Publish(published));
        }
        worked
    }

    fn work_through(&mut self, now: Now, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        self.ask_reads_together();
        while let Some(work) = self.driver.work() {
            effects.extend(work.send.into_iter().map(Effect::Send));
            if let Some(step) = work.persist {
                self.unsynced.note(&step);
                if let Some(last) = step.entries.last() {
                    self.leader_disk.writes(step.number, last.index);
                }
                effects.push(Effect::Persist(step));
            }
            for entry in work.apply {
                self.apply(now, &entry, effects)?;
            }
            self.driver.applied(self.applied);
            for (asked, index) in work.readable {
                let readers = self.reads.asked.remove(&asked).unwrap_or_default();
                self.reads
                    .at_index
                    .entry(index)
                    .or_default()
                    .extend(readers);
            }
        }
        self.answer_reads(effects);
        self.follow_leadership(effects);
        self.hold_snapshot_when_wanted(effects);
        self.capture_checkpoint_when_due(effects);
        Ok(())
    }

    /// The members as this leader saw them at its last tick.
    pub(super) fn quorum(&self) -> &Quorum {
        self.publisher.quorum()
    }

    /// The voter that is nearest to leading: the one to hand over to, if any is known to be there.
    pub(crate) fn successor(&self) -> Option<ReplicaId> {
        let quorum = self.publisher.quorum();
        let others = quorum
            .members
            .iter()
            .filter(|member| member.voter && member.active && member.replica != self.me());
        others
            .max_by_key(|member| member.matched)
            .map(|member| member.replica)
    }

    /// Whether it leads, or is about to.
    pub(crate) fn is_leading(&self) -> bool {
        self.driver.role() == Role::Leader
    }

    /// Stands for election at once: a cluster of one has nobody to wait for.
    pub(crate) fn campaign(&mut self) {
        self.driver.campaign();
    }

    /// Whether this replica alone decides.
    pub(crate) fn is_alone(&self) -> bool {
        self.membership.voters == [self.me()] && !self.membership.is_joint()
    }

    /// Whether it leads, and no other replica, not even a learner, follows.
    pub(super) fn leads_itself_alone(&self) -> bool {
        self.is_alone() && self.membership.learners.is_empty() && self.is_leading()
    }

    /// The epoch that this replica leads, once it has applied an entry of it: what it says is current then.
    pub(super) fn leads(&self) -> Option<LeaderEpoch> {
        let epoch = self.driver.epoch();
        (self.is_leading() && self.applied_epoch == epoch).then_some(epoch)
    }

    /// What became of what the node itself has proposed, since this was asked last.
    pub(super) fn take_decided(&mut self) -> Vec<(Proposer, Result<AppliedOutcome, ProposeError>)> {
        std::mem::take(&mut self.decided)
    }

    /// What became of [`Replica::confirm`] since this was asked last.
    pub(super) fn take_confirmed(&mut self) -> Vec<(RequestId, Result<(), ProposeError>)> {
        std::mem::take(&mut self.confirmed)
    }

    /// Whether the outcome of a proposal is not known yet.
    pub(super) fn has_proposals(&self) -> bool {
        !self.proposed.is_empty()
    }

    /// Proposes a command; what comes of it, its proposer is told.
    pub(super) fn propose(
        &mut self,
        now: Now,
        proposer: Proposer,
        command: Command,
        effects: &mut Vec<Effect>,
    ) {
        let proposed = self.stamped(now, command);
        self.note_proposed(proposer, proposed, effects);
    }

    /// A leader that has not applied its epoch's first entry does not know the time of the command before it, nor whether
    /// jumps are noted: it stamps nothing.
    fn stamped(&mut self, now: Now, command: Command) -> Result<LogId, ProposalDropped> {
        if !self.is_leading() {
            return Err(ProposalDropped::NotLeader);
        }
        if self.applied_epoch != self.driver.epoch() {
            return Err(ProposalDropped::Busy);
        }
        let stamp = self.shared.clocks.stamp(now);
        self.note_jump(now, stamp)?;
        self.append(now, stamp.at, command)
    }

    /// No command goes over a jump of the clock that is not noted before it, once the cluster can read such a note.
    fn note_jump(&mut self, now: Now, stamp: CommandStamp) -> Result<(), ProposalDropped> {
        let Some(unwitnessed_ms) = stamp.unwitnessed_ms else {
            return Ok(());
        };
        if !self.shared.notes_jumps() {
            return Ok(());
        }
        let jump = NoteClockJump { unwitnessed_ms };
        self.append(now, stamp.at, Command::NoteClockJump(jump))?;
        self.shared.clocks.command().noted(stamp.at, now.elapsed);
        tell_jump(unwitnessed_ms);
        Ok(())
    }

    fn append(
        &mut self,
        now: Now,
        at: TimestampMs,
        command: Command,
    ) -> Result<LogId, ProposalDropped> {
        let envelope = Envelope {
            proposer: self.driver.epoch(),
            at,
            command,
        };
        let place = self.driver.propose(envelope.encode())?;
        self.shared.clocks.command().stamped(at, now.elapsed);
        Ok(place)
    }

    fn note_proposed(
        &mut self,
        proposer: Proposer,
        proposed: Result<LogId, ProposalDropped>,
        effects: &mut Vec<Effect>,
    ) {
        match proposed {
            Ok(LogId { index, epoch }) => {
                self.proposed.insert(index, (epoch, proposer));
            }
            Err(ProposalDropped::NotLeader) => {
                self.tell(proposer, Err(ProposeError::NotLeader), effects)
            }
            Err(ProposalDropped::Busy) => self.tell(proposer, Err(ProposeError::Dropped), effects),
        }
    }

    fn tell(
        &mut self,
        proposer: Proposer,
        outcome: Result<AppliedOutcome, ProposeError>,
        effects: &mut Vec<Effect>,
    ) {
        match proposer {
            Proposer::Request(to) => effects.push(Effect::Reply {
                to,
                reply: NodeReply::Outcome(outcome),
            }),
            own => self.decided.push((own, outcome)),
        }
    }

    fn apply(
        &mut self,
        now: Now,
        entry: &Entry,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        assert_eq!(
            self.applied.0 + 1,
            entry.index.0,
            "entries are applied in order, each once"
        );
        let outcome = match entry.kind {
            EntryKind::Membership => {
                self.membership = self.driver.apply_membership(entry);
                self.publisher.membership(self.membership.clone());
                Some(Ok(Response::Done))
            }
            // A new leader's first entry: its only message is that the epoch has begun.
            EntryKind::Command if entry.payload.is_empty() => {
                if self.is_leading() && entry.epoch == self.driver.epoch() {
                    self.shared.clocks.command().begin_to_lead();
                }
                None
            }
            EntryKind::Command => Some(self.apply_command(now, entry)?),
        };
        self.applied = entry.index;
        self.applied_epoch = entry.epoch;
        self.checkpoint.bytes_since += entry.payload.len() as u64;
        self.answer(entry, outcome, effects);
        Ok(())
    }

    /// The state and the files change under one lock: a reader that sees an offset finds its bytes.
    fn apply_command(&mut self, now: Now, entry: &Entry) -> Result<Outcome, ReplicaError> {
        let index = entry.index;
        let envelope = Envelope::decode(&entry.payload)
            .map_err(|source| ReplicaError::Command { index, source })?;
        let mut state = self
            .shared
            .state
            .write()
            .expect("readers do not panic with the lock");
        let noted_jumps = state.notes_jumps();
        let Applied { outcome, changes } = state.apply(index, entry.epoch, &envelope);
        self.follow_command_time(now, &state, noted_jumps);
        for change in changes {
            perform(&self.shared.partitions(), change)
                .map_err(|source| ReplicaError::Partitions { index, source })?;
        }
        Ok(outcome)
    }

    fn follow_command_time(&self, now: Now, state: &State, noted_jumps: bool) {
        let elapsed = now.elapsed;
        let mut command = self.shared.clocks.command();
        match self.driver.role() {
            Role::Leader => command.lead(state.clock(), elapsed),
            Role::Follower { .. } => command.follow(state.clock(), elapsed),
        }
        if !noted_jumps && state.notes_jumps() {
            command.begin_to_note();
        }
    }

    fn answer(&mut self, entry: &Entry, outcome: Option<Outcome>, effects: &mut Vec<Effect>) {
        let Some((epoch, proposer)) = self.proposed.remove(&entry.index) else {
            return;
        };
        let outcome = match outcome {
            Some(outcome) if epoch == entry.epoch => Ok((entry.index, outcome)),
            _ => Err(ProposeError::NotLeader),
        };
        self.tell(proposer, outcome, effects);
    }

    /// A leader is named only once an entry of its epoch is applied here: a leader before its first entry serves nobody
    /// (rule 5), and clients never go back to a lower epoch.
    fn current_leadership(&self) -> Leadership {
        let epoch = self.driver.epoch();
        match self.driver.role() {
            Role::Leader if self.applied_epoch == epoch => Leadership::Leader { epoch },
            Role::Leader => Leadership::Starting,
            Role::Follower { leader } if self.applied_epoch == epoch => Leadership::Follower {
                leader: leader
                    .and_then(|leader| self.node_of(leader))
                    .map(|node| (node, epoch)),
            },
            Role::Follower { .. } => Leadership::Follower { leader: None },
        }
    }

    fn node_of(&self, replica: ReplicaId) -> Option<NodeId> {
        let state = self.shared.state.read();
        let state = state.expect("this thread is the only one that writes it");
        state
            .nodes()
            .find_map(|(id, node)| (node.replica == replica).then_some(id))
    }

    fn me(&self) -> ReplicaId {
        self.shared.cluster.replica
    }

    fn follow_leadership(&mut self, effects: &mut Vec<Effect>) {
        let now = self.current_leadership();
        let leads = match self.driver.role() {
            Role::Leader => Some(self.driver.epoch()),
            Role::Follower { .. } => None,
        };
        // Lost and won again in one round is lost all the same.
        if leads.is_none() || (self.led.is_some() && self.led != leads) {
            self.fail_pending_proposals(effects);
        }
        if leads.is_some() && self.led != leads {
            self.followers.begin();
            self.leader_disk.begin();
        }
        self.led = leads;
        if matches!(now, Leadership::Leader { .. }) && self.publisher.is_new(now) {
            // Whoever hears that this replica leads asks next who is in sync.
            self.publish_quorum();
        }
        self.publisher.leadership(now);
        self.tell_of_leader(now);
        self.publisher.applied((self.applied, self.applied_epoch));
    }

    /// Once for each: a node that loses sight of its leader for a moment says nothing when it is there again.
    fn tell_of_leader(&mut self, now: Leadership) {
        let known = match now {
            Leadership::Leader { epoch } => Some((self.shared.cluster.node_id, epoch)),
            Leadership::Follower { leader } => leader,
            Leadership::Starting => None,
        };
        if let Some((leader, leader_epoch)) = known.filter(|known| self.told != Some(*known)) {
            self.told = known;
            let node = self.shared.cluster.node_id;
            info!(%node, %leader, %leader_epoch, "a leader is known");
        }
    }

    /// Leadership is lost: what was proposed may still be committed by the next leader, or not.
    fn fail_pending_proposals(&mut self, effects: &mut Vec<Effect>) {
        for (_, proposer) in std::mem::take(&mut self.proposed).into_values() {
            self.tell(proposer, Err(ProposeError::OutcomeUnknown), effects);
        }
        self.fail_pending_reads(effects);
    }

    pub(super) fn persisted(&mut self, number: u64) {
        self.driver.persisted(number);
        self.unsynced.forget(number);
        self.leader_disk.synced(number, self.followers.now());
    }

    pub(super) fn tick(&mut self, effects: &mut Vec<Effect>) {
        self.driver.tick();
        self.followers.tick();
        if !self.is_leading() {
            return self.release_snapshot(effects);
        }
        self.step_down_on_slow_disk();
        self.follow_snapshots(effects);
        self.publish_quorum();
        self.trim(effects);
    }

    /// Heart-beats do not wait for the disk, so a leader whose disk is slow or hangs would lead on, and hold up every
    /// acknowledgement.
    fn step_down_on_slow_disk(&mut self) {
        let followers = self.driver.followers();
        let (me, now) = (self.me(), self.followers.now());
        match self
            .leader_disk
            .judge(me, &self.membership, &followers, now)
        {
            Verdict::Lead => {}
            Verdict::HandOver => {
                if let Some(successor) = self.successor() {
                    info!(
                        to = successor.0,
                        "this node's disk is slower than the others': another is to lead"
                    );
                    self.driver.hand_over_to(successor);
                }
            }
            Verdict::LetGo => {
                info!("this node's disk is slower than the others': it leads no longer");
                self.driver.step_down();
            }
        }
    }

    /// A leader says who decides. One of an older epoch is no news; a leader knows better.
    pub(super) fn hear_quorum(&mut self, told: Quorum) {
        if self.leads().is_none() && self.publisher.quorum().epoch <= told.epoch {
            self.publisher.publish_quorum(told);
        }
    }

    fn publish_quorum(&mut self) {
        let quorum = Quorum {
            leader: Some(self.me()),
            epoch: self.driver.epoch(),
            last: self.driver.last_index(),
            members: self.followers.seen(
                self.me(),
                &self.membership,
                self.driver.last_index(),
                &self.driver.followers(),
            ),
        };
        self.publisher.publish_quorum(quorum);
    }
}

/// Bytes of entries that were handed out to be written and are not on disk yet.
#[derive(Default)]
struct Unsynced {
    steps: VecDeque<(u64, usize)>,
    bytes: usize,
}

/// A follower whose disk does not keep up takes no more entries beyond this: as much as a leader may have under way. They
/// are sent again.
const UNSYNCED_BYTES_MAX: usize = 64 << 20;

impl Unsynced {
    fn note(&mut self, step: &Persist) {
        let bytes = step.entries.iter().map(|entry| entry.payload.len()).sum();
        self.steps.push_back((step.number, bytes));
        self.bytes += bytes;
    }

    fn forget(&mut self, number: u64) {
        while let Some((_, bytes)) = self.steps.pop_front_if(|(step, _)| *step <= number) {
            self.bytes -= bytes;
        }
    }

    fn is_full(&self) -> bool {
        UNSYNCED_BYTES_MAX < self.bytes
    }
}

/// A stop of minutes is nothing to look at.
fn tell_jump(unwitnessed_ms: u64) {
    let seconds = unwitnessed_ms / 1_000;
    if unwitnessed_ms < TELL_MS_MIN {
        info!(
            seconds,
            "no leader lived through the last stretch of command time: it counts for no age"
        );
        return;
    }
    warn!(
        seconds,
        "the clock is ahead of the last command by time that no leader lived through: the log stood still for so long, or a \
         clock is or was wrong. Nothing is deleted or expires for it: see `log-core clock list`"
    );
}

/// Does to the files what a command has changed.
///
/// # Errors
/// [`PartitionsError`]
pub(crate) fn perform(partitions: &Partitions, change: Change) -> Result<(), PartitionsError> {
    match change {
        Change::PartitionCreated {
            partition,
            topic_id,
            segment,
        } => partitions.create(&partition, topic_id, segment),
        Change::PartitionConfigured { partition, segment } => {
            partitions.configure(&partition, segment)
        }
        Change::PartitionDeleted { partition } => partitions.delete(&partition),
        Change::Appended {
            partition,
            base_offset,
            batch,
            at,
        } => partitions.append(&partition, base_offset, &batch, at),
        Change::AppendsTimed { since } => {
            partitions.time_appends(since);
            Ok(())
        }
        Change::LogStartMoved {
            partition,
            log_start_offset,
        } => partitions.move_log_start(&partition, log_start_offset),
    }
}
