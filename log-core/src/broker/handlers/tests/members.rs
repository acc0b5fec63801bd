//! What an operator is told of a change of members (rule 15).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{AddRaftVoterRequest, AddRaftVoterResponse, ApiKey};
use uuid::Uuid;

use super::puppet::Puppet;
use crate::wire::{RequestBody, ResponseBody};

/// Asks for replica 3, which is a voter already, to be one.
async fn add_third(puppet: &Puppet, timeout_ms: i32) -> AddRaftVoterResponse {
    let request = AddRaftVoterRequest::default()
        .with_cluster_id(None)
        .with_timeout_ms(timeout_ms)
        .with_voter_id(3)
        .with_voter_directory_id(Uuid::from_u64_pair(0, 3));
    let body = RequestBody::AddRaftVoter(request);
    match puppet.ask(ApiKey::AddRaftVoter, 0, body).await {
        ResponseBody::AddRaftVoter(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// Otherwise the loss of the leader's machine and a power cut leave voters that wait for those who voted before.
#[tokio::test]
async fn a_replica_is_said_to_vote_only_once_most_voters_would_know_after_a_power_cut() {
    let puppet = Puppet::leader().await;

    // Nobody stores what is proposed from here on.
    let answer = add_third(&puppet, 100).await;
    assert_eq!(answer.error_code, ResponseError::RequestTimedOut.code());
    let message = answer.error_message.expect("why not");
    assert!(
        message.contains("most of the voters have not stored yet"),
        "{message}"
    );

    let stored_by = async |nodes: &[u64]| {
        puppet.proposed().await;
        puppet.has_in_sync(nodes);
    };
    let (answer, ()) = tokio::join!(add_third(&puppet, 60_000), stored_by(&[1, 2]));
    assert_eq!(answer.error_code, 0, "{answer:?}");

    let (answer, ()) = tokio::join!(add_third(&puppet, 100), stored_by(&[1]));
    assert_eq!(answer.error_code, ResponseError::RequestTimedOut.code());
}
