//! The other nodes of the cluster: who and where they are, and what is said to them.
//!
//! Messages of the consensus go over one connection per direction and peer; a question opens a connection of its own.
//! Nothing here decides anything about the log, and nothing here makes the replica wait: what cannot go is dropped.

pub mod frame;
mod outbox;
mod secret;
mod snapshot_fetcher;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

pub use self::secret::{SECRET_BYTES_MIN, Secret, SecretTooShort};
pub use self::snapshot_fetcher::FetchError;
pub(in crate::broker) use self::snapshot_fetcher::SnapshotFetcher;

use self::outbox::Outbox;
use crate::consensus::Message;
use crate::ids::{NodeId, ReplicaId};

/// Messages of other replicas that wait for the replica's thread; more are dropped. A leader has at most 64 under way
/// to a follower, so this is full only when the replica's thread hangs.
const INCOMING_MAX: usize = 256;

/// A node of the cluster and where it listens for the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its number.
    pub node: NodeId,
    /// Host and port, as this node reaches it.
    pub address: String,
}

/// The way to the other nodes; cheap to clone.
#[derive(Clone, Default)]
pub(in crate::broker) struct Peers {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    outboxes: Mutex<BTreeMap<ReplicaId, Arc<Outbox>>>,
}

impl Peers {
    /// Nobody: the peers of a cluster of one.
    pub(in crate::broker) fn none() -> (Self, mpsc::Receiver<Message>) {
        let (_nobody_sends, incoming) = mpsc::channel(1);
        (Self { inner: None }, incoming)
    }

    /// Puts a message in line to the replica that it is for. Never blocks; what cannot go is dropped.
    pub(in crate::broker) fn send(&self, message: Message) {
        let Some(inner) = &self.inner else {
            return;
        };
        let outbox = inner.outbox_of(ReplicaId(message.to));
        drop(outbox.push(message));
    }
}

impl Inner {
    fn outbox_of(&self, to: ReplicaId) -> Arc<Outbox> {
        let mut outboxes = self
            .outboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(outboxes.entry(to).or_default())
    }
}
