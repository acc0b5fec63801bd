//! A producer: writes one record after the other, and tries again until it knows. Even ones are idempotent and send the
//! very batch again; odd ones are not and give each try a value of its own, to learn what became of it.

use rand::Rng;
use uuid::Uuid;

use super::Coverage;
use super::history::History;
use crate::broker::{Outcome, ProposeError};
use crate::ids::{
    Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicId, TopicName,
    TopicPartition,
};
use crate::record::{BatchBuilder, NewRecord, ProducerStamp};
use crate::state::{Command, CreateTopic, Produce, Refusal, Response};

/// The topic that everybody writes to.
pub(super) const TOPIC: &str = "an-alert";
/// Its partitions.
pub(super) const PARTITIONS: u32 = 2;

/// A segment is closed once its records span more than this.
const SEGMENT_MS: i64 = 60_000;
/// The time of a producer's first record.
const FIRST_RECORD: TimestampMs = TimestampMs(1_790_000_000_000);
/// Between the times of two records of a producer: segments roll after a few.
const RECORD_EVERY_MS: i64 = 7_000;

/// What a producer wants now.
pub(super) struct Wish {
    pub(super) node: usize,
    pub(super) command: Command,
    pub(super) attempt: u64,
}

/// Where a producer is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    NeedsTopic,
    NeedsId,
    Writes,
}

pub(super) struct Producer {
    id: usize,
    nodes: usize,
    believed_leader: usize,
    stage: Stage,
    producer_id: Option<(ProducerId, ProducerEpoch)>,
    sequence: u32,
    /// Counts tries. The answer to an earlier one is no longer waited for.
    attempt: u64,
    waits: bool,
    /// The value on its way.
    value: u64,
    done: bool,
}

impl Producer {
    pub(super) fn new(id: usize, nodes: usize) -> Self {
        Self {
            id,
            nodes,
            believed_leader: id % nodes,
            stage: Stage::NeedsTopic,
            producer_id: None,
            sequence: 0,
            attempt: 0,
            waits: false,
            value: 0,
            done: false,
        }
    }

    fn is_idempotent(&self) -> bool {
        self.id.is_multiple_of(2)
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.done
    }

    pub(super) fn partition(&self) -> TopicPartition {
        let topic = TopicName::parse(TOPIC).expect("a good name");
        let partition = u32::try_from(self.id).expect("few") / 2 % PARTITIONS;
        TopicPartition::new(topic, PartitionIndex(partition))
    }

    /// The value of the try that was just made, if it writes.
    pub(super) fn written(&self) -> Option<(TopicPartition, u64)> {
        (self.stage == Stage::Writes).then(|| (self.partition(), self.value))
    }

    /// The next try. Once the world is calm a producer ends with its next certain answer.
    pub(super) fn next(&mut self, chance: &mut impl Rng, calm: bool) -> Option<Wish> {
        if calm && self.stage == Stage::Writes && !self.waits && self.value_is_settled() {
            self.done = true;
            return None;
        }
        self.attempt += 1;
        self.waits = true;
        if self.stage == Stage::Writes && (!self.is_idempotent() || self.value_is_settled()) {
            self.value = self.fresh_value();
        }
        let command = match self.stage {
            Stage::NeedsTopic => Command::CreateTopic(CreateTopic {
                name: TopicName::parse(TOPIC).expect("a good name"),
                id: topic_id(),
                partitions: PARTITIONS,
                replication_factor: 1,
                configs: [("segment.ms".to_owned(), SEGMENT_MS.to_string())].into(),
            }),
            Stage::NeedsId => Command::AllocateProducerId,
            Stage::Writes => self.produce(),
        };
        if chance.random_bool(0.05) {
            self.believed_leader = chance.random_range(0..self.nodes);
        }
        Some(Wish {
            node: self.believed_leader,
            command,
            attempt: self.attempt,
        })
    }

    fn value_is_settled(&self) -> bool {
        self.value == 0
    }

    fn fresh_value(&self) -> u64 {
        (u64::try_from(self.id).expect("few") << 32) | self.attempt
    }

    fn produce(&self) -> Command {
        let mut builder = BatchBuilder::plain();
        if let Some((id, epoch)) = self.producer_id.filter(|_| self.is_idempotent()) {
            builder = builder.producer(ProducerStamp {
                id,
                epoch,
                base_sequence: Some(Sequence(self.sequence)),
            });
        }
        let value = Some(self.value.to_be_bytes().to_vec().into());
        // The batch that is sent again is the very same one, its time included.
        let timestamp = TimestampMs(FIRST_RECORD.0 + RECORD_EVERY_MS * i64::from(self.sequence));
        builder.push(NewRecord {
            timestamp,
            value,
            ..NewRecord::default()
        });
        Command::Produce(Produce {
            topic_id: topic_id(),
            partition: self.partition(),
            batch: builder.build(),
        })
    }

    /// Nobody answered in time.
    pub(super) fn gives_up(&mut self, attempt: u64) -> bool {
        let current = self.waits && attempt == self.attempt;
        if current {
            self.waits = false;
            self.believed_leader = (self.believed_leader + 1) % self.nodes;
        }
        current
    }

    /// Takes an answer; whether it was the one that is waited for.
    pub(super) fn is_answered(
        &mut self,
        attempt: u64,
        outcome: &Result<Outcome, ProposeError>,
        history: &mut History,
        coverage: &mut Coverage,
    ) -> bool {
        if !self.waits || attempt != self.attempt {
            return false;
        }
        self.waits = false;
        match outcome {
            Ok(Ok(response)) => self.succeeded(response, history, coverage),
            Ok(Err(Refusal::TopicExists { .. })) => self.stage = self.after_topic(),
            // The epoch changed between proposing and applying: nothing happened.
            Ok(Err(Refusal::ProposerDeposed)) | Err(ProposeError::NotLeader) => {
                self.refused(history, coverage)
            }
            Err(ProposeError::Dropped | ProposeError::TooLarge | ProposeError::DiskFull) => {
                self.refused(history, coverage)
            }
            Ok(Err(refusal)) => history.refused(self.id, refusal),
            Err(ProposeError::OutcomeUnknown | ProposeError::Stopped) => {
                coverage.count("outcomes unknown")
            }
        }
        true
    }

    fn succeeded(&mut self, response: &Response, history: &mut History, coverage: &mut Coverage) {
        match (self.stage, response) {
            (Stage::NeedsTopic, _) => self.stage = self.after_topic(),
            (Stage::NeedsId, Response::ProducerId { id, epoch }) => {
                self.producer_id = Some((*id, *epoch));
                self.stage = Stage::Writes;
            }
            (Stage::Writes, Response::Produced(produced)) => {
                coverage.count(if produced.repeated {
                    "repeats recognised"
                } else {
                    "records acknowledged"
                });
                self.acknowledged(produced.base_offset, history);
            }
            (stage, response) => panic!("{response:?} is no answer in stage {stage:?}"),
        }
    }

    fn acknowledged(&mut self, offset: Offset, history: &mut History) {
        history.acknowledged(self.id, self.partition(), self.value, offset);
        self.value = 0;
        self.sequence += 1;
    }

    /// Certainly not stored by this try.
    fn refused(&mut self, history: &mut History, coverage: &mut Coverage) {
        coverage.count("tries refused");
        self.believed_leader = (self.believed_leader + 1) % self.nodes;
        if self.stage == Stage::Writes && !self.is_idempotent() {
            history.certainly_not_stored(self.value);
            self.value = 0;
        }
    }

    fn after_topic(&self) -> Stage {
        if self.is_idempotent() {
            Stage::NeedsId
        } else {
            Stage::Writes
        }
    }
}

fn topic_id() -> TopicId {
    TopicId(Uuid::from_u128(0x6d61_7964_6179))
}
