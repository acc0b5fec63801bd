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
use super::service::Service;
use crate::ids::TopicPartition;
use crate::node::Leadership;
use crate::node::due::{self, DueRecords, Remembered};
use crate::state::{Command, FeatureLevel, MoveLogStart, RaiseFeatureLevel, Response, Topic};

/// How late an overdue transaction may be aborted (Kafka's
/// `transaction.abort.timed.out.transaction.cleanup.interval.ms` is 10 s).
const TRANSACTIONS_EVERY: Duration = Duration::from_secs(1);
/// How late what is unused may be forgotten (Kafka's `offsets.retention.check.interval.ms` and its kin).
const UNUSED_EVERY: Duration = Duration::from_secs(10 * 60);

/// How late a cluster that has nothing to lose by it works at the latest level.
const LEVEL_EVERY: Duration = Duration::from_millis(500);
/// A cluster without older topics is new: what it has written no earlier software has to read.
const NEW_FOR_MS: i64 = 600_000;
/// Between two looks at the clocks.
const CLOCKS_EVERY: Duration = Duration::from_secs(5);

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
    tasks.spawn(rounds(Arc::clone(service), LEVEL_EVERY, raise_level));
    tasks.spawn(show_clocks(Arc::clone(service)));
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

pub(super) async fn apply_retention(service: Arc<Service>) {
    let replica = service.replica();
    let DueRecords { moves, waiting } = due::records(replica.shared(), replica.now());
    replica.clocks().note_waiting(waiting, replica.now());
    for (partition, command) in moves {
        delete_before(&service, &partition, command).await;
    }
}

async fn delete_before(service: &Service, partition: &TopicPartition, command: MoveLogStart) {
    if let Some(Response::LogStart { log_start_offset }) =
        carry_out(service, Command::MoveLogStart(command)).await
    {
        info!(%partition, %log_start_offset, "records beyond their retention are deleted");
    }
}

async fn expire_transactions(service: Arc<Service>) {
    let Some(command) = due::transactions(service.replica().shared(), service.replica().now())
    else {
        return;
    };
    if let Some(Response::TransactionsExpired { ids }) = carry_out(&service, command).await {
        info!(
            count = ids.len(),
            "transactions that were open for too long are aborted"
        );
    }
}

async fn forget_unused(service: Arc<Service>) {
    let config = service.config();
    let remembered = Remembered {
        producers: config.producer_id_expiration,
        offsets: config.offsets_retention,
        transactional_ids: config.transactional_id_expiration,
    };
    for command in due::unused(
        service.replica().shared(),
        remembered,
        service.replica().now(),
    ) {
        if let Some(Response::Expired { count: 1.. }) = carry_out(&service, command).await {
            debug!("what was unused for long is forgotten");
        }
    }
    group_admin::delete_unused(&service).await;
}

/// Raises the level where no operator has to be asked: a node alone has nobody who could lag behind, and a new cluster
/// nothing that older software would have to read.
async fn raise_level(service: Arc<Service>) {
    if !may_raise_level(&service) {
        return;
    }
    let level = FeatureLevel::LATEST;
    let raise = Command::RaiseFeatureLevel(RaiseFeatureLevel { level });
    if carry_out(&service, raise).await.is_some() {
        info!(%level, "the log works at the latest level");
    }
}

fn may_raise_level(service: &Service) -> bool {
    let membership = service.replica().membership();
    let state = service.replica().state();
    if FeatureLevel::LATEST <= state.feature_level() {
        return false;
    }
    let members = membership.voters.iter().chain(&membership.learners);
    let all_have_it = members.clone().all(|member| {
        let node = state.node_of(*member);
        node.is_some_and(|(_, node)| FeatureLevel::LATEST <= node.feature_level_max)
    });
    let is_new = |topic: &Topic| state.clock().0.saturating_sub(topic.created_at().0) < NEW_FOR_MS;
    all_have_it && (members.count() == 1 || state.topics().all(|(_, topic)| is_new(topic)))
}

/// Shows what is known of clocks, until shutdown.
async fn show_clocks(service: Arc<Service>) {
    loop {
        let replica = service.replica();
        let open_ms = replica.state().clock_jumps().open_ms();
        replica.clocks().show(replica.now(), open_ms);
        tokio::select! {
            () = sleep(CLOCKS_EVERY) => {}
            () = service.shutdown().cancelled() => return,
        }
    }
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
