//! What one node asks another, and what it tells it without being asked. Bytes <-> values; no sockets.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::handshake::WITH_PARTITION_FILES;
use crate::consensus::Quorum;
use crate::ids::{
    EntryIndex, NodeId, ProducerEpoch, ProducerId, ReplicaId, TimestampMs, TopicName,
    TransactionalId,
};
use crate::node::disk_room::RoomReport;
use crate::node::{Outcome, ProposeError};
use crate::state::{Command, CommandError, FeatureLevel, Response};
use crate::storage::ClusterIdentity;

/// Who a node is and what it knows: its side of forming a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker) struct NodeInfo {
    pub(super) node: NodeId,
    pub(super) replica: ReplicaId,
    /// Where it listens for its peers.
    pub(super) address: String,
    /// The cluster it is part of. Without one its data folder is empty.
    pub(super) formed: Option<ClusterIdentity>,
    /// The nodes it was told to form a cluster with, itself included, ordered.
    pub(super) listed: Vec<NodeId>,
    pub(super) feature_level_max: FeatureLevel,
}

/// The answer to a node's information about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NodeInfoReply {
    pub(super) me: NodeInfo,
    /// Whether the caller is a member of the answerer's cluster by now.
    pub(super) admitted: bool,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PeerRequest {
    /// This is who I am; who are you?
    WhoAreYou(NodeInfo),
    /// Propose this, as the leader.
    Forward(ForwardedCommand),
    /// A piece of a snapshot's file.
    Chunk {
        /// Which snapshot: the last entry it covers.
        applied: EntryIndex,
        /// Which of its files.
        file: u32,
        /// From which byte on.
        position: u64,
    },
}

/// What a node may ask the leader to propose: what concerns the node itself, no record at all, or a topic with the defaults. Everything else is
/// proposed by the leader alone (rule 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ForwardedCommand(Command);

impl ForwardedCommand {
    /// Takes a command that may be forwarded; gives another one back.
    pub(super) fn new(command: Command) -> Result<Self, Command> {
        match command {
            Command::RegisterNode(_) | Command::AllocateProducerId | Command::InitProducerId(_) => {
                Ok(Self(command))
            }
            // One that a client asked for by its name alone: whatever is set is judged by the leader that is asked to.
            Command::CreateTopic(ref create) if create.configs.is_empty() => Ok(Self(command)),
            other => Err(other),
        }
    }

    pub(super) fn into_command(self) -> Command {
        self.0
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PeerResponse {
    /// To [`PeerRequest::WhoAreYou`].
    NodeInfo(NodeInfoReply),
    /// To [`PeerRequest::Forward`].
    Forward(ForwardResult),
    /// To [`PeerRequest::Chunk`].
    Chunk(Bytes),
    /// To [`PeerRequest::Chunk`]: there is no such snapshot any more.
    NotHeld,
    /// To anything: the node cannot, just now.
    Unable,
}

/// What became of a forwarded command: the part of [`Outcome`] and [`ProposeError`] that such commands can have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ForwardResult {
    Done,
    ProducerId {
        id: ProducerId,
        epoch: ProducerEpoch,
    },
    Deposed,
    ProducerFenced {
        id: TransactionalId,
        producer: ProducerId,
        found: ProducerEpoch,
        current: ProducerEpoch,
    },
    InvalidProducerIdMapping {
        id: TransactionalId,
        producer: ProducerId,
    },
    FeatureLevelUnsupported {
        level: FeatureLevel,
        node: NodeId,
    },
    NotLeader,
    Dropped,
    OutcomeUnknown,
    TopicExists {
        name: TopicName,
    },
}

impl ForwardResult {
    pub(super) fn of(outcome: Result<Outcome, ProposeError>) -> Self {
        match outcome {
            Ok(Ok(response)) => Self::of_response(&response),
            Ok(Err(refusal)) => Self::of_command_error(refusal),
            Err(ProposeError::NotLeader) => Self::NotLeader,
            Err(
                ProposeError::Dropped
                | ProposeError::TooLarge
                | ProposeError::DiskFull
                | ProposeError::NotEnoughReplicas { .. }
                | ProposeError::TooManyPartitions(_),
            ) => Self::Dropped,
            Err(
                ProposeError::OutcomeUnknown
                | ProposeError::NotInTime
                | ProposeError::NotOnDisks { .. }
                | ProposeError::Stopped,
            ) => Self::OutcomeUnknown,
        }
    }

    fn of_response(response: &Response) -> Self {
        match *response {
            Response::ProducerId { id, epoch } => Self::ProducerId { id, epoch },
            _ => Self::Done,
        }
    }

    fn of_command_error(refusal: CommandError) -> Self {
        match refusal {
            CommandError::ProposerDeposed => Self::Deposed,
            CommandError::ProducerFenced {
                id,
                producer,
                found,
                current,
            } => Self::ProducerFenced {
                id,
                producer,
                found,
                current,
            },
            CommandError::InvalidProducerIdMapping { id, producer } => {
                Self::InvalidProducerIdMapping { id, producer }
            }
            CommandError::FeatureLevelUnsupported { level, node } => {
                Self::FeatureLevelUnsupported { level, node }
            }
            CommandError::TopicExists { name } => Self::TopicExists { name },
            // None that the commands in `ForwardedCommand` are answered with; the forwarding node tries again and sees.
            _ => Self::OutcomeUnknown,
        }
    }

    /// As if it had been proposed here.
    ///
    /// # Errors
    /// [`ProposeError`], as at the leader.
    pub(super) fn into_outcome(self) -> Result<Outcome, ProposeError> {
        match self {
            Self::Done => Ok(Ok(Response::Done)),
            Self::ProducerId { id, epoch } => Ok(Ok(Response::ProducerId { id, epoch })),
            Self::Deposed => Ok(Err(CommandError::ProposerDeposed)),
            Self::ProducerFenced {
                id,
                producer,
                found,
                current,
            } => Ok(Err(CommandError::ProducerFenced {
                id,
                producer,
                found,
                current,
            })),
            Self::InvalidProducerIdMapping { id, producer } => {
                Ok(Err(CommandError::InvalidProducerIdMapping { id, producer }))
            }
            Self::FeatureLevelUnsupported { level, node } => {
                Ok(Err(CommandError::FeatureLevelUnsupported { level, node }))
            }
            Self::TopicExists { name } => Ok(Err(CommandError::TopicExists { name })),
            Self::NotLeader => Err(ProposeError::NotLeader),
            Self::Dropped => Err(ProposeError::Dropped),
            Self::OutcomeUnknown => Err(ProposeError::OutcomeUnknown),
        }
    }
}

/// How a node is, told again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Status {
    /// The room on its disk.
    pub(super) room: RoomReport,
    /// From a leader: who decides, and how far they are.
    pub(super) quorum: Option<Quorum>,
    /// How many files of partitions it keeps open; an older node does not say.
    #[serde(skip)]
    pub(super) partition_files_max: Option<u32>,
    /// What its wall clock shows; an older node does not say.
    #[serde(skip)]
    pub(super) wall: Option<TimestampMs>,
}

/// Bytes of a question, an answer or a status.
pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain values encode")
}

impl Status {
    /// Its bytes for an end that speaks `version`. What a version adds is appended.
    pub(super) fn encode(&self, version: u16) -> Vec<u8> {
        let mut bytes = encode(self);
        if WITH_PARTITION_FILES <= version {
            bytes.extend(encode(&(self.partition_files_max, self.wall)));
        }
        bytes
    }

    /// Reads what an end that speaks `version` says of itself.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(super) fn decode(body: &[u8], version: u16) -> Result<Self, Unreadable> {
        if version < WITH_PARTITION_FILES {
            return decode(body);
        }
        let unreadable = Unreadable { len: body.len() };
        let (status, added): (Self, _) = postcard::take_from_bytes(body).map_err(|_| unreadable)?;
        let (partition_files_max, wall) = decode(added)?;
        Ok(Self {
            partition_files_max,
            wall,
            ..status
        })
    }
}

/// Not what a node of this version says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes are not what a node of this version says")]
pub(super) struct Unreadable {
    len: usize,
}

/// Reads what [`encode`] wrote. Takes no more memory than there are bytes, about.
///
/// # Errors
/// [`Unreadable`].
pub(super) fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Unreadable> {
    let unreadable = Unreadable { len: body.len() };
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(unreadable),
    }
}

/// Reads a question, and refuses one that must not be asked.
///
/// # Errors
/// [`Unreadable`].
pub(super) fn decode_request(body: &[u8]) -> Result<PeerRequest, Unreadable> {
    let unreadable = Unreadable { len: body.len() };
    match decode(body)? {
        PeerRequest::Forward(ForwardedCommand(command)) => ForwardedCommand::new(command)
            .map(PeerRequest::Forward)
            .map_err(|_| unreadable),
        request => Ok(request),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::storage::InitialVoter;

    fn info() -> NodeInfo {
        NodeInfo {
            node: NodeId(1),
            replica: ReplicaId(11),
            address: "localhost:9093".to_owned(),
            formed: Some(ClusterIdentity {
                cluster_id: "a".to_owned(),
                founders: vec![InitialVoter {
                    replica: ReplicaId(11),
                    node: NodeId(1),
                    address: None,
                }],
            }),
            listed: vec![NodeId(1), NodeId(2)],
            feature_level_max: FeatureLevel::LATEST,
        }
    }

    #[test]
    fn questions_and_answers_read_back() {
        for request in [
            PeerRequest::WhoAreYou(info()),
            PeerRequest::Forward(ForwardedCommand(Command::AllocateProducerId)),
            PeerRequest::Chunk {
                applied: EntryIndex(7),
                file: 1,
                position: 1 << 40,
            },
        ] {
            assert_eq!(decode_request(&encode(&request)), Ok(request));
        }
        let answer = PeerResponse::Chunk(Bytes::from_static(b"bytes of a file"));
        assert_eq!(decode(&encode(&answer)), Ok(answer));
    }

    #[test]
    fn an_older_node_reads_a_status_without_what_it_does_not_know() {
        let status = Status {
            room: RoomReport {
                free_bytes: 1 << 40,
                has_room: true,
            },
            quorum: None,
            partition_files_max: Some(2_961),
            wall: Some(TimestampMs(1_800_000_000_000)),
        };
        let old = [0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 1, 0];
        assert_eq!(status.encode(1), old, "the bytes of the first version");
        let untold = Status {
            partition_files_max: None,
            wall: None,
            ..status.clone()
        };
        assert_eq!(Status::decode(&old, 1), Ok(untold));
        assert_eq!(Status::decode(&status.encode(2), 2), Ok(status.clone()));
        assert!(Status::decode(&status.encode(2), 1).is_err());
        assert!(Status::decode(&old, 2).is_err());
    }

    #[test]
    fn a_command_that_only_a_leader_proposes_is_not_forwarded() {
        assert!(ForwardedCommand::new(Command::ExpireTransactions).is_err());
        let smuggled = PeerRequest::Forward(ForwardedCommand(Command::ExpireTransactions));
        assert!(decode_request(&encode(&smuggled)).is_err());
    }

    #[test]
    fn what_became_of_a_forwarded_command_is_told_as_if_it_had_been_proposed_here() {
        let fenced = CommandError::ProducerFenced {
            id: TransactionalId::new("a"),
            producer: ProducerId(1),
            found: ProducerEpoch(2),
            current: ProducerEpoch(3),
        };
        for outcome in [
            Ok(Ok(Response::Done)),
            Ok(Ok(Response::ProducerId {
                id: ProducerId(4),
                epoch: ProducerEpoch(5),
            })),
            Ok(Err(fenced)),
            Err(ProposeError::NotLeader),
            Err(ProposeError::OutcomeUnknown),
        ] {
            let settled = ForwardResult::of(outcome.clone());
            let told: ForwardResult = decode(&encode(&settled)).expect("ours");
            assert_eq!(told.into_outcome(), outcome);
        }
    }

    proptest! {
        #[test]
        fn nonsense_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _by_chance = decode_request(&body).is_ok();
            let _by_chance = decode::<PeerResponse>(&body).is_ok();
            let _by_chance = [1, 2].map(|version| Status::decode(&body, version).is_ok());
        }
    }
}
