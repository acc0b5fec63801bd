//! Groups when leadership is lost and won: nobody waits for ever, and what was recorded is where the next one goes on.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ApiKey, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::puppet::Puppet;
use super::requests::{GROUP, code_of};
use crate::ids::GroupId;
use crate::node::ProposeError;
use crate::wire::{RequestBody, ResponseBody};

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Version 3: one step, so that a test need not join twice.
fn join(member: &StrBytes) -> RequestBody {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    RequestBody::JoinGroup(
        JoinGroupRequest::default()
            .with_group_id(text(GROUP).into())
            .with_member_id(member.clone())
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(60_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]),
    )
}

fn sync(joined: &JoinGroupResponse) -> RequestBody {
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment("all".into());
    RequestBody::SyncGroup(
        SyncGroupRequest::default()
            .with_group_id(text(GROUP).into())
            .with_member_id(joined.member_id.clone())
            .with_generation_id(joined.generation_id)
            .with_assignments(vec![assignment]),
    )
}

fn heartbeat(joined: &JoinGroupResponse) -> RequestBody {
    RequestBody::Heartbeat(
        HeartbeatRequest::default()
            .with_group_id(text(GROUP).into())
            .with_member_id(joined.member_id.clone())
            .with_generation_id(joined.generation_id),
    )
}

impl Puppet {
    async fn join(&self, member: &StrBytes) -> JoinGroupResponse {
        let answer = self.ask(ApiKey::JoinGroup, 3, join(member)).await;
        let ResponseBody::JoinGroup(joined) = answer else {
            panic!("joined")
        };
        joined
    }

    async fn says(&self, key: ApiKey, body: RequestBody) -> Option<ResponseError> {
        let answer = self.ask(key, 3, body).await;
        ResponseError::try_from_code(code_of(&answer))
    }

    /// A group of one member that has its assignment.
    async fn with_member(&self) -> JoinGroupResponse {
        let joined = self.join(&StrBytes::new()).await;
        assert_eq!(joined.error_code, 0);
        assert_eq!(self.says(ApiKey::SyncGroup, sync(&joined)).await, None);
        joined
    }
}

#[tokio::test]
async fn a_new_leader_goes_on_with_the_members_and_the_generation_that_were_recorded() {
    let puppet = Puppet::leader().await;
    let joined = puppet.with_member().await;

    puppet.follows();
    let elsewhere = puppet.says(ApiKey::Heartbeat, heartbeat(&joined)).await;
    assert_eq!(elsewhere, Some(ResponseError::NotCoordinator));

    puppet.leads(7);
    assert_eq!(
        puppet.says(ApiKey::Heartbeat, heartbeat(&joined)).await,
        None
    );
}

#[tokio::test]
async fn a_member_that_waits_for_the_others_is_sent_to_the_next_coordinator_when_leadership_is_lost()
 {
    let puppet = Puppet::leader().await;
    let kim = puppet.with_member().await;
    // Lee joins, and waits for Kim to join again.
    let lee = puppet.ask(ApiKey::JoinGroup, 3, join(&StrBytes::new()));
    let loses = async {
        let rebalances = async || {
            let beat = puppet.says(ApiKey::Heartbeat, heartbeat(&kim)).await;
            beat == Some(ResponseError::RebalanceInProgress)
        };
        while !rebalances().await {
            tokio::task::yield_now().await;
        }
        puppet.follows();
    };
    let (answer, ()) = tokio::join!(lee, loses);
    let said = ResponseError::try_from_code(code_of(&answer));
    assert_eq!(said, Some(ResponseError::NotCoordinator));

    // The next epoch knows nothing of the rebalance that was never recorded.
    puppet.leads(7);
    assert_eq!(puppet.says(ApiKey::Heartbeat, heartbeat(&kim)).await, None);
}

#[tokio::test]
async fn an_assignment_that_could_not_be_recorded_is_given_to_nobody() {
    let puppet = Puppet::leader().await;
    let joined = puppet.join(&StrBytes::new()).await;
    puppet.fails_with(ProposeError::OutcomeUnknown);

    let said = puppet.says(ApiKey::SyncGroup, sync(&joined)).await;

    assert_eq!(said, Some(ResponseError::CoordinatorNotAvailable));
    let state = puppet.service.replica().state();
    assert!(state.group(&GroupId::new(GROUP)).is_none());
}
