//! What is counted of the talk between nodes. The only label is a node's number.

use metrics::{counter, gauge};

use crate::ids::NodeId;

/// A connection over which messages go to a peer, counted while it lives.
pub(super) struct Connected {
    node: NodeId,
}

impl Connected {
    pub(super) fn to(node: NodeId) -> Self {
        gauge!("log_peer_connected", "node" => node.to_string()).set(1);
        gauge!("log_peers_connected").increment(1);
        Self { node }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        gauge!("log_peer_connected", "node" => self.node.to_string()).set(0);
        gauge!("log_peers_connected").decrement(1);
    }
}

pub(super) fn sent(messages: usize, bytes: usize) {
    counter!("log_peer_messages_sent_total").increment(messages as u64);
    counter!("log_peer_sent_bytes_total").increment(bytes as u64);
}

pub(super) fn received(bytes: usize) {
    counter!("log_peer_messages_received_total").increment(1);
    counter!("log_peer_received_bytes_total").increment(bytes as u64);
}

/// Not sent, because no connection took it in time.
pub(super) fn dropped(messages: usize) {
    counter!("log_peer_messages_dropped_total").increment(messages as u64);
}

/// Arrived, and not taken because the replica's thread had too much to do.
pub(super) fn overran() {
    counter!("log_peer_messages_overrun_total").increment(1);
}

pub(super) fn refused() {
    counter!("log_peer_handshakes_refused_total").increment(1);
}
