//! Produce: batches in, offsets out, once they are on disk (rules 1 to 4).
//!
//! In two steps, because a producer sends the next batch before this one is answered: [`propose`] runs in the order of
//! arrival and puts every batch in line; [`Proposed::answer`] waits for the outcomes.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::time::timeout;
use uuid::Uuid;

use super::leader_hint::LeaderHint;
use super::named_partition::{TopicKey, find_by};
use super::proposal::{ErrorResponse, deadline};
use crate::broker::error_code::{ErrorScope, not_leading, of_invalid_batch, of_propose_error};
use crate::broker::metrics;
use crate::broker::node_handle::{NodeHandle, Pending};
use crate::broker::request_outcome::RequestOutcome;
use crate::broker::service::Service;
use crate::node::{ProposeError, Until};
use crate::record::{InvalidBatch, ValidBatch};
use crate::state::{AcksMin, Produce, Produced, Response, TopicSettings};
use crate::wire::values;

/// Topics are named by their ids from here on (KIP-516).
const BY_ID_SINCE: i16 = 13;
/// TRANSACTION_ABORTABLE is known from here on (KIP-890).
const ABORTABLE_SINCE: i16 = 11;

/// What the producer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acks {
    /// `0`: nothing.
    None,
    /// `1`: committed and applied, which is stronger than in Kafka.
    Leader,
    /// `-1`: the same, and on the disks of `min.insync.replicas`.
    All,
}

/// A produce request whose batches are in line.
pub(in crate::broker) struct Proposed {
    replica: NodeHandle,
    acks: Acks,
    /// What a client is told of the leader when this node is not it.
    leader: Option<LeaderHint>,
    version: i16,
    topics: Vec<ProposedTopic>,
}

/// A topic by name and id, and what became of the batch of each of its partitions, by index.
type ProposedTopic = ((TopicName, Uuid), Vec<(i32, BatchResult)>);

/// One partition's batch: on its way, or refused at once.
type BatchResult = Result<PendingBatch, ErrorResponse>;

/// A batch that was not refused.
enum PendingBatch {
    /// It is in line.
    Proposed {
        pending: Pending,
        produce: Produce,
        until: Until,
    },
    /// An earlier try of it is applied.
    Stored(Produced),
}

/// A batch that may be put in line.
struct Checked {
    produce: Produce,
    until: Until,
}

/// Checks every batch and puts the valid ones in line. Waits while too much is under way, for as long as the request
/// allows: that is what slows a producer down.
pub(in crate::broker) async fn propose(
    service: &Service,
    version: i16,
    request: ProduceRequest,
) -> Proposed {
    let deadline = service.clock().elapsed() + deadline(request.timeout_ms);
    let mut proposed = Proposed {
        replica: service.replica().clone(),
        acks: Acks::All,
        leader: (10 <= version)
            .then(|| LeaderHint::elsewhere(service))
            .flatten(),
        version,
        topics: Vec::with_capacity(request.topic_data.len()),
    };
    let acks = acks(request.acks);
    proposed.acks = acks.unwrap_or(Acks::All);
    for TopicProduceData {
        name,
        topic_id,
        partition_data,
        ..
    } in request.topic_data
    {
        let topic = match version {
            BY_ID_SINCE.. => TopicKey::Id(topic_id),
            _ => TopicKey::Name(&name),
        };
        let mut partitions = Vec::with_capacity(partition_data.len());
        for PartitionProduceData { index, records, .. } in partition_data {
            let begun = match acks {
                Ok(acks) => begin(service, acks, topic, index, records, deadline).await,
                Err(code) => Err(code.into()),
            };
            partitions.push((index, begun));
        }
        proposed.topics.push(((name, topic_id), partitions));
    }
    proposed
}

fn acks(wire: i16) -> Result<Acks, ResponseError> {
    match wire {
        0 => Ok(Acks::None),
        1 => Ok(Acks::Leader),
        -1 => Ok(Acks::All),
        _ => Err(ResponseError::InvalidRequiredAcks),
    }
}

async fn begin(
    service: &Service,
    acks: Acks,
    topic: TopicKey<'_>,
    partition: i32,
    records: Option<Bytes>,
    deadline: Duration,
) -> BatchResult {
    if let Some(code) = not_leading(service.replica().leadership(), ErrorScope::Partition) {
        return Err(code.into());
    }
    let Checked { produce, until } = check(
        service,
        acks,
        topic,
        partition,
        &records.unwrap_or_default(),
    )?;
    metrics::produced(produce.batch.len());
    // Where the disks are so slow that each try outlasts the request, a try would be answered by the next one, for ever.
    if let Some(stored) = stored_before(service.replica(), &produce, until) {
        return Ok(PendingBatch::Stored(stored));
    }
    let wait = deadline.saturating_sub(service.clock().elapsed());
    let in_line = service.replica().produce(produce.clone(), until, deadline);
    match timeout(wait, in_line).await {
        Ok(pending) => Ok(PendingBatch::Proposed {
            pending: pending.map_err(unproposed)?,
            produce,
            until,
        }),
        // Not in line, so not written: the producer may send it again.
        Err(_) => Err(ResponseError::NotEnoughReplicas.into()),
    }
}

fn unproposed(error: ProposeError) -> ErrorResponse {
    ErrorResponse::of(
        of_propose_error(error, ErrorScope::Partition),
        error.to_string(),
    )
}

fn check(
    service: &Service,
    acks: Acks,
    topic: TopicKey<'_>,
    partition: i32,
    records: &Bytes,
) -> Result<Checked, ErrorResponse> {
    let now = service.replica().wall();
    let (place, topic_id, limits, compression, until, protected) = {
        let state = service.replica().state();
        let (place, topic, _) = find_by(&state, topic, partition)?;
        let settings = topic.config().settings();
        check_acks(acks, settings)?;
        let until = match acks {
            Acks::All => Until::OnDisks(settings.min_insync_replicas as usize),
            Acks::None | Acks::Leader => Until::Applied,
        };
        let compression = settings
            .compression
            .map(|codec| (codec, settings.compression_levels));
        let limits = topic.batch_limits(now);
        let protected = settings.acks_min == AcksMin::All;
        (place, topic.id(), limits, compression, until, protected)
    };
    let batch = ValidBatch::check(records, &limits).map_err(|invalid| refused(&invalid))?;
    service
        .replica()
        .clocks()
        .note_record(batch.header().max_timestamp, service.replica().now());
    if protected && batch.header().attributes.transactional {
        let message = "a topic with mayday.acks.min=all takes no transactions";
        return Err(ErrorResponse::of(ResponseError::PolicyViolation, message));
    }
    let batch = match compression {
        Some((codec, levels)) => batch.recompressed(codec, levels).map_err(|error| {
            ErrorResponse::of(ResponseError::UnknownServerError, error.to_string())
        })?,
        None => batch,
    };
    let produce = Produce {
        topic_id,
        partition: place,
        batch: batch.bytes().clone(),
    };
    Ok(Checked { produce, until })
}

/// What the topic asks of acknowledgements, before anything is written.
fn check_acks(acks: Acks, settings: &TopicSettings) -> Result<(), ErrorResponse> {
    let strong_enough = match settings.acks_min {
        AcksMin::None => true,
        AcksMin::Leader => acks != Acks::None,
        AcksMin::All => acks == Acks::All,
    };
    if !strong_enough {
        let needed = "this topic takes stronger acks only: see mayday.acks.min";
        return Err(ErrorResponse::of(
            ResponseError::InvalidRequiredAcks,
            needed,
        ));
    }
    Ok(())
}

fn refused(invalid: &InvalidBatch) -> ErrorResponse {
    let mut message = invalid.to_string();
    let mut cause = std::error::Error::source(invalid);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    ErrorResponse::of(of_invalid_batch(invalid), message)
}

impl Proposed {
    /// Waits for every batch, or for as long as the request allows.
    pub(in crate::broker) async fn answer(self) -> RequestOutcome {
        let Self {
            replica,
            acks,
            leader,
            version,
            topics,
        } = self;
        let (mut failed, mut hinted) = (false, false);
        let mut responses = Vec::with_capacity(topics.len());
        for ((name, topic_id), partitions) in topics {
            let mut answered = Vec::with_capacity(partitions.len());
            for (index, begun) in partitions {
                let settled = settle(&replica, begun).await;
                let settled = settled.map_err(|failed| failed.worded_for(version));
                failed |= settled.is_err();
                hinted |= is_sent_on(&settled);
                answered.push(partition_response(index, settled, leader.as_ref()));
            }
            responses.push(
                TopicProduceResponse::default()
                    .with_name(name)
                    .with_topic_id(topic_id)
                    .with_partition_responses(answered),
            );
        }
        match acks {
            Acks::None if failed => RequestOutcome::Close,
            Acks::None => RequestOutcome::Nothing,
            Acks::Leader | Acks::All => RequestOutcome::Body(
                ProduceResponse::default()
                    .with_responses(responses)
                    .with_node_endpoints(
                        leader
                            .iter()
                            .filter(|_| hinted)
                            .map(LeaderHint::produce_endpoint)
                            .collect(),
                    )
                    .into(),
            ),
        }
    }
}

/// Whether the producer is told who leads.
fn is_sent_on(settled: &Result<Produced, ErrorResponse>) -> bool {
    matches!(settled, Err(failed) if failed.code == ResponseError::NotLeaderOrFollower)
}

impl ErrorResponse {
    /// A batch outside the producer's open transaction: its producer may abort and go on, where it knows the word.
    fn worded_for(mut self, version: i16) -> Self {
        if ABORTABLE_SINCE <= version && self.code == ResponseError::InvalidTxnState {
            self.code = ResponseError::TransactionAbortable;
        }
        self
    }
}

/// An earlier try of the batch that is applied, and so on the disks of a majority. Where more disks are asked for, only
/// its entry could tell whether it is on them.
fn stored_before(replica: &NodeHandle, produce: &Produce, until: Until) -> Option<Produced> {
    match until.beyond_a_majority(&replica.membership()) {
        None => replica.state().stored(produce),
        Some(_) => None,
    }
}

async fn settle(replica: &NodeHandle, begun: BatchResult) -> Result<Produced, ErrorResponse> {
    let (pending, produce, until) = match begun? {
        PendingBatch::Stored(produced) => return Ok(produced),
        PendingBatch::Proposed {
            pending,
            produce,
            until,
        } => (pending, produce, until),
    };
    let outcome = match pending.outcome().await {
        // In line, and perhaps written: not safe to send again under another sequence. An earlier try may be applied.
        Err(ProposeError::NotInTime) => {
            let stored = stored_before(replica, &produce, until);
            return stored.ok_or_else(|| ResponseError::RequestTimedOut.into());
        }
        outcome => outcome.map_err(unproposed)?,
    };
    match outcome.map_err(|refusal| ErrorResponse::from(&refusal))? {
        Response::Produced(produced) => Ok(produced),
        _ => Err(ResponseError::UnknownServerError.into()),
    }
}

fn partition_response(
    index: i32,
    settled: Result<Produced, ErrorResponse>,
    leader: Option<&LeaderHint>,
) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default()
        .with_index(index)
        .with_error_message(None);
    match settled {
        Ok(produced) => response
            .with_base_offset(values::wire_offset(Some(produced.base_offset)))
            .with_log_append_time_ms(values::wire_timestamp(produced.log_append_time))
            .with_log_start_offset(values::wire_offset(Some(produced.log_start_offset))),
        Err(ErrorResponse { code, message }) => {
            let response = response.with_base_offset(-1).with_error_code(code.code());
            let response = match leader {
                Some(hint) if code == ResponseError::NotLeaderOrFollower => {
                    response.with_current_leader(hint.in_produce())
                }
                _ => response,
            };
            response.with_error_message(message.map(StrBytes::from_string))
        }
    }
}
