//! What a producer is told, and how many disks must have its batch by then (rules 1, 2 and 13).

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiKey;

use super::puppet::{Puppet, TOPIC, create};
use super::requests::{code_of, numbered_batch, produce, produce_batch};
use crate::broker::request_outcome::RequestOutcome;
use crate::ids::ReplicaId;
use crate::node::ProposeError;
use crate::node::disk_room::RoomReport;

const ALL: i16 = -1;

/// With a topic that wants three disks, and one that wants a stronger word than the leader's.
async fn leader() -> Puppet {
    let puppet = Puppet::leader().await;
    let careful = create("three", &[("min.insync.replicas", "3")]);
    puppet.apply(careful);
    let strict = create("strict", &[("mayday.acks.min", "all")]);
    puppet.apply(strict);
    puppet.has_in_sync(&[1, 2, 3]);
    puppet
}

async fn said(puppet: &Puppet, topic: &str, acks: i16, ms: i32) -> Option<ResponseError> {
    let answer = puppet
        .ask(ApiKey::Produce, 9, produce(topic, acks, ms))
        .await;
    ResponseError::try_from_code(code_of(&answer))
}

fn end_of(puppet: &Puppet, topic: &str) -> u64 {
    let state = puppet.service.replica().state();
    let name = crate::ids::TopicName::parse(topic).expect("a name");
    let topic = state.topic(&name).expect("it is there");
    let (_, partition) = topic.partitions().next().expect("a partition");
    partition.high_watermark().0
}

#[tokio::test]
async fn with_too_few_replicas_in_sync_nothing_is_written() {
    let puppet = leader().await;
    puppet.has_in_sync(&[1, 2]);

    let refused = said(&puppet, "three", ALL, 1_000).await;

    assert_eq!(refused, Some(ResponseError::NotEnoughReplicas));
    assert_eq!(end_of(&puppet, "three"), 0);
    assert_eq!(
        said(&puppet, "three", 1, 1_000).await,
        None,
        "acks=1 skips it"
    );
    assert_eq!(
        said(&puppet, TOPIC, ALL, 1_000).await,
        None,
        "a majority will do"
    );
}

#[tokio::test]
async fn a_batch_that_reaches_too_few_disks_in_time_is_said_to_be_stored_and_not_safe_yet() {
    let puppet = leader().await;

    let late = said(&puppet, "three", ALL, 50).await;

    assert_eq!(late, Some(ResponseError::NotEnoughReplicasAfterAppend));
    assert_eq!(end_of(&puppet, "three"), 1);
}

#[tokio::test]
async fn a_batch_is_acknowledged_once_it_is_on_as_many_disks_as_its_topic_wants() {
    let puppet = leader().await;
    let begun = puppet.begin(ApiKey::Produce, 9, produce("three", ALL, 30_000));
    let answer = begun.await;
    tokio::pin!(answer);
    // Applied, and on an unknown number of disks.
    let early = tokio::time::timeout(Duration::from_millis(50), &mut answer).await;
    assert!(early.is_err(), "answered too early");

    puppet.has_in_sync(&[1, 2, 3]);

    let RequestOutcome::Body(body) = answer.await else {
        panic!("answered")
    };
    assert_eq!(code_of(&body), 0);
}

#[tokio::test]
async fn a_topic_may_refuse_weaker_acks() {
    let puppet = leader().await;
    let weak = said(&puppet, "strict", 1, 1_000).await;
    assert_eq!(weak, Some(ResponseError::InvalidRequiredAcks));
    let unanswered = puppet.begin(ApiKey::Produce, 9, produce("strict", 0, 1_000));
    assert!(matches!(unanswered.await.await, RequestOutcome::Close));
    assert_eq!(said(&puppet, "strict", ALL, 1_000).await, None);
}

/// On disks so slow that a sync outlasts the request, each try would be answered by the next one, for ever.
#[tokio::test]
async fn a_batch_that_an_earlier_try_has_stored_is_acknowledged_at_once() {
    let puppet = leader().await;
    let produce = || produce_batch(TOPIC, ALL, 1_000, numbered_batch());
    let first = puppet.ask(ApiKey::Produce, 9, produce()).await;
    assert_eq!(code_of(&first), 0);
    // Nothing more can be proposed.
    puppet.fails_with(ProposeError::Dropped);

    let again = puppet.ask(ApiKey::Produce, 9, produce()).await;

    assert_eq!(code_of(&again), 0);
    assert_eq!(end_of(&puppet, TOPIC), 1, "stored once");
}

/// Of three voters, two have said that they are full.
fn fill_disks(puppet: &Puppet) {
    let room = puppet.service.replica().room();
    let full = RoomReport {
        free_bytes: 0,
        has_room: false,
    };
    let now = Duration::from_secs(1);
    room.report(ReplicaId(2), full, now);
    room.report(ReplicaId(3), full, now);
    let members = puppet.service.replica().membership();
    room.judge(ReplicaId(1), &members, true, now);
}

#[tokio::test]
async fn records_are_refused_by_policy_while_too_few_disks_have_room() {
    let puppet = leader().await;
    fill_disks(&puppet);

    let refused = said(&puppet, TOPIC, ALL, 1_000).await;

    assert_eq!(refused, Some(ResponseError::PolicyViolation));
    assert_eq!(end_of(&puppet, TOPIC), 0);
}

/// Its process stood still, and another leads meanwhile: what it knows of disks is of then.
#[tokio::test]
async fn a_leader_that_leads_no_longer_says_nothing_final_of_full_disks() {
    let puppet = leader().await;
    fill_disks(&puppet);
    puppet.fails_with(ProposeError::OutcomeUnknown);

    let refused = said(&puppet, TOPIC, ALL, 1_000).await;

    assert_eq!(refused, Some(ResponseError::NotLeaderOrFollower));
}
