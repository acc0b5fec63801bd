//! Who leads, and who holds what, as clients are told (rules 5, 7 and 9).

use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{ApiKey, BrokerId, MetadataResponse};

use super::puppet::{OTHER, Puppet, TOPIC};
use super::requests::metadata;
use crate::ids::LeaderEpoch;
use crate::node::Leadership;
use crate::wire::ResponseBody;

async fn ask(puppet: &Puppet) -> MetadataResponse {
    let answer = puppet.ask(ApiKey::Metadata, 12, metadata(TOPIC)).await;
    let ResponseBody::Metadata(body) = answer else {
        panic!("metadata")
    };
    body
}

async fn partition(puppet: &Puppet) -> MetadataResponsePartition {
    ask(puppet).await.topics[0].partitions[0].clone()
}

#[tokio::test]
async fn leader_and_epoch_are_one_pair_and_without_a_leader_the_last_epoch_stays() {
    let puppet = Puppet::leader().await;
    let pair = async || {
        let partition = partition(&puppet).await;
        (partition.leader_id.0, partition.leader_epoch)
    };
    assert_eq!(pair().await, (1, 5));

    let leader = Some((OTHER, LeaderEpoch(6)));
    puppet.is(Leadership::Follower { leader });
    assert_eq!(pair().await, (2, 6));

    for nobody in [Leadership::Starting, Leadership::Follower { leader: None }] {
        puppet.is(nobody);
        assert_eq!(pair().await, (-1, 5), "{nobody:?}");
    }
}

#[tokio::test]
async fn replicas_are_the_voters_and_in_sync_are_those_near_the_leader() {
    let puppet = Puppet::leader().await;
    puppet.has_in_sync(&[1, 3]);

    let partition = partition(&puppet).await;

    assert_eq!(partition.replica_nodes, [1, 2, 3].map(BrokerId));
    assert_eq!(partition.isr_nodes, [1, 3].map(BrokerId));
    assert_eq!(partition.offline_replicas, [BrokerId(2)]);
}

#[tokio::test]
async fn a_node_answers_for_the_listener_that_was_asked_and_others_for_what_they_registered() {
    let puppet = Puppet::leader().await;
    let metadata = ask(&puppet).await;
    let hosts: Vec<_> = metadata.brokers.iter().map(|it| it.host.as_str()).collect();
    assert_eq!(hosts, ["127.0.0.1", "10.0.0.2", "10.0.0.3"]);
}
