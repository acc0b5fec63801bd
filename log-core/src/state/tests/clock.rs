//! What expires when command time jumps: nothing, until leaders have lived through the time, or an operator says that it
//! passed.

use super::world::{World, partition, plain, topic};
use crate::ids::{GroupId, Offset, TimestampMs, TransactionalId};
use crate::state::{
    AddOffsetsToTransaction, Change, ClockJumps, Command, CommitOffsets, Committer, ExpireOffsets,
    FeatureLevel, InitProducerId, JudgeClockJumps, JumpVerdict, NewOffset, NoteClockJump, Produce,
    RaiseFeatureLevel, Response, State, StateDecodeError, TransactionalProducer,
};

const DAY_MS: i64 = 86_400_000;
const JUMP_MS: i64 = 401 * DAY_MS;

fn raise(world: &mut World) -> Vec<Change> {
    let level = FeatureLevel::LATEST;
    let raise = Command::RaiseFeatureLevel(RaiseFeatureLevel { level });
    world.tell_as(world.epoch, raise).changes
}

/// A world that notes jumps.
fn world() -> World {
    let mut world = World::with_topic("an-alert");
    raise(&mut world);
    world
}

/// The leader's wall goes 401 days ahead, and it notes so.
fn jump(world: &mut World) {
    let unwitnessed_ms = JUMP_MS.unsigned_abs();
    let noted = world
        .pass(JUMP_MS)
        .tell(Command::NoteClockJump(NoteClockJump { unwitnessed_ms }));
    assert_eq!(noted, Ok(Response::Done));
}

fn judge(world: &mut World, verdict: JumpVerdict) -> usize {
    let until = world.now;
    let judged = world.tell(Command::JudgeClockJumps(JudgeClockJumps { until, verdict }));
    match judged {
        Ok(Response::ClockJumpsJudged { count }) => count,
        other => panic!("{other:?}"),
    }
}

fn begin_transaction(world: &mut World) {
    let id = TransactionalId::new("copier");
    let begun = world.tell(Command::InitProducerId(InitProducerId {
        id: id.clone(),
        timeout_ms: 60_000,
        expected: None,
    }));
    let Ok(Response::ProducerId {
        id: producer,
        epoch,
    }) = begun
    else {
        panic!("{begun:?}")
    };
    let by = TransactionalProducer {
        id,
        producer,
        epoch,
    };
    let group = GroupId::new("copied");
    let add = AddOffsetsToTransaction { by, group };
    world.tell(Command::AddOffsetsToTransaction(add)).unwrap();
}

fn overdue(world: &mut World) -> usize {
    match world.tell(Command::ExpireTransactions) {
        Ok(Response::TransactionsExpired { ids }) => ids.len(),
        other => panic!("{other:?}"),
    }
}

fn commit(world: &mut World, retention_ms: Option<u64>) {
    let offset = NewOffset {
        partition: partition("an-alert", 0),
        offset: Offset(1),
        leader_epoch: None,
        metadata: String::new(),
    };
    let commit = CommitOffsets {
        group: GroupId::new("gateways"),
        by: Committer::default(),
        offsets: vec![offset],
        retention_ms,
    };
    world.tell(Command::CommitOffsets(commit)).unwrap();
}

/// As the leader does: by the time that was lived through.
fn expire_offsets(world: &mut World, kept_ms: u64) -> usize {
    let committed_before = world.state.clock_jumps().before(world.now, kept_ms);
    let expired = world.tell(Command::ExpireOffsets(ExpireOffsets { committed_before }));
    match expired {
        Ok(Response::Expired { count }) => count,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_jump_ahead_aborts_no_transaction_and_keeps_none_open_for_longer() {
    let mut world = world();
    begin_transaction(&mut world);
    jump(world.pass(10_000));
    assert_eq!(overdue(world.pass(49_999)), 0);
    assert_eq!(overdue(world.pass(1)), 1);

    // The wall is set right: command time goes on from where it is.
    begin_transaction(&mut world);
    assert_eq!(overdue(world.pass(59_999)), 0);
    assert_eq!(overdue(world.pass(1)), 1);
}

#[test]
fn a_jump_ahead_makes_no_committed_offset_old() {
    for said_by_client in [None, Some(7 * DAY_MS.unsigned_abs())] {
        let mut world = world();
        commit(&mut world, said_by_client);
        jump(&mut world);
        let week_ms = 7 * DAY_MS.unsigned_abs();
        assert_eq!(expire_offsets(&mut world, week_ms), 0);
        assert_eq!(expire_offsets(world.pass(7 * DAY_MS + 1), week_ms), 1);
    }
}

#[test]
fn what_an_operator_says_did_pass_counts_and_what_was_wrong_never_does() {
    let mut world = world();
    commit(&mut world, None);
    jump(&mut world);
    let mut wrong = world.clone();
    let week_ms = 7 * DAY_MS.unsigned_abs();

    assert_eq!(judge(&mut world, JumpVerdict::TimePassed), 1);
    assert_eq!(expire_offsets(&mut world, week_ms), 1);

    assert_eq!(judge(&mut wrong, JumpVerdict::ClockWasWrong), 1);
    assert_eq!(wrong.state.clock_jumps().open_ms(), 0);
    assert_eq!(expire_offsets(&mut wrong, week_ms), 0);
    wrong.crash();
}

#[test]
fn what_is_known_of_jumps_is_kept_by_checkpoints_and_old_ones_are_read() {
    let mut world = World::with_topic("an-alert");
    let old = world.state.encode();
    assert_eq!(
        old[0], 1,
        "until the level is raised older software reads it"
    );
    assert_eq!(State::decode(&old), Ok(world.state.clone()));

    raise(&mut world);
    jump(&mut world);
    let new = world.state.encode();
    assert_eq!(new[0], 2);
    assert_eq!(State::decode(&new), Ok(world.state.clone()));
    assert_eq!(
        State::decode(&new[..new.len() - 1]),
        Err(StateDecodeError::Damaged)
    );
    let later = [&[3], &new[1..]].concat();
    assert_eq!(
        State::decode(&later),
        Err(StateDecodeError::Version { found: 3 })
    );
}

#[test]
fn nothing_is_noted_and_no_append_timed_before_the_level_allows_it() {
    let mut world = World::with_topic("an-alert");
    let appended_at = |world: &mut World| {
        let produce = Produce {
            topic_id: world.state.topic(&topic("an-alert")).unwrap().id(),
            partition: partition("an-alert", 0),
            batch: plain(&["a"]),
        };
        let changes = world
            .tell_as(world.epoch, Command::Produce(produce))
            .changes;
        match &changes[..] {
            [Change::Appended { at, .. }] => *at,
            other => panic!("{other:?}"),
        }
    };
    jump(&mut world);
    assert_eq!(world.state.clock_jumps(), &ClockJumps::default());
    assert_eq!(appended_at(&mut world), None);

    let since = world.now;
    assert_eq!(raise(&mut world), [Change::AppendsTimed { since }]);
    assert_eq!(raise(&mut world), [], "once");
    assert_eq!(appended_at(world.pass(5)), Some(TimestampMs(since.0 + 5)));
}

#[test]
fn what_came_before_the_level_counts_as_of_when_it_was_raised() {
    let mut world = World::with_topic("an-alert");
    commit(&mut world, None);
    world.pass(JUMP_MS);
    raise(&mut world);
    let week_ms = 7 * DAY_MS.unsigned_abs();
    assert_eq!(expire_offsets(world.pass(1_000), week_ms), 0);
    assert_eq!(expire_offsets(world.pass(7 * DAY_MS), week_ms), 1);
}
