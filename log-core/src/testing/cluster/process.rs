//! A running node: the real replica, journal, partitions and group deciders. What its threads would do waits here until
//! the seed says that it happens.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use journal::disk::Disk;

use super::disks::{KnownDisks, OnDisks, PRODUCE_WAITS, Status};
use super::failure::{Failure, Untimely};
use super::inboxes::Inboxes;
use super::member::{self, SESSION_TIMEOUT};
use super::operator_task::{OperatorTask, registration};
use super::planted::{OldGroups, Planted, RoundOutcomes};
use super::request::{Reply, Request, RequestOrigin};
use super::view::View;

use crate::consensus::{Membership, Message, Persist, Quorum};
use crate::group::{GroupConfig, GroupError};
use crate::ids::{EntryIndex, LeaderEpoch, ReplicaId, RequestId, TimestampMs, TransactionalId};
use crate::node::group_commit::{GroupCommit, JournalEvent, JournalLine, JournalWrite};
use crate::node::{
    Effect, GroupRequest, Input, Leadership, Limits, Node, NodeReply, NodeRequest, Outcome,
    ProposeError, Published, SharedView, VoterChangeError, assemble,
};
use crate::state::{Command, CommitOffsets, Envelope, Response};
use crate::storage::{
    EntryLog, Identity, Incoming, PendingCheckpoint, StorageConfig, Synced, recover,
};
use crate::testing::SimClock;

/// What a node wants from the world around it.
#[derive(Default)]
pub(super) struct Outbound {
    /// For other replicas.
    pub(super) messages: Vec<Message>,
    /// For clients.
    pub(super) answers: Vec<(RequestOrigin, Reply)>,
    /// Whether something waits for its own thread.
    pub(super) inputs_wait: bool,
    /// How many inputs it has taken before it worked.
    pub(super) taken_together: usize,
    /// Whether the journal's thread has work.
    pub(super) journal_waits: bool,
    /// Whether the checkpoint's thread has work.
    pub(super) checkpoint_waits: bool,
    /// Whether a checkpoint's files are to be held for followers.
    pub(super) hold_waits: bool,
    /// Whether a part of a snapshot is to be fetched.
    pub(super) fetch_waits: bool,
    /// Whether it has ended cleanly.
    pub(super) ended: bool,
    /// Whose transactions were open for too long, as housekeeping has it.
    /// How it is, for the other nodes.
    pub(super) status: Option<Status>,
    /// Which records it has acknowledged.
    pub(super) on_disks: Vec<OnDisks>,
    pub(super) overdue: Vec<TransactionalId>,
    /// For the operator.
    pub(super) operator: Vec<(OperatorTask, Result<(), VoterChangeError>)>,
    /// What no clock excuses.
    pub(super) untimely: Vec<Untimely>,
}

/// What a process has its files from.
pub(super) struct DataFolder {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) storage: StorageConfig,
    pub(super) limits: Limits,
    pub(super) identity: Identity,
    /// On so many disks a record is when it is acknowledged.
    pub(super) on_disks: usize,
}

/// A snapshot on its way here.
pub(super) struct Fetch {
    pub(super) from: ReplicaId,
    pub(super) incoming: Incoming,
    pub(super) failures: u32,
}

/// After so many parts that did not come in a row a fetch is given up.
pub(super) const FETCH_FAILURES_MAX: u32 = 6;

/// Who waits for an answer of the replica.
pub(super) enum Awaiting {
    Client(RequestOrigin),
    /// A client, for a record that is to be on so many disks.
    Produce(RequestOrigin, usize),
    /// A member of a group, whose commit is proposed once it is admitted.
    Commit(RequestOrigin, CommitOffsets),
    /// The operator.
    Operator(OperatorTask),
    /// A planted bug, which keeps house as it should not.
    Planted,
    /// It does not matter.
    Nobody,
}

/// What a node has published last of each kind.
pub(super) struct LastPublished {
    pub(super) membership: Membership,
    pub(super) quorum: Arc<Quorum>,
    leadership: Leadership,
    applied: EntryIndex,
}

impl LastPublished {
    fn of(node: &Node) -> Self {
        Self {
            membership: node.membership().clone(),
            quorum: Arc::default(),
            leadership: Leadership::Follower { leader: None },
            applied: node.applied().0,
        }
    }

    fn update(&mut self, published: Published) {
        let Published {
            membership,
            quorum,
            leadership,
            applied,
        } = published;
        self.membership = membership.unwrap_or_else(|| self.membership.clone());
        self.quorum = quorum.unwrap_or_else(|| Arc::clone(&self.quorum));
        self.leadership = leadership.unwrap_or(self.leadership);
        self.applied = applied.map_or(self.applied, |(applied, _)| applied);
    }
}

pub(super) struct Process {
    number: usize,
    pub(super) home: DataFolder,
    pub(super) node: Node,
    pub(super) clock: Arc<SimClock>,
    pub(super) shared: Arc<SharedView>,
    pub(super) published: LastPublished,
    pub(super) log: EntryLog,
    pub(super) journal: JournalLine,
    /// What the journal's thread has taken: on the disk once its sync ends.
    pub(super) writing: Option<GroupCommit>,
    /// What a planted bug lets wait for the disk.
    held_back: Vec<Message>,
    heard_late: Vec<Message>,
    pub(super) sealed: VecDeque<(PendingCheckpoint, Synced)>,
    pub(super) awaiting: BTreeMap<RequestId, Awaiting>,
    issued: u64,
    ticks: u64,
    /// When the node last had its tick.
    ticked: Duration,
    pub(super) outbound: Outbound,
    pub(super) inboxes: Inboxes,
    /// For a planted bug.
    round_outcomes: Option<RoundOutcomes>,
    old_groups: Option<OldGroups>,
    shown: Option<EntryIndex>,
    /// The epoch in which it has begun to lead, as long as it does.
    began: Option<LeaderEpoch>,
    /// What was applied when it began.
    pub(super) began_at: EntryIndex,
    /// Who voted when that was looked at last, and in which epoch of this node.
    pub(super) voters: Option<(LeaderEpoch, Vec<ReplicaId>)>,
    pub(super) disks: KnownDisks,
    led: Option<LeaderEpoch>,
    /// The time of the last command that this node proposed, in which epoch and when.
    stamped: Option<(LeaderEpoch, TimestampMs, Duration)>,
    pub(super) planted: Option<Planted>,
    /// The step that a planted bug confirms before its time.
    told_early: Option<u64>,
    pub(super) fetch: Option<Fetch>,
    pub(super) fetched: Option<Incoming>,
    installs: bool,
    ends: bool,
    /// What the journal's thread has said and the node has not heard yet.
    words_left: usize,
    /// Whether an installation waits for the journal's last word.
    journal_ends: bool,
    /// The epoch that its folder promises, as it was read last, until that is looked at.
    pub(super) promises: Option<LeaderEpoch>,
    /// How many snapshots it has installed since somebody asked.
    pub(super) installed: u64,
}

/// Sessions are short, so that they end in a short life.
pub(super) const GROUPS: GroupConfig = GroupConfig {
    session_timeout_min: SESSION_TIMEOUT,
    session_timeout_max: SESSION_TIMEOUT,
    size_max: 100,
    bytes_max: 1 << 20,
    initial_rebalance_delay: Duration::ZERO,
};

/// Times are cut to milliseconds.
const TICK_MS: Duration = Duration::from_millis(2);

/// A command time as a duration.
fn at_zero(at: TimestampMs) -> Duration {
    Duration::from_millis(u64::try_from(at.0).unwrap_or(0))
}

/// No two crystals swing alike: one node's tick comes before another's.
const TICK_EARLY_MAX: Duration = Duration::from_millis(10);
/// A planted bug has a leader do something wrong once in so many ticks.
const TICKS_BETWEEN_WRONGS: u64 = 20;

impl Process {
    /// Starts on whatever is in its folder.
    pub(super) fn start(
        number: usize,
        home: DataFolder,
        clock: Arc<SimClock>,
        planted: Option<Planted>,
    ) -> Result<Self, Failure> {
        let recovered = recover(&home.disk, &home.folder, &home.storage);
        let mut recovered = recovered.map_err(|error| Failure::of(&error))?;
        if let Some(bug) = planted {
            bug.spoil_recovered(&mut recovered, &*home.disk, &home.folder);
        }
        let promises = recovered.hard_state.epoch;
        let assembled = assemble(
            &home.folder,
            home.limits,
            &home.identity,
            recovered,
            clock.now(),
        );
        let (node, shared, log) = assembled.map_err(|error| Failure::of(&error))?;
        Ok(Self {
            number,
            home,
            ticked: clock.now().elapsed,
            clock,
            published: LastPublished::of(&node),
            node,
            shared,
            log,
            journal: JournalLine::default(),
            writing: None,
            held_back: Vec::new(),
            heard_late: Vec::new(),
            sealed: VecDeque::new(),
            awaiting: BTreeMap::new(),
            issued: 0,
            ticks: 0,
            outbound: Outbound::default(),
            inboxes: Inboxes::default(),
            round_outcomes: planted.and_then(Planted::round_outcomes),
            old_groups: None,
            shown: None,
            began: None,
            led: None,
            stamped: None,
            began_at: EntryIndex(0),
            voters: None,
            disks: KnownDisks::default(),
            planted,
            told_early: None,
            fetch: None,
            fetched: None,
            installs: false,
            ends: false,
            words_left: 0,
            journal_ends: false,
            promises: Some(promises),
            installed: 0,
        })
    }

    /// The first thing it does.
    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        self.look_at_disk()?;
        if self.node.is_alone() {
            self.node.campaign();
        }
        self.work()
    }

    pub(super) fn tick(&mut self) -> Result<(), Failure> {
        if self.node.is_installing() {
            return Ok(());
        }
        self.ticks += 1;
        self.spoil_tasks();
        let now = self.now();
        if self.node.tick_due(self.ticked) <= now + TICK_EARLY_MAX {
            self.ticked = now;
            self.take(Input::Tick)?;
        }
        self.watch_disks(self.ticks)?;
        if self.ticks.is_multiple_of(TICKS_BETWEEN_WRONGS) {
            self.do_wrong();
        }
        Ok(())
    }

    pub(super) fn hear(&mut self, message: Message) {
        let waits = self.planted.is_some_and(|bug| bug.hears_late(&message));
        if waits && self.writing.is_some() {
            return self.heard_late.push(message);
        }
        self.inboxes.hear(message);
        self.outbound.inputs_wait |= self.inboxes.want_a_round();
    }

    /// Something for its own thread.
    pub(super) fn ask(&mut self, input: Input) {
        self.inboxes.ask(input);
        self.outbound.inputs_wait |= self.inboxes.want_a_round();
    }

    /// A round of its thread: several inputs of a kind, then work.
    pub(super) fn take_several(&mut self, most: usize) -> Result<(), Failure> {
        if self.node.is_installing() {
            self.inboxes.put_off();
            return Ok(());
        }
        let inputs = self.inboxes.take(most);
        self.outbound.taken_together = inputs.len();
        if let Some(outcomes) = &mut self.round_outcomes {
            outcomes.begin(&inputs);
        }
        let mut effects = Vec::new();
        for input in inputs {
            self.take_one(input, &mut effects);
        }
        self.outbound.inputs_wait |= self.inboxes.want_a_round();
        self.work_on(effects)
    }

    /// A client's request.
    pub(super) fn asked(&mut self, asker: RequestOrigin, mut request: Request) {
        if let Some(bug) = self.planted {
            bug.spoil_request(&mut request, &self.view());
        }
        match request {
            Request::Propose(command @ Command::Produce(_)) => {
                let request = NodeRequest::Produce {
                    command,
                    until: self.until(),
                    deadline: self.now() + PRODUCE_WAITS,
                };
                let required = self.required();
                self.request(Awaiting::Produce(asker, required), request);
            }
            Request::Propose(command) => self.propose(Awaiting::Client(asker), command),
            Request::Commit { caller, commit } => {
                let request = GroupRequest::AdmitCommit {
                    group: commit.group.clone(),
                    caller: Some(caller),
                };
                self.request(Awaiting::Commit(asker, commit), NodeRequest::Group(request));
            }
            Request::Group(group, input) => {
                self.coordinate(asker, GroupRequest::Member { group, input });
            }
            Request::Read if self.serves_too_early() => self.answer(asker, Reply::Readable(Ok(()))),
            Request::Read => self.request(Awaiting::Client(asker), NodeRequest::ReadBarrier),
            Request::Look => self.answer(asker, Reply::Shown),
        }
    }

    fn coordinate(&mut self, asker: RequestOrigin, request: GroupRequest) {
        let id = member::request_id(asker);
        if let Some(groups) = &mut self.old_groups {
            let effects = groups.answer(id, request, self.clock.now(), &self.shared);
            return effects.into_iter().for_each(|effect| self.perform(effect));
        }
        let request = NodeRequest::Group(request);
        self.ask(Input::Request { id, request });
    }

    fn serves_too_early(&self) -> bool {
        self.planted == Some(Planted::LeaderServesTooEarly)
            && self.published.leadership == Leadership::Starting
    }

    fn answer(&mut self, asker: RequestOrigin, said: Reply) {
        self.outbound.answers.push((asker, said));
    }

    fn propose(&mut self, awaiting: Awaiting, command: Command) {
        self.request(awaiting, NodeRequest::Propose(command));
    }

    pub(super) fn request(&mut self, awaiting: Awaiting, request: NodeRequest) {
        self.issued += 1;
        let id = RequestId(self.issued);
        self.awaiting.insert(id, awaiting);
        self.ask(Input::Request { id, request });
    }

    /// What a planted bug takes for due.
    fn do_wrong(&mut self) {
        let (Some(bug), Some(_)) = (self.planted, self.leading()) else {
            return;
        };
        for command in bug.housework(&self.shared, self.clock.now()) {
            self.propose(Awaiting::Planted, command);
        }
    }

    fn housekept(&mut self, response: Response) {
        match response {
            Response::TransactionsExpired { ids } => self.outbound.overdue.extend(ids),
            Response::Expired { count: 1.. } => self.outbound.untimely.push(Untimely::Forgotten),
            _ => {}
        }
    }

    /// Command time goes on at least as elapsed time does, as long as one node leads.
    fn watch_command_time(&mut self, step: &Persist) {
        let now = self.now();
        for entry in &step.entries {
            let Ok(envelope) = Envelope::decode(&entry.payload) else {
                continue;
            };
            if envelope.proposer != entry.epoch || self.leading() != Some(entry.epoch) {
                continue;
            }
            let last = self.stamped.replace((entry.epoch, envelope.at, now));
            let stood_still = last.is_some_and(|(epoch, at, then)| {
                let passed = now.saturating_sub(then) + at_zero(at);
                epoch == entry.epoch && at_zero(envelope.at) + TICK_MS < passed
            });
            if stood_still {
                let untimely = Untimely::CommandTimeStoodStill;
                self.outbound.untimely.push(untimely);
            }
        }
    }

    /// A sync of the journal's thread ends, and it takes what has come to wait meanwhile.
    pub(super) fn write_journal(&mut self) -> Result<(), Failure> {
        let Some(group) = self.writing.take() else {
            return Ok(());
        };
        if self.node.is_installing() {
            self.heard_late.clear();
        }
        for message in std::mem::take(&mut self.heard_late) {
            self.take(Input::Message(message))?;
        }
        let mut said = Vec::new();
        let written = group.write(&mut self.log, &mut |word| said.push(word));
        written.map_err(|error| Failure::of(&error))?;
        self.words_left = said.len();
        for word in said {
            self.words_left -= 1;
            self.written(word)?;
        }
        self.outbound.messages.append(&mut self.held_back);
        self.end_journal_when_done()
    }

    /// The last word of the journal's thread, where an installation waits for it.
    fn end_journal_when_done(&mut self) -> Result<(), Failure> {
        if self.words_left != 0 {
            return Ok(());
        }
        self.take_what_waits();
        if !self.journal_ends || self.writing.is_some() {
            return Ok(());
        }
        self.journal_ends = false;
        self.take(Input::JournalEnded)
    }

    /// The journal's thread ends after the node: what waits for it goes to disk.
    fn write_all_that_waits(&mut self) -> Result<(), Failure> {
        while let Some(group) = self.writing.take().or_else(|| self.journal.next()) {
            let written = group.write(&mut self.log, &mut |_| {});
            written.map_err(|error| Failure::of(&error))?;
        }
        Ok(())
    }

    fn take_what_waits(&mut self) {
        if self.writing.is_none() {
            self.writing = self.journal.next();
            self.outbound.journal_waits |= self.writing.is_some();
        }
    }

    fn written(&mut self, word: JournalEvent) -> Result<(), Failure> {
        match word {
            JournalEvent::Persisted { .. } if self.planted == Some(Planted::ToldBeforeSynced) => {
                Ok(())
            }
            JournalEvent::Persisted { number, then_send } => {
                self.outbound.messages.extend(then_send);
                self.take(Input::Persisted { number })
            }
            JournalEvent::Sealed(captured, synced) => {
                self.take(Input::CheckpointSealed(captured, synced))
            }
            JournalEvent::Broken(_) | JournalEvent::Ended | JournalEvent::Panicked => {
                unreachable!("said by the thread, not the group")
            }
        }
    }

    /// What the checkpoint's thread does.
    pub(super) fn complete_checkpoint(&mut self) -> Result<(), Failure> {
        let Some((captured, synced)) = self.sealed.pop_front() else {
            return Ok(());
        };
        let done = captured.complete(synced);
        let index = done.map_err(|error| Failure::of(&error))?;
        self.take(Input::CheckpointDurable { index })
    }

    /// A round with one input: what its thread takes alone.
    pub(super) fn take(&mut self, input: Input) -> Result<(), Failure> {
        let mut effects = Vec::new();
        self.take_one(input, &mut effects);
        self.work_on(effects)
    }

    fn take_one(&mut self, input: Input, effects: &mut Vec<Effect>) {
        let now = self.clock.now();
        if let Some(bug) = self.planted {
            bug.spoil_command_time(now, &self.shared);
        }
        self.node.take(now, input, effects);
    }

    pub(super) fn work(&mut self) -> Result<(), Failure> {
        self.work_on(Vec::new())
    }

    fn work_on(&mut self, mut effects: Vec<Effect>) -> Result<(), Failure> {
        let worked = self.node.work(self.clock.now(), &mut effects);
        effects.into_iter().for_each(|effect| self.perform(effect));
        worked.map_err(|error| Failure::of(&error))?;
        if let Some(number) = self.told_early.take() {
            self.take(Input::Persisted { number })?;
        }
        if std::mem::take(&mut self.installs) {
            self.install()?;
        }
        if std::mem::take(&mut self.ends) {
            self.write_all_that_waits()?;
            self.outbound.ended = true;
        }
        self.end_journal_when_done()?;
        self.follow_leadership();
        self.spoil_tasks();
        Ok(())
    }

    /// What it does first when it has begun to lead.
    fn follow_leadership(&mut self) {
        let leading = self.leading();
        let before = std::mem::replace(&mut self.began, leading);
        if before == leading {
            return;
        }
        if let (Some(bug), Some(epoch)) = (self.planted, before) {
            let groups = bug.old_groups(epoch, self.clock.now(), &self.shared);
            self.old_groups = self.old_groups.take().or(groups);
        }
        if leading.is_none() {
            return;
        }
        self.began_at = self.published.applied;
        self.register_founders();
        if let Some(command) = self.planted.and_then(Planted::first_command) {
            self.propose(Awaiting::Nobody, command);
        }
    }

    /// In production each says itself that it is there.
    fn register_founders(&mut self) {
        if self.shared.state().nodes().next().is_some() {
            return;
        }
        let formed = self.home.identity.formed.clone();
        for founder in formed.expect("it is part of a cluster").founders {
            let registration = registration(founder.node, founder.replica);
            self.propose(Awaiting::Nobody, Command::RegisterNode(registration));
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(published) => self.published.update(published),
            Effect::Persist(step) => self.persist(step),
            Effect::SealCheckpoint {
                hard_state,
                captured,
            } => self.ask_journal(JournalWrite::Seal(hard_state, captured)),
            Effect::CompleteCheckpoint(captured, synced) => {
                self.sealed.push_back((captured, synced));
                self.outbound.checkpoint_waits = true;
            }
            Effect::TrimJournal { before } => self.ask_journal(JournalWrite::TrimBefore(before)),
            Effect::Send(message) => self.send(message),
            Effect::Reply { to, reply } => self.replied(to, reply),
            Effect::HoldSnapshot => self.outbound.hold_waits = true,
            Effect::ReleaseSnapshot => self.release_snapshot(),
            Effect::FetchSnapshot { from, manifest, .. } => self.begin_fetch(from, &manifest),
            Effect::DropFetched => self.drop_fetched(),
            Effect::EndJournal => self.journal_ends = true,
            Effect::Install { .. } => self.installs = true,
            Effect::Housekept(housekept) => self.housekept(housekept.response),
            Effect::Ended => self.ends = true,
        }
    }

    fn send(&mut self, message: Message) {
        let waits = self.planted.is_some_and(|bug| bug.holds_back(&message));
        if waits && self.writing.is_some() {
            return self.held_back.push(message);
        }
        let forged = self.planted.and_then(|bug| bug.forged_answer(&message));
        self.outbound.messages.push(message);
        self.outbound.messages.extend(forged);
    }

    fn replied(&mut self, to: RequestId, reply: NodeReply) {
        let said = match reply {
            NodeReply::Outcome(outcome) => return self.decided(to, outcome),
            NodeReply::Admitted(admitted) => return self.admitted(to, admitted),
            NodeReply::VotersChanged(changed) => return self.voters_changed(to, changed),
            NodeReply::Readable(allowed) => Reply::Readable(allowed),
            NodeReply::Member(response) => {
                return self.answer(member::asker_of(to), Reply::Group(response));
            }
            NodeReply::Described(_) | NodeReply::Listed(_) => unreachable!("nobody asks for it"),
        };
        if let Awaiting::Client(asker) = self.awaited(to) {
            self.answer(asker, said);
        }
    }

    fn voters_changed(&mut self, id: RequestId, changed: Result<(), VoterChangeError>) {
        let Awaiting::Operator(operator_task) = self.awaited(id) else {
            unreachable!("only the operator changes who votes");
        };
        self.outbound.operator.push((operator_task, changed));
    }

    fn awaited(&mut self, id: RequestId) -> Awaiting {
        let awaiting = self.awaiting.remove(&id);
        awaiting.expect("each request is replied to once")
    }

    fn admitted(&mut self, id: RequestId, admitted: Result<(), GroupError>) {
        let Awaiting::Commit(asker, commit) = self.awaited(id) else {
            unreachable!("only commits are admitted");
        };
        match admitted {
            Ok(()) => self.propose(Awaiting::Client(asker), Command::CommitOffsets(commit)),
            Err(error) => self.answer(asker, Reply::NotAdmitted(error)),
        }
    }

    fn decided(&mut self, id: RequestId, decided: Result<(EntryIndex, Outcome), ProposeError>) {
        if let Some(Awaiting::Produce(_, required)) = self.awaiting.get(&id) {
            self.acknowledged(*required, &decided);
        }
        let mut outcome = decided.map(|(_, outcome)| outcome);
        if let Some(outcomes) = &mut self.round_outcomes {
            outcomes.spoil(id, &mut outcome);
        }
        match self.awaited(id) {
            Awaiting::Client(asker) | Awaiting::Produce(asker, _) => {
                self.outbound.answers.push((asker, Reply::Outcome(outcome)));
            }
            Awaiting::Commit(..) | Awaiting::Operator(_) => unreachable!("not proposed like this"),
            Awaiting::Nobody => {}
            Awaiting::Planted => {
                if let Ok(Ok(response)) = outcome {
                    self.housekept(response);
                }
            }
        }
    }

    fn persist(&mut self, mut step: Persist) {
        if self.node.is_leading() {
            self.watch_command_time(&step);
            self.watch_room(&step);
        }
        if let Some(bug) = self.planted {
            bug.spoil_step(&mut step);
        }
        if self.planted == Some(Planted::ToldBeforeSynced) {
            self.told_early = Some(step.number);
            self.outbound.messages.append(&mut step.then_send);
        }
        self.ask_journal(JournalWrite::Persist(step));
    }

    fn ask_journal(&mut self, job: JournalWrite) {
        self.journal.join(job);
        self.take_what_waits();
    }

    /// It is to end cleanly.
    pub(super) fn stop(&mut self) -> Result<(), Failure> {
        if self.node.is_installing() {
            return Ok(());
        }
        self.take(Input::Stop)
    }

    /// Another is to lead, as before a planned stop.
    pub(super) fn hand_over(&mut self) -> Result<(), Failure> {
        if self.leading().is_some() {
            self.node.hand_over();
        }
        self.work()
    }

    /// Whether it knows the replica as a member.
    pub(super) fn knows(&self, replica: ReplicaId) -> bool {
        self.published.membership.has(replica)
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.now().elapsed
    }

    pub(super) fn leading(&self) -> Option<LeaderEpoch> {
        match self.published.leadership {
            Leadership::Leader { epoch } => Some(epoch),
            Leadership::Starting | Leadership::Follower { .. } => None,
        }
    }

    pub(super) fn outbound(&mut self) -> Outbound {
        std::mem::take(&mut self.outbound)
    }

    /// Who of the clients still waits for an answer that will never come.
    pub(super) fn waiting(self) -> Vec<RequestOrigin> {
        let asker = |awaiting| match awaiting {
            Awaiting::Client(asker) | Awaiting::Produce(asker, _) | Awaiting::Commit(asker, _) => {
                Some(asker)
            }
            Awaiting::Operator(_) | Awaiting::Planted | Awaiting::Nobody => None,
        };
        self.awaiting.into_values().filter_map(asker).collect()
    }

    pub(super) fn applied(&self) -> EntryIndex {
        self.published.applied
    }

    pub(super) fn view(&self) -> View<'_> {
        View {
            node: self.number,
            applied: self.applied(),
            state: self.shared.state.read().expect("nobody panicked"),
            partitions: self.shared.partitions(),
        }
    }

    /// A fingerprint of its state, once per change of the applied index.
    pub(super) fn newly_applied(&mut self) -> Option<u64> {
        let applied = self.applied();
        if self.shown.replace(applied) == Some(applied) {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        self.view().state.encode().hash(&mut hasher);
        Some(hasher.finish())
    }

    /// The epoch that this node leads, once per epoch.
    pub(super) fn newly_leading(&mut self) -> Option<LeaderEpoch> {
        let leading = self.leading()?;
        (self.led.replace(leading) != Some(leading)).then_some(leading)
    }
}
