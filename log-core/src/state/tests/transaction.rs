use super::world::{World, partition, plain, sequenced, transactional};
use crate::ids::{
    Generation, GroupId, MemberId, Offset, ProducerEpoch, ProducerId, TimestampMs, TopicPartition,
    TransactionalId,
};
use crate::record::BatchHeader;
use crate::state::{
    AddOffsetsToTransaction, AddPartitionsToTransaction, Command, CommandError, CommitOffsets,
    CommitTransactionOffsets, Committer, DeleteGroup, DeleteTopic, EndTransaction, ExpireProducers,
    ExpireTransactionalIds, InitProducerId, LogStartCause, MoveLogStart, NewOffset, Response,
    TransactionOutcome, TransactionStatus, TransactionalProducer,
};

const TIMEOUT_MS: u32 = 60_000;

fn alerts() -> TopicPartition {
    partition("an-alert", 0)
}

fn copier() -> TransactionalId {
    TransactionalId::new("copier")
}

fn readers() -> GroupId {
    GroupId::new("readers")
}

fn init(
    world: &mut World,
    expected: Option<&TransactionalProducer>,
) -> Result<TransactionalProducer, CommandError> {
    let expected = expected.map(|by| (by.producer, by.epoch));
    let init = InitProducerId {
        id: copier(),
        timeout_ms: TIMEOUT_MS,
        expected,
    };
    match world.tell(Command::InitProducerId(init))? {
        Response::ProducerId { id, epoch } => Ok(TransactionalProducer {
            id: copier(),
            producer: id,
            epoch,
        }),
        other => panic!("{other:?}"),
    }
}

/// A world with a transactional producer.
fn begun() -> (World, TransactionalProducer) {
    let mut world = World::with_topic("an-alert");
    let by = init(&mut world, None).unwrap();
    (world, by)
}

fn add(world: &mut World, by: &TransactionalProducer) -> Result<Response, CommandError> {
    let partitions = vec![alerts()];
    world.tell(Command::AddPartitionsToTransaction(
        AddPartitionsToTransaction {
            by: by.clone(),
            partitions,
        },
    ))
}

fn send(
    world: &mut World,
    by: &TransactionalProducer,
    sequence: u32,
    value: &str,
) -> Result<u64, CommandError> {
    let batch = transactional(by.producer, by.epoch.0, sequence, &[value]);
    world
        .produce(&alerts(), batch)
        .map(|produced| produced.base_offset.0)
}

fn end(
    world: &mut World,
    by: &TransactionalProducer,
    outcome: TransactionOutcome,
) -> Result<Response, CommandError> {
    world.tell(Command::EndTransaction(EndTransaction {
        by: by.clone(),
        outcome,
    }))
}

fn last_stable_offset(world: &World) -> u64 {
    world
        .state
        .partition(&alerts())
        .unwrap()
        .last_stable_offset()
        .0
}

fn aborted(world: &World) -> Vec<(u64, u64)> {
    let place = world.state.partition(&alerts()).unwrap();
    let all = place.aborted_in(Offset(0), place.high_watermark());
    all.map(|aborted| (aborted.first_offset.0, aborted.last_offset.0))
        .collect()
}

fn is_fenced<T>(outcome: Result<T, CommandError>) -> bool {
    matches!(
        outcome,
        Err(CommandError::ProducerFenced { .. } | CommandError::InvalidProducerEpoch { .. })
    )
}

fn is_invalid_state<T>(outcome: Result<T, CommandError>) -> bool {
    matches!(outcome, Err(CommandError::InvalidTransactionState { .. }))
}

#[test]
fn records_of_an_open_transaction_hold_back_the_last_stable_offset_until_it_ends() {
    let (mut world, by) = begun();
    world.produce(&alerts(), plain(&["before"])).unwrap();
    add(&mut world, &by).unwrap();
    assert_eq!(send(&mut world, &by, 0, "inside"), Ok(1));
    world.produce(&alerts(), plain(&["after"])).unwrap();
    assert_eq!(last_stable_offset(&world), 1);

    end(&mut world, &by, TransactionOutcome::Commit).unwrap();

    assert_eq!(last_stable_offset(&world), 4, "three records and a marker");
    assert_eq!(aborted(&world), []);
}

#[test]
fn an_aborted_transaction_is_named_to_readers_of_its_range_only() {
    let (mut world, by) = begun();
    add(&mut world, &by).unwrap();
    send(&mut world, &by, 0, "void").unwrap();
    end(&mut world, &by, TransactionOutcome::Abort).unwrap();
    world.produce(&alerts(), plain(&["after"])).unwrap();

    assert_eq!(aborted(&world), [(0, 1)]);
    let place = world.state.partition(&alerts()).unwrap();
    assert_eq!(place.aborted_in(Offset(2), Offset(3)).count(), 0);
    assert_eq!(
        place.aborted_in(Offset(1), Offset(3)).count(),
        1,
        "its marker is still to be read"
    );
}

#[test]
fn retention_stops_before_the_oldest_open_transaction() {
    let (mut world, by) = begun();
    world.produce(&alerts(), plain(&["before"])).unwrap();
    add(&mut world, &by).unwrap();
    send(&mut world, &by, 0, "inside").unwrap();
    let topic_id = world.state.topic(&alerts().topic).unwrap().id();
    let (partition, cause) = (alerts().partition, LogStartCause::Retention);

    let all = MoveLogStart {
        topic_id,
        partition,
        offset: Some(Offset(2)),
        cause,
    };
    let moved = world.tell(Command::MoveLogStart(all));

    assert_eq!(
        moved,
        Ok(Response::LogStart {
            log_start_offset: Offset(1)
        })
    );
}

#[test]
fn nothing_is_appended_to_a_partition_that_is_not_in_the_open_transaction() {
    let (mut world, by) = begun();
    assert!(is_invalid_state(send(&mut world, &by, 0, "none is open")));
    add(&mut world, &by).unwrap();
    let elsewhere = transactional(by.producer, by.epoch.0, 0, &["not added"]);
    assert!(is_invalid_state(
        world.produce(&partition("an-alert", 1), elsewhere)
    ));
    end(&mut world, &by, TransactionOutcome::Commit).unwrap();
    assert!(is_invalid_state(send(&mut world, &by, 0, "it has ended")));
    let untransactional = sequenced(by.producer, by.epoch.0, 0, &["outside"]);
    assert!(is_invalid_state(world.produce(&alerts(), untransactional)));

    assert!(world.values(&alerts()).is_empty());
}

#[test]
fn a_retried_batch_and_a_retried_end_are_answered_as_the_first_ones_were() {
    let (mut world, by) = begun();
    add(&mut world, &by).unwrap();
    assert_eq!(send(&mut world, &by, 0, "once"), Ok(0));
    assert_eq!(send(&mut world, &by, 0, "once"), Ok(0));

    assert_eq!(
        end(&mut world, &by, TransactionOutcome::Commit),
        Ok(Response::Done)
    );
    assert_eq!(
        end(&mut world, &by, TransactionOutcome::Commit),
        Ok(Response::Done)
    );

    assert!(is_invalid_state(end(
        &mut world,
        &by,
        TransactionOutcome::Abort
    )));
    assert_eq!(
        world.state.partition(&alerts()).unwrap().high_watermark(),
        Offset(2),
        "one record, one marker"
    );
}

#[test]
fn a_transaction_that_was_never_begun_cannot_end() {
    let (mut world, by) = begun();

    assert!(is_invalid_state(end(
        &mut world,
        &by,
        TransactionOutcome::Commit
    )));
    assert!(is_invalid_state(end(
        &mut world,
        &by,
        TransactionOutcome::Abort
    )));
}

#[test]
fn a_new_incarnation_aborts_what_the_old_one_had_open_and_fences_it() {
    let (mut world, old) = begun();
    add(&mut world, &old).unwrap();
    send(&mut world, &old, 0, "unfinished").unwrap();

    let new = init(&mut world, None).unwrap();

    assert_eq!(
        (new.producer, new.epoch),
        (old.producer, ProducerEpoch(old.epoch.0 + 1))
    );
    assert_eq!(aborted(&world), [(0, 1)]);
    assert!(is_fenced(send(&mut world, &old, 1, "zombie")));
    assert!(is_fenced(add(&mut world, &old)));
    assert!(is_fenced(end(&mut world, &old, TransactionOutcome::Commit)));
    assert!(is_fenced(init(&mut world, Some(&old))));
    add(&mut world, &new).unwrap();
    assert_eq!(
        send(&mut world, &new, 0, "fresh"),
        Ok(2),
        "sequences begin anew"
    );
}

#[test]
fn a_producer_that_recovers_gets_the_next_epoch_and_the_same_answer_when_it_asks_again() {
    let (mut world, old) = begun();
    add(&mut world, &old).unwrap();
    send(&mut world, &old, 0, "unfinished").unwrap();

    let new = init(&mut world, Some(&old)).unwrap();

    assert_eq!(new.epoch, ProducerEpoch(1));
    assert_eq!(init(&mut world, Some(&old)), Ok(new.clone()));
    add(&mut world, &new).unwrap();
    assert!(
        is_fenced(init(&mut world, Some(&old))),
        "the renewed producer is at work"
    );
    assert_eq!(
        init(&mut world, Some(&new)).unwrap().epoch,
        ProducerEpoch(2)
    );
}

#[test]
fn a_transaction_open_for_too_long_is_aborted_and_its_producer_may_recover_once_it_hears() {
    let (mut world, slow) = begun();
    add(&mut world, &slow).unwrap();
    send(&mut world, &slow, 0, "late").unwrap();
    let deadline = TimestampMs(world.now.0 + i64::from(TIMEOUT_MS));
    assert_eq!(world.state.next_transaction_deadline(), Some(deadline));
    world.pass(i64::from(TIMEOUT_MS) - 1);
    assert_eq!(
        world.tell(Command::ExpireTransactions),
        Ok(Response::TransactionsExpired { ids: vec![] })
    );

    world.pass(1);

    let expired = world.tell(Command::ExpireTransactions);
    assert_eq!(
        expired,
        Ok(Response::TransactionsExpired {
            ids: vec![copier()]
        })
    );
    assert_eq!(last_stable_offset(&world), 2);
    assert!(is_fenced(end(
        &mut world,
        &slow,
        TransactionOutcome::Commit
    )));
    let recovered = init(&mut world, Some(&slow)).unwrap();
    add(&mut world, &recovered).unwrap();
    assert_eq!(send(&mut world, &recovered, 0, "again"), Ok(2));
}

#[test]
fn the_marker_of_a_fenced_producer_leaves_its_new_epoch_in_the_partition() {
    let (mut world, slow) = begun();
    add(&mut world, &slow).unwrap();
    send(&mut world, &slow, 0, "late").unwrap();
    world
        .pass(i64::from(TIMEOUT_MS))
        .tell(Command::ExpireTransactions)
        .unwrap();

    let place = world.state.partition(&alerts()).unwrap();
    let (_, window) = place.producers().next().unwrap();
    assert_eq!(
        (window.epoch(), window.last_sequence()),
        (ProducerEpoch(1), None)
    );
    assert_eq!(window.coordinator_epoch(), Some(world.epoch));
    let marker = BatchHeader::parse(world.files[&alerts()].last().unwrap()).unwrap();
    assert_eq!(
        marker.producer.map(|stamp| stamp.epoch),
        Some(ProducerEpoch(1))
    );
}

#[test]
fn a_transactional_id_that_has_used_up_its_epochs_continues_under_a_new_producer_id() {
    let (mut world, first) = begun();
    let mut last = first.clone();
    for _ in last.epoch.0..32_766 {
        last = init(&mut world, Some(&last)).unwrap();
    }
    assert_eq!(
        (last.producer, last.epoch),
        (first.producer, ProducerEpoch(32_766))
    );
    add(&mut world, &last).unwrap();
    send(&mut world, &last, 0, "unfinished").unwrap();

    let rotated = init(&mut world, Some(&last)).unwrap();

    assert_ne!(rotated.producer, first.producer);
    assert_eq!(rotated.epoch, ProducerEpoch(0));
    assert_eq!(
        init(&mut world, Some(&last)),
        Ok(rotated.clone()),
        "it asks again"
    );
    assert_eq!(aborted(&world), [(0, 1)]);
    let mapping = end(&mut world, &last, TransactionOutcome::Commit);
    assert!(
        matches!(mapping, Err(CommandError::InvalidProducerIdMapping { .. })),
        "{mapping:?}"
    );
    assert!(send(&mut world, &last, 1, "zombie").is_err());
}

#[test]
fn an_exhausted_epoch_that_timed_out_is_answered_with_a_new_producer_id() {
    let (mut world, mut last) = begun();
    for _ in last.epoch.0..32_766 {
        last = init(&mut world, Some(&last)).unwrap();
    }
    add(&mut world, &last).unwrap();
    world
        .pass(i64::from(TIMEOUT_MS))
        .tell(Command::ExpireTransactions)
        .unwrap();

    let rotated = init(&mut world, Some(&last)).unwrap();

    assert_ne!(rotated.producer, last.producer);
    assert_eq!(rotated.epoch, ProducerEpoch(0));
}

#[test]
fn unknown_partitions_are_named_and_the_transaction_does_not_begin() {
    let (mut world, by) = begun();
    let unknown = partition("no-such-topic", 0);
    let partitions = vec![alerts(), unknown.clone()];

    let refused = world.tell(Command::AddPartitionsToTransaction(
        AddPartitionsToTransaction { by, partitions },
    ));

    assert_eq!(
        refused,
        Err(CommandError::UnknownPartitions {
            partitions: vec![unknown]
        })
    );
    assert_eq!(
        world.state.transaction(&copier()).unwrap().status(),
        &TransactionStatus::Empty
    );
}

#[test]
fn a_transaction_outlives_a_topic_that_is_deleted_meanwhile() {
    let (mut world, by) = begun();
    add(&mut world, &by).unwrap();
    send(&mut world, &by, 0, "gone").unwrap();
    let id = world.state.topic(&alerts().topic).unwrap().id();
    world
        .tell(Command::DeleteTopic(DeleteTopic { id }))
        .unwrap();
    world.create_topic("an-alert", &[]).unwrap();

    assert!(is_invalid_state(send(&mut world, &by, 0, "another topic")));
    assert_eq!(
        end(&mut world, &by, TransactionOutcome::Commit),
        Ok(Response::Done)
    );
    assert_eq!(
        world.state.partition(&alerts()).unwrap().high_watermark(),
        Offset(0)
    );
}

fn add_group(world: &mut World, by: &TransactionalProducer) -> Result<Response, CommandError> {
    let add = AddOffsetsToTransaction {
        by: by.clone(),
        group: readers(),
    };
    world.tell(Command::AddOffsetsToTransaction(add))
}

fn new_offset(offset: u64) -> Vec<NewOffset> {
    let offset = Offset(offset);
    vec![NewOffset {
        partition: alerts(),
        offset,
        leader_epoch: None,
        metadata: String::new(),
    }]
}

fn commit_offset(
    world: &mut World,
    by: &TransactionalProducer,
    committer: Committer,
    offset: u64,
) -> Result<Response, CommandError> {
    let (by, group, offsets) = (by.clone(), readers(), new_offset(offset));
    world.tell(Command::CommitTransactionOffsets(
        CommitTransactionOffsets {
            by,
            group,
            committer,
            offsets,
        },
    ))
}

fn committed_offset(world: &World) -> Option<u64> {
    world
        .state
        .group(&readers())?
        .offset(&alerts())
        .map(|committed| committed.offset.0)
}

#[test]
fn offsets_of_a_transaction_count_when_it_commits_and_never_when_it_aborts() {
    let (mut world, by) = begun();
    for (offset, outcome, after) in [
        (5, TransactionOutcome::Commit, 5),
        (9, TransactionOutcome::Abort, 5),
    ] {
        add_group(&mut world, &by).unwrap();
        let before = committed_offset(&world);
        commit_offset(&mut world, &by, Committer::default(), offset).unwrap();
        assert!(
            world
                .state
                .group(&readers())
                .unwrap()
                .is_unstable(&alerts())
        );
        assert_eq!(committed_offset(&world), before);

        end(&mut world, &by, outcome).unwrap();

        assert!(
            !world
                .state
                .group(&readers())
                .unwrap()
                .is_unstable(&alerts())
        );
        assert_eq!(committed_offset(&world), Some(after));
    }
}

#[test]
fn offsets_of_a_group_that_is_not_in_the_transaction_are_refused() {
    let (mut world, by) = begun();
    add(&mut world, &by).unwrap();

    assert!(is_invalid_state(commit_offset(
        &mut world,
        &by,
        Committer::default(),
        5
    )));
}

#[test]
fn a_consumer_that_was_fenced_from_its_group_cannot_commit_through_a_transaction() {
    let (mut world, by) = begun();
    add_group(&mut world, &by).unwrap();
    let stale = Committer {
        generation: Some(Generation(1)),
        member: Some(MemberId::new("kim")),
        instance: None,
    };

    let refused = commit_offset(&mut world, &by, stale, 5);

    assert!(
        matches!(refused, Err(CommandError::IllegalGeneration { .. })),
        "{refused:?}"
    );
}

#[test]
fn an_offset_committed_after_that_of_a_transaction_stays_though_the_transaction_ends_later() {
    let (mut world, by) = begun();
    add_group(&mut world, &by).unwrap();
    commit_offset(&mut world, &by, Committer::default(), 5).unwrap();
    let plain = CommitOffsets {
        group: readers(),
        by: Committer::default(),
        offsets: new_offset(8),
        retention_ms: None,
    };
    world.tell(Command::CommitOffsets(plain)).unwrap();

    end(&mut world, &by, TransactionOutcome::Commit).unwrap();

    assert_eq!(committed_offset(&world), Some(8));
}

#[test]
fn a_group_with_offsets_of_an_open_transaction_cannot_be_deleted() {
    let (mut world, by) = begun();
    add_group(&mut world, &by).unwrap();
    commit_offset(&mut world, &by, Committer::default(), 5).unwrap();

    let refused = world.tell(Command::DeleteGroup(DeleteGroup { group: readers() }));

    assert_eq!(
        refused,
        Err(CommandError::GroupNotEmpty { group: readers() })
    );
}

#[test]
fn an_idle_transactional_id_is_forgotten_and_one_with_an_open_transaction_is_not() {
    let (mut world, by) = begun();
    let forget = |world: &mut World| {
        let used_before = TimestampMs(world.now.0 + 1);
        world.tell(Command::ExpireTransactionalIds(ExpireTransactionalIds {
            used_before,
        }))
    };
    add(&mut world, &by).unwrap();
    assert_eq!(forget(&mut world), Ok(Response::Expired { count: 0 }));
    end(&mut world, &by, TransactionOutcome::Abort).unwrap();

    assert_eq!(forget(&mut world), Ok(Response::Expired { count: 1 }));
    let gone = add(&mut world, &by);
    assert!(
        matches!(gone, Err(CommandError::InvalidProducerIdMapping { .. })),
        "{gone:?}"
    );
    assert_ne!(init(&mut world, None).unwrap().producer, by.producer);
}

#[test]
fn the_producer_of_a_transactional_id_is_not_forgotten_for_being_idle() {
    let (mut world, by) = begun();
    let plain = world.producer_id();
    let used_before = TimestampMs(world.pass(1_000).now.0);

    let expired = world.tell(Command::ExpireProducers(ExpireProducers { used_before }));

    assert_eq!(expired, Ok(Response::Expired { count: 1 }), "only {plain}");
    add(&mut world, &by).unwrap();
    assert!(
        send(&mut world, &by, 7, "a gap").is_err(),
        "it still has to begin at 0"
    );
}

#[test]
fn a_stranger_cannot_speak_for_a_transactional_id() {
    let (mut world, by) = begun();
    let stranger = TransactionalProducer {
        producer: ProducerId(by.producer.0 + 1),
        ..by
    };

    let refused = add(&mut world, &stranger);

    assert!(
        matches!(refused, Err(CommandError::InvalidProducerIdMapping { .. })),
        "{refused:?}"
    );
}
