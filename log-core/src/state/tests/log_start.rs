use super::world::{World, partition, plain, topic};
use crate::ids::{LeaderEpoch, Offset, PartitionIndex};
use crate::state::topic::PARTITIONS_MAX;
use crate::state::{
    Change, Command, CommandError, CreatePartitions, LogStartCause, MoveLogStart, Response,
};

/// Three records in partition 0.
fn world(configs: &[(&str, &str)]) -> World {
    let mut world = World::new();
    world.create_topic("an-alert", configs).unwrap();
    for value in ["a", "b", "c"] {
        world
            .produce(&partition("an-alert", 0), plain(&[value]))
            .unwrap();
    }
    world
}

fn move_to(
    world: &mut World,
    offset: Option<u64>,
    cause: LogStartCause,
) -> Result<Response, CommandError> {
    let topic_id = world.state.topic(&topic("an-alert")).unwrap().id();
    let offset = offset.map(Offset);
    world.tell(Command::MoveLogStart(MoveLogStart {
        topic_id,
        partition: PartitionIndex(0),
        offset,
        cause,
    }))
}

fn log_start(offset: u64) -> Result<Response, CommandError> {
    Ok(Response::LogStart {
        log_start_offset: Offset(offset),
    })
}

#[test]
fn records_are_deleted_up_to_an_offset_and_deleting_less_changes_nothing() {
    let mut world = world(&[]);

    assert_eq!(
        move_to(&mut world, Some(2), LogStartCause::DeleteRecords),
        log_start(2)
    );
    assert_eq!(
        move_to(&mut world, Some(1), LogStartCause::DeleteRecords),
        log_start(2)
    );
    assert_eq!(
        move_to(&mut world, None, LogStartCause::DeleteRecords),
        log_start(3)
    );

    let place = world.state.partition(&partition("an-alert", 0)).unwrap();
    assert_eq!(
        (place.log_start_offset(), place.high_watermark()),
        (Offset(3), Offset(3))
    );
}

#[test]
fn what_is_not_there_yet_cannot_be_deleted() {
    let mut world = world(&[]);

    let refused = move_to(&mut world, Some(4), LogStartCause::DeleteRecords);

    assert!(
        matches!(refused, Err(CommandError::OffsetOutOfRange { .. })),
        "{refused:?}"
    );
}

#[test]
fn records_of_a_topic_that_must_not_lose_any_go_by_retention_only() {
    let mut world = world(&[("mayday.acks.min", "all")]);

    let refused = move_to(&mut world, Some(1), LogStartCause::DeleteRecords);

    assert_eq!(
        refused,
        Err(CommandError::RecordsProtected {
            partition: partition("an-alert", 0)
        })
    );
    assert_eq!(
        move_to(&mut world, Some(1), LogStartCause::Retention),
        log_start(1)
    );
}

#[test]
fn records_appended_after_all_were_deleted_begin_a_new_epoch_in_the_table() {
    let mut world = world(&[]);
    move_to(&mut world, None, LogStartCause::DeleteRecords).unwrap();

    world
        .elect()
        .produce(&partition("an-alert", 0), plain(&["d"]))
        .unwrap();

    let table = world
        .state
        .partition(&partition("an-alert", 0))
        .unwrap()
        .epochs();
    assert_eq!(
        table.iter().collect::<Vec<_>>(),
        [(LeaderEpoch(2), Offset(3))]
    );
}

#[test]
fn a_topic_grows_to_more_partitions_and_never_shrinks() {
    let mut world = world(&[]);
    let topic_id = world.state.topic(&topic("an-alert")).unwrap().id();
    let grow = |count| CreatePartitions { topic_id, count };
    for count in [0, 1, 2, PARTITIONS_MAX + 1] {
        let refused = world.tell(Command::CreatePartitions(grow(count)));
        assert!(
            matches!(refused, Err(CommandError::InvalidPartitions { .. })),
            "{count}: {refused:?}"
        );
        assert_eq!(
            world.state.check_create_partitions(&grow(count)),
            Err(refused.unwrap_err())
        );
    }

    let epoch = world.epoch;
    let applied = world.tell_as(epoch, Command::CreatePartitions(grow(4)));

    assert_eq!(applied.outcome, Ok(Response::Done));
    assert_eq!(applied.changes.len(), 2);
    assert!(matches!(
        applied.changes[0],
        Change::PartitionCreated { .. }
    ));
    assert_eq!(world.values(&partition("an-alert", 0)).len(), 3);
}
