//! Commands without rhyme or reason: whatever the journal holds, every replica comes out alike.

use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

use super::world::{World, partition, plain, sequenced, topic, transactional};
use crate::ids::{NodeId, ProducerId, ReplicaId, TimestampMs, TopicId};
use crate::state::{
    Command, CreateTopic, DeleteTopic, Envelope, ExpireProducers, FeatureLevel, Produce,
    RegisterNode, State, UnregisterNode,
};

const TOPICS: [&str; 2] = ["an-alert", "an-accept"];

fn any_topic_command() -> impl Strategy<Value = Command> {
    let settings = prop_oneof![
        Just(None),
        Just(Some(("message.timestamp.type", "LogAppendTime"))),
        Just(Some(("no.such.key", "1"))),
    ];
    prop_oneof![
        (0_usize..2, 0_u32..4, any::<u128>(), settings).prop_map(
            |(name, partitions, id, setting)| {
                let configs = setting.map(|(key, value)| (key.to_owned(), value.to_owned()));
                Command::CreateTopic(CreateTopic {
                    name: topic(TOPICS[name]),
                    id: TopicId(Uuid::from_u128(id)),
                    partitions,
                    replication_factor: 1,
                    configs: configs.into_iter().collect(),
                })
            }
        ),
        any::<u128>().prop_map(|id| Command::DeleteTopic(DeleteTopic {
            id: TopicId(Uuid::from_u128(id))
        })),
    ]
}

/// A batch for a topic: whichever identity the topic has then is filled in by [`meant`].
fn any_produce() -> impl Strategy<Value = Command> {
    (0_usize..2, 0_u32..3, 0_u64..3, 0_u16..2, 0_u32..4, 0_u8..4).prop_map(
        |(name, index, id, epoch, sequence, kind)| {
            let id = ProducerId(id);
            let batch = match kind {
                0 => plain(&["a", "b"]),
                1 => transactional(id, epoch, sequence, &["t"]),
                2 => plain(&["cut"]).slice(..30),
                _ => sequenced(id, epoch, sequence, &["s"]),
            };
            let topic_id = TopicId(Uuid::nil());
            Command::Produce(Produce {
                topic_id,
                partition: partition(TOPICS[name], index),
                batch,
            })
        },
    )
}

fn any_node_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (0_u32..3, 0_u16..3).prop_map(|(node, level)| Command::RegisterNode(RegisterNode {
            node: NodeId(node),
            replica: ReplicaId(1),
            listeners: Vec::new(),
            rack: Some("a".to_owned()),
            feature_level_max: FeatureLevel(level),
        })),
        (0_u32..3).prop_map(|node| Command::UnregisterNode(UnregisterNode { node: NodeId(node) })),
    ]
}

pub(super) fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        2 => any_topic_command(),
        6 => any_produce(),
        1 => Just(Command::AllocateProducerId),
        1 => (0_i64..2_000_000).prop_map(|before| {
            Command::ExpireProducers(ExpireProducers { used_before: TimestampMs(before) })
        }),
        1 => any_node_command(),
    ]
}

/// Names the topic that is there, as a leader would.
fn meant(world: &World, mut command: Command) -> Command {
    if let Command::Produce(produce) = &mut command
        && let Some(topic) = world.state.topic(&produce.partition.topic)
    {
        produce.topic_id = topic.id();
    }
    if let Command::DeleteTopic(delete) = &mut command
        && let Some((_, topic)) = world.state.topics().next()
        && delete.id.0.as_u128() % 2 == 0
    {
        delete.id = topic.id();
    }
    command
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn stopping_anywhere_and_going_on_from_a_checkpoint_is_the_same_as_never_having_stopped(
        steps in vec((any_command(), 0_u8..12, 0_i64..50_000), 1..60),
    ) {
        let mut world = World::new();
        for (command, event, ms) in steps {
            match event {
                0 => world.crash(),
                1 => world.write_checkpoint(),
                2 => { world.elect(); }
                _ => { world.pass(ms - 10_000); }
            }
            let proposer = if event == 3 { crate::ids::LeaderEpoch(0) } else { world.epoch };
            let command = meant(&world, command);
            world.tell_as(proposer, command);
        }
        world.crash();
    }

    #[test]
    fn a_command_is_read_back_as_it_was_written_and_no_shorter_than_announced(command in any_command(), at: i64) {
        let envelope = Envelope { proposer: crate::ids::LeaderEpoch(3), at: TimestampMs(at), command };
        let bytes = envelope.encode();
        prop_assert_eq!(Envelope::decode(&bytes), Ok(envelope.clone()));
        prop_assert!(bytes.len() <= envelope.command.bytes_estimate());
    }

    #[test]
    fn no_bytes_make_reading_a_command_or_a_state_panic(bytes in vec(any::<u8>(), 0..200)) {
        let versioned: Vec<u8> = [&[1][..], &bytes].concat();
        for bytes in [bytes, versioned] {
            if let Ok(envelope) = Envelope::decode(&bytes) {
                prop_assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
            }
            if let Ok(state) = State::decode(&bytes) {
                prop_assert_eq!(State::decode(&state.encode()), Ok(state));
            }
        }
    }
}
