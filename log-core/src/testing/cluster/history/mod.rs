//! What was tried, told and seen; and whether the cluster kept its word.

mod bounds;
mod groups;
mod open_transactions;
mod retained;
mod transactions;
mod violation;
mod voters;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use self::bounds::Bounds;
use self::groups::Groups;
use self::open_transactions::OpenTransactions;
use self::retained::Retained;
use self::transactions::Transactions;
pub(super) use self::transactions::{TransactionKey, TransactionResult};
pub use self::violation::Violation;
use self::voters::Voters;
use super::disks::OnDisks;
use super::isolation::Isolation;
use super::topic::Value;
use super::view::{self, View};
use super::voters::NewVoters;
use crate::consensus::Message;
use crate::group::GroupError;
use crate::ids::{
    EntryIndex, Generation, LeaderEpoch, MemberId, Offset, PartitionIndex, ReplicaId,
    TransactionalId,
};
use crate::state::CommandError;

/// What a reader was given, partition by partition.
struct Reading {
    isolation: Isolation,
    places: Vec<ReadPlace>,
}

/// What it was given of one partition.
pub(super) struct ReadPlace {
    pub(super) seen: BTreeMap<Offset, Value>,
    /// How far it came.
    pub(super) end: Offset,
}

struct Acknowledged {
    client: usize,
    partition: PartitionIndex,
    value: Value,
    offset: Offset,
}

#[derive(Default)]
pub(super) struct History {
    acknowledged: Vec<Acknowledged>,
    not_stored: BTreeSet<Value>,
    transactions: Transactions,
    groups: Groups,
    seen: BTreeMap<(PartitionIndex, Offset), Value>,
    readings: Vec<Reading>,
    applied: BTreeMap<EntryIndex, u64>,
    leaders: BTreeMap<LeaderEpoch, usize>,
    /// What everybody who asks from now on must be shown.
    certain: BTreeMap<PartitionIndex, Bounds>,
    /// What the node that was furthest showed.
    furthest: BTreeMap<PartitionIndex, (EntryIndex, Bounds)>,
    /// Which transactions are open, and since when.
    open: OpenTransactions,
    retained: Retained,
    voters: Voters,
    violation: Option<Violation>,
}

/// What clients are told.
impl History {
    pub(super) fn acknowledged(
        &mut self,
        client: usize,
        partition: PartitionIndex,
        value: Value,
        offset: Offset,
    ) {
        self.acknowledged.push(Acknowledged {
            client,
            partition,
            value,
            offset,
        });
        let certain = self.certain.entry(partition).or_default();
        certain.high_watermark = certain.high_watermark.max(offset.plus(1));
    }

    pub(super) fn certainly_not_stored(&mut self, value: Value) {
        self.not_stored.insert(value);
    }

    pub(super) fn refused(&mut self, client: usize, refusal: &CommandError) {
        self.violated(Violation::Refused {
            client,
            refusal: refusal.to_string(),
        });
    }

    pub(super) fn wronged(&mut self, client: usize, error: &GroupError) {
        self.violated(Violation::Refused {
            client,
            refusal: error.to_string(),
        });
    }

    pub(super) fn writes_in_transaction(&mut self, key: TransactionKey, value: Value) {
        self.transactions.writes(key, value);
    }

    pub(super) fn written_in_transaction(
        &mut self,
        key: TransactionKey,
        client: usize,
        (partition, offset): (PartitionIndex, Offset),
        value: Value,
    ) {
        self.transactions.written(key, value);
        self.acknowledged(client, partition, value, offset);
    }

    pub(super) fn asks_to_commit(&mut self, key: TransactionKey) {
        self.transactions.asks_to_commit(key);
    }

    pub(super) fn transaction_ended(&mut self, key: TransactionKey, fate: TransactionResult) {
        self.transactions.ended(key, fate);
    }

    pub(super) fn transaction_moved_offset(
        &mut self,
        key: TransactionKey,
        partition: PartitionIndex,
        offset: Offset,
    ) {
        let moved = self.transactions.moved_offset(key, partition, offset);
        self.hold(moved);
    }

    /// The latest generation that somebody relies on.
    pub(super) fn generation_begun(&self) -> Generation {
        self.groups.begun()
    }

    pub(super) fn assigned(
        &mut self,
        generation: Generation,
        owner: String,
        partitions: &[PartitionIndex],
    ) {
        let assigned = self.groups.assigned(generation, owner, partitions);
        self.hold(assigned);
    }

    /// A node has answered a member of a generation, where its own state has this one recorded.
    pub(super) fn coordinated(
        &mut self,
        node: usize,
        generation: Generation,
        recorded: Generation,
    ) {
        if generation < recorded {
            self.violated(Violation::OldCoordinator {
                node,
                generation,
                recorded,
            });
        }
    }

    /// A member's commit counts; `begun` was the latest generation when it was asked for.
    pub(super) fn member_committed(
        &mut self,
        member: &MemberId,
        generation: Generation,
        begun: Generation,
    ) {
        if generation < begun {
            self.violated(Violation::FencedMemberCommitted {
                member: member.clone(),
                generation,
                current: begun,
            });
        }
    }
}

/// What clients are shown.
impl History {
    pub(super) fn seen(
        &mut self,
        partition: PartitionIndex,
        offset: Offset,
        value: Value,
        isolation: Isolation,
    ) {
        let before = *self.seen.entry((partition, offset)).or_insert(value);
        if before != value {
            self.violated(Violation::Changed {
                partition,
                offset,
                before,
                after: value,
            });
        }
        if isolation == Isolation::Committed && !self.transactions.may_count(value) {
            self.violated(Violation::AbortedSeen {
                partition,
                value,
                offset,
            });
        }
    }

    /// What a read that begins now must show.
    pub(super) fn certain(&self, partition: PartitionIndex) -> Bounds {
        self.certain.get(&partition).copied().unwrap_or_default()
    }

    /// A read that was said to be current showed this; later ones must not show less.
    pub(super) fn shown_as_current(
        &mut self,
        node: usize,
        partition: PartitionIndex,
        known: Bounds,
        shown: Bounds,
    ) {
        if !known.are_within(shown) {
            self.violated(Violation::StaleRead {
                partition,
                node,
                known,
                shown,
            });
        }
        let certain = self.certain.entry(partition).or_default();
        *certain = certain.joined(shown);
    }

    /// A reader has come to the end.
    pub(super) fn was_read(&mut self, isolation: Isolation, places: Vec<ReadPlace>) {
        self.readings.push(Reading { isolation, places });
    }

    pub(super) fn violated(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    fn hold(&mut self, kept: Result<(), Violation>) {
        if let Err(violation) = kept {
            self.violated(violation);
        }
    }

    pub(super) fn take_violation(&mut self) -> Option<Violation> {
        self.violation.take()
    }
}

/// What nodes are seen to be.
impl History {
    /// A node's folder promises an earlier epoch than the node did.
    pub(super) fn forgot(&mut self, node: usize, promised: LeaderEpoch, found: LeaderEpoch) {
        self.violated(Violation::PromiseForgotten {
            node,
            promised,
            found,
        });
    }

    /// A node has applied more; whether records are gone by that. `fingerprint` is of its whole state.
    pub(super) fn applied(&mut self, view: &View<'_>, fingerprint: u64, now: Duration) -> bool {
        let index = view.applied;
        if *self.applied.entry(index).or_insert(fingerprint) != fingerprint {
            self.violated(Violation::Diverged {
                index,
                node: view.node,
            });
        }
        for partition in super::topic::partitions() {
            self.observe_bounds(view, partition);
        }
        let observed = self.groups.observe(view);
        self.hold(observed);
        self.open.observe(view, now);
        match self.retained.observe(view) {
            Ok(gone) => gone,
            Err(violation) => {
                self.violated(violation);
                true
            }
        }
    }

    /// A leader found the transaction of an id open for too long, and aborted it.
    pub(super) fn overdue(&mut self, id: &TransactionalId, now: Duration) {
        let timely = self.open.overdue(id, now);
        self.hold(timely);
    }

    fn observe_bounds(&mut self, view: &View<'_>, partition: PartitionIndex) {
        let after = Bounds::of(view.partition(partition));
        let furthest = self.furthest.entry(partition).or_default();
        let (index, before) = *furthest;
        if view.applied < index {
            return;
        }
        *furthest = (view.applied, after);
        if Offset(0) < after.log_start {
            // Nobody asks for a deletion, and nothing lives as long as the retention.
            let log_start = after.log_start;
            self.violated(Violation::DeletedEarly {
                partition,
                log_start,
            });
        }
        if !before.are_within(after) {
            self.violated(Violation::BoundsFell {
                partition,
                index: view.applied,
                before,
                after,
            });
        }
    }

    pub(super) fn broke(&mut self, node: usize, error: &str) {
        self.violated(Violation::Broke {
            node,
            error: error.to_owned(),
        });
    }

    pub(super) fn slow_leader_leads_on(&mut self, node: usize, epoch: LeaderEpoch) {
        self.violated(Violation::SlowLeader { node, epoch });
    }

    /// A message leaves a node.
    pub(super) fn sent(&mut self, message: &Message) {
        self.voters.sent(message);
    }

    /// A node has acknowledged a record.
    pub(super) fn on_disks(&mut self, node: usize, me: ReplicaId, acknowledged: &OnDisks) {
        let kept = self.voters.on_disks(node, me, acknowledged);
        self.hold(kept);
    }

    /// A leader has changed who votes.
    pub(super) fn voters_changed(&mut self, node: usize, new: &NewVoters) {
        let proved = self.voters.changed(node, new);
        self.hold(proved);
    }

    pub(super) fn leads(&mut self, node: usize, epoch: LeaderEpoch) {
        let first = *self.leaders.entry(epoch).or_insert(node);
        if first != node {
            self.violated(Violation::TwoLeaders {
                epoch,
                first,
                second: node,
            });
        }
    }
}

/// What is left at the end.
impl History {
    /// Reads every node's partitions and holds them against what was told and shown.
    pub(super) fn check(&self, views: &[View<'_>]) -> Result<(), Violation> {
        for partition in super::topic::partitions() {
            let first = Contents::of(&views[0], partition)?;
            for view in &views[1..] {
                let other = Contents::of(view, partition)?;
                if other != first {
                    let node = view.node;
                    return Err(Violation::DifferentBytes { partition, node });
                }
            }
            self.check_partition(partition, &first)?;
        }
        self.check_order()?;
        self.check_transactions(&views[0])
    }

    fn check_partition(
        &self,
        partition: PartitionIndex,
        contents: &Contents,
    ) -> Result<(), Violation> {
        let kept = |offset: Offset| contents.log_start <= offset;
        for acknowledged in &self.acknowledged {
            let (value, offset) = (acknowledged.value, acknowledged.offset);
            let found = contents.written.get(&offset).copied();
            if acknowledged.partition == partition && kept(offset) && found != Some(value) {
                return Err(Violation::Lost {
                    partition,
                    value,
                    offset,
                    node: 0,
                    found,
                });
            }
        }
        self.check_values(partition, &contents.written)?;
        for reading in &self.readings {
            let there = match reading.isolation {
                Isolation::Uncommitted => &contents.written,
                Isolation::Committed => &contents.committed,
            };
            let read = &reading.places[partition.0 as usize];
            check_reading(partition, contents.log_start, read, there)?;
        }
        Ok(())
    }

    fn check_values(
        &self,
        partition: PartitionIndex,
        written: &BTreeMap<Offset, Value>,
    ) -> Result<(), Violation> {
        let mut offsets: BTreeMap<Value, Vec<Offset>> = BTreeMap::new();
        for (&offset, &value) in written {
            offsets.entry(value).or_default().push(offset);
            if self.not_stored.contains(&value) {
                return Err(Violation::NotRefused {
                    partition,
                    value,
                    offset,
                });
            }
        }
        match offsets.into_iter().find(|(_, offsets)| offsets.len() != 1) {
            Some((value, offsets)) => Err(Violation::Doubled {
                partition,
                value,
                offsets,
            }),
            None => Ok(()),
        }
    }

    fn check_order(&self) -> Result<(), Violation> {
        let mut last: BTreeMap<(usize, PartitionIndex), Offset> = BTreeMap::new();
        for acknowledged in &self.acknowledged {
            let (client, partition, after) = (
                acknowledged.client,
                acknowledged.partition,
                acknowledged.offset,
            );
            let before = last.insert((client, partition), after);
            if let Some(before) = before.filter(|before| after <= *before) {
                return Err(Violation::Reordered {
                    partition,
                    client,
                    before,
                    after,
                });
            }
        }
        Ok(())
    }

    /// Transactions whose records were deleted in part cannot be judged.
    fn check_transactions(&self, view: &View<'_>) -> Result<(), Violation> {
        let mut counts = BTreeSet::new();
        for partition in super::topic::partitions() {
            let contents = Contents::of(view, partition)?;
            if contents.log_start != Offset(0) {
                return Ok(());
            }
            counts.extend(contents.committed.values().copied());
        }
        self.transactions.check(&counts)
    }
}

/// What a node holds of a partition.
#[derive(PartialEq, Eq)]
struct Contents {
    log_start: Offset,
    /// Each batch's place, size and checksum.
    batches: Vec<(Offset, usize, u32, Option<LeaderEpoch>)>,
    written: BTreeMap<Offset, Value>,
    committed: BTreeMap<Offset, Value>,
}

impl Contents {
    fn of(view: &View<'_>, partition: PartitionIndex) -> Result<Self, Violation> {
        let batches = view.read_all(partition).map_err(|error| Violation::Broke {
            node: view.node,
            error: error.to_string(),
        })?;
        let mark = |batch: &view::SeenBatch| {
            let header = batch.header;
            (
                header.base_offset,
                header.size_bytes,
                header.crc,
                header.leader_epoch,
            )
        };
        Ok(Self {
            log_start: Bounds::of(view.partition(partition)).log_start,
            batches: batches.iter().map(mark).collect(),
            written: view::written(&batches),
            committed: view::committed(&batches),
        })
    }
}

/// A reader may have been given more than is left, and nothing else.
fn check_reading(
    partition: PartitionIndex,
    log_start: Offset,
    read: &ReadPlace,
    there: &BTreeMap<Offset, Value>,
) -> Result<(), Violation> {
    let range = log_start..read.end.max(log_start);
    let offsets = read.seen.range(range.clone()).chain(there.range(range));
    for offset in offsets.map(|(offset, _)| *offset) {
        let (seen, there) = (read.seen.get(&offset).copied(), there.get(&offset).copied());
        if seen != there {
            return Err(Violation::Misread {
                partition,
                offset,
                seen,
                there,
            });
        }
    }
    Ok(())
}
