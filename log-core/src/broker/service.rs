//! What every handler works with: the replica, the settings, and the word that it is time to go.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use kafka_protocol::protocol::StrBytes;
use service_kit::clock::Clock;
use tokio_util::sync::CancellationToken;

use super::answer_memory::AnswerMemory;
use super::config::{Advertised, Config};
use super::node_handle::NodeHandle;
use super::peers::Peers;
use super::registration;
use super::unserved_requests::UnservedRequests;
use crate::ids::NodeId;
use crate::node::{Outcome, ProposeError};
use crate::state::{Command, RegisteredNode};

pub(super) use super::peers::PendingNode;

pub(super) struct Service {
    config: Config,
    advertised: Advertised,
    replica: NodeHandle,
    peers: Peers,
    clock: Clock,
    shutdown: CancellationToken,
    unserved: Mutex<UnservedRequests>,
    answers: AnswerMemory,
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
        replica: NodeHandle,
        peers: Peers,
        clock: Clock,
        shutdown: CancellationToken,
    ) -> Self {
        let answers = AnswerMemory::new(config.queued_max_answer_bytes);
        Self {
            answers,
            config,
            advertised,
            replica,
            peers,
            clock,
            shutdown,
            unserved: Mutex::default(),
        }
    }

    /// The memory for answers.
    pub(super) fn answers(&self) -> &AnswerMemory {
        &self.answers
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Where clients find a node: this one, by the listener that they asked.
    pub(super) fn address_of(&self, id: NodeId, node: &RegisteredNode) -> Option<Advertised> {
        if id == self.replica.cluster().node_id {
            return Some(self.advertised.clone());
        }
        registration::address(node)
    }

    /// Where this node tells clients to connect.
    pub(super) fn advertised(&self) -> &Advertised {
        &self.advertised
    }

    pub(super) fn replica(&self) -> &NodeHandle {
        &self.replica
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Notes a request that is not served; whether the operator is to be told of it.
    pub(super) fn note_unserved(&self, key: i16, version: i16) -> bool {
        let now = self.clock.elapsed();
        let mut unserved = self.unserved.lock().unwrap_or_else(PoisonError::into_inner);
        unserved.note(key, version, now)
    }

    /// The replicas that wait to be added, as this node has heard of them. Who was one a moment ago may be a member by now.
    pub(super) fn waiting(&self) -> Vec<PendingNode> {
        let members = self.replica.membership();
        let waiting = self.peers.waiting().into_iter();
        waiting.filter(|it| !members.has(it.replica)).collect()
    }

    /// Has the leader carry a command out.
    ///
    /// # Errors
    /// As [`NodeHandle::propose`]; [`ProposeError::OutcomeUnknown`] when the way to the leader broke.
    pub(super) async fn forward(&self, command: Command) -> Result<Outcome, ProposeError> {
        self.peers.forward(command).await
    }

    /// Cancelled when the broker stops: long polls answer with what they have.
    pub(super) fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }
}
