//! The group by hand: consumers by name, a clock that passes when told, an assignor that gives ranges.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::recording::RECORD_AGAIN_AFTER;
use super::*;
use crate::ids::RequestId;

const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
const REBALANCE_TIMEOUT: Duration = Duration::from_secs(300);

/// A topic that the consumers divide.
#[derive(Clone, Copy)]
struct Topic {
    partitions: u8,
}

fn topic(_name: &str, partitions: u8) -> Topic {
    Topic { partitions }
}

/// What becomes of records.
#[derive(PartialEq)]
enum Recording {
    AtOnce,
    Held,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Out,
    Joining(RequestId),
    Syncing(RequestId),
    In,
}

struct Consumer {
    ability: JoinAbility,
    member_id: Option<MemberId>,
    profile: Profile,
    generation: Option<Generation>,
    joined: Option<Joined>,
    partitions: Vec<u8>,
    step: Step,
}

struct TestGroup {
    group: Group,
    topic: Topic,
    now: Duration,
    wake_at: Option<Duration>,
    dice: u64,
    consumers: BTreeMap<&'static str, Consumer>,
    answers: BTreeMap<RequestId, Response>,
    recording: Recording,
    held: Vec<RecordId>,
    last_recorded: Option<CompletedRebalance>,
}

fn empty_group(config: GroupConfig, topic: Topic) -> TestGroup {
    TestGroup {
        group: Group::new(config),
        topic,
        now: Duration::ZERO,
        wake_at: None,
        dice: 0,
        consumers: BTreeMap::new(),
        answers: BTreeMap::new(),
        recording: Recording::AtOnce,
        held: Vec::new(),
        last_recorded: None,
    }
}

/// A stable group of dynamic members that have divided the topic.
fn group_of<const N: usize>(names: [&'static str; N], topic: Topic) -> TestGroup {
    let mut group = empty_group(GroupConfig::default(), topic);
    for name in names {
        group.consumer(name);
        group.rejoin(name);
        group.rejoin_all();
    }
    group
}

/// The same, of static members whose instance ids are their names.
fn static_group_of<const N: usize>(names: [&'static str; N], topic: Topic) -> TestGroup {
    let mut group = empty_group(GroupConfig::default(), topic);
    for name in names {
        group.static_consumer(name);
        group.rejoin(name);
        group.rejoin_all();
    }
    group
}

impl TestGroup {
    fn consumer(&mut self, name: &'static str) -> &mut Consumer {
        let profile = Profile {
            instance_id: None,
            client_id: name.to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout: SESSION_TIMEOUT,
            rebalance_timeout: REBALANCE_TIMEOUT,
            protocols: vec![protocol("range")],
        };
        let consumer = Consumer {
            ability: JoinAbility::SkipAssignment,
            member_id: None,
            profile,
            generation: None,
            joined: None,
            partitions: Vec::new(),
            step: Step::Out,
        };
        self.consumers.insert(name, consumer);
        self.with(name)
    }

    fn static_consumer(&mut self, name: &'static str) -> &mut Consumer {
        let consumer = self.consumer(name);
        consumer.profile.instance_id = Some(GroupInstanceId::new(name));
        consumer
    }

    fn with(&mut self, name: &str) -> &mut Consumer {
        self.consumers
            .get_mut(name)
            .expect("a consumer of the test")
    }

    fn give(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.group.handle(self.now, input, &mut effects);
        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::WakeAt(at) => self.wake_at = Some(at),
            Effect::Reply { to, response } => {
                assert_eq!(self.answers.insert(to, response), None, "answered twice");
            }
            Effect::Record { id, rebalance } => {
                self.last_recorded = Some(rebalance);
                self.held.push(id);
                if self.recording == Recording::AtOnce {
                    self.release();
                }
            }
        }
    }

    /// The held records are applied.
    fn release(&mut self) -> &mut Self {
        for id in std::mem::take(&mut self.held) {
            self.give(Input::Recorded(id));
        }
        self
    }

    /// The held records fail.
    fn fail_records(&mut self) -> &mut Self {
        for id in std::mem::take(&mut self.held) {
            self.give(Input::RecordFailed(id));
        }
        self
    }

    fn pass(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        while let Some(at) = self.wake_at.take_if(|at| *at <= end) {
            self.now = self.now.max(at);
            self.give(Input::Tick);
        }
        self.now = end;
        self
    }

    fn roll(&mut self) -> u64 {
        self.dice += 1;
        self.dice
    }

    fn join(&mut self, name: &str) -> RequestId {
        let fresh = Uuid::from_u64_pair(0, self.roll());
        let from = RequestId(self.roll());
        let consumer = self.with(name);
        let join = Join {
            from,
            ability: consumer.ability,
            member_id: consumer.member_id.clone(),
            fresh,
            protocol_type: "consumer".to_owned(),
            profile: consumer.profile.clone(),
        };
        consumer.step = Step::Joining(from);
        self.give(Input::Join(join));
        from
    }

    fn caller(&self, name: &str) -> Caller {
        let consumer = &self.consumers[name];
        Caller {
            member_id: consumer.member_id.clone().expect("it has joined"),
            instance_id: consumer.profile.instance_id.clone(),
            generation: consumer.generation,
        }
    }

    fn sync(&mut self, name: &str) -> RequestId {
        let from = RequestId(self.roll());
        let joined = self.consumers[name].joined.clone().expect("it has joined");
        let assignments = if joined.skip_assignment {
            Vec::new()
        } else {
            self.ranges(&joined)
        };
        let sync = Sync {
            from,
            caller: self.caller(name),
            protocol_type: Some(joined.protocol_type),
            protocol_name: Some(joined.protocol_name),
            assignments,
        };
        self.with(name).step = Step::Syncing(from);
        self.give(Input::Sync(sync));
        from
    }

    fn ranges(&self, joined: &Joined) -> Vec<(MemberId, Bytes)> {
        let ids = joined.members.iter().map(|member| member.member_id.clone());
        let count = joined.members.len();
        let of = |place: usize| {
            (0..self.topic.partitions).filter(move |p| usize::from(*p) % count == place)
        };
        ids.enumerate()
            .map(|(place, id)| (id, of(place).collect()))
            .collect()
    }

    fn beat(&mut self, name: &str) -> Result<(), GroupError> {
        let caller = self.caller(name);
        self.beat_as(caller)
    }

    fn beat_as(&mut self, caller: Caller) -> Result<(), GroupError> {
        let from = RequestId(self.roll());
        self.give(Input::Heartbeat(Heartbeat { from, caller }));
        let Some(Response::Heartbeat(result)) = self.answers.remove(&from) else {
            panic!("no answer to a heartbeat")
        };
        result
    }

    fn heartbeat(&mut self, name: &str) -> &mut Self {
        let result = self.beat(name);
        assert!(
            matches!(result, Ok(()) | Err(GroupError::RebalanceInProgress)),
            "{name}: {result:?}"
        );
        self
    }

    fn leave(&mut self, members: Vec<LeavingMember>) -> RequestId {
        let from = RequestId(self.roll());
        self.give(Input::Leave(Leave { from, members }));
        from
    }

    fn leaver(&self, name: &str) -> LeavingMember {
        let consumer = &self.consumers[name];
        LeavingMember {
            member_id: consumer.member_id.clone(),
            instance_id: consumer.profile.instance_id.clone(),
        }
    }

    /// Joins again, and goes on as far as the others let it.
    fn rejoin(&mut self, name: &str) -> &mut Self {
        self.join(name);
        self.settle();
        self
    }

    /// All that are in join again, as after their next heartbeat, and go on to the end.
    fn rejoin_all(&mut self) {
        self.settle();
        let names = self.consumers.keys().copied().collect::<Vec<_>>();
        for name in names {
            if self.with(name).step == Step::In && self.beat(name).is_err() {
                self.join(name);
            }
        }
        self.settle();
    }

    /// Every consumer reacts to its answers until none has one to react to.
    fn settle(&mut self) {
        let names = self.consumers.keys().copied().collect::<Vec<_>>();
        while names.iter().any(|name| self.react(name)) {}
    }

    fn react(&mut self, name: &'static str) -> bool {
        let (Step::Joining(request) | Step::Syncing(request)) = self.with(name).step else {
            return false;
        };
        let Some(answer) = self.answers.remove(&request) else {
            return false;
        };
        match answer {
            Response::Join(Ok(joined)) => {
                let consumer = self.with(name);
                consumer.member_id = Some(joined.member_id.clone());
                consumer.generation = Some(joined.generation);
                consumer.joined = Some(joined);
                self.sync(name);
            }
            Response::Sync(Ok(synced)) => {
                let consumer = self.with(name);
                consumer.partitions = synced.assignment.to_vec();
                consumer.step = Step::In;
            }
            Response::Join(Err(GroupError::MemberIdRequired { member_id })) => {
                self.with(name).member_id = Some(member_id);
                self.join(name);
            }
            Response::Sync(Err(GroupError::RebalanceInProgress)) => {
                self.join(name);
            }
            other => panic!("{name} was told {other:?}"),
        }
        true
    }

    fn partitions_of(&self, name: &str) -> Vec<u8> {
        assert_eq!(
            self.consumers[name].step,
            Step::In,
            "{name} has no assignment"
        );
        self.consumers[name].partitions.clone()
    }

    fn join_answer(&mut self, request: RequestId) -> Result<Joined, GroupError> {
        match self.answers.remove(&request) {
            Some(Response::Join(result)) => result,
            other => panic!("no answer to a join but {other:?}"),
        }
    }

    fn sync_answer(&mut self, request: RequestId) -> Result<Synced, GroupError> {
        match self.answers.remove(&request) {
            Some(Response::Sync(result)) => result,
            other => panic!("no answer to a sync but {other:?}"),
        }
    }

    fn leave_answer(
        &mut self,
        request: RequestId,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        match self.answers.remove(&request) {
            Some(Response::Leave(result)) => {
                result.map(|left| left.into_iter().map(|left| left.result).collect())
            }
            other => panic!("no answer to a leave but {other:?}"),
        }
    }

    fn waits(&self, request: RequestId) -> bool {
        !self.answers.contains_key(&request)
    }

    fn state(&self) -> &'static str {
        self.group.describe().state
    }

    /// The coordinator goes; another one resumes what was recorded last.
    fn restart(&mut self) -> &mut Self {
        let recorded = self.last_recorded.clone().expect("something was recorded");
        self.group = Group::resume(GroupConfig::default(), recorded, self.now);
        self.wake_at = None;
        self.give(Input::Tick);
        self
    }
}

fn protocol(name: &str) -> Protocol {
    Protocol {
        name: name.to_owned(),
        metadata: Bytes::from(format!("{name}: an-alert")),
    }
}

#[test]
fn a_member_silent_past_its_session_timeout_loses_its_partitions_to_the_others() {
    let mut group = group_of(["kim", "lee"], topic("an-alert", 2));
    assert_eq!(group.partitions_of("lee"), [1]);

    group.pass(SESSION_TIMEOUT / 2).heartbeat("kim");
    group.pass(SESSION_TIMEOUT * 2 / 3).rejoin("kim");

    assert_eq!(group.partitions_of("kim"), [0, 1]);
    assert_eq!(group.beat("lee"), Err(GroupError::UnknownMemberId));
}

#[test]
fn two_members_share_two_partitions_and_a_third_idles() {
    let group = group_of(["kim", "lee", "park"], topic("an-alert", 2));

    assert_eq!(group.partitions_of("kim"), [0]);
    assert_eq!(group.partitions_of("lee"), [1]);
    assert_eq!(group.partitions_of("park"), [0; 0]);
}

#[test]
fn a_newcomer_is_first_told_the_id_that_it_must_join_with() {
    let mut group = empty_group(GroupConfig::default(), topic("an-alert", 2));
    group.consumer("kim");

    let request = group.join("kim");

    let Err(GroupError::MemberIdRequired { member_id }) = group.join_answer(request) else {
        panic!("joined at once")
    };
    assert!(member_id.as_str().starts_with("kim-"), "{member_id}");
    group.with("kim").member_id = Some(member_id.clone());
    let request = group.join("kim");
    assert_eq!(
        group.join_answer(request).map(|joined| joined.member_id),
        Ok(member_id)
    );
}

#[test]
fn an_id_that_was_told_and_not_used_in_time_is_unknown() {
    let mut group = empty_group(GroupConfig::default(), topic("an-alert", 2));
    group.consumer("kim");
    let request = group.join("kim");
    let Err(GroupError::MemberIdRequired { member_id }) = group.join_answer(request) else {
        panic!("joined at once")
    };
    group.with("kim").member_id = Some(member_id);
    assert!(!group.group.is_unused());

    group.pass(SESSION_TIMEOUT);
    let request = group.join("kim");

    assert_eq!(group.join_answer(request), Err(GroupError::UnknownMemberId));
    assert!(group.group.is_unused());
}

#[test]
fn an_old_client_is_admitted_with_its_first_request() {
    let mut group = empty_group(GroupConfig::default(), topic("an-alert", 2));
    group.consumer("kim").ability = JoinAbility::OneStep;

    let request = group.join("kim");

    assert_eq!(
        group.join_answer(request).map(|joined| joined.generation),
        Ok(Generation(1))
    );
}

#[test]
fn an_id_that_nobody_was_told_joins_nothing() {
    let mut group = group_of(["kim"], topic("an-alert", 2));
    group.consumer("lee").member_id = Some(MemberId::new("lee-by-herself"));

    let request = group.join("lee");

    assert_eq!(group.join_answer(request), Err(GroupError::UnknownMemberId));
    assert_eq!(group.beat("kim"), Ok(()));
}

#[test]
fn a_static_member_returns_to_its_partitions_without_a_rebalance() {
    let mut group = static_group_of(["kim", "lee"], topic("an-alert", 2));
    let generation = group.group.generation();

    group.pass(SESSION_TIMEOUT / 2).heartbeat("lee");
    group.static_consumer("kim");
    group.rejoin("kim");

    assert_eq!(group.partitions_of("kim"), [0]);
    assert_eq!(group.group.generation(), generation);
    assert_eq!(group.beat("lee"), Ok(()));
}

#[test]
fn the_process_that_a_static_member_replaced_is_fenced_at_every_door() {
    let mut group = static_group_of(["kim", "lee"], topic("an-alert", 2));
    let old = group.caller("kim");
    group.static_consumer("kim");
    group.rejoin("kim");
    let new = group.with("kim").member_id.clone();

    assert_eq!(
        group.beat_as(old.clone()),
        Err(GroupError::FencedInstanceId)
    );
    assert_eq!(
        group.group.admit_commit(group.now, Some(&old)),
        Err(GroupError::FencedInstanceId)
    );
    group.with("kim").member_id = Some(old.member_id);
    let request = group.sync("kim");
    assert_eq!(
        group.sync_answer(request),
        Err(GroupError::FencedInstanceId)
    );
    let request = group.join("kim");
    assert_eq!(
        group.join_answer(request),
        Err(GroupError::FencedInstanceId)
    );
    let leaver = group.leaver("kim");
    let request = group.leave(vec![leaver]);
    assert_eq!(
        group.leave_answer(request),
        Ok(vec![Err(GroupError::FencedInstanceId)])
    );
    group.with("kim").member_id = new;
    assert_eq!(group.beat("kim"), Ok(()));
}

#[test]
fn a_static_members_return_is_recorded_before_it_is_told() {
    let mut group = static_group_of(["kim", "lee"], topic("an-alert", 2));
    group.recording = Recording::Held;
    group.static_consumer("kim");

    let request = group.join("kim");

    assert!(group.waits(request));
    group.release();
    let joined = group.join_answer(request).expect("it is back");
    let recorded = group.last_recorded.clone().expect("its return");
    assert!(
        recorded
            .members
            .iter()
            .any(|member| member.member_id == joined.member_id)
    );
    assert_eq!(recorded.generation, joined.generation);
}

#[test]
fn a_static_return_that_cannot_be_recorded_is_tried_again_by_the_client() {
    let mut group = static_group_of(["kim", "lee"], topic("an-alert", 2));
    group.recording = Recording::Held;
    group.static_consumer("kim");
    let request = group.join("kim");

    group.fail_records();

    assert_eq!(
        group.join_answer(request),
        Err(GroupError::CoordinatorNotAvailable)
    );
    group.recording = Recording::AtOnce;
    group.rejoin("kim");
    assert_eq!(group.partitions_of("kim"), [0]);
}

#[test]
fn of_two_processes_that_return_as_one_static_member_the_later_one_stays() {
    let mut group = static_group_of(["kim", "lee"], topic("an-alert", 2));
    group.recording = Recording::Held;
    group.static_consumer("kim");
    let first = group.join("kim");
    let second = group.join("kim");

    group.release();

    assert_eq!(group.join_answer(first), Err(GroupError::FencedInstanceId));
    assert!(group.join_answer(second).is_ok());
}

#[test]
fn a_static_leader_that_returns_does_not_assign_again() {
    let mut group = static_group_of(["kim", "lee"], topic("an-alert", 2));
    let old = group.with("kim").member_id.clone().expect("it has joined");

    group.static_consumer("kim");
    let request = group.join("kim");
    let new_client = group.join_answer(request).expect("it is back");
    assert!(new_client.skip_assignment);
    assert_eq!(new_client.leader, new_client.member_id);
    assert_eq!(new_client.members.len(), 2);

    group.with("kim").ability = JoinAbility::TwoSteps;
    let request = group.join("kim");
    let old_client = group.join_answer(request).expect("it is back");
    assert!(!old_client.skip_assignment);
    assert_eq!(old_client.leader, new_client.member_id);
    assert_ne!(old_client.leader, old);
    assert!(old_client.members.is_empty());
}

#[test]
fn a_static_member_that_returns_during_a_rebalance_takes_part_in_it() {
    let mut group = static_group_of(["kim", "lee"], topic("an-alert", 2));
    group.consumer("park");
    group.rejoin("park");
    assert_eq!(group.state(), "PreparingRebalance");

    group.static_consumer("kim");
    group.rejoin("kim");
    group.rejoin("lee");

    assert_eq!(group.partitions_of("kim"), [0]);
    assert_eq!(group.group.describe().members.len(), 3);
}

#[test]
fn a_static_member_that_stays_away_is_waited_for_only_until_its_session_ends() {
    let mut group = static_group_of(["kim", "lee"], topic("an-alert", 2));

    group.pass(SESSION_TIMEOUT / 2).heartbeat("kim");
    group.pass(SESSION_TIMEOUT / 2).rejoin("kim");

    assert_eq!(group.partitions_of("kim"), [0, 1]);
}

#[test]
fn the_protocol_that_most_members_prefer_wins_among_those_that_all_know() {
    let mut group = empty_group(GroupConfig::default(), topic("an-alert", 2));
    group.consumer("kim").profile.protocols =
        ["only-kim", "range", "sticky"].map(protocol).to_vec();
    group.rejoin("kim");
    group.consumer("lee").profile.protocols = ["sticky", "range"].map(protocol).to_vec();
    group.consumer("park").profile.protocols = ["sticky", "range"].map(protocol).to_vec();
    group.rejoin("lee").rejoin("park");

    group.rejoin_all();

    let description = group.group.describe();
    assert_eq!(
        (description.state, description.protocol_name.as_str()),
        ("Stable", "sticky")
    );
    assert!(
        description
            .members
            .iter()
            .all(|member| member.metadata == "sticky: an-alert")
    );
}

#[test]
fn a_member_without_a_protocol_in_common_is_refused_and_disturbs_nobody() {
    let mut group = group_of(["kim"], topic("an-alert", 2));
    group.consumer("lee").profile.protocols = vec![protocol("roundrobin")];
    group.consumer("park").profile.protocols = vec![];

    for name in ["lee", "park"] {
        let request = group.join(name);
        assert_eq!(
            group.join_answer(request),
            Err(GroupError::InconsistentGroupProtocol),
            "{name}"
        );
    }

    assert_eq!(group.beat("kim"), Ok(()));
}

#[test]
fn a_sync_waits_for_the_leaders_assignment_and_its_record() {
    let mut group = group_of(["kim"], topic("an-alert", 2));
    group.recording = Recording::Held;
    group.consumer("lee").ability = JoinAbility::OneStep;
    let lees_join = group.join("lee");
    let kims_join = group.join("kim");
    for (name, join) in [("lee", lees_join), ("kim", kims_join)] {
        let joined = group.join_answer(join).expect("both are here");
        let consumer = group.with(name);
        (consumer.member_id, consumer.generation) =
            (Some(joined.member_id.clone()), Some(joined.generation));
        consumer.joined = Some(joined);
    }

    let lees = group.sync("lee");
    assert!(group.waits(lees));
    let kims = group.sync("kim");
    assert!(group.waits(lees) && group.waits(kims));
    assert_eq!(group.beat("lee"), Ok(()));
    group.release();

    assert_eq!(
        group.sync_answer(lees).map(|synced| synced.assignment),
        Ok(Bytes::from_static(&[1]))
    );
    assert_eq!(
        group.sync_answer(kims).map(|synced| synced.assignment),
        Ok(Bytes::from_static(&[0]))
    );
    assert_eq!(group.state(), "Stable");
}

#[test]
fn an_assignment_that_could_not_be_recorded_is_nobodys_and_its_generation_is_not_used_again() {
    let mut group = group_of(["kim", "lee"], topic("an-alert", 2));
    group.recording = Recording::Held;
    group.rejoin("kim").rejoin("lee");
    let failed = group.group.generation();
    let Step::Syncing(request) = group.with("lee").step else {
        panic!("lee waits for its assignment")
    };

    group.fail_records();

    assert_eq!(
        group.sync_answer(request),
        Err(GroupError::CoordinatorNotAvailable)
    );
    assert_eq!(group.beat("lee"), Err(GroupError::RebalanceInProgress));
    group.recording = Recording::AtOnce;
    group.join("kim");
    group.rejoin("lee");
    assert_eq!(group.partitions_of("lee"), [1]);
    assert!(failed < group.group.generation());
}

#[test]
fn a_sync_that_names_another_protocol_is_refused() {
    let mut group = group_of(["kim"], topic("an-alert", 2));
    for (protocol_type, protocol_name) in [("connect", "range"), ("consumer", "sticky")] {
        let from = RequestId(group.roll());
        let sync = Sync {
            from,
            caller: group.caller("kim"),
            protocol_type: Some(protocol_type.to_owned()),
            protocol_name: Some(protocol_name.to_owned()),
            assignments: vec![],
        };

        group.give(Input::Sync(sync));

        assert_eq!(
            group.sync_answer(from),
            Err(GroupError::InconsistentGroupProtocol)
        );
    }
}

#[test]
fn a_heartbeat_tells_apart_a_stranger_a_latecomer_and_a_rebalance() {
    let mut group = group_of(["kim", "lee"], topic("an-alert", 2));
    let kim = group.caller("kim");
    let stranger = Caller {
        member_id: MemberId::new("nobody"),
        ..kim.clone()
    };
    let latecomer = Caller {
        generation: Some(Generation(1)),
        ..kim.clone()
    };
    let without = Caller {
        generation: None,
        ..kim
    };

    assert_eq!(group.beat("kim"), Ok(()));
    assert_eq!(group.beat_as(stranger), Err(GroupError::UnknownMemberId));
    assert_eq!(group.beat_as(latecomer), Err(GroupError::IllegalGeneration));
    assert_eq!(group.beat_as(without), Err(GroupError::IllegalGeneration));
    group.rejoin("lee");
    assert_eq!(
        group.beat("kim"),
        Ok(()),
        "a follower without news changes nothing"
    );
    group.rejoin("kim");
    assert_eq!(group.beat("lee"), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_member_that_beats_but_does_not_join_again_is_left_behind_at_the_rebalance_timeout() {
    let mut group = group_of(["kim", "lee"], topic("an-alert", 2));
    group.rejoin("kim");

    for _ in 0..10 {
        assert_eq!(group.beat("lee"), Err(GroupError::RebalanceInProgress));
        group.pass(REBALANCE_TIMEOUT / 10);
    }
    group.settle();

    assert_eq!(group.partitions_of("kim"), [0, 1]);
    assert_eq!(group.beat("lee"), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_member_that_joins_and_never_asks_for_its_assignment_is_dropped() {
    let mut group = group_of(["kim", "lee"], topic("an-alert", 2));
    group.join("kim");
    let request = group.join("lee");
    let joined = group.join_answer(request).expect("both are here");
    group.with("lee").generation = Some(joined.generation);
    group.settle();
    assert_eq!(group.partitions_of("kim"), [0]);

    for _ in 0..10 {
        assert_eq!(group.beat("lee"), Ok(()));
        assert_eq!(group.beat("kim"), Ok(()));
        group.pass(REBALANCE_TIMEOUT / 10);
    }

    assert_eq!(group.beat("lee"), Err(GroupError::UnknownMemberId));
    assert_eq!(group.beat("kim"), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_leader_that_dies_before_it_assigned_does_not_hold_the_others() {
    let mut group = group_of(["kim", "lee"], topic("an-alert", 2));
    let kims = group.join("kim");
    group.join("lee");
    assert!(
        !group
            .join_answer(kims)
            .expect("both are here")
            .members
            .is_empty(),
        "kim leads"
    );
    group.with("kim").step = Step::Out;
    group.settle();

    group.pass(SESSION_TIMEOUT);
    group.settle();

    assert_eq!(group.partitions_of("lee"), [0, 1]);
}

#[test]
fn several_members_leave_with_one_request_and_each_has_its_own_answer() {
    let mut group = group_of(["kim", "lee", "park"], topic("an-alert", 2));
    let stranger = LeavingMember {
        member_id: Some(MemberId::new("nobody")),
        instance_id: None,
    };
    let leavers = vec![group.leaver("kim"), stranger, group.leaver("lee")];

    let request = group.leave(leavers);

    assert_eq!(
        group.leave_answer(request),
        Ok(vec![Ok(()), Err(GroupError::UnknownMemberId), Ok(())])
    );
    group.rejoin("park");
    assert_eq!(group.partitions_of("park"), [0, 1]);
}

#[test]
fn an_administrator_sends_a_static_member_away_by_its_instance_id_alone() {
    let mut group = static_group_of(["kim", "lee"], topic("an-alert", 2));

    let request = group.leave(vec![LeavingMember {
        member_id: None,
        instance_id: Some(GroupInstanceId::new("kim")),
    }]);

    assert_eq!(group.leave_answer(request), Ok(vec![Ok(())]));
    assert_eq!(group.beat("kim"), Err(GroupError::UnknownMemberId));
}

#[test]
fn one_that_was_only_told_an_id_leaves_without_a_rebalance() {
    let mut group = group_of(["kim"], topic("an-alert", 2));
    group.consumer("lee");
    let request = group.join("lee");
    let Err(GroupError::MemberIdRequired { member_id }) = group.join_answer(request) else {
        panic!("joined at once")
    };

    let request = group.leave(vec![LeavingMember {
        member_id: Some(member_id),
        instance_id: None,
    }]);

    assert_eq!(group.leave_answer(request), Ok(vec![Ok(())]));
    assert_eq!(group.beat("kim"), Ok(()));
}

#[test]
fn the_last_member_is_gone_only_once_that_is_recorded() {
    let mut group = group_of(["kim"], topic("an-alert", 2));
    let generation = group.group.generation();
    group.recording = Recording::Held;
    let leaver = group.leaver("kim");

    let request = group.leave(vec![leaver]);

    assert!(group.waits(request));
    assert!(!group.group.is_forgettable());
    group.release();
    assert_eq!(group.leave_answer(request), Ok(vec![Ok(())]));
    assert!(group.group.is_forgettable());
    let recorded = group.last_recorded.clone().expect("the end");
    assert!(recorded.members.is_empty() && generation < recorded.generation);
    assert_eq!(group.state(), "Empty");
}

#[test]
fn that_a_group_is_empty_is_recorded_again_until_it_is() {
    let mut group = group_of(["kim"], topic("an-alert", 2));
    group.recording = Recording::Held;
    group.pass(SESSION_TIMEOUT);
    assert_eq!((group.state(), group.held.len()), ("Empty", 1));

    group.fail_records();
    group.pass(RECORD_AGAIN_AFTER);

    assert_eq!(group.held.len(), 1);
    group.release().pass(RECORD_AGAIN_AFTER * 2);
    assert_eq!(group.held.len(), 0);
}

#[test]
fn a_session_timeout_outside_the_brokers_bounds_is_refused() {
    let mut group = empty_group(GroupConfig::default(), topic("an-alert", 2));
    let bounds = GroupConfig::default();
    let just_outside = [
        bounds.session_timeout_min - Duration::from_millis(1),
        bounds.session_timeout_max + Duration::from_millis(1),
    ];
    for session_timeout in just_outside {
        group.consumer("kim").profile.session_timeout = session_timeout;

        let request = group.join("kim");

        assert_eq!(
            group.join_answer(request),
            Err(GroupError::InvalidSessionTimeout)
        );
    }
}

#[test]
fn a_full_group_takes_nobody_more_and_ids_that_were_told_count() {
    let config = GroupConfig {
        size_max: 2,
        ..GroupConfig::default()
    };
    let mut group = empty_group(config, topic("an-alert", 2));
    group.consumer("kim");
    group.rejoin("kim");
    group.consumer("lee");
    group.join("lee");

    group.consumer("park");
    group.static_consumer("choi");
    for name in ["park", "choi"] {
        let request = group.join(name);
        assert_eq!(
            group.join_answer(request),
            Err(GroupError::GroupMaxSizeReached),
            "{name}"
        );
        group.with(name).step = Step::Out;
    }

    group.rejoin_all();
    assert_eq!(group.partitions_of("kim"), [0]);
    assert_eq!(group.partitions_of("lee"), [1]);
}

#[test]
fn the_initial_delay_lets_the_first_members_share_the_first_generation() {
    let delay = Duration::from_secs(3);
    let config = GroupConfig {
        initial_rebalance_delay: delay,
        ..GroupConfig::default()
    };
    let mut group = empty_group(config, topic("an-alert", 2));
    group.consumer("kim");
    group.consumer("lee");

    group.rejoin("kim").pass(delay / 2).rejoin("lee");
    group.pass(delay / 2);
    assert_eq!(
        group.group.generation(),
        Generation(0),
        "lee's coming began the delay again"
    );
    group.pass(delay).settle();

    assert_eq!(group.group.generation(), Generation(1));
    assert_eq!(group.partitions_of("kim"), [0]);
    assert_eq!(group.partitions_of("lee"), [1]);
}

#[test]
fn without_an_initial_delay_the_first_member_waits_for_nobody() {
    let mut group = empty_group(GroupConfig::default(), topic("an-alert", 2));
    group.consumer("lee");
    group.join("lee");

    group.consumer("kim");
    group.rejoin("kim");

    assert_eq!(group.partitions_of("kim"), [0, 1]);
}

#[test]
fn a_rebalance_waits_for_those_who_were_told_an_id() {
    let mut group = group_of(["kim"], topic("an-alert", 2));
    group.consumer("lee");
    group.join("lee");

    group.join("kim");
    assert_eq!(group.state(), "PreparingRebalance");
    group.settle();

    assert_eq!(group.partitions_of("kim"), [0]);
    assert_eq!(group.partitions_of("lee"), [1]);
}

#[test]
fn a_newcomer_that_cannot_be_heard_is_dropped_when_patience_ends() {
    let mut group = group_of(["kim"], topic("an-alert", 2));
    group.with("kim").profile.rebalance_timeout = REBALANCE_TIMEOUT * 3;
    group.rejoin("kim");
    group.consumer("lee").ability = JoinAbility::OneStep;
    let request = group.join("lee");

    for _ in 0..10 {
        group.heartbeat("kim").pass(REBALANCE_TIMEOUT / 10);
    }

    assert_eq!(group.join_answer(request), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_new_coordinator_resumes_the_group_as_stable_with_whole_sessions() {
    let mut group = group_of(["kim", "lee"], topic("an-alert", 2));
    let before = group.group.describe();

    group.pass(SESSION_TIMEOUT * 9 / 10).restart();

    assert_eq!(group.group.describe(), before);
    assert_eq!(group.beat("kim"), Ok(()));
    group.pass(SESSION_TIMEOUT * 9 / 10);
    assert_eq!(group.beat("lee"), Ok(()), "its session began again");
    group.pass(SESSION_TIMEOUT * 2 / 10);
    assert_eq!(group.beat("kim"), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_new_coordinator_knows_the_static_members() {
    let mut group = static_group_of(["kim", "lee"], topic("an-alert", 2));
    let old = group.caller("kim");

    group.restart().static_consumer("kim");
    group.rejoin("kim");

    assert_eq!(group.partitions_of("kim"), [0]);
    assert_eq!(group.beat_as(old), Err(GroupError::FencedInstanceId));
}

#[test]
fn a_static_member_whose_return_died_with_its_coordinator_comes_again_rather_than_being_fenced_for_good()
 {
    let mut group = static_group_of(["kim", "lee"], topic("an-alert", 2));
    group.consumer("park");
    group.rejoin("park");
    group.static_consumer("kim");
    group.join("kim");
    let request = group.join("lee");
    assert!(group.join_answer(request).is_ok());
    let Step::Joining(request) = group.with("kim").step else {
        panic!("kim joins")
    };
    let joined = group.join_answer(request).expect("all are here");
    let kim = group.with("kim");
    (kim.member_id, kim.generation) = (Some(joined.member_id), Some(joined.generation));

    group.restart();
    group.with("lee").step = Step::Out;
    group.with("park").step = Step::Out;

    assert_eq!(group.beat("kim"), Err(GroupError::UnknownMemberId));
    group.with("kim").member_id = None;
    group.rejoin("kim");
    assert_eq!(group.partitions_of("kim"), [0]);
}

#[test]
fn an_empty_group_is_resumed_empty_and_goes_on_counting() {
    let mut group = group_of(["kim"], topic("an-alert", 2));
    group.pass(SESSION_TIMEOUT);
    let generation = group.group.generation();

    group.restart();

    assert_eq!(group.state(), "Empty");
    group.consumer("lee");
    group.rejoin("lee");
    assert!(generation < group.group.generation());
}

#[test]
fn a_coordinator_that_retires_answers_everybody() {
    let mut group = group_of(["kim", "lee"], topic("an-alert", 2));
    let joining = group.join("kim");

    group.give(Input::Retire);

    assert_eq!(group.join_answer(joining), Err(GroupError::NotCoordinator));
    assert_eq!(group.beat("lee"), Err(GroupError::NotCoordinator));
    assert_eq!(
        group.group.admit_commit(group.now, None),
        Err(GroupError::NotCoordinator)
    );
    let request = group.join("lee");
    assert_eq!(group.join_answer(request), Err(GroupError::NotCoordinator));
    let request = group.leave(vec![]);
    assert_eq!(group.leave_answer(request), Err(GroupError::NotCoordinator));
}

#[test]
fn what_waits_for_a_record_is_answered_when_the_coordinator_retires() {
    let mut group = group_of(["kim"], topic("an-alert", 2));
    group.recording = Recording::Held;
    let leaver = group.leaver("kim");
    let request = group.leave(vec![leaver]);

    group.give(Input::Retire);

    assert_eq!(group.leave_answer(request), Err(GroupError::NotCoordinator));
    group.release();
}

#[test]
fn a_request_that_is_sent_again_supersedes_the_first() {
    let mut group = group_of(["kim", "lee"], topic("an-alert", 2));

    let first = group.join("kim");
    let second = group.join("kim");

    assert_eq!(
        group.join_answer(first),
        Err(GroupError::RebalanceInProgress)
    );
    assert!(group.waits(second));
}

#[test]
fn a_leader_that_joins_again_makes_everybody_join_again() {
    let mut group = group_of(["kim", "lee"], topic("an-alert", 2));
    let generation = group.group.generation();

    group.rejoin("kim").rejoin("lee");

    assert_eq!(group.group.generation(), Generation(generation.0 + 1));
    assert_eq!(group.state(), "Stable");
}

#[test]
fn a_follower_with_other_topics_makes_everybody_join_again() {
    let mut group = group_of(["kim", "lee"], topic("an-alert", 2));
    group.with("lee").profile.protocols[0].metadata = Bytes::from_static(b"range: an-accept");

    group.rejoin("lee");

    assert_eq!(group.state(), "PreparingRebalance");
}

#[test]
fn a_commit_is_admitted_from_members_of_the_generation_and_from_nobody_only_when_nobody_is_in() {
    let mut group = group_of(["kim", "lee"], topic("an-alert", 2));
    let kim = group.caller("kim");
    let stranger = Caller {
        member_id: MemberId::new("nobody"),
        ..kim.clone()
    };
    let latecomer = Caller {
        generation: Some(Generation(1)),
        ..kim.clone()
    };
    let now = group.now;

    assert_eq!(group.group.admit_commit(now, Some(&kim)), Ok(()));
    assert_eq!(
        group.group.admit_commit(now, Some(&stranger)),
        Err(GroupError::UnknownMemberId)
    );
    assert_eq!(
        group.group.admit_commit(now, Some(&latecomer)),
        Err(GroupError::IllegalGeneration)
    );
    assert_eq!(
        group.group.admit_commit(now, None),
        Err(GroupError::UnknownMemberId)
    );
    group.join("kim");
    assert_eq!(
        group.group.admit_commit(now, Some(&kim)),
        Ok(()),
        "what was read before the rebalance"
    );
    let request = group.join("lee");
    let joined = group.join_answer(request).expect("both are here");
    let lee = Caller {
        generation: Some(joined.generation),
        ..group.caller("lee")
    };
    assert_eq!(
        group.group.admit_commit(now, Some(&lee)),
        Err(GroupError::RebalanceInProgress)
    );

    let group = &mut empty_group(GroupConfig::default(), topic("an-alert", 2)).group;
    assert_eq!(group.admit_commit(now, None), Ok(()));
    assert_eq!(
        group.admit_commit(now, Some(&kim)),
        Err(GroupError::UnknownMemberId)
    );
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut group = group_of(["kim"], topic("an-alert", 2));
    let kim = group.caller("kim");

    group.pass(SESSION_TIMEOUT * 2 / 3);
    group
        .group
        .admit_commit(group.now, Some(&kim))
        .expect("kim is in");
    group.pass(SESSION_TIMEOUT * 2 / 3);

    assert_eq!(group.beat("kim"), Ok(()));
}
