//! The state as bytes, for the checkpoint: one version byte, then postcard. All maps are ordered, so equal states have
//! equal bytes, on every replica.
//!
//! Version 2 has the clock's jumps behind what version 1 has. It is written once the cluster's level allows it: until then
//! another replica's software may read version 1 only.

use serde::{Deserialize, Serialize};

use super::State;
use super::clock_jumps::ClockJumps;
use super::feature_level::FeatureLevel;
use super::groups::Groups;
use super::node::Nodes;
use super::producer::ProducerRegistry;
use super::topics::Topics;
use super::transactions::Transactions;
use crate::ids::{EntryIndex, LeaderEpoch, TimestampMs};

/// The version of the encoding, the first byte.
const VERSION: u8 = 2;
/// Before [`FeatureLevel::WITNESSED_TIME`].
const VERSION_WITHOUT_JUMPS: u8 = 1;

/// Why a replica cannot read a checkpoint's state. It must stop: without it there is nothing to go on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateDecodeError {
    /// No bytes at all.
    #[error("empty state")]
    Empty,
    /// Written by software of another encoding.
    #[error("state encoding {found}, this software reads 1 to {VERSION}")]
    Version {
        /// The version byte.
        found: u8,
    },
    /// The bytes are no state.
    #[error("state damaged")]
    Damaged,
    /// The cluster works at a level that this software does not have.
    #[error("feature level {found}, this software has {}", FeatureLevel::LATEST)]
    FeatureLevel {
        /// The level.
        found: FeatureLevel,
    },
}

/// What stands in a checkpoint: borrowed for writing, owned after reading.
#[derive(Serialize, Deserialize)]
struct CheckpointFields<Topics, Producers, Transactions, Groups, Nodes> {
    applied: EntryIndex,
    epoch: LeaderEpoch,
    clock: TimestampMs,
    topics: Topics,
    producers: Producers,
    transactions: Transactions,
    groups: Groups,
    nodes: Nodes,
}

type Owned = CheckpointFields<Topics, ProducerRegistry, Transactions, Groups, Nodes>;

impl State {
    /// The state as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let kept = CheckpointFields {
            applied: self.applied,
            epoch: self.epoch,
            clock: self.clock,
            topics: &self.topics,
            producers: &self.producers,
            transactions: &self.transactions,
            groups: &self.groups,
            nodes: &self.nodes,
        };
        let known = "memory is written to, and every length is known";
        if !self.notes_jumps() {
            return postcard::to_extend(&kept, vec![VERSION_WITHOUT_JUMPS]).expect(known);
        }
        let bytes = postcard::to_extend(&kept, vec![VERSION]).expect(known);
        postcard::to_extend(&self.clock_jumps, bytes).expect(known)
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`StateDecodeError`]: the replica must stop.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateDecodeError> {
        let (version, value) = bytes.split_first().ok_or(StateDecodeError::Empty)?;
        if ![VERSION_WITHOUT_JUMPS, VERSION].contains(version) {
            return Err(StateDecodeError::Version { found: *version });
        }
        let damaged = |_| StateDecodeError::Damaged;
        let (kept, rest) = postcard::take_from_bytes::<Owned>(value).map_err(damaged)?;
        let (clock_jumps, rest) = match *version {
            VERSION_WITHOUT_JUMPS => (ClockJumps::default(), rest),
            _ => postcard::take_from_bytes(rest).map_err(damaged)?,
        };
        if !rest.is_empty() {
            return Err(StateDecodeError::Damaged);
        }
        let CheckpointFields {
            applied,
            epoch,
            clock,
            topics,
            producers,
            transactions,
            groups,
            nodes,
        } = kept;
        if FeatureLevel::LATEST < nodes.feature_level {
            return Err(StateDecodeError::FeatureLevel {
                found: nodes.feature_level,
            });
        }
        Ok(Self {
            applied,
            epoch,
            clock,
            topics,
            producers,
            transactions,
            groups,
            nodes,
            clock_jumps,
        })
    }
}
