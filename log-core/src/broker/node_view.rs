//! What other threads see of the node: what its thread publishes, and what they may look at meanwhile.

use std::sync::Arc;

use service_kit::clock::Clock;
use tokio::sync::watch;

use crate::consensus::{Membership, Quorum};
use crate::ids::{EntryIndex, LeaderEpoch, TimestampMs};
use crate::node::{Leadership, Node, Now, Published, SharedView};

/// What other threads see of the node. Clones see the same.
#[derive(Clone)]
pub(super) struct NodeView {
    pub(super) shared: Arc<SharedView>,
    pub(super) watches: Arc<Watches>,
    pub(super) clock: Clock,
}

/// What the replica's thread publishes.
pub(super) struct Watches {
    pub(super) applied: watch::Sender<EntryIndex>,
    pub(super) applied_epoch: watch::Sender<LeaderEpoch>,
    pub(super) leadership: watch::Sender<Leadership>,
    pub(super) quorum: watch::Sender<Arc<Quorum>>,
    pub(super) membership: watch::Sender<Membership>,
}

impl NodeView {
    /// What the node is told of the time.
    pub(super) fn now(&self) -> Now {
        now(&self.clock)
    }
}

impl Watches {
    /// What is known before the replica's first round.
    pub(super) fn of(node: &Node) -> Self {
        let (applied, epoch) = node.applied();
        Self {
            applied: watch::Sender::new(applied),
            applied_epoch: watch::Sender::new(epoch),
            leadership: watch::Sender::new(Leadership::Follower { leader: None }),
            quorum: watch::Sender::new(Arc::default()),
            membership: watch::Sender::new(node.membership().clone()),
        }
    }

    /// Shows what has changed: who hears that this node leads asks next who is in sync.
    pub(super) fn publish(&self, published: Published) {
        let Published {
            membership,
            quorum,
            leadership,
            applied,
        } = published;
        if let Some(members) = membership {
            self.membership.send_replace(members);
        }
        if let Some(quorum) = quorum {
            self.quorum.send_replace(quorum);
        }
        if let Some(leadership) = leadership {
            self.leadership.send_replace(leadership);
        }
        if let Some((applied, epoch)) = applied {
            self.applied_epoch
                .send_if_modified(|shown| std::mem::replace(shown, epoch) != epoch);
            self.applied.send_replace(applied);
        }
    }
}

/// What a node is told of the time.
pub(super) fn now(clock: &Clock) -> Now {
    Now {
        elapsed: clock.elapsed(),
        wall: TimestampMs(clock.wall_ms()),
    }
}
