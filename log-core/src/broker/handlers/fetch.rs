//! Fetch: records out, waiting for them where the client asks to (KIP-74, KIP-98, KIP-227, KIP-320, KIP-392, KIP-516,
//! KIP-951).
//!
//! Sessions are declined: a session id of 0 tells the client to name its partitions each time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use service_kit::error_value;
use tokio::time::sleep;
use tracing::debug;
use uuid::Uuid;

use super::barrier::read_barrier;
use super::leader_hint::LeaderHint;
use super::named_partition::{TopicKey, check_leader_epoch, find_by};
use crate::broker::answer_memory::{AnswerBytes, SMALL_BYTES};
use crate::broker::error_code::{ErrorScope, not_leading, of_read_error};
use crate::broker::metrics;
use crate::broker::service::Service;
use crate::ids::{LeaderEpoch, Offset};
use crate::node::Leadership;
use crate::state::{Agreement, Partition, State};
use crate::storage::PartitionReader;
use crate::wire::values;

/// The longest a client may make a fetch wait; clients ask for half a second.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Topics are named by their ids from here on.
const BY_ID_SINCE: i16 = 13;
/// A client that is sent on is told who leads from here on.
const HINTS_SINCE: i16 = 16;

/// The answer, and the memory that it holds.
pub(in crate::broker) async fn answer(
    service: &Service,
    version: i16,
    request: FetchRequest,
) -> (FetchResponse, AnswerBytes) {
    if request.session_id != 0 {
        let refused =
            FetchResponse::default().with_error_code(ResponseError::FetchSessionIdNotFound.code());
        return (refused, service.answers().none());
    }
    let asked = FetchSpec::new(service, version, request);
    let mut applied = service.replica().applied();
    let mut leadership = service.replica().leadership_changes();
    let waited = sleep(asked.wait);
    tokio::pin!(waited);
    let mut waiting = None;
    let mut is_over = false;
    loop {
        applied.mark_unchanged();
        leadership.mark_unchanged();
        let (found, memory) = FetchedData::read_within_memory(service, &asked).await;
        if found.is_enough(&asked) || is_over || service.shutdown().is_cancelled() {
            return (found.into_response(service, version), memory);
        }
        // What is not enough is read again when more has come: no request waits with an answer in memory.
        drop((found, memory));
        waiting.get_or_insert_with(metrics::WaitingFetch::begin);
        is_over = tokio::select! {
            changed = applied.changed() => changed.is_err(),
            changed = leadership.changed() => changed.is_err(),
            () = &mut waited => true,
            () = service.shutdown().cancelled() => true,
        };
    }
}

/// Up to where a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

/// The request, with its limits brought within ours.
struct FetchSpec {
    version: i16,
    topics: Vec<FetchTopic>,
    isolation: Isolation,
    wait: Duration,
    bytes_min: usize,
    bytes_max: usize,
}

impl FetchSpec {
    fn new(service: &Service, version: i16, request: FetchRequest) -> Self {
        let bytes_max = bytes(request.max_bytes).min(service.config().fetch_max_bytes);
        Self {
            version,
            topics: request.topics,
            isolation: if request.isolation_level == 1 {
                Isolation::ReadCommitted
            } else {
                Isolation::ReadUncommitted
            },
            wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0))
                .min(WAIT_MAX),
            // More than an answer may hold would never be reached.
            bytes_min: bytes(request.min_bytes).min(bytes_max),
            bytes_max,
        }
    }

    fn key<'a>(&self, topic: &'a FetchTopic) -> TopicKey<'a> {
        match self.version {
            BY_ID_SINCE.. => TopicKey::Id(topic.topic_id),
            _ => TopicKey::Name(&topic.topic),
        }
    }
}

/// A topic's name or its id, as the client named it: it goes back with the answer.
type RequestedTopic = (TopicName, Uuid);

/// A number of bytes; the wire's negative ones mean none.
fn bytes(wire: i32) -> usize {
    usize::try_from(wire).unwrap_or(0)
}

/// What there is to say now.
struct FetchedData {
    topics: Vec<(RequestedTopic, Vec<PartitionData>)>,
    bytes: usize,
    failed: bool,
    /// Whether it was read with less than the client asked for: there may be more.
    shrunk: bool,
}

impl FetchedData {
    /// Reads a little, which is all there is for a reader that keeps up, and where that is not all, as much as there is
    /// memory for.
    async fn read_within_memory(service: &Service, asked: &FetchSpec) -> (Self, AnswerBytes) {
        let mut memory = service.answers().none();
        let little = asked.bytes_max.min(SMALL_BYTES);
        let found = Self::read_confirmed(service, asked, little).await;
        let may_be_more = SMALL_BYTES / 2 < found.bytes || found.bytes < asked.bytes_min;
        if found.bytes == 0 || little == asked.bytes_max || !may_be_more {
            memory.resize(found.bytes);
            return (found, memory);
        }
        drop(found);
        let now = || service.clock().elapsed();
        let mut memory = service.answers().take(asked.bytes_max, now).await;
        let bytes_max = memory.bytes().max(little);
        let mut found = Self::read_confirmed(service, asked, bytes_max).await;
        found.shrunk = bytes_max < asked.bytes_max;
        memory.resize(found.bytes);
        (found, memory)
    }

    /// Where it would say that an offset is out of range, it makes sure first that this node still leads: a consumer
    /// that has read on from the next leader would start over because of it (rule 5).
    async fn read_confirmed(service: &Service, asked: &FetchSpec, bytes_max: usize) -> Self {
        let found = Self::read(service, asked, bytes_max).await;
        if !found.has(ResponseError::OffsetOutOfRange) {
            return found;
        }
        match read_barrier(service, ErrorScope::Partition).await {
            Ok(_) => Self::read(service, asked, bytes_max).await,
            Err(code) => found.with_in_place_of(ResponseError::OffsetOutOfRange, code),
        }
    }

    /// Looks every partition up, then reads off the async threads: a reader far behind reads from the disk.
    async fn read(service: &Service, asked: &FetchSpec, bytes_max: usize) -> Self {
        let plan = plan(service, asked);
        if plan
            .iter()
            .all(|(_, partitions)| partitions.iter().all(|planned| planned.read.is_none()))
        {
            return Self::carry_out(plan, bytes_max);
        }
        let carried_out =
            tokio::task::spawn_blocking(move || Self::carry_out(plan, bytes_max)).await;
        carried_out.expect("reading does not panic, and the runtime outlives its requests")
    }

    fn carry_out(plan: Vec<(RequestedTopic, Vec<Planned>)>, bytes_max: usize) -> Self {
        let mut found = Self {
            topics: Vec::with_capacity(plan.len()),
            bytes: 0,
            failed: false,
            shrunk: false,
        };
        for (topic, partitions) in plan {
            let mut read = Vec::with_capacity(partitions.len());
            for planned in partitions {
                let data =
                    planned.carry_out(bytes_max - found.bytes.min(bytes_max), found.bytes == 0);
                found.failed |= data.error_code != 0 || 0 <= data.diverging_epoch.epoch;
                found.bytes += data.records.as_ref().map_or(0, Bytes::len);
                read.push(data);
            }
            found.topics.push((topic, read));
        }
        found
    }

    fn has(&self, code: ResponseError) -> bool {
        let mut partitions = self.topics.iter().flat_map(|(_, partitions)| partitions);
        partitions.any(|partition| partition.error_code == code.code())
    }

    fn with_in_place_of(mut self, said: ResponseError, code: ResponseError) -> Self {
        let partitions = self
            .topics
            .iter_mut()
            .flat_map(|(_, partitions)| partitions);
        for partition in partitions.filter(|partition| partition.error_code == said.code()) {
            partition.error_code = code.code();
        }
        self
    }

    fn is_enough(&self, asked: &FetchSpec) -> bool {
        self.failed || asked.bytes_min <= self.bytes || self.shrunk && 0 < self.bytes
    }

    fn into_response(mut self, service: &Service, version: i16) -> FetchResponse {
        let hint = if HINTS_SINCE <= version {
            self.hint(service)
        } else {
            None
        };
        let topic = |((name, id), partitions)| {
            FetchableTopicResponse::default()
                .with_topic(name)
                .with_topic_id(id)
                .with_partitions(partitions)
        };
        FetchResponse::default()
            .with_responses(self.topics.into_iter().map(topic).collect())
            .with_node_endpoints(hint.iter().map(LeaderHint::fetch_endpoint).collect())
    }

    /// Tells the partitions whose client went to the wrong leader which is the right one.
    fn hint(&mut self, service: &Service) -> Option<LeaderHint> {
        let sent_on = [
            ResponseError::NotLeaderOrFollower.code(),
            ResponseError::FencedLeaderEpoch.code(),
        ];
        let partitions = self.topics.iter_mut().flat_map(|(_, them)| them);
        let mut astray = partitions
            .filter(|partition| sent_on.contains(&partition.error_code))
            .peekable();
        astray.peek()?;
        let hint = LeaderHint::of(service)?;
        for partition in astray {
            partition.current_leader = hint.in_fetch();
        }
        Some(hint)
    }
}

/// One partition's answer, but for its records.
struct Planned {
    data: PartitionData,
    read: Option<PlannedRead>,
}

struct PlannedRead {
    reader: Arc<PartitionReader>,
    from: Offset,
    below: Offset,
    bytes_max: usize,
}

impl Planned {
    fn refused(partition: i32, code: ResponseError) -> Self {
        let data = empty(partition)
            .with_error_code(code.code())
            .with_high_watermark(-1);
        Self { data, read: None }
    }

    /// Reads whole batches. The first partition with records gives at least one, however large: a client whose limits
    /// are below one batch must still get past it (KIP-74).
    fn carry_out(self, bytes_left: usize, is_first: bool) -> PartitionData {
        let Some(read) = self.read else {
            return self.data;
        };
        let bytes_max = read.bytes_max.min(bytes_left);
        if bytes_max == 0 && !is_first {
            return self.data;
        }
        match read.reader.read(read.from, read.below, bytes_max) {
            Ok(records) if is_first || records.len() <= bytes_max => {
                self.data.with_records(Some(records))
            }
            Ok(_) => self.data,
            Err(error) => {
                debug!(error = error_value(&error), "records could not be read");
                self.data.with_error_code(of_read_error(&error).code())
            }
        }
    }
}

fn plan(service: &Service, asked: &FetchSpec) -> Vec<(RequestedTopic, Vec<Planned>)> {
    let leadership = service.replica().leadership();
    let state = service.replica().state();
    let plan_one = |topic: TopicKey<'_>, partition: &FetchPartition| {
        let looked_up = match leadership {
            Leadership::Leader { epoch } => {
                look_up(&state, service, asked.isolation, epoch, topic, partition)
            }
            other => Err(not_leading(other, ErrorScope::Partition)
                .unwrap_or(ResponseError::NotLeaderOrFollower)),
        };
        looked_up.unwrap_or_else(|code| Planned::refused(partition.partition, code))
    };
    let plan_topic = |topic: &FetchTopic| {
        let planned = topic
            .partitions
            .iter()
            .map(|partition| plan_one(asked.key(topic), partition));
        ((topic.topic.clone(), topic.topic_id), planned.collect())
    };
    asked.topics.iter().map(plan_topic).collect()
}

fn look_up(
    state: &State,
    service: &Service,
    isolation: Isolation,
    epoch: LeaderEpoch,
    topic: TopicKey<'_>,
    asked: &FetchPartition,
) -> Result<Planned, ResponseError> {
    let (place, _, partition) = find_by(state, topic, asked.partition)?;
    check_leader_epoch(values::leader_epoch(asked.current_leader_epoch), epoch)?;
    let from = readable(partition, asked.fetch_offset)?;
    let data = bounds_of(partition, asked.partition);
    let last_fetched = values::leader_epoch(asked.last_fetched_epoch);
    if let Some(end) = diverging(partition, epoch, last_fetched, from)? {
        return Ok(Planned {
            data: data.with_diverging_epoch(end),
            read: None,
        });
    }
    let (below, aborted) = match isolation {
        Isolation::ReadUncommitted => (partition.high_watermark(), None),
        Isolation::ReadCommitted => {
            let below = partition.last_stable_offset();
            (below, Some(aborted(partition, from, below)))
        }
    };
    let reader = (from < below)
        .then(|| service.replica().partitions().reader(&place))
        .flatten();
    let bytes_max = bytes(asked.partition_max_bytes);
    Ok(Planned {
        data: data.with_aborted_transactions(aborted),
        read: reader.map(|reader| PlannedRead {
            reader,
            from,
            below,
            bytes_max,
        }),
    })
}

fn readable(partition: &Partition, offset: i64) -> Result<Offset, ResponseError> {
    let offset = values::offset(offset).ok_or(ResponseError::OffsetOutOfRange)?;
    let there = partition.log_start_offset() <= offset && offset <= partition.high_watermark();
    if there {
        Ok(offset)
    } else {
        Err(ResponseError::OffsetOutOfRange)
    }
}

/// Where the client's log and ours part, if it says what it has.
fn diverging(
    partition: &Partition,
    leader: LeaderEpoch,
    last_fetched: Option<LeaderEpoch>,
    from: Offset,
) -> Result<Option<EpochEndOffset>, ResponseError> {
    let Some(last_fetched) = last_fetched else {
        return Ok(None);
    };
    match partition
        .epochs()
        .agreement(last_fetched, from, leader, partition.log_end_offset())
    {
        Agreement::Agrees => Ok(None),
        Agreement::UnknownEpoch => Err(ResponseError::OffsetOutOfRange),
        Agreement::DivergesAt(end) => Ok(Some(
            EpochEndOffset::default()
                .with_epoch(values::wire_leader_epoch(Some(end.epoch)))
                .with_end_offset(values::wire_offset(Some(end.end_offset))),
        )),
    }
}

/// What a reader of committed records must leave out, in the order of their first offsets.
fn aborted(partition: &Partition, from: Offset, below: Offset) -> Vec<AbortedTransaction> {
    let mut aborted: Vec<_> = partition.aborted_in(from, below).collect();
    aborted.sort_by_key(|aborted| aborted.first_offset);
    let named = aborted.into_iter().map(|aborted| {
        AbortedTransaction::default()
            .with_producer_id(values::wire_producer_id(Some(aborted.producer)).into())
            .with_first_offset(values::wire_offset(Some(aborted.first_offset)))
    });
    named.collect()
}

fn empty(partition: i32) -> PartitionData {
    PartitionData::default()
        .with_partition_index(partition)
        .with_aborted_transactions(None)
        .with_records(Some(Bytes::new()))
}

fn bounds_of(partition: &Partition, index: i32) -> PartitionData {
    empty(index)
        .with_high_watermark(values::wire_offset(Some(partition.high_watermark())))
        .with_last_stable_offset(values::wire_offset(Some(partition.last_stable_offset())))
        .with_log_start_offset(values::wire_offset(Some(partition.log_start_offset())))
}
