//! A transactional producer (KIP-98): reads how far its group has come, writes to every partition, moves the group's
//! offset with it, and ends the transaction. Two clients share each transactional id, so that one fences the other; what
//! was open then is aborted, and the zombie must learn it.

use std::time::Duration;

use super::history::{TransactionKey, TransactionResult};
use super::request::{FaultPhase, NextNode, Reply, ReplyContext, Request, RequestContext};
use super::topic::{self, PARTITIONS, Value};
use crate::ids::{
    GroupId, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, TransactionalId,
};
use crate::node::ProposeError;
use crate::record::ProducerStamp;
use crate::state::{
    AddOffsetsToTransaction, AddPartitionsToTransaction, Command, CommandError,
    CommitTransactionOffsets, Committer, EndTransaction, InitProducerId, NewOffset, Response,
    TransactionOutcome, TransactionalProducer,
};

/// A transaction that is open for longer is aborted by the log; every other id has the longer one.
const TIMEOUTS_MS: [u32; 2] = [4_000, 24_000];

/// The group whose offsets move with the transactions.
pub(super) fn copying_group() -> GroupId {
    GroupId::new("copied")
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    NeedsTopic,
    /// Fences whoever writes under the same id. With its former epoch, it only takes up its own work again (KIP-360).
    Begins {
        recovers: bool,
    },
    /// Asks how far the group has come.
    Reads,
    AddsPartitions,
    Writes(PartitionIndex),
    AddsOffsets,
    CommitsOffsets,
    Ends(TransactionOutcome),
}

pub(super) struct Transactor {
    id: TransactionalId,
    /// The partition whose committed offset counts the transactions of this id.
    counted_in: PartitionIndex,
    timeout_ms: u32,
    step: Step,
    producer: Option<(ProducerId, ProducerEpoch)>,
    sequences: [u32; PARTITIONS as usize],
    /// The transaction that is open; none is named 0.
    key: TransactionKey,
    /// The value on its way.
    value: Option<Value>,
    /// What the group's offset is to become.
    offset: Offset,
    /// Whether a try to commit may have succeeded unheard.
    may_be_committed: bool,
    rest: Duration,
}

impl Transactor {
    /// The `number`th one; clients `2n` and `2n + 1` have the same transactional id.
    pub(super) fn new(number: usize) -> Self {
        let pair = u32::try_from(number).expect("few") / 2;
        Self {
            id: TransactionalId::new(format!("copier-{pair}")),
            counted_in: PartitionIndex(pair % PARTITIONS),
            timeout_ms: TIMEOUTS_MS[number / 2 % TIMEOUTS_MS.len()],
            step: Step::NeedsTopic,
            producer: None,
            sequences: [0; PARTITIONS as usize],
            key: TransactionKey::default(),
            value: None,
            offset: Offset(0),
            may_be_committed: false,
            rest: Duration::from_millis(30),
        }
    }

    pub(super) fn next(&mut self, mut context: RequestContext<'_>) -> Option<Request> {
        let command = match self.step {
            Step::NeedsTopic => topic::creation(),
            Step::Begins { recovers } => Command::InitProducerId(InitProducerId {
                id: self.id.clone(),
                timeout_ms: self.timeout_ms,
                expected: self.producer.filter(|_| recovers),
            }),
            // Whoever has begun in the calm has aborted what others had open.
            Step::Reads if FaultPhase::Trouble < context.phase => return None,
            Step::Reads => return Some(Request::Read),
            Step::AddsPartitions => self.add_partitions(&mut context),
            Step::Writes(partition) => self.write(partition, &mut context),
            Step::AddsOffsets => Command::AddOffsetsToTransaction(AddOffsetsToTransaction {
                by: self.by(),
                group: copying_group(),
            }),
            Step::CommitsOffsets => self.commit_offsets(),
            Step::Ends(outcome) => self.end(outcome, &mut context),
        };
        Some(Request::Propose(command))
    }

    fn by(&self) -> TransactionalProducer {
        let (producer, epoch) = self.producer.expect("it has begun");
        TransactionalProducer {
            id: self.id.clone(),
            producer,
            epoch,
        }
    }

    fn add_partitions(&mut self, context: &mut RequestContext<'_>) -> Command {
        self.key = TransactionKey(topic::value_of(context.asker.client, context.asker.attempt));
        Command::AddPartitionsToTransaction(AddPartitionsToTransaction {
            by: self.by(),
            partitions: topic::partitions().map(topic::place).collect(),
        })
    }

    fn write(&mut self, partition: PartitionIndex, context: &mut RequestContext<'_>) -> Command {
        let fresh = topic::value_of(context.asker.client, context.asker.attempt);
        let value = *self.value.get_or_insert(fresh);
        context.history.writes_in_transaction(self.key, value);
        let (id, epoch) = self.producer.expect("it has begun");
        let sequence = self.sequences[partition.0 as usize];
        let stamp = ProducerStamp {
            id,
            epoch,
            base_sequence: Some(Sequence(sequence)),
        };
        topic::produce(partition, value, sequence, Some(stamp), true)
    }

    fn commit_offsets(&self) -> Command {
        Command::CommitTransactionOffsets(CommitTransactionOffsets {
            by: self.by(),
            group: copying_group(),
            committer: Committer::default(),
            offsets: vec![NewOffset {
                partition: topic::place(self.counted_in),
                offset: self.offset,
                leader_epoch: None,
                metadata: String::new(),
            }],
        })
    }

    fn end(&mut self, outcome: TransactionOutcome, context: &mut RequestContext<'_>) -> Command {
        if outcome == TransactionOutcome::Commit {
            context.history.asks_to_commit(self.key);
        }
        Command::EndTransaction(EndTransaction {
            by: self.by(),
            outcome,
        })
    }

    pub(super) fn hear(&mut self, said: Reply, context: &mut ReplyContext<'_>) -> NextNode {
        self.rest = Duration::from_millis(30);
        let outcome = match said {
            Reply::Readable(Ok(())) => {
                self.read(context);
                return NextNode::Stay;
            }
            Reply::Readable(Err(_)) => return NextNode::Elsewhere,
            Reply::Outcome(outcome) => outcome,
            said => unreachable!("{said:?} answers no question of a transactional producer"),
        };
        match outcome {
            Ok(Ok(response)) => self.succeeded(&response, context),
            Ok(Err(CommandError::TopicExists { .. })) => {
                self.step = Step::Begins { recovers: false }
            }
            Ok(Err(CommandError::ProposerDeposed))
            | Err(
                ProposeError::NotLeader
                | ProposeError::Dropped
                | ProposeError::TooLarge
                | ProposeError::DiskFull
                | ProposeError::NotEnoughReplicas { .. }
                | ProposeError::TooManyPartitions(_),
            ) => return NextNode::Elsewhere,
            Ok(Err(refusal)) => self.refused(&refusal, context),
            Err(
                ProposeError::OutcomeUnknown
                | ProposeError::NotInTime
                | ProposeError::NotOnDisks { .. }
                | ProposeError::Stopped,
            ) => {
                context.coverage.count("outcomes unknown");
                self.unanswered();
            }
        }
        NextNode::Stay
    }

    /// What was asked may have been done.
    pub(super) fn unanswered(&mut self) {
        self.may_be_committed |= self.step == Step::Ends(TransactionOutcome::Commit);
    }

    fn read(&mut self, context: &ReplyContext<'_>) {
        let group = context.view.state.group(&copying_group());
        let place = topic::place(self.counted_in);
        if group.is_some_and(|group| group.is_unstable(&place)) {
            // Somebody else's transaction under the same id: it will be fenced, or this one is.
            self.rest = Duration::from_millis(400);
            return;
        }
        let committed = group.and_then(|group| group.offset(&place));
        self.offset = committed.map_or(Offset(1), |committed| committed.offset.plus(1));
        self.step = Step::AddsPartitions;
    }

    fn succeeded(&mut self, response: &Response, context: &mut ReplyContext<'_>) {
        match (self.step, response) {
            (Step::NeedsTopic, _) => self.step = Step::Begins { recovers: false },
            (Step::Begins { .. }, Response::ProducerId { id, epoch }) => {
                context.coverage.count("transactional producers begun");
                self.producer = Some((*id, *epoch));
                self.sequences = [0; PARTITIONS as usize];
                self.step = Step::Reads;
            }
            (Step::AddsPartitions, _) => self.step = Step::Writes(PartitionIndex(0)),
            (Step::Writes(partition), Response::Produced(produced)) => {
                self.written(partition, produced.base_offset, context);
            }
            (Step::AddsOffsets, _) => self.step = Step::CommitsOffsets,
            (Step::CommitsOffsets, _) => self.step = Step::Ends(TransactionOutcome::Commit),
            (Step::Ends(outcome), _) => self.ended(outcome, context),
            (step, response) => panic!("{response:?} is no answer in step {step:?}"),
        }
    }

    fn written(
        &mut self,
        partition: PartitionIndex,
        offset: Offset,
        context: &mut ReplyContext<'_>,
    ) {
        let value = self.value.take().expect("just sent");
        context.history.written_in_transaction(
            self.key,
            context.client,
            (partition, offset),
            value,
        );
        self.sequences[partition.0 as usize] += 1;
        let next = PartitionIndex(partition.0 + 1);
        self.step = if next.0 < PARTITIONS {
            Step::Writes(next)
        } else if value.is_multiple_of(3) {
            Step::Ends(TransactionOutcome::Abort)
        } else {
            Step::AddsOffsets
        };
    }

    fn ended(&mut self, outcome: TransactionOutcome, context: &mut ReplyContext<'_>) {
        let fate = match outcome {
            TransactionOutcome::Commit => TransactionResult::Committed,
            TransactionOutcome::Abort => TransactionResult::Aborted,
        };
        context.coverage.count(match fate {
            TransactionResult::Aborted => "transactions aborted",
            _ => "transactions committed",
        });
        if outcome == TransactionOutcome::Commit {
            let place = self.counted_in;
            context
                .history
                .transaction_moved_offset(self.key, place, self.offset);
        }
        self.forget(fate, context);
        self.step = Step::Reads;
    }

    fn forget(&mut self, fate: TransactionResult, context: &mut ReplyContext<'_>) {
        let key = std::mem::take(&mut self.key);
        context.history.transaction_ended(key, fate);
        self.may_be_committed = false;
        self.value = None;
    }

    fn refused(&mut self, refusal: &CommandError, context: &mut ReplyContext<'_>) {
        match refusal {
            CommandError::ProducerFenced { .. }
            | CommandError::InvalidProducerEpoch { .. }
            | CommandError::InvalidProducerIdMapping { .. }
            | CommandError::InvalidTransactionState { .. } => self.fenced(context),
            refusal => context.history.refused(context.client, refusal),
        }
    }

    /// Somebody else writes under this id now, or the transaction was open for too long. What was written in it is lost,
    /// unless a try to commit it had succeeded unheard.
    fn fenced(&mut self, context: &mut ReplyContext<'_>) {
        context.coverage.count("producers fenced");
        let fate = if self.may_be_committed {
            TransactionResult::Unknown
        } else {
            TransactionResult::Aborted
        };
        self.forget(fate, context);
        let recovers = self.step != Step::Begins { recovers: true } && self.producer.is_some();
        self.rest = Duration::from_millis(if recovers { 30 } else { 3_000 });
        self.step = Step::Begins { recovers };
    }

    pub(super) fn rest(&self) -> Duration {
        self.rest
    }
}
