//! A producer: writes one record after the other. Even ones are idempotent and send the very batch again; odd ones are
//! not and give each try a value of its own, to learn what became of it.

use super::request::{FaultPhase, NextNode, Reply, ReplyContext, Request, RequestContext};
use super::topic::{self, PARTITIONS, Value};
use crate::ids::{Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence};
use crate::node::ProposeError;
use crate::record::ProducerStamp;
use crate::state::{Command, CommandError, Response};

/// Where a producer is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    NeedsTopic,
    NeedsId,
    Writes,
}

pub(super) struct Producer {
    idempotent: bool,
    partition: PartitionIndex,
    stage: Stage,
    producer_id: Option<(ProducerId, ProducerEpoch)>,
    sequence: u32,
    /// The value on its way.
    value: Option<Value>,
}

impl Producer {
    pub(super) fn new(client: usize) -> Self {
        Self {
            idempotent: client.is_multiple_of(2),
            partition: PartitionIndex(u32::try_from(client).expect("few") / 2 % PARTITIONS),
            stage: Stage::NeedsTopic,
            producer_id: None,
            sequence: 0,
            value: None,
        }
    }

    /// The next try. Once the world is calm a producer ends with its next certain answer.
    pub(super) fn next(&mut self, context: RequestContext<'_>) -> Option<Request> {
        let asker = context.asker;
        let command = match self.stage {
            Stage::NeedsTopic => topic::creation(),
            Stage::NeedsId => Command::AllocateProducerId,
            Stage::Writes => {
                if !self.idempotent {
                    self.value = None;
                }
                if self.value.is_none() && FaultPhase::Trouble < context.phase {
                    return None;
                }
                let fresh = topic::value_of(asker.client, asker.attempt);
                let value = *self.value.get_or_insert(fresh);
                self.produce(value)
            }
        };
        Some(Request::Propose(command))
    }

    fn produce(&self, value: Value) -> Command {
        let stamp = self.producer_id.map(|(id, epoch)| ProducerStamp {
            id,
            epoch,
            base_sequence: Some(Sequence(self.sequence)),
        });
        topic::produce(self.partition, value, self.sequence, stamp, false)
    }

    pub(super) fn hear(&mut self, said: Reply, context: &mut ReplyContext<'_>) -> NextNode {
        let Reply::Outcome(outcome) = said else {
            unreachable!("a producer only proposes")
        };
        match outcome {
            Ok(Ok(response)) => self.succeeded(&response, context),
            Ok(Err(CommandError::TopicExists { .. })) => self.has_topic(),
            // The epoch changed between proposing and applying: nothing happened.
            Ok(Err(CommandError::ProposerDeposed))
            | Err(
                ProposeError::NotLeader
                | ProposeError::Dropped
                | ProposeError::TooLarge
                | ProposeError::DiskFull
                | ProposeError::NotEnoughReplicas { .. }
                | ProposeError::TooManyPartitions(_),
            ) => return self.not_stored(context),
            Ok(Err(refusal)) => context.history.refused(context.client, &refusal),
            Err(
                ProposeError::OutcomeUnknown
                | ProposeError::NotInTime
                | ProposeError::NotOnDisks { .. }
                | ProposeError::Stopped,
            ) => {
                context.coverage.count("outcomes unknown");
            }
        }
        NextNode::Stay
    }

    fn succeeded(&mut self, response: &Response, context: &mut ReplyContext<'_>) {
        match (self.stage, response) {
            (Stage::NeedsTopic, _) => self.has_topic(),
            (Stage::NeedsId, Response::ProducerId { id, epoch }) => {
                self.producer_id = Some((*id, *epoch));
                self.stage = Stage::Writes;
            }
            (Stage::Writes, Response::Produced(produced)) => {
                context.coverage.count(if produced.repeated {
                    "repeats recognised"
                } else {
                    "records acknowledged"
                });
                self.acknowledged(produced.base_offset, context);
            }
            (stage, response) => panic!("{response:?} is no answer in stage {stage:?}"),
        }
    }

    fn acknowledged(&mut self, offset: Offset, context: &mut ReplyContext<'_>) {
        let value = self.value.take().expect("just sent");
        context
            .history
            .acknowledged(context.client, self.partition, value, offset);
        self.sequence += 1;
    }

    /// Certainly not stored by this try.
    fn not_stored(&mut self, context: &mut ReplyContext<'_>) -> NextNode {
        context.coverage.count("tries refused");
        if let Some(value) = self.value.filter(|_| !self.idempotent) {
            context.history.certainly_not_stored(value);
        }
        NextNode::Elsewhere
    }

    fn has_topic(&mut self) {
        self.stage = if self.idempotent {
            Stage::NeedsId
        } else {
            Stage::Writes
        };
    }
}
