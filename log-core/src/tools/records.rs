//! `records tail`: a topic's records, up to where it ends, or on and on.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Subcommand};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::protocol::StrBytes;

use super::aborted::Aborted;
use super::client::{Client, Isolation, PartitionName, by_topic};
use super::error::{BatchDamage, ToolError, check};
use super::options::Options;
use super::output::Output;
use super::position::Position;
use super::shown_record::ShownRecord;
use super::start::{ends, starts};
use crate::ids::Offset;
use crate::record::{BatchHeader, HeaderError, Records as BatchRecords};
use crate::wire::values;

/// How long a node holds an answer back for records to come.
const WAIT_MS: i32 = 500;
/// Bytes of one answer; a larger batch still comes whole (KIP-74).
const ANSWER_BYTES: i32 = 4 << 20;
/// Bytes of one partition in it.
const PARTITION_BYTES: i32 = 1 << 20;
/// No session of fetches (KIP-227): every request says all.
const NO_SESSION: i32 = -1;
/// How often, and how long apart, a leader is looked for when the one we had is gone: a restart takes seconds.
const LEADER_TRIES: u32 = 150;
const LEADER_PAUSE: Duration = Duration::from_millis(200);

/// `records`
#[derive(Args, Debug)]
pub struct Records {
    #[command(flatten)]
    pub(super) options: Options,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show records: partition, offset, time, key, headers, value.
    Tail(Tail),
}

#[derive(Args, Debug)]
struct Tail {
    /// The topic.
    #[arg(long)]
    topic: String,
    /// One partition [default: all].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Where to begin: earliest, latest, an offset, or a time such as 2026-11-20T09:00:00+09:00
    /// [default: earliest; latest with --follow].
    #[arg(long, value_name = "POSITION")]
    from: Option<Position>,
    /// Only records that have this text in the key, the value or a header.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Stop after so many records.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    max: Option<u64>,
    /// Go on and show what comes, until interrupted.
    #[arg(long)]
    follow: bool,
    /// Show records of open and of aborted transactions too.
    #[arg(long)]
    uncommitted: bool,
}

impl Records {
    pub(super) async fn run(
        self,
        client: &mut Client,
        out: &mut Output<'_, impl Write>,
    ) -> Result<(), ToolError> {
        match self.action {
            Action::Tail(tail) => tail.run(client, out).await,
        }
    }
}

impl Tail {
    async fn run(
        self,
        client: &mut Client,
        out: &mut Output<'_, impl Write>,
    ) -> Result<(), ToolError> {
        let cluster = client.topic(&self.topic).await?;
        let places = cluster.chosen(&self.topic, self.partition)?;
        let isolation = self.isolation();
        let from = self.from.unwrap_or(if self.follow {
            Position::Latest
        } else {
            Position::Earliest
        });
        let next = starts(client, &cluster, &places, from, isolation).await?;
        let ends = match self.follow {
            true => None,
            false => Some(ends(client, &cluster, &places, isolation).await?),
        };
        Tailing {
            tail: &self,
            next,
            ends,
            shown: 0,
        }
        .run(client, out)
        .await
    }

    fn isolation(&self) -> Isolation {
        if self.uncommitted {
            Isolation::ReadUncommitted
        } else {
            Isolation::ReadCommitted
        }
    }

    fn wants(&self, record: &ShownRecord) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|text| record.contains(text))
    }
}

/// How far a tail has come.
struct Tailing<'a> {
    tail: &'a Tail,
    next: BTreeMap<PartitionName, Offset>,
    /// Where to stop; none goes on.
    ends: Option<BTreeMap<PartitionName, Offset>>,
    shown: u64,
}

impl Tailing<'_> {
    async fn run(
        mut self,
        client: &mut Client,
        out: &mut Output<'_, impl Write>,
    ) -> Result<(), ToolError> {
        let mut leaderless = 0;
        while !self.is_done() {
            match self.round(client, out).await {
                Ok(()) => leaderless = 0,
                Err(error) if may_pass(&error) && leaderless < LEADER_TRIES => {
                    leaderless += 1;
                    tokio::time::sleep(LEADER_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Asks every leader once.
    async fn round(
        &mut self,
        client: &mut Client,
        out: &mut Output<'_, impl Write>,
    ) -> Result<(), ToolError> {
        let cluster = client.topic(&self.tail.topic).await?;
        for (leader, places) in cluster.by_leader(&self.unfinished())? {
            let answer = client.ask_at(&leader, 12, self.fetch(&places)).await?;
            check(
                format!("topic {}", self.tail.topic),
                answer.error_code,
                None,
            )?;
            for topic in answer.responses {
                for partition in topic.partitions {
                    let place = (topic.topic.to_string(), partition.partition_index);
                    self.take(&place, partition, out)?;
                }
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.has_shown_enough() || self.unfinished().is_empty()
    }

    fn has_shown_enough(&self) -> bool {
        self.tail.max.is_some_and(|max| max <= self.shown)
    }

    fn unfinished(&self) -> Vec<PartitionName> {
        let unfinished = self
            .next
            .iter()
            .filter(|(place, next)| !self.is_beyond_end(place, **next));
        unfinished.map(|(place, _)| place.clone()).collect()
    }

    fn is_beyond_end(&self, place: &PartitionName, offset: Offset) -> bool {
        let end = self.ends.as_ref().and_then(|ends| ends.get(place));
        end.is_some_and(|end| *end <= offset)
    }

    fn fetch(&self, places: &[PartitionName]) -> FetchRequest {
        let topic = |(name, indexes): (StrBytes, Vec<i32>)| {
            let partition = |index: i32| {
                let next = self.next.get(&(name.to_string(), index)).copied();
                FetchPartition::default()
                    .with_partition(index)
                    .with_current_leader_epoch(-1)
                    .with_fetch_offset(values::wire_offset(next))
                    .with_partition_max_bytes(PARTITION_BYTES)
            };
            FetchTopic::default()
                .with_partitions(indexes.into_iter().map(partition).collect())
                .with_topic(name.clone().into())
        };
        FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_wait_ms(WAIT_MS)
            .with_min_bytes(1)
            .with_max_bytes(ANSWER_BYTES)
            .with_isolation_level(self.tail.isolation() as i8)
            .with_session_epoch(NO_SESSION)
            .with_topics(by_topic(places).map(topic).collect())
    }

    /// Shows what a partition answered and remembers how far it went.
    fn take(
        &mut self,
        place: &PartitionName,
        partition: PartitionData,
        out: &mut Output<'_, impl Write>,
    ) -> Result<(), ToolError> {
        check(
            format!("{}-{}", place.0, place.1),
            partition.error_code,
            None,
        )?;
        let mut aborted = match self.tail.isolation() {
            Isolation::ReadCommitted => {
                Aborted::of(partition.aborted_transactions.unwrap_or_default())
            }
            Isolation::ReadUncommitted => Aborted::none(),
        };
        let mut rest = partition.records.unwrap_or_default();
        while !rest.is_empty() && !self.has_shown_enough() {
            let (header, batch, after) = match BatchHeader::split_first(&rest) {
                Ok(split) => split,
                // The last batch may be cut: it comes whole with the next answer.
                Err(HeaderError::Cut { .. }) if aborted.has_seen_a_batch() => return Ok(()),
                Err(error) => return Err(self.damaged(place, BatchDamage::Header(error))),
            };
            if aborted.counts(&header, &batch) {
                self.show(place, header, &batch, out)?;
            }
            let next = self.next.entry(place.clone()).or_default();
            *next = header.next_offset().max(*next);
            rest = after;
        }
        Ok(())
    }

    fn show(
        &mut self,
        place: &PartitionName,
        header: BatchHeader,
        batch: &Bytes,
        out: &mut Output<'_, impl Write>,
    ) -> Result<(), ToolError> {
        if !header.checksum_is_intact(batch) {
            return Err(self.damaged(place, BatchDamage::Checksum));
        }
        let from = self.next.get(place).copied().unwrap_or_default();
        for record in BatchRecords::new(header, batch) {
            let record =
                record.map_err(|error| self.damaged(place, BatchDamage::Records(error)))?;
            // A batch comes whole, even when it is asked for from its middle.
            if record.offset < from || self.is_beyond_end(place, record.offset) {
                continue;
            }
            let record = ShownRecord::of(place, record);
            if self.tail.wants(&record) && !self.has_shown_enough() {
                out.line(&record)?;
                self.shown += 1;
            }
        }
        Ok(())
    }

    fn damaged(&self, place: &PartitionName, source: BatchDamage) -> ToolError {
        ToolError::DamagedBatch {
            topic: place.0.clone(),
            partition: place.1,
            offset: self.next.get(place).copied().unwrap_or_default(),
            source,
        }
    }
}

/// A leader that has moved or is being started again is found by asking anew; what was shown is not shown again.
fn may_pass(error: &ToolError) -> bool {
    match error {
        ToolError::Refused { code, .. } => {
            matches!(
                code,
                ResponseError::NotLeaderOrFollower | ResponseError::LeaderNotAvailable
            )
        }
        error => error.is_unreachable(),
    }
}
