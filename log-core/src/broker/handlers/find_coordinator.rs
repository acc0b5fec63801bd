//! FindCoordinator: who coordinates a group or a transaction: the leader, for all of them (KIP-699).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::config::Advertised;
use crate::broker::service::Service;
use crate::ids::NodeId;
use crate::node::Leadership;
use crate::wire::values;

/// Groups and transactions; 2 is a share group, which is not served.
const KEY_TYPES: std::ops::RangeInclusive<i8> = 0..=1;

pub(in crate::broker) fn answer(
    service: &Service,
    version: i16,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let found = find(service, request.key_type);
    if version < 4 {
        return one(found);
    }
    let several = request
        .coordinator_keys
        .into_iter()
        .map(|key| one_of_several(key, &found));
    FindCoordinatorResponse::default()
        .with_error_message(None)
        .with_coordinators(several.collect())
}

type CoordinatorResult = Result<(NodeId, Advertised), ResponseError>;

fn find(service: &Service, key_type: i8) -> CoordinatorResult {
    if !KEY_TYPES.contains(&key_type) {
        return Err(ResponseError::InvalidRequest);
    }
    let leader = match service.replica().leadership() {
        Leadership::Leader { .. } => service.replica().cluster().node_id,
        Leadership::Follower {
            leader: Some((node, _)),
        } => node,
        Leadership::Follower { leader: None } | Leadership::Starting => {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
    };
    let state = service.replica().state();
    let known = state.nodes().find(|(id, _)| *id == leader);
    let address = known.and_then(|(id, node)| service.address_of(id, node));
    Ok((
        leader,
        address.ok_or(ResponseError::CoordinatorNotAvailable)?,
    ))
}

fn one(found: CoordinatorResult) -> FindCoordinatorResponse {
    let response = FindCoordinatorResponse::default().with_error_message(None);
    match found {
        Ok((node, address)) => response
            .with_node_id(wire_id(node))
            .with_host(StrBytes::from_string(address.host))
            .with_port(i32::from(address.port)),
        Err(code) => response
            .with_error_code(code.code())
            .with_node_id((-1).into())
            .with_port(-1),
    }
}

fn one_of_several(key: StrBytes, found: &CoordinatorResult) -> Coordinator {
    let coordinator = Coordinator::default()
        .with_key(key)
        .with_error_message(None);
    match found {
        Ok((node, address)) => coordinator
            .with_node_id(wire_id(*node))
            .with_host(StrBytes::from_string(address.host.clone()))
            .with_port(i32::from(address.port)),
        Err(code) => coordinator
            .with_error_code(code.code())
            .with_node_id((-1).into())
            .with_port(-1),
    }
}

fn wire_id(node: NodeId) -> BrokerId {
    values::wire_node(Some(node)).into()
}
