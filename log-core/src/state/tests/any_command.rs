//! Commands without rhyme or reason: whatever the journal holds, every replica comes out alike.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

use super::world::{World, partition, plain, sequenced, topic, transactional};
use crate::ids::{
    Generation, GroupId, GroupInstanceId, LeaderEpoch, MemberId, NodeId, Offset, PartitionIndex,
    ProducerEpoch, ProducerId, ReplicaId, TimestampMs, TopicId, TransactionalId,
};
use crate::state::{
    AddOffsetsToTransaction, AddPartitionsToTransaction, AlterTopicConfigs, Command, CommitOffsets,
    CommitTransactionOffsets, Committer, CompleteRebalance, CompletedMember, ConfigAction,
    ConfigChange, ConfigOp, CreatePartitions, CreateTopic, DeleteGroup, DeleteOffsets, DeleteTopic,
    EndTransaction, Envelope, ExpireOffsets, ExpireProducers, ExpireTransactionalIds, FeatureLevel,
    InitProducerId, JudgeClockJumps, JumpVerdict, LogStartCause, MoveLogStart, NewOffset,
    NoteClockJump, Produce, RaiseFeatureLevel, RegisterNode, State, TransactionOutcome,
    TransactionalProducer, UnregisterNode,
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
        // Beyond the latest a replica stops.
        (0..=FeatureLevel::LATEST.0).prop_map(|level| {
            let level = FeatureLevel(level);
            Command::RaiseFeatureLevel(RaiseFeatureLevel { level })
        }),
    ]
}

fn any_change_of_a_topic() -> impl Strategy<Value = Command> {
    let topic_id = TopicId(Uuid::nil());
    let action = prop_oneof![
        Just(ConfigAction::Delete),
        "[0-9]{1,9}".prop_map(ConfigAction::Set),
        "[a-z,]{0,5}".prop_map(ConfigAction::Append),
        "[a-z,]{0,5}".prop_map(ConfigAction::Subtract),
    ];
    let key = prop_oneof![
        Just("segment.bytes"),
        Just("retention.ms"),
        Just("leader.replication.throttled.replicas"),
    ];
    let cause = prop_oneof![
        Just(LogStartCause::DeleteRecords),
        Just(LogStartCause::Retention)
    ];
    prop_oneof![
        (key, action).prop_map(move |(key, action)| {
            let key = key.to_owned();
            let change = ConfigChange::Incremental(vec![ConfigOp { key, action }]);
            Command::AlterTopicConfigs(AlterTopicConfigs { topic_id, change })
        }),
        (0_u32..6)
            .prop_map(move |count| Command::CreatePartitions(CreatePartitions { topic_id, count })),
        (0_u32..3, option::of(0_u64..20), cause).prop_map(move |(index, offset, cause)| {
            let (partition, offset) = (PartitionIndex(index), offset.map(Offset));
            Command::MoveLogStart(MoveLogStart {
                topic_id,
                partition,
                offset,
                cause,
            })
        }),
    ]
}

fn any_group() -> impl Strategy<Value = GroupId> {
    (0_u8..2).prop_map(|number| GroupId::new(format!("group-{number}")))
}

fn any_committer() -> impl Strategy<Value = Committer> {
    (
        option::of(0_u32..4),
        option::of(0_u8..3),
        option::of(Just("static")),
    )
        .prop_map(|(generation, member, instance)| Committer {
            generation: generation.map(Generation),
            member: member.map(|number| MemberId::new(format!("member-{number}"))),
            instance: instance.map(GroupInstanceId::new),
        })
}

fn any_offsets() -> impl Strategy<Value = Vec<NewOffset>> {
    let offset = (0_usize..2, 0_u32..4, 0_u64..50, "[a-z]{0,9}");
    vec(offset, 0..4).prop_map(|offsets| {
        let new = |(name, index, offset, metadata): (usize, u32, u64, String)| NewOffset {
            partition: partition(TOPICS[name], index),
            offset: Offset(offset),
            leader_epoch: Some(LeaderEpoch(1)),
            metadata,
        };
        offsets.into_iter().map(new).collect()
    })
}

fn any_member() -> impl Strategy<Value = CompletedMember> {
    (0_u8..3, option::of(Just("static"))).prop_map(|(number, instance)| CompletedMember {
        id: MemberId::new(format!("member-{number}")),
        instance_id: instance.map(GroupInstanceId::new),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        subscription: vec![number; 100].into(),
        assignment: vec![number; 100].into(),
    })
}

fn any_group_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (any_group(), 0_u32..4, vec(any_member(), 0..3)).prop_map(
            |(group, generation, members)| {
                Command::CompleteRebalance(CompleteRebalance {
                    group,
                    generation: Generation(generation),
                    protocol_type: Some("consumer".to_owned()),
                    protocol: Some("range".to_owned()),
                    leader: members.first().map(|member| member.id.clone()),
                    members,
                })
            }
        ),
        (
            any_group(),
            any_committer(),
            any_offsets(),
            option::of(0_u64..90_000)
        )
            .prop_map(|(group, by, offsets, retention_ms)| {
                Command::CommitOffsets(CommitOffsets {
                    group,
                    by,
                    offsets,
                    retention_ms,
                })
            }),
        (any_group(), any_offsets()).prop_map(|(group, offsets)| {
            let partitions = offsets.into_iter().map(|offset| offset.partition).collect();
            Command::DeleteOffsets(DeleteOffsets { group, partitions })
        }),
        any_group().prop_map(|group| Command::DeleteGroup(DeleteGroup { group })),
        (0_i64..2_000_000).prop_map(|before| {
            Command::ExpireOffsets(ExpireOffsets {
                committed_before: TimestampMs(before),
            })
        }),
    ]
}

/// Who asks: sometimes the producer that has the id, sometimes one that had it, sometimes a stranger.
fn any_transactional() -> impl Strategy<Value = TransactionalProducer> {
    (0_u8..2, 0_u64..3, 0_u16..3).prop_map(|(id, producer, epoch)| TransactionalProducer {
        id: TransactionalId::new(format!("id-{id}")),
        producer: ProducerId(producer),
        epoch: ProducerEpoch(epoch),
    })
}

fn any_transaction_command() -> impl Strategy<Value = Command> {
    let outcome = prop_oneof![
        Just(TransactionOutcome::Commit),
        Just(TransactionOutcome::Abort)
    ];
    prop_oneof![
        2 => (any_transactional(), any::<bool>()).prop_map(|(by, recovers)| {
            let expected = recovers.then_some((by.producer, by.epoch));
            Command::InitProducerId(InitProducerId { id: by.id, timeout_ms: 20_000, expected })
        }),
        3 => (any_transactional(), any_offsets()).prop_map(|(by, offsets)| {
            let partitions = offsets.into_iter().map(|offset| offset.partition).collect();
            Command::AddPartitionsToTransaction(AddPartitionsToTransaction { by, partitions })
        }),
        2 => (any_transactional(), any_group()).prop_map(|(by, group)| {
            Command::AddOffsetsToTransaction(AddOffsetsToTransaction { by, group })
        }),
        2 => (any_transactional(), any_group(), any_committer(), any_offsets()).prop_map(
            |(by, group, committer, offsets)| {
                Command::CommitTransactionOffsets(CommitTransactionOffsets { by, group, committer, offsets })
            }
        ),
        2 => (any_transactional(), outcome).prop_map(|(by, outcome)| {
            Command::EndTransaction(EndTransaction { by, outcome })
        }),
        1 => Just(Command::ExpireTransactions),
        1 => (0_i64..2_000_000).prop_map(|before| {
            Command::ExpireTransactionalIds(ExpireTransactionalIds { used_before: TimestampMs(before) })
        }),
    ]
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        2 => any_topic_command(),
        8 => any_produce(),
        1 => Just(Command::AllocateProducerId),
        1 => (0_u64..100_000).prop_map(|unwitnessed_ms| {
            Command::NoteClockJump(NoteClockJump { unwitnessed_ms })
        }),
        1 => (any::<bool>(), 900_000_i64..2_000_000).prop_map(|(passed, until)| {
            let verdict = if passed { JumpVerdict::TimePassed } else { JumpVerdict::ClockWasWrong };
            Command::JudgeClockJumps(JudgeClockJumps { until: TimestampMs(until), verdict })
        }),
        1 => (0_i64..2_000_000).prop_map(|before| {
            Command::ExpireProducers(ExpireProducers { used_before: TimestampMs(before) })
        }),
        1 => any_node_command(),
        2 => any_change_of_a_topic(),
        4 => any_group_command(),
        8 => any_transaction_command(),
    ]
}

/// Names a topic that is there, as a leader would.
fn meant(world: &World, mut command: Command) -> Command {
    let first = world.state.topics().next().map(|(_, topic)| topic.id());
    match &mut command {
        Command::Produce(produce) => {
            let topic = world.state.topic(&produce.partition.topic);
            produce.topic_id = topic.map_or(produce.topic_id, |topic| topic.id());
        }
        Command::DeleteTopic(delete) if delete.id.0.as_u128() % 2 == 0 => {
            delete.id = first.unwrap_or(delete.id);
        }
        Command::AlterTopicConfigs(alter) => alter.topic_id = first.unwrap_or(alter.topic_id),
        Command::CreatePartitions(create) => create.topic_id = first.unwrap_or(create.topic_id),
        Command::MoveLogStart(request) => request.topic_id = first.unwrap_or(request.topic_id),
        _ => {}
    }
    command
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn stopping_anywhere_and_going_on_from_a_checkpoint_is_the_same_as_never_having_stopped(
        steps in vec((any_command(), 0_u8..12, 0_i64..50_000), 1..100),
    ) {
        let mut world = World::new();
        for (command, event, ms) in steps {
            match event {
                0 => world.crash(),
                1 => world.write_checkpoint(),
                2 => { world.elect(); }
                _ => { world.pass(ms - 10_000); }
            }
            let proposer = if event == 3 { LeaderEpoch(0) } else { world.epoch };
            let command = meant(&world, command);
            world.tell_as(proposer, command);
        }
        world.crash();
    }

    #[test]
    fn a_command_is_read_back_as_it_was_written_and_no_shorter_than_announced(command in any_command(), at: i64) {
        let envelope = Envelope { proposer: LeaderEpoch(3), at: TimestampMs(at), command };
        let bytes = envelope.encode();
        prop_assert_eq!(Envelope::decode(&bytes), Ok(envelope.clone()));
        prop_assert!(bytes.len() <= envelope.command.bytes_estimate());
    }

    #[test]
    fn no_bytes_make_reading_a_command_or_a_state_panic(bytes in vec(any::<u8>(), 0..200)) {
        let versioned = |version: u8| [&[version][..], &bytes].concat();
        for bytes in [bytes.clone(), versioned(1), versioned(2)] {
            if let Ok(envelope) = Envelope::decode(&bytes) {
                prop_assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
            }
            if let Ok(state) = State::decode(&bytes) {
                prop_assert_eq!(State::decode(&state.encode()), Ok(state));
            }
        }
    }
}
