//! What every handler works with: the replica, the settings, and the word that it is time to go.

use std::net::SocketAddr;
use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;
use tokio_util::sync::CancellationToken;

use super::config::{Advertised, Config};
use super::coordinator::CoordinatorHandle;
use super::registration;
use super::replica_handle::{Outcome, ProposeError, ReplicaHandle};
use crate::clock::Clock;
use crate::ids::{NodeId, ReplicaId};
use crate::state::{Command, FeatureLevel, Node};

pub(super) struct Service {
    config: Config,
    advertised: Advertised,
    replica: ReplicaHandle,
    coordinator: CoordinatorHandle,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
}

/// A replica that is no member and has presented itself: it waits for the operator to add it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Who.
    pub(super) replica: ReplicaId,
    /// Which node it wants to be.
    pub(super) node: NodeId,
    /// Where it listens for the other nodes: a host
    pub(super) host: String,
    /// and a port.
    pub(super) port: u16,
    /// The highest feature level its software has.
    pub(super) feature_level_max: FeatureLevel,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// The peer of the connection.
    pub(super) address: SocketAddr,
    /// What it calls itself (`client.id`).
    pub(super) id: String,
}

impl Client {
    /// The same, as the present request names it.
    pub(super) fn named(&self, id: Option<StrBytes>) -> Self {
        Self {
            address: self.address,
            id: id.map_or_else(String::new, |id| id.to_string()),
        }
    }
}

impl Service {
    pub(super) fn new(
        config: Config,
        advertised: Advertised,
        replica: ReplicaHandle,
        coordinator: CoordinatorHandle,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            config,
            advertised,
            replica,
            coordinator,
            clock,
            shutdown,
        }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Where clients find a node: this one, by the listener that they asked.
    pub(super) fn address_of(&self, id: NodeId, node: &Node) -> Option<Advertised> {
        if id == self.replica.cluster().node_id {
            return Some(self.advertised.clone());
        }
        registration::address(node)
    }

    /// Where this node tells clients to connect.
    pub(super) fn advertised(&self) -> &Advertised {
        &self.advertised
    }

    pub(super) fn replica(&self) -> &ReplicaHandle {
        &self.replica
    }

    /// Whoever owns the consumer groups.
    pub(super) fn coordinator(&self) -> &CoordinatorHandle {
        &self.coordinator
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The replicas that wait to be added, as this node has heard of them.
    pub(super) fn waiting(&self) -> Vec<Waiting> {
        Vec::new()
    }

    /// Has the leader carry a command out.
    ///
    /// # Errors
    /// As [`ReplicaHandle::propose`]; [`ProposeError::OutcomeUnknown`] when the way to the leader broke.
    pub(super) async fn forward(&self, _command: Command) -> Result<Outcome, ProposeError> {
        Err(ProposeError::NotLeader)
    }

    /// Cancelled when the broker stops: long polls answer with what they have.
    pub(super) fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }
}
