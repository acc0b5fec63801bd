//! ListGroups, DescribeGroups and DeleteGroups: what an operator asks of groups.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    GroupId as WireGroupId, ListGroupsRequest, ListGroupsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::barrier::{Listed, list_barrier, read_barrier};
use super::proposal::propose_and_wait;
use crate::broker::error_code::{ErrorScope, not_leading, of_group_error};
use crate::broker::service::Service;
use crate::group::{DescribedMember, Description, Overview};
use crate::ids::{GroupId, GroupInstanceId};
use crate::state::{Command, DeleteGroup};

/// The requests have no deadline of their own.
const WAIT: Duration = Duration::from_secs(10);
/// What a client may do with a group, as Kafka's bit set: read, delete, describe.
const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8;
/// The one kind of group there is; the other is KIP-848's.
const CLASSIC: &str = "classic";
const EMPTY: &str = "Empty";

pub(in crate::broker) async fn list(
    service: &Service,
    version: i16,
    request: ListGroupsRequest,
) -> ListGroupsResponse {
    let groups = match all_groups(service).await {
        Ok(groups) => groups,
        Err(code) => return ListGroupsResponse::default().with_error_code(code.code()),
    };
    let wanted = groups
        .into_iter()
        .filter(|(_, group)| is_wanted(&request, group.state));
    let listed = |(id, group): (GroupId, Overview)| {
        let listed = ListedGroup::default()
            .with_group_id(wire_group(&id))
            .with_protocol_type(StrBytes::from_string(group.protocol_type));
        let listed = if 4 <= version {
            listed.with_group_state(StrBytes::from_static_str(group.state))
        } else {
            listed
        };
        if 5 <= version {
            listed.with_group_type(StrBytes::from_static_str(CLASSIC))
        } else {
            listed
        }
    };
    ListGroupsResponse::default().with_groups(wanted.map(listed).collect())
}

fn is_wanted(request: &ListGroupsRequest, state: &str) -> bool {
    let named = |filter: &[StrBytes], value: &str| {
        filter.is_empty()
            || filter
                .iter()
                .any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    named(&request.states_filter, state) && named(&request.types_filter, CLASSIC)
}

/// Those that have or had members, and those that only have committed offsets.
async fn all_groups(service: &Service) -> Result<BTreeMap<GroupId, Overview>, ResponseError> {
    if list_barrier(service).await? == Listed::Elsewhere {
        return Ok(BTreeMap::new());
    }
    let mut groups: BTreeMap<GroupId, Overview> = {
        let state = service.replica().state();
        state
            .groups()
            .map(|(id, _)| (id.clone(), Overview::of_recorded(false, None)))
            .collect()
    };
    let coordinated = service
        .replica()
        .list_groups()
        .await
        .map_err(|_| ResponseError::CoordinatorLoadInProgress)?;
    groups.extend(coordinated);
    Ok(groups)
}

fn without_members() -> Description {
    Description {
        state: EMPTY,
        protocol_type: String::new(),
        protocol_name: String::new(),
        members: Vec::new(),
    }
}

pub(in crate::broker) async fn describe(
    service: &Service,
    version: i16,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let current = read_barrier(service, ErrorScope::Coordinator)
        .await
        .map(|_| ());
    let mut groups = Vec::with_capacity(request.groups.len());
    for id in request.groups {
        let described = match current {
            Ok(()) => describe_one(service, &id).await,
            Err(code) => Err(code),
        };
        let group = described_group(version, id, described);
        let tells = request.include_authorized_operations && group.error_code == 0;
        groups.push(if tells {
            group.with_authorized_operations(GROUP_OPERATIONS)
        } else {
            group
        });
    }
    DescribeGroupsResponse::default().with_groups(groups)
}

async fn describe_one(service: &Service, id: &str) -> Result<Option<Description>, ResponseError> {
    let id = GroupId::new(id);
    let described = service.replica().describe_group(id.clone()).await;
    let described = described.map_err(|error| of_group_error(&error))?;
    let has_offsets = service.replica().state().group(&id).is_some();
    Ok(described.or_else(|| has_offsets.then(without_members)))
}

fn described_group(
    version: i16,
    id: WireGroupId,
    described: Result<Option<Description>, ResponseError>,
) -> DescribedGroup {
    let group = DescribedGroup::default()
        .with_group_id(id)
        .with_error_message(None);
    match described {
        Ok(Some(description)) => group
            .with_group_state(StrBytes::from_static_str(description.state))
            .with_protocol_type(StrBytes::from_string(description.protocol_type))
            .with_protocol_data(StrBytes::from_string(description.protocol_name))
            .with_members(
                description
                    .members
                    .into_iter()
                    .map(|member| described_member(version, member))
                    .collect(),
            ),
        // Before version 6 an unknown group is a dead one.
        Ok(None) if version < 6 => group.with_group_state(StrBytes::from_static_str("Dead")),
        Ok(None) => group
            .with_group_state(StrBytes::from_static_str("Dead"))
            .with_error_code(ResponseError::GroupIdNotFound.code())
            .with_error_message(Some(StrBytes::from_static_str("no such group"))),
        Err(code) => group.with_error_code(code.code()),
    }
}

fn described_member(version: i16, member: DescribedMember) -> DescribedGroupMember {
    let instance = |id: GroupInstanceId| StrBytes::from_string(id.as_str().to_owned());
    DescribedGroupMember::default()
        .with_member_id(StrBytes::from_string(member.member_id.as_str().to_owned()))
        .with_group_instance_id(member.instance_id.filter(|_| 4 <= version).map(instance))
        .with_client_id(StrBytes::from_string(member.client_id))
        .with_client_host(StrBytes::from_string(member.client_host))
        .with_member_metadata(member.metadata)
        .with_member_assignment(member.assignment)
}

pub(in crate::broker) async fn delete(
    service: &Service,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for id in request.groups_names {
        let deleted = delete_one(service, &id).await;
        let code = deleted.err().map_or(0, |code| code.code());
        results.push(
            DeletableGroupResult::default()
                .with_group_id(id)
                .with_error_code(code),
        );
    }
    DeleteGroupsResponse::default().with_results(results)
}

async fn delete_one(service: &Service, id: &str) -> Result<(), ResponseError> {
    if let Some(code) = not_leading(service.replica().leadership(), ErrorScope::Coordinator) {
        return Err(code);
    }
    let group = GroupId::new(id);
    // Members that are still joining are known to the coordinator alone.
    let described = service.replica().describe_group(group.clone()).await;
    let described = described.map_err(|error| of_group_error(&error))?;
    if described.is_some_and(|description| !description.members.is_empty()) {
        return Err(ResponseError::NonEmptyGroup);
    }
    let command = Command::DeleteGroup(DeleteGroup {
        group: group.clone(),
    });
    propose_and_wait(service, command, ErrorScope::Coordinator, WAIT)
        .await
        .map_err(|failed| failed.code)?;
    service.replica().forget_group(group).await;
    Ok(())
}

fn wire_group(id: &GroupId) -> WireGroupId {
    StrBytes::from_string(id.as_str().to_owned()).into()
}
