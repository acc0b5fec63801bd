//! What was tried, told and seen; and whether the cluster kept its word.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::node::SimNode;
use super::producer::Producer;
use crate::ids::{EntryIndex, LeaderEpoch, Offset, TopicPartition};
use crate::state::Refusal;

/// A promise that broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A record was acknowledged and is not where it was said to be.
    #[error(
        "{partition}: value {value:#x} was acknowledged at offset {offset}, where node {node} has {found:x?}"
    )]
    Lost {
        /// Where.
        partition: TopicPartition,
        /// What.
        value: u64,
        /// Where exactly.
        offset: Offset,
        /// Who should have it.
        node: usize,
        /// What stands there.
        found: Option<u64>,
    },
    /// A value stands in a partition more than once.
    #[error("{partition}: value {value:#x} stands at offsets {offsets:?}")]
    Doubled {
        /// Where.
        partition: TopicPartition,
        /// What.
        value: u64,
        /// Where exactly.
        offsets: Vec<Offset>,
    },
    /// A producer was told that nothing was stored, and it was.
    #[error(
        "{partition}: value {value:#x} stands at offset {offset}, though its producer was told that it was not stored"
    )]
    NotRefused {
        /// Where.
        partition: TopicPartition,
        /// What.
        value: u64,
        /// Where exactly.
        offset: Offset,
    },
    /// A producer's records stand in another order than they were acknowledged in.
    #[error("{partition}: producer {producer}'s offsets fall: {before} then {after}")]
    Reordered {
        /// Where.
        partition: TopicPartition,
        /// Whose.
        producer: usize,
        /// The earlier record's offset.
        before: Offset,
        /// The later record's.
        after: Offset,
    },
    /// Two replicas differ at the same applied index.
    #[error("entry {index}: node {node} is not what another node was there")]
    Diverged {
        /// Where.
        index: EntryIndex,
        /// Who.
        node: usize,
    },
    /// Two nodes led the same epoch.
    #[error("epoch {epoch}: nodes {first} and {second} both led it")]
    TwoLeaders {
        /// Which.
        epoch: LeaderEpoch,
        /// One.
        first: usize,
        /// And the other.
        second: usize,
    },
    /// A correct producer was refused for good.
    #[error("producer {producer} was refused: {refusal}")]
    Refused {
        /// Who.
        producer: usize,
        /// Why.
        refusal: String,
    },
    /// The faults stopped and the cluster did not serve again.
    #[error("{waiting} producers still wait {within:?} after the last fault")]
    NoRecovery {
        /// How many.
        waiting: usize,
        /// How long.
        within: Duration,
    },
}

#[derive(Default)]
pub(super) struct History {
    acknowledged: Vec<(usize, TopicPartition, u64, Offset)>,
    tried: BTreeSet<(TopicPartition, u64)>,
    not_stored: BTreeSet<u64>,
    applied: BTreeMap<EntryIndex, u64>,
    leaders: BTreeMap<LeaderEpoch, usize>,
    violation: Option<Violation>,
}

impl History {
    pub(super) fn tries(&mut self, producer: &Producer) {
        self.tried.extend(producer.written());
    }

    pub(super) fn acknowledged(
        &mut self,
        producer: usize,
        partition: TopicPartition,
        value: u64,
        offset: Offset,
    ) {
        self.acknowledged.push((producer, partition, value, offset));
    }

    pub(super) fn certainly_not_stored(&mut self, value: u64) {
        self.not_stored.insert(value);
    }

    pub(super) fn refused(&mut self, producer: usize, refusal: &Refusal) {
        self.violation.get_or_insert(Violation::Refused {
            producer,
            refusal: refusal.to_string(),
        });
    }

    pub(super) fn applied(&mut self, node: usize, index: EntryIndex, fingerprint: u64) {
        if *self.applied.entry(index).or_insert(fingerprint) != fingerprint {
            self.violation
                .get_or_insert(Violation::Diverged { index, node });
        }
    }

    pub(super) fn leads(&mut self, node: usize, epoch: LeaderEpoch) {
        let first = *self.leaders.entry(epoch).or_insert(node);
        if first != node {
            self.violation.get_or_insert(Violation::TwoLeaders {
                epoch,
                first,
                second: node,
            });
        }
    }

    pub(super) fn take_violation(&mut self) -> Option<Violation> {
        self.violation.take()
    }

    /// Reads every node's partitions and holds them against what was told.
    pub(super) fn check(&self, nodes: &[SimNode]) -> Result<(), Violation> {
        let partitions: BTreeSet<&TopicPartition> =
            self.tried.iter().map(|(partition, _)| partition).collect();
        for (node, sim) in nodes.iter().enumerate() {
            for partition in &partitions {
                self.check_partition(node, partition, &sim.values(partition))?;
            }
        }
        self.check_order()
    }

    fn check_partition(
        &self,
        node: usize,
        partition: &TopicPartition,
        found: &BTreeMap<Offset, u64>,
    ) -> Result<(), Violation> {
        for (_, acknowledged_in, value, offset) in &self.acknowledged {
            let found = found.get(offset).copied();
            if acknowledged_in == partition && found != Some(*value) {
                let partition = partition.clone();
                return Err(Violation::Lost {
                    partition,
                    value: *value,
                    offset: *offset,
                    node,
                    found,
                });
            }
        }
        let mut offsets: BTreeMap<u64, Vec<Offset>> = BTreeMap::new();
        for (offset, value) in found {
            offsets.entry(*value).or_default().push(*offset);
            if self.not_stored.contains(value) {
                let partition = partition.clone();
                return Err(Violation::NotRefused {
                    partition,
                    value: *value,
                    offset: *offset,
                });
            }
        }
        match offsets.into_iter().find(|(_, offsets)| offsets.len() != 1) {
            Some((value, offsets)) => Err(Violation::Doubled {
                partition: partition.clone(),
                value,
                offsets,
            }),
            None => Ok(()),
        }
    }

    fn check_order(&self) -> Result<(), Violation> {
        let mut last: BTreeMap<(usize, &TopicPartition), Offset> = BTreeMap::new();
        for (producer, partition, _, offset) in &self.acknowledged {
            let before = last.insert((*producer, partition), *offset);
            if let Some(before) = before.filter(|before| offset <= before) {
                let partition = partition.clone();
                return Err(Violation::Reordered {
                    partition,
                    producer: *producer,
                    before,
                    after: *offset,
                });
            }
        }
        Ok(())
    }
}
