//! A log on one node without files: the state machine, a journal of what it was told, and what its changes did.

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

use crate::ids::{
    EntryIndex, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence,
    TimestampMs, TopicId, TopicName, TopicPartition,
};
use crate::record::{Attributes, BatchBuilder, BatchHeader, NewRecord, ProducerStamp, Records};
use crate::state::{
    Applied, Change, Command, CommandError, CreateTopic, Envelope, Produce, Produced, Response,
    State,
};

/// The batches of each partition, as the storage would hold them.
pub(super) type Files = BTreeMap<TopicPartition, Vec<Bytes>>;

#[derive(Clone)]
pub(super) struct World {
    pub(super) state: State,
    pub(super) epoch: LeaderEpoch,
    pub(super) now: TimestampMs,
    pub(super) files: Files,
    journal: Vec<Told>,
    checkpoint: (usize, Vec<u8>, Files),
}

/// An entry of the journal, and what came of it when it was applied first.
#[derive(Clone)]
struct Told {
    index: EntryIndex,
    epoch: LeaderEpoch,
    payload: Vec<u8>,
    applied: Applied,
}

impl World {
    pub(super) fn new() -> Self {
        let state = State::new();
        let checkpoint = (0, state.encode(), Files::new());
        Self {
            state,
            epoch: LeaderEpoch(1),
            now: TimestampMs(1_000_000),
            files: Files::new(),
            journal: Vec::new(),
            checkpoint,
        }
    }

    /// With a topic of two partitions.
    pub(super) fn with_topic(name: &str) -> Self {
        let mut world = Self::new();
        world.create_topic(name, &[]).unwrap();
        world
    }

    pub(super) fn tell(&mut self, command: Command) -> Result<Response, CommandError> {
        self.tell_as(self.epoch, command).outcome
    }

    /// Journals and applies a command that a leader of `proposer` proposed.
    pub(super) fn tell_as(&mut self, proposer: LeaderEpoch, command: Command) -> Applied {
        let envelope = Envelope {
            proposer,
            at: self.now,
            command,
        };
        let payload = envelope.encode();
        assert!(
            payload.len() <= envelope.command.bytes_estimate(),
            "{envelope:?} is larger than estimated"
        );
        let index = EntryIndex(u64::try_from(self.journal.len()).unwrap() + 1);
        let (epoch, envelope) = (self.epoch, Envelope::decode(&payload).unwrap());
        let applied = self.state.apply(index, epoch, &envelope);
        perform(&mut self.files, &applied.changes);
        self.journal.push(Told {
            index,
            epoch,
            payload,
            applied: applied.clone(),
        });
        self.assert_no_transaction_hangs();
        applied
    }

    /// Whatever a partition waits for, there is a command that can end it, and a time by which it ends.
    fn assert_no_transaction_hangs(&self) {
        for (name, topic) in self.state.topics() {
            for (index, place) in topic.partitions() {
                let partition = TopicPartition::new(name.clone(), index);
                let open = place
                    .producers()
                    .filter(|(producer, _)| place.transaction_start(*producer).is_some());
                for (producer, _) in open {
                    let mut all = self.state.transactions();
                    let (_, transaction) = all
                        .find(|(_, transaction)| transaction.producer() == producer)
                        .unwrap();
                    assert!(
                        transaction.open().unwrap().partitions.contains(&partition),
                        "{partition}: {producer}"
                    );
                    assert!(transaction.deadline(self.state.clock_jumps()).is_some());
                }
            }
        }
    }

    pub(super) fn pass(&mut self, ms: i64) -> &mut Self {
        self.now.0 += ms;
        self
    }

    pub(super) fn elect(&mut self) -> &mut Self {
        self.epoch.0 += 1;
        self
    }

    pub(super) fn write_checkpoint(&mut self) {
        self.checkpoint = (self.journal.len(), self.state.encode(), self.files.clone());
    }

    /// Loses what is in memory: reads the checkpoint, as a restart or a replica that is sent a snapshot does, and applies the
    /// journal behind it. Checks that nothing differs: no answer, no byte of a file or of the state.
    pub(super) fn crash(&mut self) {
        let (applied, bytes, mut files) = self.checkpoint.clone();
        let mut state = State::decode(&bytes).unwrap();
        for told in &self.journal[applied..] {
            let envelope = Envelope::decode(&told.payload).unwrap();
            let again = state.apply(told.index, told.epoch, &envelope);
            assert_eq!(again, told.applied, "entry {}: {envelope:?}", told.index);
            perform(&mut files, &again.changes);
        }
        assert_eq!(state, self.state);
        assert_eq!(state.encode(), self.state.encode());
        assert_eq!(files, self.files);
        self.state = state;
    }

    pub(super) fn create_topic(
        &mut self,
        name: &str,
        configs: &[(&str, &str)],
    ) -> Result<TopicId, CommandError> {
        let number = u128::try_from(self.journal.len()).unwrap() + 1;
        let id = TopicId(Uuid::from_u128(number));
        let configs = configs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let create = CreateTopic {
            name: topic(name),
            id,
            partitions: 2,
            replication_factor: 1,
            configs,
        };
        self.tell(Command::CreateTopic(create)).map(|_| id)
    }

    pub(super) fn produce(
        &mut self,
        to: &TopicPartition,
        batch: Bytes,
    ) -> Result<Produced, CommandError> {
        let topic_id = self
            .state
            .topic(&to.topic)
            .map_or(TopicId(Uuid::nil()), |topic| topic.id());
        match self.tell(Command::Produce(Produce {
            topic_id,
            partition: to.clone(),
            batch,
        }))? {
            Response::Produced(produced) => Ok(produced),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn producer_id(&mut self) -> ProducerId {
        match self.tell(Command::AllocateProducerId) {
            Ok(Response::ProducerId { id, .. }) => id,
            other => panic!("{other:?}"),
        }
    }

    /// The records of a partition that are not markers: offset and value.
    pub(super) fn values(&self, of: &TopicPartition) -> Vec<(Offset, String)> {
        let batches = self.files.get(of).map_or(&[][..], Vec::as_slice);
        batches.iter().flat_map(values_of).collect()
    }
}

fn perform(files: &mut Files, changes: &[Change]) {
    for change in changes {
        match change {
            Change::PartitionCreated { partition, .. } => {
                assert!(
                    files.insert(partition.clone(), Vec::new()).is_none(),
                    "{partition} was there"
                );
            }
            Change::PartitionDeleted { partition } => {
                files.remove(partition).unwrap();
            }
            Change::Appended {
                partition,
                base_offset,
                batch,
                at: _,
            } => {
                append(files.get_mut(partition).unwrap(), *base_offset, batch);
            }
            Change::AppendsTimed { .. } => {}
            Change::PartitionConfigured { partition, .. }
            | Change::LogStartMoved { partition, .. } => {
                assert!(files.contains_key(partition));
            }
        }
    }
}

fn append(file: &mut Vec<Bytes>, base_offset: Offset, batch: &Bytes) {
    let header = BatchHeader::parse(batch).unwrap();
    let end = file.last().map_or(Offset(0), |last| {
        BatchHeader::parse(last).unwrap().next_offset()
    });
    assert!(header.checksum_is_intact(batch));
    assert_eq!(
        (header.base_offset, end),
        (base_offset, base_offset),
        "a gap or an overlap"
    );
    file.push(batch.clone());
}

fn values_of(batch: &Bytes) -> Vec<(Offset, String)> {
    let header = BatchHeader::parse(batch).unwrap();
    if header.attributes.control {
        return Vec::new();
    }
    let value = |bytes: Option<Bytes>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let records = Records::new(header, batch).map(Result::unwrap);
    records
        .map(|record| (record.offset, value(record.value)))
        .collect()
}

pub(super) fn topic(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

pub(super) fn partition(name: &str, index: u32) -> TopicPartition {
    TopicPartition::new(topic(name), PartitionIndex(index))
}

/// A batch outside any idempotence.
pub(super) fn plain(values: &[&str]) -> Bytes {
    fill(BatchBuilder::plain(), values)
}

/// A batch of an idempotent producer.
pub(super) fn sequenced(id: ProducerId, epoch: u16, sequence: u32, values: &[&str]) -> Bytes {
    fill(
        BatchBuilder::plain().producer(stamp(id, epoch, sequence)),
        values,
    )
}

/// A batch of a transactional producer.
pub(super) fn transactional(id: ProducerId, epoch: u16, sequence: u32, values: &[&str]) -> Bytes {
    let attributes = Attributes {
        transactional: true,
        ..Attributes::PLAIN
    };
    fill(
        BatchBuilder::new(attributes).producer(stamp(id, epoch, sequence)),
        values,
    )
}

fn stamp(id: ProducerId, epoch: u16, sequence: u32) -> ProducerStamp {
    ProducerStamp {
        id,
        epoch: ProducerEpoch(epoch),
        base_sequence: Some(Sequence(sequence)),
    }
}

fn fill(mut builder: BatchBuilder, values: &[&str]) -> Bytes {
    for value in values {
        let timestamp = TimestampMs(500);
        builder.push(NewRecord {
            timestamp,
            value: Some((*value).to_owned().into()),
            ..NewRecord::default()
        });
    }
    builder.build()
}
