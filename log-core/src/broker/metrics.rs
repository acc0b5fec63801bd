//! What the broker counts. Labels hold API names only: never a topic's key, a client or an address.

use kafka_protocol::messages::ApiKey;
use metrics::{counter, gauge, histogram};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::node_handle::NodeHandle;
use crate::consensus::Quorum;
use crate::ids::EntryIndex;
use crate::node::Leadership;

/// A connection, counted while it lives.
pub(super) struct Connection;

impl Connection {
    pub(super) fn open() -> Self {
        gauge!("log_connections").increment(1);
        Self
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        gauge!("log_connections").decrement(1);
    }
}

/// A Fetch that waits for records, counted while it waits.
pub(super) struct WaitingFetch;

impl WaitingFetch {
    pub(super) fn begin() -> Self {
        gauge!("log_fetches_waiting").increment(1);
        Self
    }
}

impl Drop for WaitingFetch {
    fn drop(&mut self) {
        gauge!("log_fetches_waiting").decrement(1);
    }
}

pub(super) fn connection_refused() {
    counter!("log_connections_refused_total").increment(1);
}

pub(super) fn received(bytes: usize) {
    counter!("log_request_bytes_total").increment(bytes as u64);
}

pub(super) fn sent(bytes: usize) {
    counter!("log_response_bytes_total").increment(bytes as u64);
}

pub(super) fn requested(api: ApiKey) {
    let name = crate::wire::served(api as i16).map_or("unknown", |api| api.name);
    counter!("log_requests_total", "api" => name).increment(1);
}

pub(super) fn answered(api: ApiKey, seconds: f64) {
    let name = crate::wire::served(api as i16).map_or("unknown", |api| api.name);
    histogram!("log_request_seconds", "api" => name).record(seconds);
}

pub(super) fn produced(bytes: usize) {
    counter!("log_produced_batches_total").increment(1);
    counter!("log_produced_bytes_total").increment(bytes as u64);
}

/// Shows how far this node has applied, until shutdown.
pub(super) async fn follow_applied(
    mut applied: watch::Receiver<EntryIndex>,
    shutdown: CancellationToken,
) {
    loop {
        gauge!("log_applied_index").set(count(applied.borrow_and_update().0));
        tokio::select! {
            changed = applied.changed() => if changed.is_err() { return },
            () = shutdown.cancelled() => return,
        }
    }
}

/// Shows what this node is to its cluster and how well the cluster is, until shutdown. On a follower the members are as a
/// leader last told.
pub(super) async fn follow_quorum(replica: NodeHandle, shutdown: CancellationToken) {
    let mut quorum = replica.quorum_changes();
    let mut leadership = replica.leadership_changes();
    loop {
        show_quorum(&replica, &quorum.borrow_and_update());
        leadership.mark_unchanged();
        tokio::select! {
            changed = quorum.changed() => if changed.is_err() { return },
            changed = leadership.changed() => if changed.is_err() { return },
            () = shutdown.cancelled() => return,
        }
    }
}

fn show_quorum(replica: &NodeHandle, quorum: &Quorum) {
    let leads = matches!(replica.leadership(), Leadership::Leader { .. });
    let own = quorum.member(replica.cluster().replica);
    let lag = own.map_or(0, |own| quorum.last.0.saturating_sub(own.matched.0));
    gauge!("log_leading").set(f64::from(u8::from(leads)));
    gauge!("log_leader_epoch").set(f64::from(replica.applied_epoch().0));
    gauge!("log_voters").set(count(replica.membership().voters.len()));
    gauge!("log_replicas_in_sync").set(count(quorum.in_sync().count()));
    gauge!("log_journal_lag_entries").set(count(lag));
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; exact to 2^53"
)]
fn count(number: impl TryInto<u64>) -> f64 {
    number.try_into().unwrap_or(u64::MAX) as f64
}
