//! What a leader may let go of: records beyond their retention, transactions that are open for too long, what was unused
//! for long. Decides only; the leader proposes it, and a simulation does.
//!
//! All of it by command times, and only by time that leaders lived through.

use std::time::Duration;

use super::clocks::RetentionBacklog;
use super::now::Now;
use super::retention::{self, Ages, Retention};
use super::view::SharedView;
use crate::ids::{Offset, TopicId, TopicPartition};
use crate::state::{
    Command, ExpireOffsets, ExpireProducers, ExpireTransactionalIds, LogStartCause, MoveLogStart,
    State,
};

/// How long what is unused is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remembered {
    /// `producer.id.expiration.ms`
    pub(crate) producers: Duration,
    /// `offsets.retention.minutes`
    pub(crate) offsets: Duration,
    /// `transactional.id.expiration.ms`
    pub(crate) transactional_ids: Duration,
}

/// Records that are beyond their topic's retention.
pub(crate) struct DueRecords {
    /// What is to be deleted.
    pub(crate) moves: Vec<(TopicPartition, MoveLogStart)>,
    /// What would be if all time counted.
    pub(crate) waiting: Option<RetentionBacklog>,
}

/// A partition and what is kept of it.
struct RetainedPartition {
    topic_id: TopicId,
    place: TopicPartition,
    retention: Retention,
}

/// The records that retention gives up now.
pub(crate) fn records(shared: &SharedView, now: Now) -> DueRecords {
    let (now, jumps) = shared.command_time(now.elapsed);
    let all_passed = jumps.dismissed_only();
    let partitions = shared.partitions();
    let (mut moves, mut waiting) = (Vec::new(), 0);
    let limited = limited(
        &shared
            .state
            .read()
            .expect("a broken invariant stops the broker"),
    );
    for kept in limited {
        let Some(reader) = partitions.reader(&kept.place) else {
            continue;
        };
        let segments = reader.segments();
        let start = |jumps| retention::log_start(kept.retention, &segments, Ages { now, jumps });
        let offset = start(&jumps);
        if offset < start(&all_passed) {
            waiting += 1;
        }
        if let Some(offset) = offset.filter(|offset| moves_log_start(shared, &kept.place, *offset))
        {
            let command = MoveLogStart {
                topic_id: kept.topic_id,
                partition: kept.place.partition,
                offset: Some(offset),
                cause: LogStartCause::Retention,
            };
            moves.push((kept.place, command));
        }
    }
    let waiting = (0 < waiting).then_some(RetentionBacklog {
        partitions: waiting,
        unwitnessed_ms: jumps.open_ms(),
    });
    DueRecords { moves, waiting }
}

/// Whether the command would change anything. Where all records of the last segment are too old its file stays, and the
/// answer would be the same at every check.
fn moves_log_start(shared: &SharedView, place: &TopicPartition, offset: Offset) -> bool {
    let state = shared.state.read();
    let state = state.expect("a broken invariant stops the broker");
    let partition = state.partition(place);
    partition.is_some_and(|it| it.log_start_offset() < offset.min(it.last_stable_offset()))
}

/// The partitions whose retention has a limit.
fn limited(state: &State) -> Vec<RetainedPartition> {
    let of_topic = state.topics().flat_map(|(name, topic)| {
        let settings = topic.config().settings();
        let retention = Retention {
            ms: settings.retention_ms,
            bytes: settings.retention_bytes,
        };
        let kept = move |index| {
            let place = TopicPartition::new(name.clone(), index);
            RetainedPartition {
                topic_id: topic.id(),
                place,
                retention,
            }
        };
        topic.partitions().map(move |(index, _)| kept(index))
    });
    of_topic
        .filter(|kept| kept.retention != Retention::default())
        .collect()
}

/// Whether a transaction is open for longer than its producer said.
pub(crate) fn transactions(shared: &SharedView, now: Now) -> Option<Command> {
    let (now, _) = shared.command_time(now.elapsed);
    let state = shared.state.read();
    let state = state.expect("a broken invariant stops the broker");
    let deadline = state.next_transaction_deadline()?;
    (deadline <= now).then_some(Command::ExpireTransactions)
}

/// What is forgotten once it was unused for long.
pub(crate) fn unused(shared: &SharedView, remembered: Remembered, now: Now) -> [Command; 3] {
    let (now, jumps) = shared.command_time(now.elapsed);
    let before = |kept: Duration| {
        let kept_ms = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
        jumps.before(now, kept_ms)
    };
    [
        Command::ExpireProducers(ExpireProducers {
            used_before: before(remembered.producers),
        }),
        Command::ExpireOffsets(ExpireOffsets {
            committed_before: before(remembered.offsets),
        }),
        Command::ExpireTransactionalIds(ExpireTransactionalIds {
            used_before: before(remembered.transactional_ids),
        }),
    ]
}

#[cfg(test)]
mod tests;
