//! From a request to its handler and back.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::handlers::{
    alter_configs, api_versions, cluster, committed_offsets, config_resources, describe_configs,
    elect_leaders, features, fetch, find_coordinator, group_admin, init_producer_id, leader_epochs,
    list_offsets, membership, metadata, partitions_admin, produce, quorum, reassignments,
    topic_partitions, topics, transaction_admin, transactions, voters,
};
use super::metrics;
use super::request_outcome::RequestOutcome;
use super::service::{Client, Service};
use crate::wire::{Request, RequestBody, ResponseBody};

/// Begins a request. What must happen in the order of arrival (proposing produces) happens before this returns; the
/// rest when the answer is awaited.
pub(super) async fn begin(
    service: &Arc<Service>,
    client: &Client,
    request: Request,
) -> BoxFuture<'static, RequestOutcome> {
    metrics::requested(request.key);
    let Request {
        key,
        version,
        body,
        client_id,
        ..
    } = request;
    let service = Arc::clone(service);
    if let RequestBody::Produce(body) = body {
        let proposed = produce::propose(&service, version, body).await;
        return Box::pin(proposed.answer());
    }
    let client = client.named(client_id);
    Box::pin(async move {
        let started = service.clock().elapsed();
        let answer = if let RequestBody::Fetch(body) = body {
            let (response, memory) = fetch::answer(&service, version, body).await;
            RequestOutcome::Records(response.into(), memory)
        } else {
            let body = handle(&service, &client, version, body).await;
            body.map_or(RequestOutcome::Close, RequestOutcome::Body)
        };
        metrics::answered(key, (service.clock().elapsed() - started).as_secs_f64());
        answer
    })
}

/// The answer to ApiVersions in a version that we do not know (KIP-511); it is encoded in version 0.
pub(super) fn unknown_api_versions() -> RequestOutcome {
    RequestOutcome::Body(api_versions::unsupported().into())
}

async fn handle(
    service: &Service,
    client: &Client,
    version: i16,
    body: RequestBody,
) -> Option<ResponseBody> {
    Some(match body {
        RequestBody::ApiVersions(body) => api_versions::answer(service, version, &body).into(),
        RequestBody::Metadata(body) => metadata::answer(service, version, body).await.into(),
        RequestBody::FindCoordinator(body) => {
            find_coordinator::answer(service, version, body).into()
        }
        RequestBody::ListOffsets(body) => list_offsets::answer(service, version, body).await.into(),
        RequestBody::CreateTopics(body) => topics::create(service, body).await.into(),
        RequestBody::DeleteTopics(body) => topics::delete(service, version, body).await.into(),
        RequestBody::InitProducerId(body) => init_producer_id::answer(service, version, body)
            .await
            .into(),
        RequestBody::DescribeConfigs(body) => describe_configs::answer(service, body).await.into(),
        RequestBody::JoinGroup(body) => membership::join(service, client, version, body)
            .await
            .into(),
        RequestBody::SyncGroup(body) => membership::sync(service, version, body).await.into(),
        RequestBody::Heartbeat(body) => membership::heartbeat(service, body).await.into(),
        RequestBody::LeaveGroup(body) => membership::leave(service, version, body).await.into(),
        RequestBody::OffsetCommit(body) => committed_offsets::commit(service, body).await.into(),
        RequestBody::OffsetFetch(body) => committed_offsets::fetch(service, version, body)
            .await?
            .into(),
        RequestBody::OffsetDelete(body) => committed_offsets::delete(service, body).await.into(),
        RequestBody::ListGroups(body) => group_admin::list(service, version, body).await.into(),
        RequestBody::DescribeGroups(body) => {
            group_admin::describe(service, version, body).await.into()
        }
        RequestBody::DeleteGroups(body) => group_admin::delete(service, body).await.into(),
        RequestBody::CreatePartitions(body) => partitions_admin::create(service, body).await.into(),
        RequestBody::DeleteRecords(body) => {
            partitions_admin::delete_records(service, body).await.into()
        }
        RequestBody::AlterConfigs(body) => alter_configs::replace(service, body).await.into(),
        RequestBody::IncrementalAlterConfigs(body) => {
            alter_configs::incremental(service, body).await.into()
        }
        RequestBody::DescribeCluster(body) => cluster::describe(service, version, &body).into(),
        RequestBody::DescribeLogDirs(body) => cluster::log_dirs(service, &body).into(),
        RequestBody::ListPartitionReassignments(_) => reassignments::list().into(),
        RequestBody::AlterPartitionReassignments(body) => {
            reassignments::alter(service, body).into()
        }
        RequestBody::ElectLeaders(body) => elect_leaders::answer(service, version, body).into(),
        RequestBody::ListConfigResources(body) => {
            config_resources::list(service, version, &body).into()
        }
        RequestBody::DescribeTopicPartitions(body) => {
            topic_partitions::describe(service, body).into()
        }
        RequestBody::OffsetForLeaderEpoch(body) => {
            leader_epochs::answer(service, body).await.into()
        }
        RequestBody::AddPartitionsToTxn(body) => {
            transactions::add_partitions(service, version, body)
                .await
                .into()
        }
        RequestBody::AddOffsetsToTxn(body) => transactions::add_offsets(service, version, body)
            .await
            .into(),
        RequestBody::TxnOffsetCommit(body) => transactions::commit_offsets(service, version, body)
            .await
            .into(),
        RequestBody::EndTxn(body) => transactions::end(service, version, body).await.into(),
        RequestBody::DescribeTransactions(body) => {
            transaction_admin::describe(service, body).await.into()
        }
        RequestBody::ListTransactions(body) => transaction_admin::list(service, body).await.into(),
        RequestBody::DescribeProducers(body) => {
            transaction_admin::producers(service, body).await.into()
        }
        RequestBody::DescribeQuorum(body) => quorum::describe(service, version, body).await.into(),
        RequestBody::AddRaftVoter(body) => voters::add(service, body).await.into(),
        RequestBody::RemoveRaftVoter(body) => voters::remove(service, body).await.into(),
        RequestBody::UnregisterBroker(body) => voters::unregister(service, body).await.into(),
        RequestBody::UpdateFeatures(body) => features::update(service, version, body).await.into(),
        // They have ways of their own: see `begin`.
        RequestBody::Produce(_) | RequestBody::Fetch(_) => return None,
    })
}
