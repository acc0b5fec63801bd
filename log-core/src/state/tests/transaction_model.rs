//! Transactions under random interleavings of producers, their zombies, retries, time-outs, elections and crashes, against
//! a model that only remembers what each client was told.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::world::{World, partition, plain, transactional};
use crate::ids::{GroupId, Offset, ProducerId, TopicPartition, TransactionalId};
use crate::record::{BatchHeader, ControlRecord, Records};
use crate::state::{
    AddOffsetsToTransaction, AddPartitionsToTransaction, Command, CommandError,
    CommitTransactionOffsets, Committer, EndTransaction, InitProducerId, NewOffset, Partition,
    Response, TransactionOutcome, TransactionalProducer,
};

const TIMEOUT_MS: u32 = 10_000;
const IDS: usize = 3;
const PARTITIONS: u32 = 2;

#[derive(Clone, Debug)]
enum Step {
    /// A new client starts under a transactional id; the one before it becomes a zombie and goes on.
    Start {
        id: usize,
    },
    /// A client recovers from an error, and asks twice.
    Recover {
        client: usize,
    },
    AddPartition {
        client: usize,
        to: u32,
    },
    Send {
        client: usize,
        to: u32,
        records: usize,
    },
    SendAgain {
        client: usize,
    },
    CommitOffset {
        client: usize,
    },
    End {
        client: usize,
        outcome: TransactionOutcome,
    },
    SendPlain {
        to: u32,
    },
    Pass {
        ms: i64,
    },
    Expire,
    Crash,
    Checkpoint,
    Elect,
}

fn any_step() -> impl Strategy<Value = Step> {
    let outcome =
        prop_oneof![2 => Just(TransactionOutcome::Commit), 1 => Just(TransactionOutcome::Abort)];
    // Counted from the youngest client, so that most steps are taken by clients that are still alive.
    let client = 0_usize..5;
    let to = 0..PARTITIONS;
    prop_oneof![
        2 => (0..IDS).prop_map(|id| Step::Start { id }),
        1 => client.clone().prop_map(|client| Step::Recover { client }),
        6 => (client.clone(), to.clone()).prop_map(|(client, to)| Step::AddPartition { client, to }),
        9 => (client.clone(), to.clone(), 1_usize..3)
            .prop_map(|(client, to, records)| Step::Send { client, to, records }),
        3 => client.clone().prop_map(|client| Step::SendAgain { client }),
        3 => client.clone().prop_map(|client| Step::CommitOffset { client }),
        6 => (client, outcome).prop_map(|(client, outcome)| Step::End { client, outcome }),
        2 => to.prop_map(|to| Step::SendPlain { to }),
        2 => (0_i64..6_000).prop_map(|ms| Step::Pass { ms }),
        2 => Just(Step::Expire),
        1 => Just(Step::Crash),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Elect),
    ]
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TransactionResult {
    Open,
    Committed,
    Aborted,
}

/// A transaction as its client and the clock know it.
#[derive(Clone, Debug)]
struct Open {
    deadline: i64,
    partitions: BTreeSet<u32>,
    values: Vec<String>,
    group_offset: Option<u64>,
}

#[derive(Clone, Debug)]
struct Client {
    id: usize,
    by: TransactionalProducer,
    next: BTreeMap<u32, u32>,
    last_sent: Option<(u32, u32, Vec<String>, Offset)>,
    open: Option<Open>,
    ended: Option<TransactionOutcome>,
}

struct Model {
    world: World,
    clients: Vec<Client>,
    /// The client that may write under each id.
    current: BTreeMap<usize, usize>,
    /// The client that may recover because its transaction timed out.
    timed_out: BTreeMap<usize, usize>,
    fates: BTreeMap<String, TransactionResult>,
    group_offset: Option<u64>,
    made: usize,
}

impl Model {
    fn new() -> Self {
        Self {
            world: World::with_topic("an-alert"),
            clients: Vec::new(),
            current: BTreeMap::new(),
            timed_out: BTreeMap::new(),
            fates: BTreeMap::new(),
            group_offset: None,
            made: 0,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Start { id } => self.start(id),
            Step::Recover { client } => self.with(client, Self::recover),
            Step::AddPartition { client, to } => {
                self.with(client, |model, at| model.add_partition(at, to))
            }
            Step::Send {
                client,
                to,
                records,
            } => self.with(client, |model, at| model.send(at, to, records)),
            Step::SendAgain { client } => self.with(client, Self::send_again),
            Step::CommitOffset { client } => self.with(client, Self::commit_offset),
            Step::End { client, outcome } => self.with(client, |model, at| model.end(at, outcome)),
            Step::SendPlain { to } => self.send_plain(to),
            Step::Pass { ms } => {
                self.world.pass(ms);
            }
            Step::Expire => self.expire(),
            Step::Crash => self.world.crash(),
            Step::Checkpoint => self.world.write_checkpoint(),
            Step::Elect => {
                self.world.elect();
            }
        }
    }

    /// The client that many before the youngest.
    fn with(&mut self, back: usize, act: impl FnOnce(&mut Self, usize)) {
        if let Some(at) = self.clients.len().checked_sub(back + 1) {
            act(self, at);
        }
    }

    fn is_current(&self, at: usize) -> bool {
        self.current.get(&self.clients[at].id) == Some(&at)
    }

    fn settle(&mut self, at: usize, fate: TransactionResult) {
        let Some(open) = self.clients[at].open.take() else {
            return;
        };
        for value in open.values {
            assert_eq!(
                self.fates.insert(value, fate),
                Some(TransactionResult::Open)
            );
        }
        if fate == TransactionResult::Committed && open.group_offset.is_some() {
            self.group_offset = self.group_offset.max(open.group_offset);
        }
    }

    fn new_values(&mut self, count: usize) -> Vec<String> {
        self.made += count;
        (self.made - count..self.made)
            .map(|number| number.to_string())
            .collect()
    }

    fn init(
        &mut self,
        id: usize,
        expected: Option<&TransactionalProducer>,
    ) -> Result<TransactionalProducer, CommandError> {
        let name = TransactionalId::new(format!("copier-{id}"));
        let expected = expected.map(|by| (by.producer, by.epoch));
        let init = InitProducerId {
            id: name.clone(),
            timeout_ms: TIMEOUT_MS,
            expected,
        };
        match self.world.tell(Command::InitProducerId(init))? {
            Response::ProducerId {
                id: producer,
                epoch,
            } => Ok(TransactionalProducer {
                id: name,
                producer,
                epoch,
            }),
            other => panic!("{other:?}"),
        }
    }

    fn start(&mut self, id: usize) {
        let by = self.init(id, None).unwrap();
        if let Some(before) = self.current.insert(id, self.clients.len()) {
            self.settle(before, TransactionResult::Aborted);
        }
        self.timed_out.remove(&id);
        let next = BTreeMap::new();
        self.clients.push(Client {
            id,
            by,
            next,
            last_sent: None,
            open: None,
            ended: None,
        });
    }

    fn recover(&mut self, at: usize) {
        let Client { id, by, .. } = self.clients[at].clone();
        let allowed = self.is_current(at) || self.timed_out.get(&id) == Some(&at);
        let outcome = self.init(id, Some(&by));
        if !allowed {
            assert!(
                matches!(outcome, Err(CommandError::ProducerFenced { .. })),
                "{outcome:?}"
            );
            return;
        }
        assert_eq!(self.init(id, Some(&by)), outcome, "asked again");
        self.settle(at, TransactionResult::Aborted);
        self.timed_out.remove(&id);
        self.current.insert(id, at);
        let client = &mut self.clients[at];
        client.by = outcome.unwrap();
        client.next.clear();
        (client.last_sent, client.ended) = (None, None);
    }

    fn add_partition(&mut self, at: usize, to: u32) {
        let (by, partitions) = (self.clients[at].by.clone(), vec![partition("an-alert", to)]);
        let add = AddPartitionsToTransaction { by, partitions };
        let outcome = self.world.tell(Command::AddPartitionsToTransaction(add));
        assert_eq!(outcome.is_ok(), self.is_current(at), "{outcome:?}");
        if outcome.is_ok() {
            self.open(at).partitions.insert(to);
        }
    }

    fn open(&mut self, at: usize) -> &mut Open {
        let deadline = self.world.state.clock().0 + i64::from(TIMEOUT_MS);
        let begin = || Open {
            deadline,
            partitions: BTreeSet::new(),
            values: Vec::new(),
            group_offset: None,
        };
        self.clients[at].open.get_or_insert_with(begin)
    }

    fn send(&mut self, at: usize, to: u32, records: usize) {
        let values = self.new_values(records);
        let first = self.clients[at].next.get(&to).copied().unwrap_or(0);
        let taken = self.clients[at]
            .open
            .as_ref()
            .is_some_and(|open| open.partitions.contains(&to));
        let outcome = self.produce(at, to, first, &values);
        assert_eq!(outcome.is_ok(), taken && self.is_current(at), "{outcome:?}");
        let Ok(offset) = outcome else {
            return;
        };
        self.fates.extend(
            values
                .iter()
                .map(|value| (value.clone(), TransactionResult::Open)),
        );
        self.open(at).values.extend(values.iter().cloned());
        let client = &mut self.clients[at];
        client
            .next
            .insert(to, first + u32::try_from(records).unwrap());
        client.last_sent = Some((to, first, values, offset));
    }

    fn produce(
        &mut self,
        at: usize,
        to: u32,
        first: u32,
        values: &[String],
    ) -> Result<Offset, CommandError> {
        let by = &self.clients[at].by;
        let values: Vec<_> = values.iter().map(String::as_str).collect();
        let batch = transactional(by.producer, by.epoch.0, first, &values);
        self.world
            .produce(&partition("an-alert", to), batch)
            .map(|produced| produced.base_offset)
    }

    fn send_again(&mut self, at: usize) {
        let Some((to, first, values, offset)) = self.clients[at].last_sent.clone() else {
            return;
        };
        let outcome = self.produce(at, to, first, &values);
        match self.is_current(at) {
            true => assert_eq!(outcome, Ok(offset), "the answer of the first try"),
            false => assert!(outcome.is_err(), "a zombie"),
        }
    }

    fn commit_offset(&mut self, at: usize) {
        let (by, group) = (self.clients[at].by.clone(), GroupId::new("readers"));
        let add = AddOffsetsToTransaction {
            by: by.clone(),
            group: group.clone(),
        };
        let added = self.world.tell(Command::AddOffsetsToTransaction(add));
        assert_eq!(added.is_ok(), self.is_current(at), "{added:?}");
        // Consumers only go forward, so a later commit names a later offset.
        self.made += 1;
        let offset = u64::try_from(self.made).unwrap();
        let offsets = vec![NewOffset {
            partition: partition("an-alert", 0),
            offset: Offset(offset),
            leader_epoch: None,
            metadata: String::new(),
        }];
        let committer = Committer::default();
        let commit = CommitTransactionOffsets {
            by,
            group,
            committer,
            offsets,
        };
        let outcome = self.world.tell(Command::CommitTransactionOffsets(commit));
        assert_eq!(outcome.is_ok(), self.is_current(at), "{outcome:?}");
        if outcome.is_ok() {
            self.open(at).group_offset = Some(offset);
        }
    }

    fn end(&mut self, at: usize, outcome: TransactionOutcome) {
        let by = self.clients[at].by.clone();
        let answer = self
            .world
            .tell(Command::EndTransaction(EndTransaction { by, outcome }));
        let due = self.clients[at].open.is_some() || self.clients[at].ended == Some(outcome);
        assert_eq!(answer.is_ok(), due && self.is_current(at), "{answer:?}");
        if answer.is_ok() {
            let fate = match outcome {
                TransactionOutcome::Commit => TransactionResult::Committed,
                TransactionOutcome::Abort => TransactionResult::Aborted,
            };
            self.settle(at, fate);
            self.clients[at].ended = Some(outcome);
        }
    }

    fn send_plain(&mut self, to: u32) {
        let value = self.new_values(1).remove(0);
        self.world
            .produce(&partition("an-alert", to), plain(&[&value]))
            .unwrap();
        self.fates.insert(value, TransactionResult::Committed);
    }

    fn expire(&mut self) {
        self.world.tell(Command::ExpireTransactions).unwrap();
        let now = self.world.state.clock().0;
        for at in 0..self.clients.len() {
            let overdue = self.clients[at]
                .open
                .as_ref()
                .is_some_and(|open| open.deadline <= now);
            if overdue && self.is_current(at) {
                self.settle(at, TransactionResult::Aborted);
                let id = self.clients[at].id;
                self.current.remove(&id);
                self.timed_out.insert(id, at);
            }
        }
    }

    fn check(&self) {
        let mut stored = BTreeSet::new();
        for to in (0..PARTITIONS).map(|to| partition("an-alert", to)) {
            for (_, value) in self.world.values(&to) {
                assert!(
                    self.fates.contains_key(&value),
                    "{value} was never acknowledged"
                );
                assert!(stored.insert(value.clone()), "{value} is there twice");
            }
            self.check_readers(&to);
        }
        assert_eq!(
            stored.len(),
            self.fates.len(),
            "an acknowledged record is missing"
        );
        let group = self.world.state.group(&GroupId::new("readers"));
        let committed = group.and_then(|group| group.offset(&partition("an-alert", 0)));
        assert_eq!(
            committed.map(|committed| committed.offset.0),
            self.group_offset
        );
    }

    /// A committed reader sees exactly the committed records below the last stable offset, from wherever it begins.
    fn check_readers(&self, of: &TopicPartition) {
        let place = self.world.state.partition(of).unwrap();
        let below = place.last_stable_offset();
        let all = self.world.values(of);
        let first_open = all
            .iter()
            .find(|(_, value)| self.fates[value] == TransactionResult::Open);
        assert_eq!(
            below,
            first_open.map_or(place.high_watermark(), |(offset, _)| *offset)
        );
        for from in 0..=below.0 {
            let from = Offset(from);
            let due = |(offset, value): &&(Offset, String)| {
                from <= *offset
                    && *offset < below
                    && self.fates[value] == TransactionResult::Committed
            };
            let expected: Vec<_> = all.iter().filter(due).cloned().collect();
            assert_eq!(
                read_committed(place, &self.world.files[of], from, below),
                expected,
                "{of} from {from}"
            );
        }
    }
}

/// Reads as Kafka's `Fetcher` does: whole batches, leaving out those of producers whose transaction the broker has named
/// as aborted, from its first offset on until its marker.
fn read_committed(
    place: &Partition,
    batches: &[Bytes],
    from: Offset,
    below: Offset,
) -> Vec<(Offset, String)> {
    let mut aborted: Vec<_> = place.aborted_in(from, below).collect();
    aborted.sort_by_key(|aborted| aborted.first_offset);
    let mut aborted = aborted.into_iter().peekable();
    let mut void = BTreeSet::<ProducerId>::new();
    let mut read = Vec::new();
    for batch in batches {
        let header = BatchHeader::parse(batch).unwrap();
        if header.next_offset() <= from || below <= header.base_offset {
            continue;
        }
        while let Some(begun) =
            aborted.next_if(|aborted| aborted.first_offset <= header.last_offset())
        {
            void.insert(begun.producer);
        }
        let producer = header.producer.map(|stamp| stamp.id);
        if header.attributes.control {
            if ControlRecord::read(header, batch) == Ok(ControlRecord::Abort) {
                void.remove(&producer.unwrap());
            }
        } else if !(header.attributes.transactional && void.contains(&producer.unwrap())) {
            let records = Records::new(header, batch).map(Result::unwrap);
            let due = records.filter(|record| from <= record.offset);
            let value = |value: Option<Bytes>| String::from_utf8(value.unwrap().to_vec()).unwrap();
            read.extend(due.map(|record| (record.offset, value(record.value))));
        }
    }
    read
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn committed_records_are_read_once_aborted_ones_never_and_no_transaction_outlives_its_time_out(
        steps in vec(any_step(), 1..120),
    ) {
        let mut model = Model::new();
        for step in &steps {
            model.take(step);
        }
        model.check();
        model.world.pass(i64::from(TIMEOUT_MS) * 2);
        model.expire();
        model.world.crash();
        prop_assert!(model.fates.values().all(|fate| *fate != TransactionResult::Open));
        prop_assert_eq!(model.world.state.next_transaction_deadline(), None);
        model.check();
    }
}
