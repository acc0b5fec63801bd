//! What the leader does from time to time: propose that records beyond their retention go, that transactions open for too
//! long are aborted, and that what nobody has used for long is forgotten. All of it by commands, so that every replica
//! does the same at the same place of the journal.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use super::handlers::group_admin;
use super::metrics;
use super::replica_handle::Leadership;
use super::retention::{self, Retention};
use super::service::Service;
use crate::ids::{Offset, TimestampMs, TopicId, TopicPartition};
use crate::state::{
    Command, ExpireOffsets, ExpireProducers, ExpireTransactionalIds, LogStartCause, MoveLogStart,
    Response,
};

/// How late an overdue transaction may be aborted (Kafka's
/// `transaction.abort.timed.out.transaction.cleanup.interval.ms` is 10 s).
const TRANSACTIONS_EVERY: Duration = Duration::from_secs(1);
/// How late what is unused may be forgotten (Kafka's `offsets.retention.check.interval.ms` and its kin).
const UNUSED_EVERY: Duration = Duration::from_secs(10 * 60);

/// Starts the rounds; they end with the service.
pub(super) fn spawn(service: &Arc<Service>, tasks: &TaskTracker) {
    let retention_every = service.config().log_retention_check_interval;
    tasks.spawn(rounds(
        Arc::clone(service),
        retention_every,
        apply_retention,
    ));
    tasks.spawn(rounds(
        Arc::clone(service),
        TRANSACTIONS_EVERY,
        expire_transactions,
    ));
    tasks.spawn(rounds(Arc::clone(service), UNUSED_EVERY, forget_unused));
    tasks.spawn(metrics::follow_quorum(
        service.replica().clone(),
        service.shutdown().clone(),
    ));
}

/// Does the work in every interval while this node leads.
async fn rounds<F>(service: Arc<Service>, every: Duration, work: impl Fn(Arc<Service>) -> F)
where
    F: Future<Output = ()>,
{
    loop {
        tokio::select! {
            () = sleep(every) => {}
            () = service.shutdown().cancelled() => return,
        }
        if matches!(service.replica().leadership(), Leadership::Leader { .. }) {
            work(Arc::clone(&service)).await;
        }
    }
}

/// A partition and what is kept of it.
struct Kept {
    topic_id: TopicId,
    place: TopicPartition,
    retention: Retention,
}

pub(super) async fn apply_retention(service: Arc<Service>) {
    for kept in limited(&service) {
        let Some(reader) = service.replica().partitions().reader(&kept.place) else {
            continue;
        };
        let now = service.replica().wall();
        let Some(offset) = retention::log_start(kept.retention, &reader.segments(), now) else {
            continue;
        };
        if moves_log_start(&service, &kept, offset) {
            delete_before(&service, kept, offset).await;
        }
    }
}

/// The partitions whose retention has a limit.
fn limited(service: &Service) -> Vec<Kept> {
    let state = service.replica().state();
    let of_topic = state.topics().flat_map(|(name, topic)| {
        let settings = topic.config().settings();
        let retention = Retention {
            ms: settings.retention_ms,
            bytes: settings.retention_bytes,
        };
        let kept = move |index| {
            let place = TopicPartition::new(name.clone(), index);
            Kept {
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

/// Whether the command would change anything. Where all records of the last segment are too old its file stays, and the
/// answer would be the same at every check.
fn moves_log_start(service: &Service, kept: &Kept, offset: Offset) -> bool {
    let state = service.replica().state();
    let partition = state.partition(&kept.place);
    partition.is_some_and(|it| it.log_start_offset() < offset.min(it.last_stable_offset()))
}

async fn delete_before(service: &Service, kept: Kept, offset: Offset) {
    let partition = kept.place.partition;
    let cause = LogStartCause::Retention;
    let command = MoveLogStart {
        topic_id: kept.topic_id,
        partition,
        offset: Some(offset),
        cause,
    };
    if let Some(Response::LogStart { log_start_offset }) =
        carry_out(service, Command::MoveLogStart(command)).await
    {
        info!(partition = %kept.place, %log_start_offset, "records beyond their retention are deleted");
    }
}

async fn expire_transactions(service: Arc<Service>) {
    let deadline = service.replica().state().next_transaction_deadline();
    if deadline.is_none_or(|deadline| service.replica().wall() < deadline) {
        return;
    }
    if let Some(Response::TransactionsExpired { ids }) =
        carry_out(&service, Command::ExpireTransactions).await
    {
        info!(
            count = ids.len(),
            "transactions that were open for too long are aborted"
        );
    }
}

async fn forget_unused(service: Arc<Service>) {
    let before = |kept: Duration| {
        let kept_ms = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
        TimestampMs(service.replica().wall().0.saturating_sub_unsigned(kept_ms))
    };
    let config = service.config();
    let commands = [
        Command::ExpireProducers(ExpireProducers {
            used_before: before(config.producer_id_expiration),
        }),
        Command::ExpireOffsets(ExpireOffsets {
            committed_before: before(config.offsets_retention),
        }),
        Command::ExpireTransactionalIds(ExpireTransactionalIds {
            used_before: before(config.transactional_id_expiration),
        }),
    ];
    for command in commands {
        if let Some(Response::Expired { count: 1.. }) = carry_out(&service, command).await {
            debug!("what was unused for long is forgotten");
        }
    }
    group_admin::delete_unused(&service).await;
}

/// What fails is tried again in the next round.
async fn carry_out(service: &Service, command: Command) -> Option<Response> {
    let outcome = async { service.replica().propose(command).await?.outcome().await }.await;
    match outcome {
        Ok(Ok(response)) => Some(response),
        Ok(Err(refusal)) => {
            debug!(
                error = &refusal as &(dyn std::error::Error + 'static),
                "housekeeping was refused"
            );
            None
        }
        Err(error) => {
            debug!(
                error = &error as &(dyn std::error::Error + 'static),
                "housekeeping was not carried out"
            );
            None
        }
    }
}
