use std::path::Path;
use std::sync::Arc;

use journal::disk::Disk;
use journal::sim_disk::SimDisk;
use raft::eraftpb::MessageType;

use super::*;
use crate::consensus::{Membership, Message};
use crate::group::GroupConfig;
use crate::ids::{NodeId, TimestampMs};
use crate::node::group_commit::{JournalEvent, JournalLine, JournalWrite};
use crate::node::{HousekeepingConfig, Input, Limits, Node, NodeRequest, assemble};
use crate::state::{FeatureLevel, RegisterNode};
use crate::storage::{ClusterIdentity, EntryLog, Identity, InitialVoter, StorageConfig, recover};

const TICK: Duration = Duration::from_millis(25);

/// Replica 1, which leads the voters 1, 2 and 3. All others answer that they are there.
struct LeaderOfThree {
    node: Node,
    log: EntryLog,
    now: Now,
    requests: u64,
    /// These store what they are sent.
    storing: Vec<u64>,
    heard: Vec<Message>,
    done: Option<Result<(), VoterChangeError>>,
}

impl LeaderOfThree {
    fn new() -> Self {
        let founder = |number: u32| InitialVoter {
            replica: ReplicaId(number.into()),
            node: NodeId(number),
            address: None,
        };
        let identity = Identity {
            node: NodeId(1),
            replica: ReplicaId(1),
            formed: Some(ClusterIdentity {
                cluster_id: "of three".to_owned(),
                founders: (1..=3).map(founder).collect(),
            }),
        };
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::with_seed(1));
        let folder = Path::new("/data");
        disk.create_folder(folder).unwrap();
        let limits = Limits {
            checkpoint_bytes: u64::MAX,
            disk_reserve_bytes: 0,
            partition_files_max: 10,
            groups: GroupConfig::default(),
            housekeeping: HousekeepingConfig::default(),
        };
        let now = Now {
            elapsed: Duration::ZERO,
            wall: TimestampMs(1_800_000_000_000),
        };
        let recovered = recover(&disk, folder, &StorageConfig::default()).unwrap();
        let (mut node, _, log) = assemble(folder, limits, &identity, recovered, now).unwrap();
        node.campaign();
        let mut leader = Self {
            node,
            log,
            now,
            requests: 0,
            storing: vec![2, 3],
            heard: Vec::new(),
            done: None,
        };
        leader.work(Vec::new());
        assert!(leader.node.is_leading());
        leader
    }

    /// What the operator is told within so much time.
    fn asked(&mut self, change: VoterChange, within: Duration) -> Result<(), VoterChangeError> {
        self.requests += 1;
        let request = Input::Request {
            id: RequestId(self.requests),
            request: NodeRequest::ChangeVoters {
                change,
                deadline: self.now.elapsed + within,
            },
        };
        self.take(request);
        loop {
            if let Some(done) = self.done.take() {
                return done;
            }
            self.now.elapsed += TICK;
            self.take(Input::Tick);
        }
    }

    fn take(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.node.take(self.now, input, &mut effects);
        self.work(effects);
    }

    fn work(&mut self, mut effects: Vec<Effect>) {
        loop {
            self.node.work(self.now, &mut effects).unwrap();
            if effects.is_empty() && self.heard.is_empty() {
                return;
            }
            for effect in std::mem::take(&mut effects) {
                self.perform(effect, &mut effects);
            }
            for message in std::mem::take(&mut self.heard) {
                let input = Input::Message(message);
                self.node.take(self.now, input, &mut effects);
            }
        }
    }

    fn perform(&mut self, effect: Effect, effects: &mut Vec<Effect>) {
        match effect {
            Effect::Persist(step) => {
                let mut line = JournalLine::default();
                line.join(JournalWrite::Persist(step));
                let mut words = Vec::new();
                let group = line.next().expect("just joined");
                let written = group.write(&mut self.log, &mut |word| words.push(word));
                written.unwrap();
                for word in words {
                    let JournalEvent::Persisted { number, then_send } = word else {
                        unreachable!("said by the thread")
                    };
                    effects.extend(then_send.into_iter().map(Effect::Send));
                    let persisted = Input::Persisted { number };
                    self.node.take(self.now, persisted, effects);
                }
            }
            Effect::Send(message) => self.heard.extend(self.answer(&message)),
            Effect::Reply {
                reply: NodeReply::VotersChanged(done),
                ..
            } => self.done = Some(done),
            _ => {}
        }
    }

    fn answer(&self, message: &Message) -> Option<Message> {
        let kind = match message.get_msg_type() {
            MessageType::MsgRequestPreVote => MessageType::MsgRequestPreVoteResponse,
            MessageType::MsgRequestVote => MessageType::MsgRequestVoteResponse,
            MessageType::MsgHeartbeat => MessageType::MsgHeartbeatResponse,
            MessageType::MsgAppend if self.storing.contains(&message.to) => {
                MessageType::MsgAppendResponse
            }
            _ => return None,
        };
        let mut answer = Message::default();
        answer.set_msg_type(kind);
        (answer.from, answer.to) = (message.to, message.from);
        answer.term = message.term;
        answer.index = message.index + message.entries.len() as u64;
        answer.context = message.context.clone();
        Some(answer)
    }

    fn membership(&self) -> &Membership {
        self.node.membership()
    }
}

fn add(number: u32) -> VoterChange {
    let (node, replica) = (NodeId(number), ReplicaId(number.into()));
    VoterChange::Add {
        node,
        replica,
        instead_of: None,
        registration: Some(RegisterNode {
            node,
            replica,
            listeners: Vec::new(),
            rack: None,
            feature_level_max: FeatureLevel::LATEST,
        }),
    }
}

fn not_yet(reached: Reached) -> Result<(), VoterChangeError> {
    Err(VoterChangeError::NotYet(reached))
}

/// Otherwise the loss of the leader's machine and a power cut leave voters that wait for those who voted before.
#[test]
fn a_replica_is_said_to_vote_only_once_most_voters_would_know_after_a_power_cut() {
    let mut leader = LeaderOfThree::new();
    leader.storing.clear();
    let votes = not_yet(Reached::Admission(Admission::Done));
    assert_eq!(leader.asked(add(3), 4 * TICK), votes);

    leader.storing = vec![2];
    assert_eq!(leader.asked(add(3), 40 * TICK), Ok(()));
}

#[test]
fn a_learner_votes_only_once_it_and_the_future_majority_have_stored_an_entry() {
    let mut leader = LeaderOfThree::new();
    let near = Admission::Promote { instead_of: None };
    let is_near = not_yet(Reached::Admission(near));
    assert_eq!(leader.asked(add(4), 40 * TICK), is_near);
    assert!(!leader.membership().is_voter(ReplicaId(4)));

    leader.storing = vec![4];
    assert_eq!(
        leader.asked(add(4), 40 * TICK),
        is_near,
        "with 1 it is half"
    );
    leader.storing = vec![2, 4];
    assert_eq!(leader.asked(add(4), 40 * TICK), Ok(()));
    assert!(leader.membership().is_voter(ReplicaId(4)));
}

#[test]
fn a_voter_leaves_only_once_those_left_have_stored_an_entry() {
    let mut leader = LeaderOfThree::new();
    let remove = VoterChange::Remove {
        replica: ReplicaId(3),
    };
    leader.storing = vec![3];
    let is_there = not_yet(Reached::StillMember);
    assert_eq!(leader.asked(remove.clone(), 10 * TICK), is_there);
    assert!(leader.membership().has(ReplicaId(3)));

    leader.storing = vec![2, 3];
    assert_eq!(leader.asked(remove.clone(), 10 * TICK), Ok(()));
    assert!(!leader.membership().has(ReplicaId(3)));
    let none = VoterChangeError::CannotLeave(RemovalRefused::NoMember);
    assert_eq!(leader.asked(remove, 10 * TICK), Err(none));
}
