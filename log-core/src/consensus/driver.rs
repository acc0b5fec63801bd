//! One replica's part in the consensus: inputs in, work out.
//!
//! After every input the shell calls [`Driver::work`] until there is none left, and performs each piece in the order of
//! its fields. Persisting may take its time on another thread; [`Driver::persisted`] tells when it is done.

use bytes::Bytes;
use raft::eraftpb::{ConfChangeV2, MessageType, Snapshot};
use raft::{Config, ProgressState, RawNode, ReadOnlyOption, SnapshotStatus, StateRole};

use super::membership::{Membership, MembershipChange};
use super::patience::{self, Patience};
use super::tail::{self, Keep, Tail};
use crate::consensus::Message;
use crate::entry::{Entry, EntryKind, HardState};
use crate::ids::{EntryIndex, LeaderEpoch, ReplicaId};

/// Bytes of entries in one message to a follower, past which it is cut (an entry is never cut).
const MESSAGE_BYTES_MAX: u64 = 1 << 20;
/// Messages on the way to one follower before the leader waits for an answer.
const MESSAGES_IN_FLIGHT_MAX: usize = 64;
/// Bytes proposed and not yet committed before proposals are dropped.
const UNCOMMITTED_BYTES_MAX: u64 = 64 << 20;
/// Bytes of committed entries in one piece of work.
const APPLY_BYTES_MAX: u64 = 16 << 20;

/// How ticks make heart-beats and elections. One tick is 25 ms in the world, so the defaults are a
/// heart-beat every 50 ms and an election after 250 to 500 ms of silence.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Ticks between two heart-beats of a leader.
    pub heartbeat: usize,
    /// Ticks of silence after which a follower may stand for election, at least.
    pub election_min: usize,
    /// The same, at most (exclusive). In between each election chooses by itself.
    pub election_max: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: 2,
            election_min: 10,
            election_max: 20,
        }
    }
}

/// What a replica knows when it starts.
#[derive(Debug)]
pub struct Restored {
    /// Its own name.
    pub replica: ReplicaId,
    /// The entry that the checkpoint covers last, and its epoch; zeros without one.
    pub checkpoint: (EntryIndex, LeaderEpoch),
    /// The members as of the checkpoint.
    pub membership: Membership,
    /// What was promised.
    pub hard_state: HardState,
    /// The journal's entries; those the checkpoint covers are ignored.
    pub entries: Vec<Entry>,
}

/// What a replica is just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It may propose.
    Leader,
    /// It follows, or stands for election.
    Follower {
        /// Who leads, when known.
        leader: Option<ReplicaId>,
    },
}

/// Where a proposal went. It is decided when an entry is applied at this index: committed if the epoch is this one,
/// overwritten if it is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogId {
    /// The index.
    pub index: EntryIndex,
    /// The epoch.
    pub epoch: LeaderEpoch,
}

/// Why a proposal was not taken. Nothing was proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposalDropped {
    /// Another replica leads, or none does.
    #[error("this replica does not lead")]
    NotLeader,
    /// Too many bytes are proposed and not yet committed, leadership is being handed over, or the members are
    /// already being changed.
    #[error("too much is under way")]
    Busy,
}

/// Names a question for a read index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadRequestId(pub u64);

/// What must happen now, in the order of the fields.
#[derive(Debug, Default)]
pub struct Ready {
    /// Messages that may leave at once.
    pub send: Vec<Message>,
    /// What must be on disk, and what may be said only then.
    pub persist: Option<Persist>,
    /// Committed entries, in order, each given exactly once.
    pub apply: Vec<Entry>,
    /// Reads that may be served once this index is applied.
    pub readable: Vec<(ReadRequestId, EntryIndex)>,
}

impl Ready {
    /// Who has applied a change of the members must know it after a crash too: it would ask the former ones for their
    /// votes, and these may be gone for good. So here alone a step of the commit index is synced.
    fn changes_members(&self) -> bool {
        let mut applied = self.apply.iter();
        applied.any(|entry| entry.kind == EntryKind::Membership)
    }

    /// A leader's messages may go before its own sync, but never before its epoch and vote are on disk. `raft` sees to
    /// that by the votes it waits for; the only voter waits for none, and may have learners. Were its power cut before
    /// the sync, it would lead the same epoch a second time, with other entries.
    fn then_send_what_speaks_of_the_epoch(&mut self, persist: &mut Persist) {
        let said_then = std::mem::take(&mut persist.then_send);
        persist.then_send = std::mem::take(&mut self.send);
        persist.then_send.extend(said_then);
    }

    /// What promises nothing waits for no disk: who asks for a pre-vote or grants one has voted for nobody, and a follower's
    /// answer to a heart-beat says that it is there and of which epoch. Held back behind entries, it would make a leader
    /// of slow disks believe itself alone.
    fn send_what_no_disk_confirms(&mut self, persist: &mut Persist, is_promise_synced: bool) {
        let goes_at_once = |message: &mut Message| match message.get_msg_type() {
            MessageType::MsgRequestPreVote | MessageType::MsgRequestPreVoteResponse => true,
            MessageType::MsgHeartbeatResponse => is_promise_synced,
            _ => false,
        };
        self.send
            .extend(persist.then_send.extract_if(.., goes_at_once));
    }
}

/// One step to disk. Steps are taken in order; the end of one implies the end of all before.
#[derive(Debug)]
pub struct Persist {
    /// Given back to [`Driver::persisted`].
    pub number: u64,
    /// Entries to append; one at a taken index drops what stood there and after.
    pub entries: Vec<Entry>,
    /// The promise to write after the entries, in the same step; `None` when nothing in it needs a sync.
    pub hard_state: Option<HardState>,
    /// Messages that rely on this step.
    pub then_send: Vec<Message>,
}

impl Persist {
    /// Whether there is anything to write. If not, it only waits for its turn.
    pub fn needs_sync(&self) -> bool {
        !self.entries.is_empty() || self.hard_state.is_some()
    }
}

/// A checkpoint that followers too far behind may be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSnapshot {
    /// The last entry it covers.
    pub applied: EntryIndex,
    /// That entry's epoch.
    pub epoch: LeaderEpoch,
    /// The members there.
    pub membership: Membership,
    /// Which files it is made of, in the shell's own encoding.
    pub manifest: Bytes,
}

/// What became of a snapshot that a follower was to install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotOutcome {
    /// It goes on from there.
    Installed,
    /// It has to be told again.
    Failed,
}

/// How far a leader knows another member to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerProgress {
    /// Who.
    pub replica: ReplicaId,
    /// Its journal has the leader's entries up to here, synced.
    pub matched: EntryIndex,
    /// The snapshot that it was told to fetch, while it does.
    pub installing: Option<EntryIndex>,
}

/// One replica's consensus. See the module for how to use it.
pub struct Driver {
    node: RawNode<Tail>,
    timing: Timing,
    /// The last step handed out, and the last one known to be on disk.
    persisting: u64,
    persisted: u64,
    /// The epoch and vote handed out last, and the step that they are in.
    promise: (LeaderEpoch, Option<ReplicaId>),
    promised_in: u64,
    /// How often this replica has chosen an election timeout.
    timeouts_chosen: u64,
    patience: Patience,
    reads_asked: u64,
}

impl Driver {
    /// Takes up the work where the disk says it was left.
    pub fn start(restored: Restored, timing: Timing) -> Self {
        let replica = restored.replica;
        let applied = restored.checkpoint.0;
        let hard_state = at_least_checkpoint(restored.hard_state, restored.checkpoint);
        let tail = Tail::restore(
            restored.checkpoint,
            hard_state,
            restored.membership.to_raft(),
            restored.entries,
        );
        let config = Config {
            id: replica.0,
            applied: applied.0,
            heartbeat_tick: timing.heartbeat,
            election_tick: timing.election_min,
            min_election_tick: timing.election_min,
            max_election_tick: timing.election_max + patience::TICKS_MAX,
            max_size_per_msg: MESSAGE_BYTES_MAX,
            max_inflight_msgs: MESSAGES_IN_FLIGHT_MAX,
            max_uncommitted_size: UNCOMMITTED_BYTES_MAX,
            max_committed_size_per_ready: APPLY_BYTES_MAX,
            check_quorum: true,
            pre_vote: true,
            read_only_option: ReadOnlyOption::Safe,
            ..Config::default()
        };
        let silent = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, tail, &silent)
            .expect("the settings are constants that fit together");
        let mut driver = Self {
            node,
            timing,
            persisting: 0,
            persisted: 0,
            promise: (hard_state.epoch, hard_state.vote),
            promised_in: 0,
            timeouts_chosen: 0,
            patience: Patience::default(),
            reads_asked: 0,
        };
        driver.choose_election_timeout();
        driver
    }

    /// Stands for election at once. For a cluster of one, which has nobody to wait for.
    pub fn campaign(&mut self) {
        self.node
            .campaign()
            .expect("a campaign is refused only inside a membership change");
        self.choose_election_timeout();
    }

    /// Lets one tick pass. For a replica that does not lead, no time passes while its disk has not confirmed its own epoch
    /// and vote: the time of an election runs from there, and one whose disk hangs does not stand. The only voter wins as
    /// soon as it stands, with whatever its disk has not confirmed yet, which `raft` does not allow: it waits for all.
    pub fn tick(&mut self) {
        self.patience.tick();
        let leads = self.role() == Role::Leader;
        let awaited = if self.node.raft.prs().is_singleton() {
            self.persisting
        } else {
            self.promised_in
        };
        if !leads && (self.persisted < awaited || self.patience.holds()) {
            return;
        }
        let stood = self.node.raft.state == StateRole::Candidate;
        self.node.tick();
        if self.node.raft.election_elapsed == 0 {
            self.timeouts_chosen += 1;
            self.patience.elections_failed += u32::from(stood);
        }
        self.choose_election_timeout();
    }

    /// Takes a message of another replica. Nonsense and forwarded proposals are dropped: only a leader proposes.
    pub fn step(&mut self, message: Message) {
        if message.get_msg_type() == MessageType::MsgPropose {
            return;
        }
        self.note_installed(&message);
        let (from, waiting) = (message.from, self.node.raft.msgs.len());
        // The error cases are messages from unknown replicas or of local kinds: nothing to do for either.
        drop(self.node.step(message));
        let answers = self.node.raft.msgs.get(waiting..).unwrap_or_default();
        let granted = answers.iter().find(|answer| {
            answer.get_msg_type() == MessageType::MsgRequestPreVoteResponse
                && answer.to == from
                && !answer.reject
        });
        if let Some(granted) = granted {
            self.patience.let_stand(granted.term);
        }
        if self.node.raft.leader_id != raft::INVALID_ID {
            self.patience.led();
        }
        self.choose_election_timeout();
    }

    /// A follower's heart-beat tells how far it has come, also when it came there by a snapshot: nothing else would end
    /// the leader's waiting for that.
    fn note_installed(&mut self, message: &Message) {
        if message.get_msg_type() != MessageType::MsgHeartbeatResponse {
            return;
        }
        let known = self.node.raft.prs().get(message.from);
        let installed = known.is_some_and(|known| {
            known.state == ProgressState::Snapshot && known.pending_snapshot <= message.commit
        });
        if installed {
            self.snapshot_settled(ReplicaId(message.from), SnapshotOutcome::Installed);
        }
    }

    /// Proposes a command as the leader.
    ///
    /// # Errors
    /// [`ProposalDropped`]: nothing was proposed.
    pub fn propose(&mut self, command: Vec<u8>) -> Result<LogId, ProposalDropped> {
        if self.role() != Role::Leader {
            return Err(ProposalDropped::NotLeader);
        }
        self.node
            .propose(Vec::new(), command)
            .map_err(|_| ProposalDropped::Busy)?;
        Ok(LogId {
            index: self.last_index(),
            epoch: self.epoch(),
        })
    }

    /// Asks from which applied index on a read is up to date (Raft thesis, section 6.4). The answer may never come,
    /// when leadership is lost: the caller has a deadline.
    pub fn read_index(&mut self) -> ReadRequestId {
        self.reads_asked += 1;
        // A follower's `raft` would forward the question; here the client asks the leader itself.
        if self.role() == Role::Leader {
            self.node
                .read_index(self.reads_asked.to_be_bytes().to_vec());
        }
        ReadRequestId(self.reads_asked)
    }

    /// Notes that the step `number` and all before it are on disk.
    pub fn persisted(&mut self, number: u64) {
        assert!(
            self.persisted <= number && number <= self.persisting,
            "step {number} was never handed out"
        );
        self.persisted = number;
        self.patience.synced(self.persisted < self.persisting);
        self.node.on_persist_ready(number);
    }

    /// Notes that everything up to `index` has been applied.
    pub fn applied(&mut self, index: EntryIndex) {
        self.node.advance_apply_to(index.0);
    }

    /// Applies a membership entry and says who the members are now.
    ///
    /// # Panics
    /// When the entry, which this cluster itself committed, cannot be read: going on could split the cluster.
    pub fn apply_membership(&mut self, entry: &Entry) -> Membership {
        assert_eq!(entry.kind, EntryKind::Membership);
        let change: ConfChangeV2 =
            protobuf::Message::parse_from_bytes(&entry.payload).expect("our own leader wrote it");
        let members = self
            .node
            .apply_conf_change(&change)
            .expect("a committed change fits its predecessor");
        self.node.mut_store().set_membership(members.clone());
        if !self.node.raft.promotable() {
            // It could propose nothing any more, and while its heart-beats come nobody else would stand.
            self.step_down();
        }
        Membership::from_raft(&members)
    }

    /// Forgets the entries up to `covered`, which a durable checkpoint covers, but for those to [`Keep`]. Says up to
    /// where they are gone.
    pub fn trim(&mut self, covered: EntryIndex, keep: &Keep) -> EntryIndex {
        self.node.mut_store().trim(covered, keep)
    }

    /// Whether a follower needs entries that are gone, and there was no snapshot to give. Asked again by the
    /// follower's next heart-beat, so that looking late loses nothing.
    pub fn take_snapshot_wanted(&mut self) -> bool {
        self.node.store().take_snapshot_wanted()
    }

    /// From now on a follower too far behind is given this; none takes the last one back.
    pub fn offer_snapshot(&mut self, held: Option<&HeldSnapshot>) {
        self.node.mut_store().offer(held.map(raft_snapshot));
    }

    /// Notes what became of a snapshot that `follower` was to install: it is told again, or goes on with entries.
    pub fn snapshot_settled(&mut self, follower: ReplicaId, outcome: SnapshotOutcome) {
        let status = match outcome {
            SnapshotOutcome::Installed => SnapshotStatus::Finish,
            SnapshotOutcome::Failed => SnapshotStatus::Failure,
        };
        self.node.report_snapshot(follower.0, status);
    }

    /// Whether this replica cannot get to `index` by entries that it has: neither committed nor matching there.
    pub fn lacks(&self, index: EntryIndex, epoch: LeaderEpoch) -> bool {
        let log = &self.node.raft.raft_log;
        log.committed < index.0 && !log.match_term(index.0, u64::from(epoch.0))
    }

    /// Takes note of who sent a message of this epoch as its leader, without what it says.
    pub fn hear_leader(&mut self, message: &Message) {
        let mut beat = Message::default();
        beat.set_msg_type(MessageType::MsgHeartbeat);
        (beat.to, beat.from, beat.term) = (message.to, message.from, message.term);
        self.step(beat);
    }

    /// The last entry in this replica's journal or on its way there.
    pub fn last_index(&self) -> EntryIndex {
        EntryIndex(self.node.raft.raft_log.last_index())
    }

    /// How far the others are, as far as a leader knows, ordered by replica. This replica's own place is what it has
    /// synced itself. Empty on a follower.
    pub fn followers(&self) -> Vec<FollowerProgress> {
        if self.role() != Role::Leader {
            return Vec::new();
        }
        let progress = self.node.raft.prs().iter().map(|(&replica, known)| {
            let installing = known.state == ProgressState::Snapshot;
            FollowerProgress {
                replica: ReplicaId(replica),
                matched: EntryIndex(known.matched),
                installing: installing.then_some(EntryIndex(known.pending_snapshot)),
            }
        });
        let mut progress: Vec<_> = progress.collect();
        progress.sort_unstable_by_key(|known| known.replica);
        progress
    }

    /// Asks a voter to take leadership over at once (Raft thesis, section 3.10). Proposals are dropped meanwhile; after
    /// an election's time without success they are taken again. On a follower nothing happens.
    pub fn hand_over_to(&mut self, voter: ReplicaId) {
        if self.role() == Role::Leader {
            self.node.transfer_leader(voter.0);
        }
    }

    /// Stops leading. What was proposed may still be committed by another.
    pub fn step_down(&mut self) {
        if self.role() == Role::Leader {
            let term = self.node.raft.term;
            self.node.raft.become_follower(term, raft::INVALID_ID);
            self.choose_election_timeout();
        }
    }

    /// Proposes a change of the members as the leader. It has happened only when it is applied at its place
    /// (rule 15).
    ///
    /// # Errors
    /// [`ProposalDropped`]: nothing was proposed. [`ProposalDropped::Busy`] while another change is under way: `raft` would put an empty
    /// entry in its place.
    pub fn change_membership(
        &mut self,
        change: &MembershipChange,
    ) -> Result<LogId, ProposalDropped> {
        if self.role() != Role::Leader {
            return Err(ProposalDropped::NotLeader);
        }
        let joint = !self
            .node
            .raft
            .prs()
            .conf()
            .to_conf_state()
            .voters_outgoing
            .is_empty();
        if joint || self.node.raft.has_pending_conf() {
            return Err(ProposalDropped::Busy);
        }
        self.node
            .propose_conf_change(Vec::new(), change.to_raft())
            .map_err(|_| ProposalDropped::Busy)?;
        Ok(LogId {
            index: self.last_index(),
            epoch: self.epoch(),
        })
    }

    /// The next piece of work, if there is any.
    pub fn work(&mut self) -> Option<Ready> {
        if !self.node.has_ready() {
            return None;
        }
        let mut ready = self.node.ready();
        assert!(
            ready.snapshot().is_empty(),
            "a snapshot is installed by a restart, never by a message"
        );
        let entries = ready.take_entries();
        self.node.mut_store().append(entries.iter().cloned());
        let mut work = Ready {
            send: ready.take_messages(),
            persist: None,
            apply: ready
                .take_committed_entries()
                .into_iter()
                .map(tail::from_raft)
                .collect(),
            readable: ready.take_read_states().iter().map(readable).collect(),
        };
        let mut persist = Persist {
            number: ready.number(),
            entries: entries.into_iter().map(tail::from_raft).collect(),
            hard_state: (ready.must_sync() || work.changes_members()).then(|| self.hard_state()),
            then_send: ready.take_persisted_messages(),
        };
        self.node.advance_append_async(ready);
        self.note_promise(&persist);
        let is_promise_synced = self.promised_in <= self.persisted;
        if !is_promise_synced {
            work.then_send_what_speaks_of_the_epoch(&mut persist);
        }
        work.send_what_no_disk_confirms(&mut persist, is_promise_synced);
        self.hand_out(persist, &mut work);
        Some(work)
    }

    fn note_promise(&mut self, persist: &Persist) {
        let Some(HardState { epoch, vote, .. }) = persist.hard_state else {
            return;
        };
        if self.promise != (epoch, vote) {
            self.promise = (epoch, vote);
            self.promised_in = persist.number;
        }
    }

    /// A step with nothing to write still waits for the steps before it: its messages may speak of their entries.
    fn hand_out(&mut self, persist: Persist, work: &mut Ready) {
        // A step that only waits for its turn is none where it has nothing to say either.
        let waits_for_its_turn = self.persisted < self.persisting && !persist.then_send.is_empty();
        if persist.needs_sync() || waits_for_its_turn {
            self.patience.writes();
            self.persisting = persist.number;
            work.persist = Some(persist);
            return;
        }
        work.send.extend(persist.then_send);
    }

    /// What this replica is just now.
    pub fn role(&self) -> Role {
        match self.node.raft.state {
            StateRole::Leader => Role::Leader,
            StateRole::Follower | StateRole::Candidate | StateRole::PreCandidate => {
                let leader = self.node.raft.leader_id;
                Role::Follower {
                    leader: (leader != 0).then_some(ReplicaId(leader)),
                }
            }
        }
    }

    /// What this replica has promised, with all that it knows to be committed.
    pub fn hard_state(&self) -> HardState {
        tail::hard_state_from_raft(&self.node.raft.hard_state())
    }

    /// The latest epoch seen.
    pub fn epoch(&self) -> LeaderEpoch {
        tail::epoch_of(self.node.raft.term)
    }

    /// `raft` draws its timeout from the thread's dice at each reset. Setting ours after every input, as a function of
    /// the replica, the epoch and how often it has chosen, makes a seed replay.
    fn choose_election_timeout(&mut self) {
        let spread = self.timing.election_max - self.timing.election_min;
        let chance = mixed([self.node.raft.id, self.node.raft.term, self.timeouts_chosen]);
        let extra = usize::try_from(chance % spread as u64).expect("less than the spread");
        let longer = match self.node.raft.state {
            StateRole::Candidate => self.patience.for_votes(self.timing.election_min),
            StateRole::Follower | StateRole::PreCandidate | StateRole::Leader => 0,
        };
        self.node
            .raft
            .set_randomized_election_timeout(self.timing.election_min + extra + longer);
    }
}

fn raft_snapshot(held: &HeldSnapshot) -> Snapshot {
    let mut snapshot = Snapshot {
        data: held.manifest.clone(),
        ..Snapshot::default()
    };
    let metadata = snapshot.mut_metadata();
    metadata.index = held.applied.0;
    metadata.term = u64::from(held.epoch.0);
    metadata.set_conf_state(held.membership.to_raft());
    snapshot
}

/// A checkpoint holds committed entries only, so the promise covers it even when the journal lost its newest copy.
fn at_least_checkpoint(hard_state: HardState, checkpoint: (EntryIndex, LeaderEpoch)) -> HardState {
    let newer = checkpoint.1 <= hard_state.epoch;
    HardState {
        commit: hard_state.commit.max(checkpoint.0),
        epoch: hard_state.epoch.max(checkpoint.1),
        vote: hard_state.vote.filter(|_| newer),
    }
}

fn readable(state: &raft::ReadState) -> (ReadRequestId, EntryIndex) {
    let ticket = state
        .request_ctx
        .as_slice()
        .try_into()
        .expect("this replica's own eight bytes");
    (
        ReadRequestId(u64::from_be_bytes(ticket)),
        EntryIndex(state.index),
    )
}

/// Spreads a few numbers over 64 bits (SplitMix64's finaliser after each).
fn mixed(numbers: [u64; 3]) -> u64 {
    numbers.iter().fold(0x9e37_79b9_7f4a_7c15, |state, number| {
        let mut z = (state ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests;
