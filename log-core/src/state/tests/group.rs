use bytes::Bytes;

use super::world::{World, partition, topic};
use crate::ids::{Generation, GroupId, GroupInstanceId, MemberId, Offset, TopicPartition};
use crate::state::{
    Command, CommandError, CommitOffsets, Committer, CompleteRebalance, CompletedMember,
    DeleteGroup, DeleteOffsets, DeleteTopic, ExpireOffsets, NewOffset, Response,
};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn gateways() -> GroupId {
    GroupId::new("gateways")
}

fn alerts() -> TopicPartition {
    partition("an-alert", 0)
}

fn member(id: &str, instance: Option<&str>) -> CompletedMember {
    CompletedMember {
        id: MemberId::new(id),
        instance_id: instance.map(GroupInstanceId::new),
        client_id: "rdkafka".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 300_000,
        subscription: Bytes::from_static(b"an-alert"),
        assignment: Bytes::from_static(b"0"),
    }
}

fn rebalance(
    world: &mut World,
    generation: u32,
    members: Vec<CompletedMember>,
) -> Result<Response, CommandError> {
    world.tell(Command::CompleteRebalance(CompleteRebalance {
        group: gateways(),
        generation: Generation(generation),
        protocol_type: Some("consumer".to_owned()),
        protocol: Some("range".to_owned()),
        leader: members.first().map(|member| member.id.clone()),
        members,
    }))
}

fn offset(partition: TopicPartition, offset: u64) -> NewOffset {
    NewOffset {
        partition,
        offset: Offset(offset),
        leader_epoch: None,
        metadata: "noted".to_owned(),
    }
}

fn by(generation: u32, member: &str, instance: Option<&str>) -> Committer {
    Committer {
        generation: Some(Generation(generation)),
        member: Some(MemberId::new(member)),
        instance: instance.map(GroupInstanceId::new),
    }
}

fn commit(world: &mut World, by: Committer, to: u64) -> Result<Response, CommandError> {
    let offsets = vec![offset(alerts(), to)];
    world.tell(Command::CommitOffsets(CommitOffsets {
        group: gateways(),
        by,
        offsets,
        retention_ms: None,
    }))
}

fn committed() -> Result<Response, CommandError> {
    Ok(Response::OffsetsCommitted {
        unknown: Vec::new(),
    })
}

fn committed_offset(world: &World) -> Option<u64> {
    world
        .state
        .group(&gateways())?
        .offset(&alerts())
        .map(|committed| committed.offset.0)
}

#[test]
fn a_commit_of_the_present_generation_counts_and_one_of_any_other_is_fenced() {
    let mut world = World::with_topic("an-alert");
    rebalance(&mut world, 3, vec![member("kim", None)]).unwrap();

    assert_eq!(commit(&mut world, by(3, "kim", None), 7), committed());
    for generation in [2, 4] {
        let refused = commit(&mut world, by(generation, "kim", None), 99);
        assert!(
            matches!(refused, Err(CommandError::IllegalGeneration { .. })),
            "{generation}: {refused:?}"
        );
    }
    assert_eq!(
        commit(&mut world, by(3, "lee", None), 99),
        Err(CommandError::UnknownMember { group: gateways() })
    );
    assert_eq!(committed_offset(&world), Some(7));
}

#[test]
fn what_a_consumer_noted_with_its_offset_is_kept_as_it_is() {
    let mut world = World::with_topic("an-alert");
    commit(&mut world, Committer::default(), 5).unwrap();

    let group = world.state.group(&gateways()).unwrap();

    let kept = group.offset(&alerts()).unwrap();
    assert_eq!(
        (kept.metadata.as_str(), kept.committed_at),
        ("noted", world.now)
    );
    assert_eq!(group.protocol_type(), None);
}

#[test]
fn a_consumer_outside_the_group_may_commit_only_while_it_has_no_members() {
    let mut world = World::with_topic("an-alert");
    assert_eq!(commit(&mut world, Committer::default(), 1), committed());
    rebalance(&mut world, 1, vec![member("kim", None)]).unwrap();

    let refused = commit(&mut world, Committer::default(), 2);
    assert_eq!(
        refused,
        Err(CommandError::UnknownMember { group: gateways() })
    );

    rebalance(&mut world, 2, Vec::new()).unwrap();
    assert_eq!(commit(&mut world, Committer::default(), 3), committed());
    assert_eq!(committed_offset(&world), Some(3));
}

#[test]
fn a_member_of_a_group_that_nobody_knows_is_fenced() {
    let mut world = World::with_topic("an-alert");

    let refused = commit(&mut world, by(1, "kim", None), 5);

    assert!(
        matches!(
            refused,
            Err(CommandError::IllegalGeneration { current: None, .. })
        ),
        "{refused:?}"
    );
}

#[test]
fn a_static_member_that_returned_under_a_new_id_fences_the_old_one_in_the_same_generation() {
    let mut world = World::with_topic("an-alert");
    rebalance(&mut world, 1, vec![member("kim-1", Some("kim"))]).unwrap();
    rebalance(&mut world, 1, vec![member("kim-2", Some("kim"))]).unwrap();

    let refused = commit(&mut world, by(1, "kim-1", Some("kim")), 5);

    assert!(
        matches!(refused, Err(CommandError::FencedInstance { .. })),
        "{refused:?}"
    );
    assert_eq!(
        commit(&mut world, by(1, "kim-2", Some("kim")), 6),
        committed()
    );
}

#[test]
fn a_record_of_an_older_generation_is_refused() {
    let mut world = World::with_topic("an-alert");
    rebalance(&mut world, 2, vec![member("kim", None)]).unwrap();

    let refused = rebalance(&mut world, 1, vec![member("lee", None)]);

    assert!(
        matches!(refused, Err(CommandError::IllegalGeneration { .. })),
        "{refused:?}"
    );
    assert_eq!(
        world
            .state
            .group(&gateways())
            .unwrap()
            .members()
            .next()
            .unwrap()
            .id,
        MemberId::new("kim")
    );
}

#[test]
fn offsets_of_partitions_that_are_not_there_are_named_and_the_others_committed() {
    let mut world = World::with_topic("an-alert");
    let elsewhere = partition("no-such-topic", 0);
    let offsets = vec![offset(elsewhere.clone(), 1), offset(alerts(), 2)];

    let by = Committer::default();
    let command = CommitOffsets {
        group: gateways(),
        by,
        offsets,
        retention_ms: None,
    };
    let outcome = world.tell(Command::CommitOffsets(command));

    assert_eq!(
        outcome,
        Ok(Response::OffsetsCommitted {
            unknown: vec![elsewhere]
        })
    );
    assert_eq!(committed_offset(&world), Some(2));
}

#[test]
fn a_group_is_deleted_only_without_members() {
    let mut world = World::with_topic("an-alert");
    let delete = || Command::DeleteGroup(DeleteGroup { group: gateways() });
    assert_eq!(
        world.tell(delete()),
        Err(CommandError::GroupNotFound { group: gateways() })
    );
    rebalance(&mut world, 1, vec![member("kim", None)]).unwrap();
    assert_eq!(
        world.tell(delete()),
        Err(CommandError::GroupNotEmpty { group: gateways() })
    );

    rebalance(&mut world, 2, Vec::new()).unwrap();

    assert_eq!(world.tell(delete()), Ok(Response::Done));
    assert!(world.state.group(&gateways()).is_none());
}

#[test]
fn single_offsets_are_deleted_and_so_are_those_of_a_deleted_topic() {
    let mut world = World::with_topic("an-alert");
    let delete = || DeleteOffsets {
        group: gateways(),
        partitions: vec![alerts()],
    };
    let refused = world.tell(Command::DeleteOffsets(delete()));
    assert_eq!(
        refused,
        Err(CommandError::GroupNotFound { group: gateways() })
    );

    commit(&mut world, Committer::default(), 5).unwrap();
    world.tell(Command::DeleteOffsets(delete())).unwrap();
    assert_eq!(committed_offset(&world), None);

    commit(&mut world, Committer::default(), 6).unwrap();
    let id = world.state.topic(&topic("an-alert")).unwrap().id();
    world
        .tell(Command::DeleteTopic(DeleteTopic { id }))
        .unwrap();
    assert_eq!(committed_offset(&world), None);
}

fn expire(world: &mut World, after_ms: i64) -> Result<Response, CommandError> {
    let committed_before = crate::ids::TimestampMs(world.now.0 - after_ms);
    world.tell(Command::ExpireOffsets(ExpireOffsets { committed_before }))
}

#[test]
fn offsets_expire_from_when_their_group_became_empty_and_an_idle_group_goes_with_them() {
    let mut world = World::with_topic("an-alert");
    rebalance(&mut world, 1, vec![member("kim", None)]).unwrap();
    commit(&mut world, by(1, "kim", None), 5).unwrap();
    world.pass(30 * DAY_MS);
    assert_eq!(
        expire(&mut world, 7 * DAY_MS),
        Ok(Response::Expired { count: 0 }),
        "it has a member"
    );

    rebalance(&mut world, 2, Vec::new()).unwrap();
    world.pass(7 * DAY_MS);
    assert_eq!(
        expire(&mut world, 7 * DAY_MS),
        Ok(Response::Expired { count: 0 }),
        "not yet"
    );
    world.pass(1);
    assert_eq!(
        expire(&mut world, 7 * DAY_MS),
        Ok(Response::Expired { count: 1 })
    );
    assert!(world.state.group(&gateways()).is_none());
}

#[test]
fn offsets_expire_when_the_client_said_so_where_it_did() {
    let mut world = World::with_topic("an-alert");
    let offsets = vec![offset(alerts(), 2)];
    let by = Committer::default();
    let command = CommitOffsets {
        group: gateways(),
        by,
        offsets,
        retention_ms: Some(1_000),
    };
    world.tell(Command::CommitOffsets(command)).unwrap();

    assert_eq!(
        expire(world.pass(999), 0),
        Ok(Response::Expired { count: 0 })
    );
    assert_eq!(expire(world.pass(1), 0), Ok(Response::Expired { count: 1 }));
}
