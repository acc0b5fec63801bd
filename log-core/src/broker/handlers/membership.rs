//! JoinGroup, SyncGroup, Heartbeat and LeaveGroup: the classic protocol of consumer groups.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::broker::error_code::{ErrorScope, not_leading, of_group_error};
use crate::broker::service::{Client, Service};
use crate::group::{
    Caller, GroupError, Heartbeat, Input, Join, JoinAbility, Joined, JoinedMember, Leave,
    LeaveResult, LeavingMember, Profile, Protocol, Response, Sync, Synced,
};
use crate::ids::{GroupId, GroupInstanceId, MemberId, RequestId};
use crate::wire::values;

pub(in crate::broker) async fn join(
    service: &Service,
    client: &Client,
    version: i16,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let member_id = request.member_id.clone();
    let group = request.group_id.to_string();
    let join = joining(client, version, request);
    match asked(service, &group, move |from| {
        Input::Join(Join { from, ..join })
    })
    .await
    {
        Ok(Response::Join(Ok(joined))) => joined_response(version, joined),
        Ok(Response::Join(Err(error))) => join_refused(version, member_id, &error),
        Ok(_) => join_failed(version, member_id, ResponseError::UnknownServerError),
        Err(code) => join_failed(version, member_id, code),
    }
}

/// The request's number is filled in when it is known.
fn joining(client: &Client, version: i16, request: JoinGroupRequest) -> Join {
    let session_timeout = milliseconds(request.session_timeout_ms);
    let rebalance_timeout = if version == 0 {
        session_timeout
    } else {
        milliseconds(request.rebalance_timeout_ms)
    };
    let protocol =
        |protocol: kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol| {
            Protocol {
                name: protocol.name.to_string(),
                metadata: kept(&protocol.metadata),
            }
        };
    Join {
        from: RequestId(0),
        ability: match version {
            ..=3 => JoinAbility::OneStep,
            4..=8 => JoinAbility::TwoSteps,
            9.. => JoinAbility::SkipAssignment,
        },
        member_id: member(&request.member_id),
        fresh: Uuid::new_v4(),
        protocol_type: request.protocol_type.to_string(),
        profile: Profile {
            instance_id: instance(request.group_instance_id.as_ref()),
            client_id: client.id.clone(),
            // As Kafka writes an address.
            client_host: format!("/{}", client.address.ip()),
            session_timeout,
            rebalance_timeout,
            protocols: request.protocols.into_iter().map(protocol).collect(),
        },
    }
}

fn joined_response(version: i16, joined: Joined) -> JoinGroupResponse {
    let member = |member: JoinedMember| {
        JoinGroupResponseMember::default()
            .with_member_id(text(member.member_id.as_str()))
            .with_group_instance_id(wire_instance(member.instance_id.filter(|_| 5 <= version)))
            .with_metadata(member.metadata)
    };
    JoinGroupResponse::default()
        .with_generation_id(values::wire_generation(Some(joined.generation)))
        .with_protocol_type((7 <= version).then(|| StrBytes::from_string(joined.protocol_type)))
        .with_protocol_name(Some(StrBytes::from_string(joined.protocol_name)))
        .with_leader(text(joined.leader.as_str()))
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(text(joined.member_id.as_str()))
        .with_members(joined.members.into_iter().map(member).collect())
}

fn join_refused(version: i16, member_id: StrBytes, error: &GroupError) -> JoinGroupResponse {
    let member_id = match error {
        GroupError::MemberIdRequired { member_id } => text(member_id.as_str()),
        _ => member_id,
    };
    join_failed(version, member_id, of_group_error(error))
}

fn join_failed(version: i16, member_id: StrBytes, code: ResponseError) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_error_code(code.code())
        .with_generation_id(-1)
        // It may be null from version 7 on only.
        .with_protocol_name((version < 7).then(StrBytes::new))
        .with_member_id(member_id)
}

pub(in crate::broker) async fn sync(
    service: &Service,
    version: i16,
    request: SyncGroupRequest,
) -> SyncGroupResponse {
    let group = request.group_id.to_string();
    let assignments = request.assignments.into_iter();
    let sync = Sync {
        from: RequestId(0),
        caller: caller(
            &request.member_id,
            request.group_instance_id.as_ref(),
            request.generation_id,
        ),
        protocol_type: request.protocol_type.map(|kind| kind.to_string()),
        protocol_name: request.protocol_name.map(|name| name.to_string()),
        assignments: assignments
            .map(|assigned| {
                (
                    MemberId::new(assigned.member_id.as_str()),
                    kept(&assigned.assignment),
                )
            })
            .collect(),
    };
    let failed = |code: ResponseError| SyncGroupResponse::default().with_error_code(code.code());
    match asked(service, &group, move |from| {
        Input::Sync(Sync { from, ..sync })
    })
    .await
    {
        Ok(Response::Sync(Ok(synced))) => synced_response(version, synced),
        Ok(Response::Sync(Err(error))) => failed(of_group_error(&error)),
        Ok(_) => failed(ResponseError::UnknownServerError),
        Err(code) => failed(code),
    }
}

fn synced_response(version: i16, synced: Synced) -> SyncGroupResponse {
    let echoed = |value: String| (5 <= version).then(|| StrBytes::from_string(value));
    SyncGroupResponse::default()
        .with_protocol_type(echoed(synced.protocol_type))
        .with_protocol_name(echoed(synced.protocol_name))
        .with_assignment(synced.assignment)
}

pub(in crate::broker) async fn heartbeat(
    service: &Service,
    request: HeartbeatRequest,
) -> HeartbeatResponse {
    let caller = caller(
        &request.member_id,
        request.group_instance_id.as_ref(),
        request.generation_id,
    );
    let input = move |from| Input::Heartbeat(Heartbeat { from, caller });
    let code = match asked(service, &request.group_id, input).await {
        Ok(Response::Heartbeat(Ok(()))) => 0,
        Ok(Response::Heartbeat(Err(error))) => of_group_error(&error).code(),
        Ok(_) => ResponseError::UnknownServerError.code(),
        Err(code) => code.code(),
    };
    HeartbeatResponse::default().with_error_code(code)
}

pub(in crate::broker) async fn leave(
    service: &Service,
    version: i16,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let alone = LeavingMember {
        member_id: member(&request.member_id),
        instance_id: None,
    };
    let several = request.members.iter().map(|one| LeavingMember {
        member_id: member(&one.member_id),
        instance_id: instance(one.group_instance_id.as_ref()),
    });
    let members = if version < 3 {
        vec![alone]
    } else {
        several.collect()
    };
    let failed = |code: ResponseError| LeaveGroupResponse::default().with_error_code(code.code());
    match asked(service, &request.group_id, move |from| {
        Input::Leave(Leave { from, members })
    })
    .await
    {
        Ok(Response::Leave(Ok(left))) if version < 3 => left_alone(&left),
        Ok(Response::Leave(Ok(left))) => LeaveGroupResponse::default()
            .with_members(left.into_iter().map(left_response).collect()),
        Ok(Response::Leave(Err(error))) => failed(of_group_error(&error)),
        Ok(_) => failed(ResponseError::UnknownServerError),
        Err(code) => failed(code),
    }
}

/// Before version 3 there is one member, and its answer is the whole answer.
fn left_alone(left: &[LeaveResult]) -> LeaveGroupResponse {
    let refused = left.iter().find_map(|left| left.result.as_ref().err());
    let code = refused.map_or(0, |error| of_group_error(error).code());
    LeaveGroupResponse::default().with_error_code(code)
}

fn left_response(left: LeaveResult) -> MemberResponse {
    let id = left.leaver.member_id.as_ref().map_or("", MemberId::as_str);
    MemberResponse::default()
        .with_member_id(text(id))
        .with_group_instance_id(wire_instance(left.leaver.instance_id))
        .with_error_code(
            left.result
                .err()
                .map_or(0, |error| of_group_error(&error).code()),
        )
}

/// Asks the coordinator, if it is here.
async fn asked(
    service: &Service,
    group: &str,
    input: impl FnOnce(RequestId) -> Input,
) -> Result<Response, ResponseError> {
    if group.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    if let Some(code) = not_leading(service.replica().leadership(), ErrorScope::Coordinator) {
        return Err(code);
    }
    let answered = service.replica().ask_for_member(GroupId::new(group), input);
    tokio::select! {
        answered = answered => answered.map_err(|error| of_group_error(&error)),
        // The members of this node's groups go on with the next coordinator.
        () = service.shutdown().cancelled() => Err(ResponseError::NotCoordinator),
    }
}

/// A caller as requests name it.
pub(super) fn caller(member_id: &str, instance_id: Option<&StrBytes>, generation: i32) -> Caller {
    Caller {
        member_id: MemberId::new(member_id),
        instance_id: instance(instance_id),
        generation: values::generation(generation),
    }
}

/// The wire's empty id means none.
fn member(id: &str) -> Option<MemberId> {
    (!id.is_empty()).then(|| MemberId::new(id))
}

fn instance(id: Option<&StrBytes>) -> Option<GroupInstanceId> {
    id.map(|id| GroupInstanceId::new(id.as_str()))
}

fn wire_instance(id: Option<GroupInstanceId>) -> Option<StrBytes> {
    id.map(|id| text(id.as_str()))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// What outlives the request must not keep the request's whole frame in memory.
fn kept(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// Negative ones are as good as none, which the group refuses.
fn milliseconds(wire: i32) -> Duration {
    Duration::from_millis(u64::try_from(wire).unwrap_or(0))
}
