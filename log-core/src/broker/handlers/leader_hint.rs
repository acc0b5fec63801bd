//! Who leads and where it is: a client that is sent on need not ask for metadata first (KIP-951).

use kafka_protocol::messages::{BrokerId, fetch_response, produce_response};
use kafka_protocol::protocol::StrBytes;

use crate::broker::config::Advertised;
use crate::broker::service::Service;
use crate::node::Leadership;
use crate::wire::values;

/// The leader of all partitions.
pub(super) struct LeaderHint {
    leader: BrokerId,
    epoch: i32,
    address: Advertised,
    rack: Option<StrBytes>,
}

impl LeaderHint {
    /// The leader that this node knows, itself included; `None` while it knows none.
    pub(super) fn of(service: &Service) -> Option<Self> {
        let (node, epoch) = match service.replica().leadership() {
            Leadership::Leader { epoch } => (service.replica().cluster().node_id, epoch),
            Leadership::Follower { leader } => leader?,
            Leadership::Starting => return None,
        };
        let state = service.replica().state();
        let (_, registered) = state.nodes().find(|(id, _)| *id == node)?;
        Some(Self {
            leader: values::wire_node(Some(node)).into(),
            epoch: values::wire_leader_epoch(Some(epoch)),
            address: service.address_of(node, registered)?,
            rack: registered.rack.clone().map(StrBytes::from_string),
        })
    }

    /// The same; `None` where this node leads, and a client is sent nowhere.
    pub(super) fn elsewhere(service: &Service) -> Option<Self> {
        match service.replica().leadership() {
            Leadership::Follower { .. } => Self::of(service),
            Leadership::Leader { .. } | Leadership::Starting => None,
        }
    }

    pub(super) fn in_produce(&self) -> produce_response::LeaderIdAndEpoch {
        produce_response::LeaderIdAndEpoch::default()
            .with_leader_id(self.leader)
            .with_leader_epoch(self.epoch)
    }

    pub(super) fn produce_endpoint(&self) -> produce_response::NodeEndpoint {
        produce_response::NodeEndpoint::default()
            .with_node_id(self.leader)
            .with_host(StrBytes::from_string(self.address.host.clone()))
            .with_port(i32::from(self.address.port))
            .with_rack(self.rack.clone())
    }

    pub(super) fn in_fetch(&self) -> fetch_response::LeaderIdAndEpoch {
        fetch_response::LeaderIdAndEpoch::default()
            .with_leader_id(self.leader)
            .with_leader_epoch(self.epoch)
    }

    pub(super) fn fetch_endpoint(&self) -> fetch_response::NodeEndpoint {
        fetch_response::NodeEndpoint::default()
            .with_node_id(self.leader)
            .with_host(StrBytes::from_string(self.address.host.clone()))
            .with_port(i32::from(self.address.port))
            .with_rack(self.rack.clone())
    }
}
