//! The word that a read is current (ReadIndex, rule 6), with a deadline.

use std::time::Duration;

use kafka_protocol::ResponseError;
use tokio::time::timeout;

use crate::broker::error_code::{ErrorScope, not_leading, of_unconfirmed_read};
use crate::broker::service::Service;
use crate::ids::LeaderEpoch;
use crate::node::Leadership;

/// Beyond an election's time the client had better ask again.
const WAIT: Duration = Duration::from_secs(5);

/// Waits until this node may say what is current; with that, its epoch.
pub(super) async fn read_barrier(
    service: &Service,
    asked: ErrorScope,
) -> Result<LeaderEpoch, ResponseError> {
    let leadership = service.replica().leadership();
    let Leadership::Leader { epoch } = leadership else {
        return Err(not_leading(leadership, asked).unwrap_or(ResponseError::NotLeaderOrFollower));
    };
    match timeout(WAIT, service.replica().read_barrier()).await {
        Ok(Ok(())) => Ok(epoch),
        Ok(Err(error)) => Err(of_unconfirmed_read(error, asked)),
        Err(_) => Err(ResponseError::RequestTimedOut),
    }
}

/// Where the groups and transactions are that a node is asked to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// Here, and what is here is current.
    Here,
    /// On the leader that this node follows: there is nothing to list, which is no error. Tools ask every node, and put
    /// together what each coordinates (rule 8).
    Elsewhere,
}

/// Whether this node has something to add to such a list. One that cannot tell asks to come back: what all nodes together
/// have listed would be taken for complete.
pub(super) async fn list_barrier(service: &Service) -> Result<Listed, ResponseError> {
    if let Leadership::Follower { leader: Some(_) } = service.replica().leadership() {
        return Ok(Listed::Elsewhere);
    }
    match read_barrier(service, ErrorScope::Coordinator).await {
        Ok(_) => Ok(Listed::Here),
        Err(_) => Err(ResponseError::CoordinatorLoadInProgress),
    }
}
