//! A consumer without a group. It looks at any node, whose applied prefix it may see, and reads on from where it was;
//! now and then it asks what is current, which must then hold everything that was acknowledged before. Even ones read
//! all, odd ones only what is committed, by the list of aborted transactions that comes with a Fetch.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;

use super::failure::Failure;
use super::history::{Bounds, ReadPlace, Violation};
use super::isolation::Isolation;
use super::request::{FaultPhase, NextNode, Reply, ReplyContext, Request, RequestContext};
use super::topic::{self, PARTITIONS, Value};
use super::view::{Content, SeenBatch};
use crate::ids::{Offset, PartitionIndex, ProducerId};
use crate::record::ControlRecord;
use crate::state::AbortedTransaction;

/// A Fetch: a few batches.
const READ_BYTES_MAX: usize = 1 << 10;

pub(super) struct Reader {
    isolation: Isolation,
    places: Vec<ReadProgress>,
    /// Which partition it reads next.
    turn: usize,
    /// What was certain when it asked for what is current.
    known: Vec<Bounds>,
}

/// How far it has come in one partition.
#[derive(Default)]
struct ReadProgress {
    next: Offset,
    /// What it was given, record by record.
    seen: BTreeMap<Offset, Value>,
    /// Producers in the middle of an aborted transaction.
    aborting: BTreeSet<ProducerId>,
    /// The end of what was current when it last asked.
    current_end: Option<Offset>,
}

impl Reader {
    pub(super) fn new(number: usize) -> Self {
        let isolation = if number.is_multiple_of(2) {
            Isolation::Committed
        } else {
            Isolation::Uncommitted
        };
        Self {
            isolation,
            places: (0..PARTITIONS).map(|_| ReadProgress::default()).collect(),
            turn: 0,
            known: Vec::new(),
        }
    }

    /// Comes to its end in the quiet, once it has read all that was current then.
    pub(super) fn next(&mut self, context: RequestContext<'_>) -> Option<Request> {
        let quiet = context.phase == FaultPhase::Quiet;
        if quiet && self.places.iter().all(ReadProgress::is_at_the_end) {
            context.history.was_read(self.isolation, self.everything());
            return None;
        }
        let asks = context.chance.random_bool(0.25);
        if asks {
            self.known = topic::partitions()
                .map(|partition| context.history.certain(partition))
                .collect();
            return Some(Request::Read);
        }
        Some(Request::Look)
    }

    fn everything(&mut self) -> Vec<ReadPlace> {
        let place = |place: &mut ReadProgress| ReadPlace {
            seen: std::mem::take(&mut place.seen),
            end: place.next,
        };
        self.places.iter_mut().map(place).collect()
    }

    pub(super) fn hear(&mut self, said: Reply, context: &mut ReplyContext<'_>) -> NextNode {
        match said {
            Reply::Readable(Ok(())) => self.see_what_is_current(context),
            Reply::Readable(Err(_)) => return NextNode::Elsewhere,
            Reply::Shown => self.read_on(context),
            said => unreachable!("{said:?} answers no question of a reader"),
        }
        NextNode::Stay
    }

    fn see_what_is_current(&mut self, context: &mut ReplyContext<'_>) {
        context.coverage.count("current reads");
        for (partition, known) in topic::partitions().zip(std::mem::take(&mut self.known)) {
            let shown = Bounds::of(context.view.partition(partition));
            let node = context.view.node;
            context
                .history
                .shown_as_current(node, partition, known, shown);
            self.places[partition.0 as usize].current_end =
                (context.phase == FaultPhase::Quiet).then_some(shown.end(self.isolation));
        }
        self.read_on(context);
    }

    fn read_on(&mut self, context: &mut ReplyContext<'_>) {
        self.turn = (self.turn + 1) % self.places.len();
        let partition = PartitionIndex(u32::try_from(self.turn).expect("few"));
        let Some(bounds) = context.view.partition(partition) else {
            return;
        };
        let below = Bounds::of(Some(bounds)).end(self.isolation);
        let place = &mut self.places[self.turn];
        place.skip_to(bounds.log_start_offset());
        if below <= place.next {
            return;
        }
        let aborted = aborted(bounds.aborted_in(place.next, below));
        match context
            .view
            .read(partition, place.next, below, READ_BYTES_MAX)
        {
            Ok(batches) => place.take(partition, batches, &aborted, self.isolation, context),
            Err(error) => context.damage = Some(Failure::of(&error)),
        }
    }
}

/// By their beginning, as a client takes them.
fn aborted(found: impl Iterator<Item = AbortedTransaction>) -> Vec<AbortedTransaction> {
    let mut aborted: Vec<_> = found.collect();
    aborted.sort_by_key(|aborted| aborted.first_offset);
    aborted
}

impl ReadProgress {
    /// Records before this were deleted.
    fn skip_to(&mut self, log_start: Offset) {
        if self.next < log_start {
            self.next = log_start;
            self.aborting.clear();
        }
    }

    fn is_at_the_end(&self) -> bool {
        self.current_end.is_some_and(|end| end <= self.next)
    }

    fn take(
        &mut self,
        partition: PartitionIndex,
        batches: Vec<SeenBatch>,
        aborted: &[AbortedTransaction],
        isolation: Isolation,
        context: &mut ReplyContext<'_>,
    ) {
        let mut aborted = aborted.iter().peekable();
        for batch in batches {
            let (first, next) = (batch.header.base_offset, batch.header.next_offset());
            if self.next < first || next <= self.next {
                context.history.violated(Violation::Hole {
                    partition,
                    expected: self.next,
                    found: first,
                });
                return;
            }
            while let Some(begun) = aborted.next_if(|begun| begun.first_offset < next) {
                self.aborting.insert(begun.producer);
            }
            self.take_batch(partition, &batch, isolation, context);
            self.next = next;
        }
    }

    fn take_batch(
        &mut self,
        partition: PartitionIndex,
        batch: &SeenBatch,
        isolation: Isolation,
        context: &mut ReplyContext<'_>,
    ) {
        let producer = batch.transactional_producer();
        match &batch.content {
            Content::Marker(ControlRecord::Abort) => {
                self.aborting.retain(|aborting| Some(*aborting) != producer);
            }
            Content::Marker(ControlRecord::Commit) => {}
            Content::Values(_) if isolation == Isolation::Committed && self.skips(producer) => {
                context.coverage.count("aborted batches skipped");
            }
            Content::Values(values) => {
                let fresh = values.iter().filter(|(offset, _)| self.next <= *offset);
                for (offset, value) in fresh {
                    context.history.seen(partition, *offset, *value, isolation);
                    self.seen.insert(*offset, *value);
                }
            }
        }
    }

    fn skips(&self, producer: Option<ProducerId>) -> bool {
        producer.is_some_and(|producer| self.aborting.contains(&producer))
    }
}
