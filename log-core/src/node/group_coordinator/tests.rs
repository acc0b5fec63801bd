use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use journal::disk::Disk;
use journal::sim_disk::SimDisk;
use uuid::Uuid;

use super::*;
use crate::group::{Heartbeat, Join, JoinAbility, Joined, Profile, Protocol, Sync};
use crate::ids::{EntryIndex, Generation, MemberId, NodeId, TimestampMs};
use crate::node::{HousekeepingConfig, Limits, Now, assemble};
use crate::state::{CompleteRebalance, CompletedMember, Envelope, Response as Applied};
use crate::storage::{Identity, StorageConfig, recover};

const SESSION: Duration = Duration::from_secs(10);
const EPOCH: LeaderEpoch = LeaderEpoch(5);

/// A coordinator, and the state that it resumes from.
struct TestCoordinator {
    coordinator: GroupCoordinator,
    shared: Arc<SharedView>,
    now: Duration,
    requests: u64,
    applied: u64,
    replies: BTreeMap<RequestId, NodeReply>,
}

impl TestCoordinator {
    fn new() -> Self {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::with_seed(1));
        let folder = Path::new("/data");
        disk.create_folder(folder).unwrap();
        let identity = Identity::founder_alone(NodeId(1), Uuid::from_u128(1), Uuid::from_u128(2));
        let limits = Limits {
            checkpoint_bytes: u64::MAX,
            disk_reserve_bytes: 0,
            partition_files_max: 10,
            groups: GroupConfig::default(),
            housekeeping: HousekeepingConfig::default(),
        };
        let now = Now {
            elapsed: Duration::ZERO,
            wall: TimestampMs(0),
        };
        let recovered = recover(&disk, folder, &StorageConfig::default()).unwrap();
        let (_, shared, _) = assemble(folder, limits, &identity, recovered, now).unwrap();
        Self {
            coordinator: GroupCoordinator::new(GroupConfig::default()),
            shared,
            now: Duration::ZERO,
            requests: 0,
            applied: 0,
            replies: BTreeMap::new(),
        }
    }

    fn leading() -> Self {
        let mut coordinating = Self::new();
        coordinating.follows(Some(EPOCH));
        coordinating
    }

    fn perform(
        &mut self,
        act: impl FnOnce(&mut GroupCoordinator, Duration, &SharedView, &mut Vec<Effect>),
    ) {
        let mut effects = Vec::new();
        act(&mut self.coordinator, self.now, &self.shared, &mut effects);
        for effect in effects {
            let Effect::Reply { to, reply } = effect else {
                panic!("{effect:?}")
            };
            assert_eq!(self.replies.insert(to, reply), None, "replied to once");
        }
    }

    fn follows(&mut self, leading: Option<LeaderEpoch>) {
        self.perform(|it, now, _, effects| it.follow(now, leading, effects));
    }

    fn resumes(&mut self) {
        self.perform(|it, now, shared, effects| it.resume_some(now, shared, effects));
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.perform(|it, now, _, effects| it.wake(now, effects));
    }

    fn request(&mut self, request: impl FnOnce(RequestId) -> GroupRequest) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        let request = request(id);
        self.perform(|it, now, shared, effects| it.request(now, id, request, shared, effects));
        id
    }

    fn asks(&mut self, request: GroupRequest) -> NodeReply {
        let id = self.request(|_| request);
        self.reply(id).expect("replied to at once")
    }

    fn reply(&mut self, id: RequestId) -> Option<NodeReply> {
        self.replies.remove(&id)
    }

    fn join(&mut self, group: &str, member: Option<MemberId>) -> RequestId {
        self.request(|from| GroupRequest::Member {
            group: GroupId::new(group),
            input: Input::Join(Join {
                from,
                ability: JoinAbility::OneStep,
                member_id: member,
                fresh: Uuid::from_u128(from.0.into()),
                protocol_type: "consumer".to_owned(),
                profile: Profile {
                    instance_id: None,
                    client_id: "kim".to_owned(),
                    client_host: "/127.0.0.1".to_owned(),
                    session_timeout: SESSION,
                    rebalance_timeout: SESSION,
                    protocols: vec![Protocol {
                        name: "range".to_owned(),
                        metadata: Bytes::new(),
                    }],
                },
            }),
        })
    }

    fn joined(&mut self, id: RequestId) -> Joined {
        match self.reply(id) {
            Some(NodeReply::Member(Response::Join(Ok(joined)))) => joined,
            other => panic!("{other:?}"),
        }
    }

    fn sync(&mut self, group: &str, joined: &Joined) -> RequestId {
        self.request(|from| GroupRequest::Member {
            group: GroupId::new(group),
            input: Input::Sync(Sync {
                from,
                caller: caller(joined),
                protocol_type: None,
                protocol_name: None,
                assignments: vec![(joined.member_id.clone(), Bytes::from_static(b"all"))],
            }),
        })
    }

    fn beat(&mut self, group: &str, joined: &Joined) -> Result<(), GroupError> {
        let id = self.request(|from| GroupRequest::Member {
            group: GroupId::new(group),
            input: Input::Heartbeat(Heartbeat {
                from,
                caller: caller(joined),
            }),
        });
        match self.reply(id) {
            Some(NodeReply::Member(Response::Heartbeat(answer))) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// The one record that is to be proposed.
    fn record(&mut self) -> GroupRecord {
        let mut records = self.coordinator.take_records();
        let (record, _) = records.pop().expect("one is wanted");
        assert!(records.is_empty());
        record
    }

    fn recorded(&mut self, record: &GroupRecord, outcome: Result<Outcome, ProposeError>) {
        self.perform(|it, now, _, effects| it.recorded(now, record, &outcome, effects));
    }

    /// So many groups of one member each stand in the state.
    fn has_recorded(&mut self, groups: usize) {
        let mut state = self.shared.state.write().unwrap();
        for group in 0..groups {
            self.applied += 1;
            let member = CompletedMember {
                id: MemberId::new("kim"),
                instance_id: None,
                client_id: "kim".to_owned(),
                client_host: "/127.0.0.1".to_owned(),
                session_timeout_ms: 10_000,
                rebalance_timeout_ms: 10_000,
                subscription: Bytes::new(),
                assignment: Bytes::new(),
            };
            let command = Command::CompleteRebalance(CompleteRebalance {
                group: GroupId::new(name(group)),
                generation: Generation(1),
                protocol_type: Some("consumer".to_owned()),
                protocol: Some("range".to_owned()),
                leader: Some(MemberId::new("kim")),
                members: vec![member],
            });
            let envelope = Envelope {
                proposer: LeaderEpoch(1),
                at: TimestampMs(1),
                command,
            };
            let applied = state.apply(EntryIndex(self.applied), LeaderEpoch(1), &envelope);
            applied.outcome.expect("nothing refuses it");
        }
    }
}

fn name(group: usize) -> String {
    format!("group-{group:04}")
}

fn caller(joined: &Joined) -> Caller {
    Caller {
        member_id: joined.member_id.clone(),
        instance_id: None,
        generation: Some(joined.generation),
    }
}

#[test]
fn a_new_leader_resumes_a_thousand_groups_a_round_and_one_that_is_asked_for_before_its_turn() {
    let mut coordinating = TestCoordinator::new();
    coordinating.has_recorded(2_500);
    coordinating.follows(Some(EPOCH));
    let resumed = |it: &TestCoordinator| it.coordinator.groups.len();

    coordinating.resumes();
    assert_eq!(resumed(&coordinating), 1_000);

    let last = GroupRequest::Describe(GroupId::new(name(2_499)));
    let NodeReply::Described(Ok(Some(described))) = coordinating.asks(last) else {
        panic!("it is recorded")
    };
    assert_eq!((described.state, described.members.len()), ("Stable", 1));
    assert_eq!(resumed(&coordinating), 1_001);

    let NodeReply::Listed(Ok(listed)) = coordinating.asks(GroupRequest::List) else {
        panic!("it leads")
    };
    let names: Vec<_> = listed.iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(names, (0..2_500).map(name).collect::<Vec<_>>());
    assert!(listed.iter().all(|(_, group)| group.state == "Stable"));
    assert_eq!(resumed(&coordinating), 1_001, "a list resumes none");

    coordinating.resumes();
    coordinating.resumes();
    assert_eq!(resumed(&coordinating), 2_500);
    assert_eq!(coordinating.coordinator.unresumed, None);
}

#[test]
fn a_group_that_is_deleted_is_not_resumed_again() {
    let mut coordinating = TestCoordinator::leading();
    coordinating.resumes();
    let kim = coordinating.join("watching", None);
    let kim = coordinating.joined(kim);
    coordinating.coordinator.forget(&GroupId::new("watching"));
    assert_eq!(
        coordinating.beat("watching", &kim),
        Ok(()),
        "it has a member"
    );
}

#[test]
fn each_group_waits_for_one_time_only_and_is_woken_at_it() {
    let mut coordinating = TestCoordinator::leading();
    for group in ["kim", "lee"] {
        let joining = coordinating.join(group, None);
        let joined = coordinating.joined(joining);
        coordinating.sync(group, &joined);
        let record = coordinating.record();
        coordinating.recorded(&record, Ok(Ok(Applied::Done)));
        coordinating.pass(SESSION / 4);
        assert_eq!(coordinating.beat(group, &joined), Ok(()));
    }
    assert_eq!(coordinating.coordinator.due.len(), 2);

    coordinating.pass(2 * SESSION);

    assert_eq!(
        coordinating.coordinator.take_records().len(),
        2,
        "both are empty now"
    );
    assert_eq!(coordinating.coordinator.due.len(), 0);
}

#[test]
fn a_deposed_coordinator_answers_everybody_and_what_its_records_become_is_nothing_to_the_next() {
    let mut coordinating = TestCoordinator::leading();
    let kim = coordinating.join("watching", None);
    let kim = coordinating.joined(kim);
    let synced = coordinating.sync("watching", &kim);
    let record = coordinating.record();
    assert_eq!(coordinating.reply(synced), None, "it is not recorded yet");

    coordinating.follows(None);
    let refused = NodeReply::Member(Response::Sync(Err(GroupError::NotCoordinator)));
    assert_eq!(coordinating.reply(synced), Some(refused));
    assert_eq!(
        coordinating.beat("watching", &kim),
        Err(GroupError::NotCoordinator)
    );

    // The next epoch gives its records the same numbers.
    coordinating.follows(Some(LeaderEpoch(EPOCH.0 + 2)));
    let lee = coordinating.join("watching", None);
    let lee = coordinating.joined(lee);
    let synced = coordinating.sync("watching", &lee);
    coordinating.recorded(&record, Ok(Ok(Applied::Done)));
    assert_eq!(coordinating.reply(synced), None, "another's record");
    let record = coordinating.record();
    coordinating.recorded(&record, Ok(Ok(Applied::Done)));
    assert!(matches!(
        coordinating.reply(synced),
        Some(NodeReply::Member(Response::Sync(Ok(_))))
    ));
}

#[test]
fn an_assignment_that_could_not_be_recorded_is_given_to_nobody() {
    let mut coordinating = TestCoordinator::leading();
    let kim = coordinating.join("watching", None);
    let kim = coordinating.joined(kim);
    let synced = coordinating.sync("watching", &kim);
    let record = coordinating.record();

    coordinating.recorded(&record, Err(ProposeError::Dropped));

    let refused = NodeReply::Member(Response::Sync(Err(GroupError::CoordinatorNotAvailable)));
    assert_eq!(coordinating.reply(synced), Some(refused));
}
