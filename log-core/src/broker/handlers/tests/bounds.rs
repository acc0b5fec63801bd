//! What is judged before it is promised, and what is not proposed in vain.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{
    ApiKey, CreatePartitionsRequest, CreateTopicsRequest, DeleteGroupsRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::puppet::{Puppet, TOPIC};
use super::requests::code_of;
use crate::ids::{GroupId, ReplicaId};
use crate::wire::{RequestBody, ResponseBody};

fn create_topic(name: &str, partitions: i32, validate_only: bool) -> RequestBody {
    let topic = CreatableTopic::default()
        .with_name(StrBytes::from_string(name.to_owned()).into())
        .with_num_partitions(partitions)
        .with_replication_factor(-1);
    RequestBody::CreateTopics(
        CreateTopicsRequest::default()
            .with_timeout_ms(10_000)
            .with_validate_only(validate_only)
            .with_topics(vec![topic]),
    )
}

/// The code of the only topic, and the sentence with it.
async fn created(puppet: &Puppet, body: RequestBody) -> (Option<ResponseError>, String) {
    let answer = puppet.ask(ApiKey::CreateTopics, 5, body).await;
    let ResponseBody::CreateTopics(answer) = answer else {
        panic!("{answer:?} answers no CreateTopics");
    };
    let topic = &answer.topics[0];
    let said = topic.error_message.as_ref().map(ToString::to_string);
    (
        ResponseError::try_from_code(topic.error_code),
        said.unwrap_or_default(),
    )
}

#[tokio::test]
async fn more_partitions_than_the_poorest_voter_keeps_open_are_refused_before_they_are_proposed() {
    let puppet = Puppet::leader().await;
    let bound = puppet.service.replica().partition_bound();
    bound.report(ReplicaId(2), 300);
    bound.report(ReplicaId(3), 72);
    let before = puppet.applied();

    // Two partitions are there already.
    for validate_only in [false, true] {
        let asked = create_topic("many", 23, validate_only);
        let (code, said) = created(&puppet, asked).await;
        assert_eq!(code, Some(ResponseError::PolicyViolation));
        assert!(
            said.starts_with(
                "25 partitions need 75 open files, 3 each, and replica 3 keeps 72 open"
            ),
            "{said}"
        );
    }
    let topic = CreatePartitionsTopic::default()
        .with_name(StrBytes::from_static_str(TOPIC).into())
        .with_count(25)
        .with_assignments(None);
    let more = CreatePartitionsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(vec![topic]);
    let answer = puppet
        .ask(
            ApiKey::CreatePartitions,
            1,
            RequestBody::CreatePartitions(more),
        )
        .await;
    let policy = ResponseError::PolicyViolation.code();
    assert_eq!(code_of(&answer), policy);
    assert_eq!(puppet.applied(), before, "nothing was proposed");

    let exists = created(&puppet, create_topic(TOPIC, 500, false)).await;
    assert_eq!(exists.0, Some(ResponseError::TopicAlreadyExists));
    let fits = created(&puppet, create_topic("fits", 22, false)).await;
    assert_eq!(fits.0, None, "{}", fits.1);
}

async fn join(puppet: &Puppet, group: &str, metadata: &Bytes) -> JoinGroupResponse {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(StrBytes::from_static_str("range"))
        .with_metadata(metadata.clone());
    let request = JoinGroupRequest::default()
        .with_group_id(StrBytes::from_string(group.to_owned()).into())
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol]);
    let body = RequestBody::JoinGroup(request);
    match puppet.ask(ApiKey::JoinGroup, 2, body).await {
        ResponseBody::JoinGroup(answer) => answer,
        answer => panic!("{answer:?} answers no JoinGroup"),
    }
}

#[tokio::test]
async fn groups_take_no_more_memory_than_they_may_and_leave_when_nothing_is_left_of_them() {
    let puppet = Puppet::leader().await;
    let metadata = Bytes::from(vec![1; 1 << 20]);
    let mut members = Vec::new();
    let refused = loop {
        let group = format!("group-{}", members.len());
        let joined = join(&puppet, &group, &metadata).await;
        if joined.error_code != 0 {
            break joined.error_code;
        }
        members.push((group, joined.member_id));
        assert!(members.len() < 100, "there is an end to it");
    };
    assert_eq!(members.len(), 31, "of the 32 MiB that groups may take");
    assert_eq!(refused, ResponseError::GroupMaxSizeReached.code());

    let (group, member) = members.pop().expect("one of them");
    let leave = LeaveGroupRequest::default()
        .with_group_id(StrBytes::from_string(group.clone()).into())
        .with_member_id(member);
    let body = RequestBody::LeaveGroup(leave);
    let left = puppet.ask(ApiKey::LeaveGroup, 1, body).await;
    assert_eq!(code_of(&left), 0);
    let id = GroupId::new(group.as_str());
    let is_known = || puppet.service.replica().state().group(&id).is_some();
    assert!(is_known(), "with its generation");

    let delete = DeleteGroupsRequest::default()
        .with_groups_names(vec![StrBytes::from_string(group.clone()).into()]);
    let body = RequestBody::DeleteGroups(delete);
    puppet.ask(ApiKey::DeleteGroups, 1, body).await;
    assert!(!is_known());
    let joined = join(&puppet, "another", &metadata).await;
    assert_eq!(joined.error_code, 0, "there is room again");
}
