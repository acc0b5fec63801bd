use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::world::{World, partition, plain, sequenced, transactional};
use crate::ids::{LeaderEpoch, Offset, ProducerId, Sequence, TimestampMs, TopicPartition};
use crate::record::{BatchHeader, TimestampType};
use crate::state::{Command, CommandError, ExpireProducers, Produce, Response, State};

fn alerts() -> TopicPartition {
    partition("an-alert", 0)
}

fn offset_of(outcome: Result<crate::state::Produced, CommandError>) -> u64 {
    outcome.unwrap().base_offset.0
}

fn is_out_of_order(outcome: Result<crate::state::Produced, CommandError>) -> bool {
    matches!(outcome, Err(CommandError::OutOfOrderSequence { .. }))
}

fn is_fenced(outcome: Result<crate::state::Produced, CommandError>) -> bool {
    matches!(outcome, Err(CommandError::InvalidProducerEpoch { .. }))
}

#[test]
fn batches_get_consecutive_offsets_in_the_order_they_are_applied() {
    let mut world = World::with_topic("an-alert");

    assert_eq!(offset_of(world.produce(&alerts(), plain(&["a", "b"]))), 0);
    assert_eq!(offset_of(world.produce(&alerts(), plain(&["c"]))), 2);
    assert_eq!(
        offset_of(world.produce(&partition("an-alert", 1), plain(&["d"]))),
        0
    );

    assert_eq!(
        world.state.partition(&alerts()).unwrap().high_watermark(),
        Offset(3)
    );
    assert_eq!(world.values(&alerts()).len(), 3);
}

#[test]
fn a_batch_carries_the_epoch_of_its_entry_and_the_table_says_where_the_epoch_begins() {
    let mut world = World::with_topic("an-alert");
    world.produce(&alerts(), plain(&["a"])).unwrap();
    world
        .elect()
        .elect()
        .produce(&alerts(), plain(&["b"]))
        .unwrap();

    let epochs = world.files[&alerts()]
        .iter()
        .map(|batch| BatchHeader::parse(batch).unwrap().leader_epoch);

    assert_eq!(
        epochs.collect::<Vec<_>>(),
        [Some(LeaderEpoch(1)), Some(LeaderEpoch(3))]
    );
    let table = world.state.partition(&alerts()).unwrap().epochs();
    assert_eq!(table.epoch_at(Offset(1)), Some(LeaderEpoch(3)));
}

#[test]
fn a_command_of_a_deposed_leader_changes_nothing() {
    let mut world = World::with_topic("an-alert");
    let before = world.elect().values(&alerts());
    let topic_id = world.state.topic(&alerts().topic).unwrap().id();
    let command = Command::Produce(Produce {
        topic_id,
        partition: alerts(),
        batch: plain(&["late"]),
    });

    let applied = world.tell_as(LeaderEpoch(1), command);

    assert_eq!(applied.outcome, Err(CommandError::ProposerDeposed));
    assert_eq!(
        (applied.changes, world.values(&alerts())),
        (Vec::new(), before)
    );
}

#[test]
fn a_batch_for_a_topic_that_was_deleted_and_made_again_is_refused() {
    let mut world = World::with_topic("an-alert");
    let topic_id = world.state.topic(&alerts().topic).unwrap().id();
    world
        .tell(Command::DeleteTopic(crate::state::DeleteTopic {
            id: topic_id,
        }))
        .unwrap();
    world.create_topic("an-alert", &[]).unwrap();

    let late = Command::Produce(Produce {
        topic_id,
        partition: alerts(),
        batch: plain(&["late"]),
    });

    assert_eq!(
        world.tell(late),
        Err(CommandError::UnknownPartition {
            partition: alerts()
        })
    );
}

#[test]
fn a_topic_with_the_logs_time_stamps_records_with_the_time_of_the_command() {
    let mut world = World::new();
    world
        .create_topic("an-alert", &[("message.timestamp.type", "LogAppendTime")])
        .unwrap();
    world.pass(5_000);

    let produced = world.produce(&alerts(), plain(&["a"])).unwrap();

    assert_eq!(produced.log_append_time, Some(TimestampMs(1_005_000)));
    let header = BatchHeader::parse(&world.files[&alerts()][0]).unwrap();
    assert_eq!(header.max_timestamp, TimestampMs(1_005_000));
    assert_eq!(
        header.attributes.timestamp_type,
        TimestampType::LogAppendTime
    );
}

#[test]
fn the_time_of_commands_never_falls_though_a_new_leaders_clock_is_behind() {
    let mut world = World::with_topic("an-alert");
    world
        .pass(-900_000)
        .elect()
        .create_topic("an-accept", &[])
        .unwrap();

    assert_eq!(world.state.clock(), TimestampMs(1_000_000));
}

#[test]
fn a_batch_sent_again_within_the_last_five_is_stored_once_and_answers_its_first_offset() {
    let mut world = World::with_topic("an-alert");
    let id = world.producer_id();
    for sequence in 0..5 {
        world
            .produce(&alerts(), sequenced(id, 0, sequence, &["x"]))
            .unwrap();
    }

    let again = world
        .produce(&alerts(), sequenced(id, 0, 0, &["x"]))
        .unwrap();

    assert_eq!((again.base_offset, again.repeated), (Offset(0), true));
    assert_eq!(world.values(&alerts()).len(), 5);
}

#[test]
fn a_batch_older_than_the_last_five_is_out_of_order_and_so_is_one_that_only_overlaps() {
    let mut world = World::with_topic("an-alert");
    let id = world.producer_id();
    for sequence in 0..6 {
        world
            .produce(&alerts(), sequenced(id, 0, sequence, &["x"]))
            .unwrap();
    }

    assert!(is_out_of_order(
        world.produce(&alerts(), sequenced(id, 0, 0, &["x"]))
    ));
    assert!(is_out_of_order(
        world.produce(&alerts(), sequenced(id, 0, 4, &["x", "y"]))
    ));
    assert!(is_out_of_order(
        world.produce(&alerts(), sequenced(id, 0, 7, &["x"]))
    ));
    assert_eq!(world.values(&alerts()).len(), 6);
}

#[test]
fn a_registered_producer_begins_at_zero_and_an_unknown_one_anywhere() {
    let mut world = World::with_topic("an-alert");
    let id = world.producer_id();

    assert!(is_out_of_order(
        world.produce(&alerts(), sequenced(id, 0, 1, &["x"]))
    ));
    assert_eq!(
        offset_of(world.produce(&alerts(), sequenced(ProducerId(900), 4, 77, &["y"]))),
        0
    );
    assert!(is_out_of_order(
        world.produce(&alerts(), sequenced(ProducerId(900), 4, 79, &["z"]))
    ));
}

#[test]
fn an_id_that_an_unknown_producer_brought_along_is_never_given_to_another() {
    let mut world = World::with_topic("an-alert");
    world
        .produce(
            &alerts(),
            sequenced(ProducerId(1), 0, 0, &["from a restored backup"]),
        )
        .unwrap();

    let given = [world.producer_id(), world.producer_id()];

    assert_eq!(given, [ProducerId(0), ProducerId(2)]);
}

#[test]
fn a_new_epoch_begins_at_zero_and_fences_the_old_one() {
    let mut world = World::with_topic("an-alert");
    let id = world.producer_id();
    world
        .produce(&alerts(), sequenced(id, 0, 0, &["a", "b"]))
        .unwrap();

    assert!(is_out_of_order(
        world.produce(&alerts(), sequenced(id, 1, 2, &["c"]))
    ));
    assert_eq!(
        offset_of(world.produce(&alerts(), sequenced(id, 1, 0, &["c"]))),
        2
    );
    assert!(is_fenced(
        world.produce(&alerts(), sequenced(id, 0, 0, &["a", "b"]))
    ));
    assert!(is_fenced(
        world.produce(&alerts(), sequenced(id, 0, 2, &["d"]))
    ));
}

#[test]
fn sequences_wrap_to_zero_inside_a_batch_and_between_two() {
    let mut world = World::with_topic("an-alert");
    let stranger = ProducerId(900);
    let last = u32::try_from(i32::MAX).unwrap();
    world
        .produce(&alerts(), sequenced(stranger, 0, last - 1, &["a"]))
        .unwrap();

    assert_eq!(
        offset_of(world.produce(&alerts(), sequenced(stranger, 0, last, &["b", "c"]))),
        1
    );
    assert_eq!(
        offset_of(world.produce(&alerts(), sequenced(stranger, 0, 1, &["d"]))),
        3
    );
    let window = world
        .state
        .partition(&alerts())
        .unwrap()
        .producers()
        .next()
        .unwrap()
        .1;
    assert_eq!(window.last_sequence(), Some(Sequence(1)));
}

#[test]
fn a_producer_silent_for_long_is_forgotten_by_a_command_and_may_then_begin_anywhere() {
    let mut world = World::with_topic("an-alert");
    let (silent, busy) = (world.producer_id(), world.producer_id());
    world
        .produce(&alerts(), sequenced(silent, 0, 0, &["a"]))
        .unwrap();
    world
        .pass(1_000)
        .produce(&alerts(), sequenced(busy, 0, 0, &["b"]))
        .unwrap();

    let used_before = world.now;
    let expired = world.tell(Command::ExpireProducers(ExpireProducers { used_before }));

    assert_eq!(expired, Ok(Response::Expired { count: 1 }));
    assert_eq!(
        offset_of(world.produce(&alerts(), sequenced(silent, 0, 9, &["c"]))),
        2
    );
    assert!(is_out_of_order(
        world.produce(&alerts(), sequenced(busy, 0, 9, &["d"]))
    ));
}

#[test]
fn a_transactional_batch_without_a_transaction_is_refused() {
    let mut world = World::with_topic("an-alert");
    let id = world.producer_id();

    let refused = world.produce(&alerts(), transactional(id, 0, 0, &["a"]));

    assert!(
        matches!(refused, Err(CommandError::InvalidTransactionState { .. })),
        "{refused:?}"
    );
    assert!(world.values(&alerts()).is_empty());
}

/// What a client with retries does, and what befalls it.
#[derive(Clone, Debug)]
enum Step {
    Send {
        producer: usize,
        partition: u32,
        records: u32,
    },
    SendAgain {
        producer: usize,
        partition: u32,
        back: usize,
    },
    SkipAhead {
        producer: usize,
        partition: u32,
    },
    BumpEpoch {
        producer: usize,
    },
    SendInOldEpoch {
        producer: usize,
        partition: u32,
    },
    Crash,
    Checkpoint,
    Elect,
}

fn any_step() -> impl Strategy<Value = Step> {
    let (producer, partition) = (0_usize..3, 0_u32..2);
    prop_oneof![
        6 => (producer.clone(), partition.clone(), 1_u32..4)
            .prop_map(|(producer, partition, records)| Step::Send { producer, partition, records }),
        4 => (producer.clone(), partition.clone(), 0_usize..8)
            .prop_map(|(producer, partition, back)| Step::SendAgain { producer, partition, back }),
        1 => (producer.clone(), partition.clone())
            .prop_map(|(producer, partition)| Step::SkipAhead { producer, partition }),
        1 => producer.clone().prop_map(|producer| Step::BumpEpoch { producer }),
        1 => (producer, partition).prop_map(|(producer, partition)| Step::SendInOldEpoch { producer, partition }),
        1 => Just(Step::Crash),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Elect),
    ]
}

/// One producer in one partition, as its client remembers it: what was acknowledged in this epoch, newest last.
#[derive(Default)]
struct Sent {
    batches: Vec<(u32, Vec<String>, Offset)>,
    next: u32,
}

struct Clients {
    world: World,
    ids: Vec<ProducerId>,
    epochs: Vec<u16>,
    sent: BTreeMap<(usize, u32), Sent>,
    /// What each partition must hold.
    expected: BTreeMap<u32, Vec<(Offset, String)>>,
    made: u32,
}

impl Clients {
    fn new() -> Self {
        let mut world = World::with_topic("an-alert");
        let ids = (0..3).map(|_| world.producer_id()).collect();
        Self {
            world,
            ids,
            epochs: vec![0; 3],
            sent: BTreeMap::new(),
            expected: BTreeMap::new(),
            made: 0,
        }
    }

    fn produce(
        &mut self,
        producer: usize,
        to: u32,
        epoch: u16,
        first: u32,
        values: &[String],
    ) -> Result<Offset, CommandError> {
        let values: Vec<_> = values.iter().map(String::as_str).collect();
        let batch = sequenced(self.ids[producer], epoch, first, &values);
        self.world
            .produce(&partition("an-alert", to), batch)
            .map(|produced| produced.base_offset)
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Send {
                producer,
                partition,
                records,
            } => self.send(producer, partition, records),
            Step::SendAgain {
                producer,
                partition,
                back,
            } => self.send_again(producer, partition, back),
            Step::SkipAhead {
                producer,
                partition,
            } => {
                let next = self.sent.entry((producer, partition)).or_default().next;
                let epoch = self.epochs[producer];
                assert!(
                    self.produce(producer, partition, epoch, next + 1, &["gap".to_owned()])
                        .is_err()
                );
            }
            Step::BumpEpoch { producer } => {
                self.epochs[producer] += 1;
                self.sent.retain(|(of, _), _| *of != producer);
            }
            Step::SendInOldEpoch {
                producer,
                partition,
            } => self.send_in_old_epoch(producer, partition),
            Step::Crash => self.world.crash(),
            Step::Checkpoint => self.world.write_checkpoint(),
            Step::Elect => {
                self.world.elect();
            }
        }
    }

    fn send(&mut self, producer: usize, to: u32, records: u32) {
        let values: Vec<_> = (self.made..self.made + records)
            .map(|number| number.to_string())
            .collect();
        self.made += records;
        let first = self.sent.entry((producer, to)).or_default().next;
        let offset = self
            .produce(producer, to, self.epochs[producer], first, &values)
            .unwrap();
        let held = self.expected.entry(to).or_default();
        held.extend((offset.0..).map(Offset).zip(values.iter().cloned()));
        let sent = self.sent.get_mut(&(producer, to)).unwrap();
        sent.batches.push((first, values, offset));
        sent.next += records;
    }

    fn send_again(&mut self, producer: usize, to: u32, back: usize) {
        let sent = self.sent.entry((producer, to)).or_default();
        let Some((first, values, offset)) = sent.batches.iter().rev().nth(back).cloned() else {
            return;
        };
        let outcome = self.produce(producer, to, self.epochs[producer], first, &values);
        match back < 5 {
            true => assert_eq!(outcome, Ok(offset), "the answer of the first try"),
            false => assert!(
                matches!(outcome, Err(CommandError::OutOfOrderSequence { .. })),
                "{outcome:?}"
            ),
        }
    }

    /// Fenced once the new epoch has written here; until then the partition cannot know, and judges it as before.
    fn send_in_old_epoch(&mut self, producer: usize, to: u32) {
        let wrote_here = self
            .sent
            .get(&(producer, to))
            .is_some_and(|sent| !sent.batches.is_empty());
        let Some(old) = self.epochs[producer].checked_sub(1).filter(|_| wrote_here) else {
            return;
        };
        let outcome = self.produce(producer, to, old, 0, &["zombie".to_owned()]);
        assert!(
            matches!(outcome, Err(CommandError::InvalidProducerEpoch { .. })),
            "{outcome:?}"
        );
    }

    fn check(&self) {
        for index in 0..2 {
            let expected = self.expected.get(&index).cloned().unwrap_or_default();
            assert_eq!(self.world.values(&partition("an-alert", index)), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_idempotent_producers_send_again_is_stored_once_and_in_order(steps in vec(any_step(), 1..80)) {
        let mut clients = Clients::new();
        for step in &steps {
            clients.take(step);
        }
        clients.world.crash();
        clients.check();
    }
}

#[test]
fn a_state_taken_up_from_a_backup_gives_out_no_id_that_was_given_out_since_then() {
    let mut world = World::with_topic("an-alert");
    let allocated = |world: &mut World| match world.tell(Command::AllocateProducerId) {
        Ok(Response::ProducerId { id, .. }) => id,
        other => panic!("{other:?}"),
    };
    let before = allocated(&mut world);
    let backup = world.state.encode();
    let since = allocated(&mut world);

    let mut restored = State::decode(&backup).unwrap();
    restored.skip_producer_ids(1_000);
    world.state = restored;

    assert_eq!(allocated(&mut world), ProducerId(since.0 + 1_000));
    assert!(before < since);
}
