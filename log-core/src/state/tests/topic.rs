use uuid::Uuid;

use super::world::{World, partition, plain, topic};
use crate::ids::TopicId;
use crate::state::topic::PARTITIONS_MAX;
use crate::state::{Command, CommandError, CreateTopic, DeleteTopic};

fn create(partitions: u32) -> CreateTopic {
    let id = TopicId(Uuid::from_u128(99));
    CreateTopic {
        name: topic("an-alert"),
        id,
        partitions,
        replication_factor: 1,
        configs: [].into(),
    }
}

#[test]
fn a_topic_can_be_found_by_name_and_by_identity_until_it_is_deleted() {
    let mut world = World::new();
    let id = world.create_topic("an-alert", &[]).unwrap();
    assert_eq!(world.state.topic(&topic("an-alert")).unwrap().id(), id);
    assert_eq!(world.state.topic_by_id(id).unwrap().0, &topic("an-alert"));

    world
        .tell(Command::DeleteTopic(DeleteTopic { id }))
        .unwrap();

    assert!(world.state.topic(&topic("an-alert")).is_none());
    assert!(world.files.is_empty());
    assert_eq!(
        world.tell(Command::DeleteTopic(DeleteTopic { id })),
        Err(CommandError::UnknownTopicId { id })
    );
}

#[test]
fn a_second_topic_of_the_same_name_is_refused() {
    let mut world = World::with_topic("an-alert");

    let refused = world.create_topic("an-alert", &[]);

    assert_eq!(
        refused,
        Err(CommandError::TopicExists {
            name: topic("an-alert")
        })
    );
}

#[test]
fn a_topic_has_at_least_one_partition_and_no_more_than_the_limit() {
    let mut world = World::new();
    for partitions in [0, PARTITIONS_MAX + 1] {
        let refused = world.tell(Command::CreateTopic(create(partitions)));
        assert!(
            matches!(refused, Err(CommandError::InvalidPartitions { .. })),
            "{partitions}: {refused:?}"
        );
    }
}

#[test]
fn asking_whether_a_topic_could_be_made_answers_like_making_it_and_makes_nothing() {
    let mut world = World::new();
    let mut wrong = create(1);
    wrong
        .configs
        .insert("retention.ms".to_owned(), "soon".to_owned());

    let asked = world.state.check_create_topic(&wrong);
    assert_eq!(
        asked.as_ref().err(),
        world.tell(Command::CreateTopic(wrong)).as_ref().err()
    );
    assert!(matches!(asked, Err(CommandError::InvalidConfig(_))));
    assert_eq!(world.state.check_create_topic(&create(1)), Ok(()));
    assert_eq!(world.state.topics().count(), 0);
}

#[test]
fn a_topic_made_again_begins_empty_at_offset_zero() {
    let mut world = World::with_topic("an-alert");
    world
        .produce(&partition("an-alert", 0), plain(&["old"]))
        .unwrap();
    let id = world.state.topic(&topic("an-alert")).unwrap().id();
    world
        .tell(Command::DeleteTopic(DeleteTopic { id }))
        .unwrap();
    world.create_topic("an-alert", &[]).unwrap();

    let produced = world
        .produce(&partition("an-alert", 0), plain(&["new"]))
        .unwrap();

    assert_eq!(produced.base_offset.0, 0);
    assert_eq!(world.values(&partition("an-alert", 0)).len(), 1);
}
