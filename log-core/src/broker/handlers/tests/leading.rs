//! What every API answers on a node that does not lead, or no longer knows whether it does (rules 2, 5, 6 and 8).

use kafka_protocol::ResponseError;

use super::puppet::{Puppet, TOPIC};
use super::requests::{about, code_of, fetch, init_producer_id};
use crate::ids::LeaderEpoch;
use crate::node::{Leadership, ProposeError};
use crate::wire::{RequestBody, SERVED, ServedApi};

/// To whom a request belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// To nobody: every node answers.
    Anyones,
    /// To the leader of a partition.
    Leaders,
    /// To the coordinator of a group or a transaction.
    Coordinators,
    /// The same, and a node that does not coordinate has none.
    Listed,
    /// The same, and a node that does not coordinate closes the connection.
    Cut,
    /// To the controller.
    Controllers,
    /// To the leader, whichever node is asked.
    Forwarded,
    /// To the coordinator, for a client that knows none may ask any node: which is it?
    Seekers,
}

/// What the leader does for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Tells what it knows, or what it holds in memory.
    Tells,
    /// Makes sure first that it still leads.
    Reads,
    /// Proposes a command.
    Writes,
}

/// No `_` arm: an API that comes does not compile until this is decided.
fn row(body: &RequestBody) -> (Whose, Does) {
    use Does::{Reads, Tells, Writes};
    use Whose::{Anyones, Controllers, Coordinators, Cut, Forwarded, Leaders, Listed, Seekers};
    match body {
        RequestBody::Produce(_) | RequestBody::DeleteRecords(_) => (Leaders, Writes),
        RequestBody::Fetch(_) => (Leaders, Tells),
        RequestBody::ListOffsets(_)
        | RequestBody::OffsetForLeaderEpoch(_)
        | RequestBody::DescribeProducers(_) => (Leaders, Reads),
        RequestBody::JoinGroup(_)
        | RequestBody::SyncGroup(_)
        | RequestBody::Heartbeat(_)
        | RequestBody::LeaveGroup(_) => (Coordinators, Tells),
        RequestBody::OffsetFetch(_) => (Cut, Reads),
        RequestBody::DescribeGroups(_) | RequestBody::DescribeTransactions(_) => {
            (Coordinators, Reads)
        }
        RequestBody::OffsetCommit(_)
        | RequestBody::OffsetDelete(_)
        | RequestBody::DeleteGroups(_)
        | RequestBody::AddPartitionsToTxn(_)
        | RequestBody::AddOffsetsToTxn(_)
        | RequestBody::TxnOffsetCommit(_)
        | RequestBody::EndTxn(_) => (Coordinators, Writes),
        RequestBody::ListGroups(_) | RequestBody::ListTransactions(_) => (Listed, Reads),
        RequestBody::CreateTopics(_)
        | RequestBody::DeleteTopics(_)
        | RequestBody::CreatePartitions(_)
        | RequestBody::AlterConfigs(_)
        | RequestBody::IncrementalAlterConfigs(_)
        | RequestBody::UpdateFeatures(_) => (Controllers, Writes),
        RequestBody::AddRaftVoter(_)
        | RequestBody::RemoveRaftVoter(_)
        | RequestBody::UnregisterBroker(_) => (Controllers, Reads),
        RequestBody::AlterPartitionReassignments(_) | RequestBody::ElectLeaders(_) => {
            (Controllers, Tells)
        }
        RequestBody::InitProducerId(_) => (Forwarded, Writes),
        RequestBody::FindCoordinator(_) => (Seekers, Tells),
        RequestBody::ApiVersions(_)
        | RequestBody::Metadata(_)
        | RequestBody::DescribeConfigs(_)
        | RequestBody::DescribeCluster(_)
        | RequestBody::DescribeLogDirs(_)
        | RequestBody::DescribeQuorum(_)
        | RequestBody::DescribeTopicPartitions(_)
        | RequestBody::ListConfigResources(_)
        | RequestBody::ListPartitionReassignments(_) => (Anyones, Tells),
    }
}

/// What the owner of a request is called where it is not.
fn not_here(whose: Whose) -> Option<ResponseError> {
    match whose {
        Whose::Anyones | Whose::Listed | Whose::Seekers => None,
        Whose::Leaders => Some(ResponseError::NotLeaderOrFollower),
        Whose::Coordinators => Some(ResponseError::NotCoordinator),
        Whose::Controllers => Some(ResponseError::NotController),
        Whose::Cut => Some(CUT_OFF),
        // A producer without a transactional id has no coordinator that it could look for: it comes back.
        Whose::Forwarded => Some(ResponseError::CoordinatorLoadInProgress),
    }
}

/// What a client makes of a closed connection.
const CUT_OFF: ResponseError = ResponseError::NetworkException;

async fn ask(
    puppet: &Puppet,
    api: &ServedApi,
    topic: &str,
) -> (Whose, Does, Option<ResponseError>) {
    let body = about(api.key, topic, puppet.id_of(topic));
    let (whose, does) = row(&body);
    let answer = puppet.ask_or_be_cut_off(api.key, api.accepted.last, body);
    let said = match answer.await {
        Some(answer) => ResponseError::try_from_code(code_of(&answer)),
        None => Some(CUT_OFF),
    };
    (whose, does, said)
}

#[tokio::test]
async fn a_follower_sends_everybody_to_the_leader_in_the_words_of_each_api() {
    let puppet = Puppet::leader().await;
    puppet.follows();
    for api in SERVED {
        let (whose, _, said) = ask(&puppet, api, TOPIC).await;
        assert_eq!(said, not_here(whose), "{}", api.name);
    }
}

#[tokio::test]
async fn a_follower_never_has_the_last_word_on_which_topics_there_are() {
    let puppet = Puppet::leader().await;
    puppet.follows();
    for api in SERVED {
        let (whose, _, said) = ask(&puppet, api, "not-here-yet").await;
        if whose != Whose::Anyones {
            assert_eq!(said, not_here(whose), "{}", api.name);
        }
    }
}

#[tokio::test]
async fn without_a_leader_nobody_is_named() {
    let puppet = Puppet::leader().await;
    puppet.is(Leadership::Follower { leader: None });
    for api in SERVED {
        let (whose, _, said) = ask(&puppet, api, TOPIC).await;
        let expected = match whose {
            Whose::Seekers => Some(ResponseError::CoordinatorNotAvailable),
            // What all nodes together have listed would be taken for complete.
            Whose::Listed => Some(ResponseError::CoordinatorLoadInProgress),
            whose => not_here(whose),
        };
        assert_eq!(said, expected, "{}", api.name);
    }
}

#[tokio::test]
async fn a_leader_that_has_not_applied_its_own_entry_yet_asks_to_come_back() {
    let puppet = Puppet::leader().await;
    puppet.is(Leadership::Starting);
    for api in SERVED {
        let (whose, _, said) = ask(&puppet, api, TOPIC).await;
        let expected = match whose {
            Whose::Anyones => None,
            Whose::Leaders => Some(ResponseError::LeaderNotAvailable),
            Whose::Coordinators | Whose::Listed | Whose::Cut | Whose::Forwarded => {
                Some(ResponseError::CoordinatorLoadInProgress)
            }
            Whose::Controllers => Some(ResponseError::NotController),
            Whose::Seekers => Some(ResponseError::CoordinatorNotAvailable),
        };
        assert_eq!(said, expected, "{}", api.name);
    }
}

#[tokio::test]
async fn a_leader_sends_nobody_away() {
    let elsewhere = [
        ResponseError::NotLeaderOrFollower,
        ResponseError::LeaderNotAvailable,
        ResponseError::NotCoordinator,
        ResponseError::CoordinatorNotAvailable,
        ResponseError::CoordinatorLoadInProgress,
        ResponseError::NotController,
        ResponseError::RequestTimedOut,
        ResponseError::NotEnoughReplicas,
        ResponseError::UnknownServerError,
        CUT_OFF,
    ];
    for api in SERVED {
        // Each on a leader of its own: some of them delete what others ask for.
        let puppet = Puppet::leader().await;
        let (whose, _, said) = ask(&puppet, api, TOPIC).await;
        assert!(
            said.is_none_or(|said| !elsewhere.contains(&said)),
            "{} ({whose:?}): {said:?}",
            api.name
        );
    }
}

/// Clients take NOT_LEADER_OR_FOLLOWER for "not stored", and would store it again under another sequence.
#[tokio::test]
async fn a_proposal_whose_outcome_is_unknown_is_never_said_not_to_be_stored() {
    for api in SERVED {
        let puppet = Puppet::leader().await;
        puppet.fails_with(ProposeError::OutcomeUnknown);
        let (whose, does, said) = ask(&puppet, api, TOPIC).await;
        let expected = match (whose, does) {
            (Whose::Leaders | Whose::Controllers, Does::Writes) => ResponseError::RequestTimedOut,
            (Whose::Coordinators, Does::Writes) => ResponseError::CoordinatorNotAvailable,
            (Whose::Forwarded, Does::Writes) => ResponseError::CoordinatorLoadInProgress,
            _ => continue,
        };
        assert_eq!(said, Some(expected), "{}", api.name);
    }
}

#[tokio::test]
async fn a_read_on_a_leader_that_was_deposed_is_sent_on_at_once() {
    for error in [ProposeError::NotLeader, ProposeError::OutcomeUnknown] {
        let puppet = Puppet::leader().await;
        puppet.fails_with(error);
        for api in SERVED {
            let (whose, does, said) = ask(&puppet, api, TOPIC).await;
            if does == Does::Reads {
                let expected = match whose {
                    Whose::Listed => Some(ResponseError::CoordinatorLoadInProgress),
                    whose => not_here(whose),
                };
                assert_eq!(said, expected, "{} {error:?}", api.name);
            }
        }
    }
}

/// A consumer that has read on from the next leader would start over because of it.
#[tokio::test]
async fn an_offset_is_out_of_range_only_to_a_leader_that_knows_that_it_leads() {
    let puppet = Puppet::leader().await;
    let code = async || {
        let answer = puppet.ask(
            kafka_protocol::messages::ApiKey::Fetch,
            12,
            fetch(TOPIC, 7, 0),
        );
        ResponseError::try_from_code(code_of(&answer.await))
    };
    assert_eq!(code().await, Some(ResponseError::OffsetOutOfRange));

    puppet.fails_with(ProposeError::OutcomeUnknown);
    assert_eq!(code().await, Some(ResponseError::NotLeaderOrFollower));
}

#[tokio::test]
async fn a_fetch_that_waits_is_answered_when_leadership_is_lost() {
    let puppet = Puppet::leader().await;
    let key = kafka_protocol::messages::ApiKey::Fetch;
    let waits = puppet.ask(key, 12, fetch(TOPIC, 0, 30_000));
    let loses = async {
        tokio::task::yield_now().await;
        puppet.is(Leadership::Follower { leader: None });
    };
    let (answer, ()) = tokio::join!(waits, loses);
    let said = ResponseError::try_from_code(code_of(&answer));
    assert_eq!(said, Some(ResponseError::NotLeaderOrFollower));
}

#[tokio::test]
async fn a_transactional_producer_that_cannot_be_forwarded_looks_for_its_coordinator() {
    let puppet = Puppet::leader().await;
    puppet.is(Leadership::Follower {
        leader: Some((super::puppet::OTHER, LeaderEpoch(6))),
    });
    let key = kafka_protocol::messages::ApiKey::InitProducerId;
    let answer = puppet.ask(key, 4, init_producer_id(Some("writer"))).await;
    let said = ResponseError::try_from_code(code_of(&answer));
    assert_eq!(said, Some(ResponseError::NotCoordinator));
}
