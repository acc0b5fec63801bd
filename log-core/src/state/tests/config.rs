use super::world::{World, partition, topic};
use crate::ids::TopicId;
use crate::record::SegmentSettings;
use crate::state::{
    AlterTopicConfigs, Change, Command, CommandError, ConfigAction, ConfigChange, ConfigOp,
    Response,
};

fn op(key: &str, action: ConfigAction) -> ConfigOp {
    let key = key.to_owned();
    ConfigOp { key, action }
}

fn set(key: &str, value: &str) -> ConfigOp {
    op(key, ConfigAction::Set(value.to_owned()))
}

fn alter(topic_id: TopicId, ops: Vec<ConfigOp>) -> AlterTopicConfigs {
    let change = ConfigChange::Incremental(ops);
    AlterTopicConfigs { topic_id, change }
}

fn value(world: &World, key: &str) -> String {
    let topic = world.state.topic(&topic("an-alert")).unwrap();
    topic.config().value(key).unwrap().to_owned()
}

#[test]
fn settings_change_one_by_one_and_go_back_to_their_defaults() {
    let mut world = World::new();
    let id = world
        .create_topic("an-alert", &[("retention.ms", "1000")])
        .unwrap();

    let change = alter(
        id,
        vec![
            set("min.insync.replicas", "2"),
            op("retention.ms", ConfigAction::Delete),
        ],
    );

    assert_eq!(
        world.tell(Command::AlterTopicConfigs(change)),
        Ok(Response::Done)
    );
    assert_eq!(value(&world, "min.insync.replicas"), "2");
    assert_eq!(value(&world, "retention.ms"), "604800000");
}

#[test]
fn words_are_added_to_a_list_once_and_taken_from_it() {
    let mut world = World::new();
    let id = world.create_topic("an-alert", &[]).unwrap();
    let key = "leader.replication.throttled.replicas";
    let append = |words: &str| op(key, ConfigAction::Append(words.to_owned()));

    let change = alter(id, vec![append("0:1,0:2"), append("0:2,0:3")]);
    world.tell(Command::AlterTopicConfigs(change)).unwrap();
    assert_eq!(value(&world, key), "0:1,0:2,0:3");

    let change = alter(
        id,
        vec![op(key, ConfigAction::Subtract("0:1, 0:3".to_owned()))],
    );
    world.tell(Command::AlterTopicConfigs(change)).unwrap();
    assert_eq!(value(&world, key), "0:2");
}

#[test]
fn nothing_can_be_added_to_what_is_no_list() {
    let mut world = World::new();
    let id = world.create_topic("an-alert", &[]).unwrap();
    let change = alter(
        id,
        vec![op("retention.ms", ConfigAction::Append("1".to_owned()))],
    );

    let refused = world.tell(Command::AlterTopicConfigs(change));

    assert!(
        matches!(refused, Err(CommandError::InvalidConfig(_))),
        "{refused:?}"
    );
}

#[test]
fn of_several_changes_one_that_is_refused_leaves_all_undone() {
    let mut world = World::new();
    let id = world.create_topic("an-alert", &[]).unwrap();
    let change = alter(
        id,
        vec![set("retention.ms", "5"), set("retention.bytes", "many")],
    );

    let asked = world.state.check_alter_topic_configs(&change).unwrap_err();

    assert_eq!(world.tell(Command::AlterTopicConfigs(change)), Err(asked));
    assert_eq!(value(&world, "retention.ms"), "604800000");
}

#[test]
fn replacing_the_settings_drops_those_that_are_not_named() {
    let mut world = World::new();
    let id = world
        .create_topic("an-alert", &[("retention.ms", "1000")])
        .unwrap();
    let change = ConfigChange::Replace([("retention.bytes".to_owned(), "7".to_owned())].into());

    world
        .tell(Command::AlterTopicConfigs(AlterTopicConfigs {
            topic_id: id,
            change,
        }))
        .unwrap();

    assert_eq!(value(&world, "retention.ms"), "604800000");
    assert_eq!(value(&world, "retention.bytes"), "7");
}

#[test]
fn files_are_told_when_segments_roll_otherwise_and_only_then() {
    let mut world = World::new();
    let id = world.create_topic("an-alert", &[]).unwrap();
    let told = |world: &mut World, ops| {
        let epoch = world.epoch;
        world
            .tell_as(epoch, Command::AlterTopicConfigs(alter(id, ops)))
            .changes
    };

    let segment = SegmentSettings {
        segment_bytes: 1 << 20,
        ..SegmentSettings::default()
    };
    let configured = |index| Change::PartitionConfigured {
        partition: partition("an-alert", index),
        segment,
    };
    assert_eq!(
        told(&mut world, vec![set("segment.bytes", "1048576")]),
        [configured(0), configured(1)]
    );
    assert_eq!(told(&mut world, vec![set("retention.ms", "5")]), []);
}
