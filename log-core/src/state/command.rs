//! What an entry of the journal says: a command, the epoch of who proposed it, and its time.
//!
//! Encoded as one version byte and the value in postcard's encoding. New commands are added at the end of [`Command`],
//! new shapes of an old one are new commands; a replicated feature level keeps a leader from proposing what another
//! replica cannot read (DESIGN rule 17), and a replica that meets such a thing nevertheless must stop.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::node::{FeatureLevel, Listener};
use crate::ids::{LeaderEpoch, NodeId, ReplicaId, TimestampMs, TopicId, TopicName, TopicPartition};

/// The version of the encoding, the first byte of every envelope.
const VERSION: u8 = 1;

/// An entry's payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The epoch in which it was proposed. In an entry of another epoch the command changes nothing: its proposer was
    /// no longer the leader, and has told its client so.
    pub proposer: LeaderEpoch,
    /// The proposer's clock, never before the previous command's time.
    pub at: TimestampMs,
    /// What is to be done.
    pub command: Command,
}

/// What is to be done, by every replica alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Make a topic.
    CreateTopic(CreateTopic),
    /// Remove a topic with all its records.
    DeleteTopic(DeleteTopic),
    /// Append a batch.
    Produce(Produce),
    /// Give out a producer id without a transactional id.
    AllocateProducerId,
    /// Forget producers.
    ExpireProducers(ExpireProducers),
    /// A broker says where it is reached.
    RegisterNode(RegisterNode),
    /// A broker has left for good.
    UnregisterNode(UnregisterNode),
    /// Allow what the present software can do.
    RaiseFeatureLevel(RaiseFeatureLevel),
}

/// Make a topic. Answered by [`super::Response::TopicCreated`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTopic {
    /// Its name.
    pub name: TopicName,
    /// Its identity, random, from the leader.
    pub id: TopicId,
    /// How many partitions.
    pub partitions: u32,
    /// How many replicas its creator asked for; the door has checked it against the voters.
    pub replication_factor: u16,
    /// Settings that differ from the defaults.
    pub configs: BTreeMap<String, String>,
}

/// Remove a topic. By identity, so that one made again under the same name stays. Answered by [`super::Response::Done`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTopic {
    /// Which.
    pub id: TopicId,
}

/// Append a batch. Answered by [`super::Response::Produced`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Produce {
    /// The identity of the topic that the leader meant.
    pub topic_id: TopicId,
    /// Where to.
    pub partition: TopicPartition,
    /// The bytes of a [`crate::record::ValidBatch`].
    pub batch: Bytes,
}

/// Forget producers that were idle. Answered by [`super::Response::Expired`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpireProducers {
    /// Those last used before this time (`producer.id.expiration.ms` ago).
    pub used_before: TimestampMs,
}

/// A broker says where it is reached. Answered by [`super::Response::Done`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterNode {
    /// Its broker id.
    pub node: NodeId,
    /// Its Raft id.
    pub replica: ReplicaId,
    /// Its advertised listeners.
    pub listeners: Vec<Listener>,
    /// Where it stands (`broker.rack`).
    pub rack: Option<String>,
    /// The highest feature level its software has.
    pub feature_level_max: FeatureLevel,
}

/// A broker has left. Answered by [`super::Response::Done`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnregisterNode {
    /// Its broker id.
    pub node: NodeId,
}

/// Allow what the present software can do. Answered by [`super::Response::Done`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaiseFeatureLevel {
    /// Up to where.
    pub level: FeatureLevel,
}

/// Why a replica cannot read a command that the cluster has committed. It must stop: going on without it would make its
/// state another than its peers'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// No bytes at all; an empty payload is a leader's first entry, which is no command.
    #[error("empty command")]
    Empty,
    /// Written by software of another encoding.
    #[error("command encoding {found}, this software reads {VERSION}")]
    Version {
        /// The version byte.
        found: u8,
    },
    /// A command this software does not have, or bytes that are none.
    #[error("command this software does not know, or damaged")]
    Unknown,
    /// A feature level this software does not have.
    #[error("feature level {found}, this software has {}", FeatureLevel::LATEST)]
    FeatureLevel {
        /// The level.
        found: FeatureLevel,
    },
}

impl Envelope {
    /// The entry's payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.command.bytes_estimate());
        bytes.push(VERSION);
        postcard::to_extend(self, bytes).expect("memory is written to, and every length is known")
    }

    /// Reads an entry's payload.
    ///
    /// # Errors
    /// [`EnvelopeError`]: the replica must stop.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let (version, value) = bytes.split_first().ok_or(EnvelopeError::Empty)?;
        if *version != VERSION {
            return Err(EnvelopeError::Version { found: *version });
        }
        let (envelope, rest) =
            postcard::take_from_bytes::<Self>(value).map_err(|_| EnvelopeError::Unknown)?;
        if !rest.is_empty() {
            return Err(EnvelopeError::Unknown);
        }
        match &envelope.command {
            Command::RaiseFeatureLevel(raise) if FeatureLevel::LATEST < raise.level => {
                Err(EnvelopeError::FeatureLevel { found: raise.level })
            }
            _ => Ok(envelope),
        }
    }
}

impl Command {
    /// About how many bytes it takes encoded, never less: batches are counted, the rest is small.
    pub fn bytes_estimate(&self) -> usize {
        // The envelope, lengths and a partition with the longest topic name.
        const FRAME: usize = 512;
        FRAME + self.payload_bytes()
    }

    fn payload_bytes(&self) -> usize {
        match self {
            Self::Produce(produce) => produce.batch.len(),
            Self::CreateTopic(create) => create
                .configs
                .iter()
                .map(|(key, value)| key.len() + value.len() + 10)
                .sum(),
            Self::RegisterNode(register) => {
                let listeners = register
                    .listeners
                    .iter()
                    .map(|one| one.name.len() + one.host.len() + 20);
                listeners.sum::<usize>() + register.rack.as_ref().map_or(0, String::len)
            }
            Self::DeleteTopic(_)
            | Self::AllocateProducerId
            | Self::ExpireProducers(_)
            | Self::UnregisterNode(_)
            | Self::RaiseFeatureLevel(_) => 0,
        }
    }
}
