//! The other nodes of the cluster: who and where they are, and what is said to them.
//!
//! Messages of the consensus go over one connection per direction and peer; a question opens a connection of its own.
//! Nothing here decides anything about the log, and nothing here makes the replica wait: what cannot go is dropped.
//!
//! ```text
//!  replica's thread ── send ──> SendQueue ──> Link ════ messages, statuses ════> PeerListener ──> replica's thread of the peer
//!  registration, handlers, fetcher ──> RpcClient ═══ requests, responses ════> PeerListener ──> rpc_server
//! ```

mod address;
mod address_book;
mod connection;
mod formation;
mod formation_task;
pub mod frame;
mod handshake;
mod link;
mod listener;
mod local_node;
mod metrics;
mod pending_nodes;
mod registry;
mod rpc;
mod rpc_client;
mod rpc_server;
mod secret;
mod send_queue;
mod sender_lease;
mod snapshot_fetcher;

use std::path::PathBuf;
use std::sync::Arc;

use journal::disk::Disk;
use service_kit::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::address::Peer;
pub use self::secret::{PeerSecret, SecretTooShort};
pub use self::snapshot_fetcher::FetchError;

pub(in crate::broker) use self::address::host_and_port;
pub(in crate::broker) use self::address_book::join;
pub(in crate::broker) use self::formation_task::form;
pub(in crate::broker) use self::pending_nodes::PendingNode;
pub(in crate::broker) use self::snapshot_fetcher::SnapshotFetcher;

use self::listener::PeerListener;
use self::local_node::LocalNode;
use self::registry::PeerRegistry;
use super::node_handle::NodeHandle;
use crate::consensus::Message;
use crate::node::{Outcome, ProposeError};
use crate::state::Command;
use crate::storage::Identity;

/// Messages of other replicas that wait for the replica's thread; more are dropped. A leader has at most 64 under way
/// to a follower, so this is full only when the replica's thread hangs.
const INCOMING_MAX: usize = 256;

/// The way to the other nodes; cheap to clone.
#[derive(Clone)]
pub(in crate::broker) struct Peers {
    registry: Option<Arc<PeerRegistry>>,
}

/// How this node is reached, and by whom.
pub(in crate::broker) struct PeerSettings {
    /// Where the others are told to connect.
    pub(in crate::broker) address: String,
    /// The nodes to form a cluster with, this one included.
    pub(in crate::broker) listed: Vec<Peer>,
    /// What all of them know.
    pub(in crate::broker) secret: Option<PeerSecret>,
    /// Handshakes at once.
    pub(in crate::broker) handshakes_max: usize,
}

impl Peers {
    /// Nobody: the peers of a cluster of one.
    pub(in crate::broker) fn none() -> (Self, mpsc::Receiver<Message>) {
        let (_nobody_sends, incoming) = mpsc::channel(1);
        (Self { registry: None }, incoming)
    }

    /// Meets the others, from now until `stop`: answers who this node is, and once it is part of a cluster, hears and
    /// tells. What is heard comes out of the receiver.
    pub(in crate::broker) fn meet(
        identity: &Identity,
        settings: PeerSettings,
        listener: TcpListener,
        clock: Clock,
        stop: CancellationToken,
    ) -> (Self, mpsc::Receiver<Message>) {
        let (incoming_in, incoming) = mpsc::channel(INCOMING_MAX);
        let handshakes_max = settings.handshakes_max;
        let local = LocalNode::new(identity, settings.address, settings.listed, settings.secret);
        let registry = Arc::new(PeerRegistry::new(local, incoming_in, clock, stop));
        let serving = PeerListener::new(Arc::clone(&registry), handshakes_max).serve(listener);
        registry.spawn(serving);
        (
            Self {
                registry: Some(registry),
            },
            incoming,
        )
    }

    /// From now on the members are those that the log says, and questions about it are answered.
    pub(in crate::broker) fn attach(&self, replica: NodeHandle) {
        if let Some(registry) = &self.registry {
            registry.attach(replica.clone());
            registry.spawn(Arc::clone(registry).stay_linked(replica));
        }
    }

    /// Waits until nothing is said or heard any more, after `stop`: then the address is free.
    pub(in crate::broker) async fn gone(&self) {
        if let Some(registry) = &self.registry {
            registry.tasks.close();
            registry.tasks.wait().await;
        }
    }

    /// Who fetches snapshots from the others, into a data folder.
    pub(in crate::broker) fn fetcher(
        &self,
        disk: Arc<dyn Disk>,
        folder: PathBuf,
    ) -> SnapshotFetcher {
        match &self.registry {
            Some(registry) => SnapshotFetcher::into(Arc::clone(registry), disk, folder),
            None => SnapshotFetcher::none(),
        }
    }

    /// Puts a message in line to the replica that it is for. Never blocks; what cannot go is dropped.
    pub(in crate::broker) fn send(&self, message: Message) {
        let Some(registry) = &self.registry else {
            return;
        };
        if registry.push(message).is_err() {
            metrics::dropped(1);
        }
    }

    /// Has the leader propose a command, here or wherever it is: one that concerns this node itself, or no record.
    ///
    /// # Errors
    /// [`ProposeError`], as if it had been proposed here.
    pub(in crate::broker) async fn forward(
        &self,
        command: Command,
    ) -> Result<Outcome, ProposeError> {
        match &self.registry {
            Some(registry) => rpc_client::forward(registry, command).await,
            None => Err(ProposeError::NotLeader),
        }
    }

    /// The nodes that have presented themselves lately and are no members.
    pub(in crate::broker) fn waiting(&self) -> Vec<PendingNode> {
        match &self.registry {
            Some(registry) => registry.pending.list(registry.clock.elapsed()),
            None => Vec::new(),
        }
    }
}

/// Reads what a frame says, down to its values, as a node does; for the fuzzer. Says whether it was understood.
#[cfg(any(test, feature = "testing"))]
pub fn hear(frame: &frame::PeerFrame) -> bool {
    use frame::FrameKind;
    let body = &frame.body;
    match frame.kind {
        FrameKind::Hello => handshake::Hello::decode(body).is_ok(),
        FrameKind::Greeting => handshake::Greeting::decode(body).is_ok(),
        FrameKind::Proof => handshake::Proof::decode(body).is_ok(),
        FrameKind::Welcome => true,
        FrameKind::Refusal => !handshake::HandshakeError::decode(body)
            .to_string()
            .contains('\n'),
        FrameKind::Message => crate::consensus::decode_message(body).is_ok(),
        FrameKind::Status => (*handshake::VERSIONS.start()..=*handshake::VERSIONS.end())
            .any(|version| rpc::Status::decode(body, version).is_ok()),
        FrameKind::Request => rpc::decode_request(body).is_ok(),
        FrameKind::Answer => rpc::decode::<rpc::PeerResponse>(body).is_ok(),
    }
}
