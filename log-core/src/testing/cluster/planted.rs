//! Old bugs, put back on purpose: a checker that never fired is only a hope.
//!
//! They are planted where the simulation has its hands anyway: an effect or an answer is spoiled, a call to the disk is
//! left out, files or what recovery found in them are changed. The log itself knows nothing of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use journal::disk::{Disk, OpenMode};
use journal::sim_disk::{DiskCall, Fault, Operation, SimDisk};

use super::operator_task::OperatorTask;
use super::process::GROUPS;
use super::request::{Reply, Request};
use super::topic;
use super::view::View;
use crate::consensus::voter_plan::{Admission, Members, admission};
use crate::consensus::{Membership, MembershipChange, Message, Persist};
use crate::entry::Entry;
use crate::ids::{EntryIndex, LeaderEpoch, PartitionIndex, RequestId, TimestampMs};
use crate::node::disk_room::RoomReport;
use crate::node::{
    CommandClock, Effect, GroupCoordinator, GroupRequest, Input, NodeRequest, Now, Outcome,
    ProposeError, SharedView,
};
use crate::state::{
    Command, Committer, ExpireOffsets, ExpireProducers, LogStartCause, MoveLogStart, Response,
};
use crate::storage::{Recovered, SegmentSummary, read_entries};

/// A bug that the simulation must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The journal's syncs do nothing.
    JournalNotSynced,
    /// The names of new journal segments are not made durable.
    SegmentNameNotSynced,
    /// The sync of what is written first into a new journal segment does nothing.
    SyncLeftOutAfterARoll,
    /// A step is confirmed, and its messages leave, before it is on disk.
    ToldBeforeSynced,
    /// Votes and epochs are not written: no sync before the vote.
    VoteNotSynced,
    /// A leader counts a follower's disk as soon as it has sent the entries: it acknowledges before a majority has them.
    AcknowledgedBeforeMajority,
    /// A record is acknowledged once it is applied, however many disks its topic wants it on.
    AnsweredAtApply,
    /// Disks are taken for empty, however full they are said to be.
    FullDiskAdmits,
    /// All that a round proposed is told the outcome of its first entry.
    OneOutcomeForARound,
    /// Who lost leadership says NOT_LEADER of what it had proposed.
    NotLeaderForAProposedBatch,
    /// A new leader serves current reads before its own epoch's first entry is applied.
    LeaderServesTooEarly,
    /// A checkpoint's state is taken up as if it were of an earlier entry: the last one is applied twice.
    AppliedWithoutTheCheckpointsIndex,
    /// A new leader knows nothing of what producers wrote last.
    ProducerWindowLostOnFailover,
    /// The commit of a member of an old generation is taken for one of the present.
    FencedMemberCommits,
    /// A coordinator that is deposed answers on with the groups of its epoch, also when it leads again.
    GroupsOfAnOldEpochAnswerOn,
    /// A damaged entry of the journal ends it, as if it were the torn tail.
    DamagedEntrySkipped,
    /// What the journal says beyond a snapshot is dropped when that is installed: the epoch is the snapshot's, and the vote none.
    JournalDroppedAtInstallation,
    /// A node whose disk was lost comes back empty under its old name, and votes.
    RefilledNodeVotesEarly,
    /// A learner is let vote as soon as it is near, without a proof that it and the future majority are there.
    PromotedWithoutProof,
    /// The operator takes a change of voters for done when its leader has applied it: a power cut later nobody else may
    /// know of it.
    DoneBeforeKnown,
    /// A follower's answers to heart-beats wait behind what it writes.
    HeartbeatsWaitForTheDisk,
    /// A leader takes the others' disks for as slow as its own: it hears of them only once its own sync has ended.
    OthersTakenForSlow,
    /// Retention compares the times of appends with the leader's wall clock.
    RetentionByTheWall,
    /// Retention goes by what producers wrote into their records.
    RetentionByRecordTimes,
    /// Retention takes a segment once its first append is old enough, and with it records within their time.
    RetentionByFirstAppends,
    /// What was unused for long is forgotten by the leader's wall clock.
    ForgottenByTheWall,
    /// A leader whose wall is ahead by time that no leader lived through does not say so.
    JumpNotNoted,
    /// Command time is the later of the last command's and the wall, and no more.
    CommandTimeStandsStill,
}

impl Planted {
    /// All of them.
    pub const ALL: [Planted; 28] = [
        Planted::JournalNotSynced,
        Planted::SegmentNameNotSynced,
        Planted::SyncLeftOutAfterARoll,
        Planted::ToldBeforeSynced,
        Planted::VoteNotSynced,
        Planted::AcknowledgedBeforeMajority,
        Planted::AnsweredAtApply,
        Planted::FullDiskAdmits,
        Planted::OneOutcomeForARound,
        Planted::NotLeaderForAProposedBatch,
        Planted::LeaderServesTooEarly,
        Planted::AppliedWithoutTheCheckpointsIndex,
        Planted::ProducerWindowLostOnFailover,
        Planted::FencedMemberCommits,
        Planted::GroupsOfAnOldEpochAnswerOn,
        Planted::DamagedEntrySkipped,
        Planted::JournalDroppedAtInstallation,
        Planted::RefilledNodeVotesEarly,
        Planted::PromotedWithoutProof,
        Planted::DoneBeforeKnown,
        Planted::HeartbeatsWaitForTheDisk,
        Planted::OthersTakenForSlow,
        Planted::RetentionByTheWall,
        Planted::RetentionByRecordTimes,
        Planted::RetentionByFirstAppends,
        Planted::ForgottenByTheWall,
        Planted::JumpNotNoted,
        Planted::CommandTimeStandsStill,
    ];

    /// Spoils a step on its way to the journal.
    pub(super) fn spoil_step(self, step: &mut Persist) {
        if self == Self::VoteNotSynced {
            step.hard_state = None;
        }
    }

    /// What a follower will be said to have answered to a message that has only just been sent.
    pub(super) fn forged_answer(self, message: &Message) -> Option<Message> {
        use raft::eraftpb::MessageType::{MsgAppend, MsgAppendResponse};
        let last = message.entries.last()?;
        if self != Self::AcknowledgedBeforeMajority || message.get_msg_type() != MsgAppend {
            return None;
        }
        let mut answer = Message::default();
        answer.set_msg_type(MsgAppendResponse);
        (answer.from, answer.to) = (message.to, message.from);
        (answer.term, answer.index) = (message.term, last.index);
        Some(answer)
    }

    /// Whether a message waits until what is being written is on disk.
    pub(super) fn holds_back(self, message: &Message) -> bool {
        use raft::eraftpb::MessageType::MsgHeartbeatResponse;
        match self {
            Self::HeartbeatsWaitForTheDisk => message.get_msg_type() == MsgHeartbeatResponse,
            _ => false,
        }
    }

    /// Whether a message is heard only once what is being written is on disk.
    pub(super) fn hears_late(self, message: &Message) -> bool {
        use raft::eraftpb::MessageType::MsgAppendResponse;
        self == Self::OthersTakenForSlow && message.get_msg_type() == MsgAppendResponse
    }

    /// Spoils an answer on its way to a client.
    pub(super) fn spoil_answer(self, said: Reply) -> Reply {
        match said {
            Reply::Outcome(Err(ProposeError::OutcomeUnknown))
                if self == Self::NotLeaderForAProposedBatch =>
            {
                Reply::Outcome(Err(ProposeError::NotLeader))
            }
            said => said,
        }
    }

    /// Whether a produce waits for no more than that it is applied.
    pub(super) fn answers_at_apply(self) -> bool {
        self == Self::AnsweredAtApply
    }

    /// Spoils what a node sees of its own disk.
    pub(super) fn spoil_free_bytes(self, bytes: u64) -> u64 {
        if self == Self::FullDiskAdmits {
            u64::MAX
        } else {
            bytes
        }
    }

    /// Spoils what a node hears of another's disk.
    pub(super) fn spoil_room(self, room: &mut RoomReport) {
        room.has_room |= self == Self::FullDiskAdmits;
    }

    /// Where outcomes are mixed up, what keeps count of them.
    pub(super) fn round_outcomes(self) -> Option<RoundOutcomes> {
        (self == Self::OneOutcomeForARound).then(RoundOutcomes::default)
    }

    /// Spoils a request before the node looks at it.
    pub(super) fn spoil_request(self, request: &mut Request, view: &View<'_>) {
        let Request::Propose(Command::CommitOffsets(commit)) = request else {
            return;
        };
        let group = view.state.group(&commit.group);
        let member = group.and_then(|group| group.members().next().cloned());
        if let (Self::FencedMemberCommits, Some(group), Some(member)) = (self, group, member) {
            commit.by = Committer {
                generation: Some(group.generation()),
                member: Some(member.id),
                instance: member.instance_id,
            };
        }
    }

    /// The groups that answer on, once a node ceases to lead an epoch.
    pub(super) fn old_groups(
        self,
        epoch: LeaderEpoch,
        now: Now,
        shared: &SharedView,
    ) -> Option<OldGroups> {
        (self == Self::GroupsOfAnOldEpochAnswerOn).then(|| OldGroups::of(epoch, now, shared))
    }

    /// What a new leader does first.
    pub(super) fn first_command(self) -> Option<Command> {
        let everything = ExpireProducers {
            used_before: TimestampMs(i64::MAX),
        };
        (self == Self::ProducerWindowLostOnFailover).then_some(Command::ExpireProducers(everything))
    }

    /// Spoils command time before a node uses it.
    pub(super) fn spoil_command_time(self, now: Now, shared: &SharedView) {
        let Now { elapsed, wall } = now;
        let mut command = shared.clocks.command();
        match self {
            Self::JumpNotNoted => {
                let at = command.stamp(wall, elapsed).at;
                *command = CommandClock::from(at, elapsed);
            }
            Self::CommandTimeStandsStill => {
                let last = shared.state.read().expect("nobody panicked").clock();
                *command = CommandClock::from(last, elapsed);
            }
            _ => {}
        }
    }

    /// What a leader takes for due besides what is.
    pub(super) fn housework(self, shared: &SharedView, now: Now) -> Vec<Command> {
        let Now { elapsed, wall } = now;
        let before = |days: i64| TimestampMs(wall.0 - days * 86_400_000);
        match self {
            Self::RetentionByTheWall => {
                let last_append = |segment: &SegmentSummary| segment.appended.map(|at| at.last);
                delete_older(shared, wall, last_append)
            }
            Self::RetentionByRecordTimes => {
                let (now, _) = shared.command_time(elapsed);
                delete_older(shared, now, |segment| segment.max_timestamp)
            }
            Self::RetentionByFirstAppends => {
                delete_begun_before(shared, elapsed).into_iter().collect()
            }
            Self::ForgottenByTheWall => vec![
                Command::ExpireProducers(ExpireProducers {
                    used_before: before(1),
                }),
                Command::ExpireOffsets(ExpireOffsets {
                    committed_before: before(7),
                }),
            ],
            _ => Vec::new(),
        }
    }

    /// Spoils what recovery found.
    pub(super) fn spoil_recovered(self, recovered: &mut Recovered, disk: &dyn Disk, folder: &Path) {
        if self == Self::AppliedWithoutTheCheckpointsIndex {
            forget_the_index(recovered, disk, folder);
        }
    }

    /// Whether the operator hears that a task is done, where the leader's members are these.
    pub(super) fn tells_early(self, operator_task: OperatorTask, members: &Membership) -> bool {
        let is_applied = match operator_task {
            OperatorTask::Join { replica, .. } => members.voters.contains(&replica),
            OperatorTask::Leave { replica } => !members.has(replica),
        };
        self == Self::DoneBeforeKnown && is_applied && !members.is_joint()
    }

    /// What a leader changes for a task without waiting for a proof.
    pub(super) fn unproved_change(
        self,
        operator_task: OperatorTask,
        members: &Members<'_>,
    ) -> Option<MembershipChange> {
        let OperatorTask::Join {
            replica: learner,
            instead_of,
            ..
        } = operator_task
        else {
            return None;
        };
        match admission(members, learner, instead_of) {
            Admission::Promote { instead_of } if self == Self::PromotedWithoutProof => {
                Some(MembershipChange::Promote {
                    learner,
                    instead_of,
                })
            }
            _ => None,
        }
    }

    /// Spoils what an installation found in the folder.
    pub(super) fn spoil_installed(self, recovered: &mut Recovered) {
        if let (Self::JournalDroppedAtInstallation, Some(kept), true) =
            (self, &recovered.checkpoint, recovered.entries.is_empty())
        {
            recovered.hard_state.epoch = kept.epoch;
            recovered.hard_state.vote = None;
        }
    }

    /// What it makes of a folder that a start refuses, because a bit of a file is flipped.
    pub(super) fn mend(self, disk: &SimDisk, flipped: &(PathBuf, usize)) {
        if self == Self::DamagedEntrySkipped && is_journal(&flipped.0) {
            cut_journal(disk, flipped).expect("the disk works");
        }
    }

    /// Whether bits are to be flipped in the journal only.
    pub(super) fn is_about_the_journal(self) -> bool {
        self == Self::DamagedEntrySkipped
    }
}

/// Retention as it would be by these times of segments.
fn delete_older(
    shared: &SharedView,
    now: TimestampMs,
    time_of: impl Fn(&SegmentSummary) -> Option<TimestampMs>,
) -> Vec<Command> {
    let partitions = shared.partitions();
    let old = |partition| {
        let reader = partitions.reader(&topic::place(partition))?;
        let is_old = |segment: &&SegmentSummary| {
            time_of(segment).is_some_and(|at| at.0 + topic::RETENTION_MS < now.0)
        };
        let segments = reader.segments();
        let last = segments.iter().take_while(is_old).last()?;
        Some(Command::MoveLogStart(MoveLogStart {
            topic_id: topic::topic_id(),
            partition,
            offset: Some(last.end_offset),
            cause: LogStartCause::Retention,
        }))
    };
    topic::partitions().filter_map(old).collect()
}

/// Retention of the records that are kept briefly, as it would be if a segment were as old as its first append.
fn delete_begun_before(shared: &SharedView, elapsed: Duration) -> Option<Command> {
    let (now, jumps) = shared.command_time(elapsed);
    let is_old = |segment: &&SegmentSummary| {
        let age_ms = segment.appended.map(|at| jumps.age_ms(at.first, now));
        age_ms.is_some_and(|age_ms| topic::BRIEF_RETENTION_MS < age_ms)
    };
    let segments = shared
        .partitions()
        .reader(&topic::brief_place())?
        .segments();
    let last = segments.iter().take_while(is_old).last()?;
    Some(Command::MoveLogStart(MoveLogStart {
        topic_id: topic::brief_topic_id(),
        partition: PartitionIndex(0),
        offset: Some(last.end_offset),
        cause: LogStartCause::Retention,
    }))
}

/// The checkpoint's last entry goes back among those that are to be applied.
fn forget_the_index(recovered: &mut Recovered, disk: &dyn Disk, folder: &Path) {
    let (Some(kept), Ok(found)) = (&mut recovered.checkpoint, read_entries(disk, folder)) else {
        return;
    };
    let (last, before) = (kept.applied, EntryIndex(kept.applied.0.saturating_sub(1)));
    let at = |index: EntryIndex| found.entries.iter().find(|entry| entry.index == index);
    if let (Some(last), Some(before)) = (at(last), at(before)) {
        kept.state = with_index(&kept.state, last, before).into();
        (kept.applied, kept.epoch) = (before.index, before.epoch);
        recovered.entries.insert(0, last.clone());
    }
}

/// The state's bytes begin with a version byte and the index, in postcard's encoding.
fn with_index(state: &[u8], last: &Entry, before: &Entry) -> Vec<u8> {
    let encoded = |entry: &Entry| postcard::to_stdvec(&entry.index).expect("a number encodes");
    let (last, before) = (encoded(last), encoded(before));
    let rest = state[1..].strip_prefix(last.as_slice());
    [
        &state[..1],
        &before,
        rest.expect("the state is the checkpoint's"),
    ]
    .concat()
}

/// Zeros from the damaged byte on, and no later segments: what an unfinished write would look like.
fn cut_journal(disk: &SimDisk, (path, byte): &(PathBuf, usize)) -> std::io::Result<()> {
    let file = disk.open(path, OpenMode::Write)?;
    let len = usize::try_from(file.len()?).expect("simulated files are small");
    file.write_at(&vec![0; len - byte], *byte as u64)?;
    for later in disk.files().keys() {
        if is_journal(later) && path < later {
            disk.remove_file(later)?;
        }
    }
    Ok(())
}

/// The groups of an epoch that is over, as they were recorded when it ended.
pub(super) struct OldGroups(GroupCoordinator);

impl OldGroups {
    fn of(epoch: LeaderEpoch, now: Now, shared: &SharedView) -> Self {
        let mut groups = GroupCoordinator::new(GROUPS);
        let mut effects = Vec::new();
        groups.follow(now.elapsed, Some(epoch), &mut effects);
        groups.resume_some(now.elapsed, shared, &mut effects);
        Self(groups)
    }

    /// Answers a member; what follows for others too.
    pub(super) fn answer(
        &mut self,
        id: RequestId,
        request: GroupRequest,
        now: Now,
        shared: &SharedView,
    ) -> Vec<Effect> {
        let (now, mut effects) = (now.elapsed, Vec::new());
        self.0.wake(now, &mut effects);
        self.0.request(now, id, request, shared, &mut effects);
        for (record, _) in self.0.take_records() {
            let not_leading = Err(ProposeError::NotLeader);
            self.0.recorded(now, &record, &not_leading, &mut effects);
        }
        effects
    }
}

/// Which proposals were taken in one round, and what the first of them was told.
#[derive(Default)]
pub(super) struct RoundOutcomes {
    round: u64,
    rounds: BTreeMap<RequestId, u64>,
    first: Option<(u64, Response)>,
}

impl RoundOutcomes {
    /// A round takes these inputs.
    pub(super) fn begin(&mut self, inputs: &[Input]) {
        self.round += 1;
        for input in inputs {
            if let Input::Request {
                id,
                request: NodeRequest::Propose(_) | NodeRequest::Produce { .. },
            } = input
            {
                self.rounds.insert(*id, self.round);
            }
        }
    }

    /// Puts the first outcome of a round in the place of a later one.
    pub(super) fn spoil(&mut self, id: RequestId, outcome: &mut Result<Outcome, ProposeError>) {
        let round = self.rounds.remove(&id);
        let (Some(round), Ok(Ok(response @ Response::Produced(_)))) = (round, outcome) else {
            return;
        };
        match &self.first {
            Some((of, first)) if *of == round => *response = first.clone(),
            _ => self.first = Some((round, response.clone())),
        }
    }
}

/// Leaves out calls to the disk.
#[derive(Default)]
pub(super) struct LeftOut {
    segments: BTreeSet<PathBuf>,
}

impl LeftOut {
    /// What becomes of a call.
    pub(super) fn fate(&mut self, bug: Planted, call: &DiskCall<'_>) -> Option<Fault> {
        let spoiled = match (bug, call.operation) {
            (Planted::JournalNotSynced, Operation::SyncFile)
            | (Planted::SegmentNameNotSynced, Operation::SyncFolder) => is_in_journal(call.path),
            (Planted::SyncLeftOutAfterARoll, Operation::SyncFile) => {
                is_journal(call.path) && self.segments.insert(call.path.to_owned())
            }
            _ => false,
        };
        spoiled.then_some(Fault::Ignored)
    }
}

fn is_in_journal(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "journal")
}

fn is_journal(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "journal")
}
