//! Which APIs we serve, in which versions: the one truth for ApiVersions, for the decoder and for `docs/kafka.md`.
//!
//! Each bound has a client that needs it. Ranges may grow; they must not shrink:
//!
//! - librdkafka before 2.11.1 looks for single versions inside our ranges (ListOffsets 1, FindCoordinator 0, Fetch 4,
//!   Produce 3, ...) and falls back to message formats that we do not take when one is missing.
//! - Produce is advertised from 0 although 0 to 2 are refused: otherwise librdkafka silently sends gzip, snappy and lz4
//!   uncompressed (KAFKA-18659).
//! - kafka-python guesses the broker's version from our maxima, so raising one changes what clients do.

use kafka_protocol::messages::ApiKey;

/// Calls a macro with every API we serve: name, request, response, advertised versions, accepted versions.
macro_rules! for_each_served_api {
    ($then:ident) => {
        $then! {
            Produce, ProduceRequest, ProduceResponse, 0..=13, 3..=13;
            Fetch, FetchRequest, FetchResponse, 4..=18, 4..=18;
            ListOffsets, ListOffsetsRequest, ListOffsetsResponse, 1..=11, 1..=11;
            Metadata, MetadataRequest, MetadataResponse, 0..=13, 0..=13;
            OffsetCommit, OffsetCommitRequest, OffsetCommitResponse, 2..=9, 2..=9;
            OffsetFetch, OffsetFetchRequest, OffsetFetchResponse, 1..=9, 1..=9;
            FindCoordinator, FindCoordinatorRequest, FindCoordinatorResponse, 0..=4, 0..=4;
            JoinGroup, JoinGroupRequest, JoinGroupResponse, 0..=9, 0..=9;
            Heartbeat, HeartbeatRequest, HeartbeatResponse, 0..=4, 0..=4;
            LeaveGroup, LeaveGroupRequest, LeaveGroupResponse, 0..=5, 0..=5;
            SyncGroup, SyncGroupRequest, SyncGroupResponse, 0..=5, 0..=5;
            DescribeGroups, DescribeGroupsRequest, DescribeGroupsResponse, 0..=6, 0..=6;
            ListGroups, ListGroupsRequest, ListGroupsResponse, 0..=5, 0..=5;
            ApiVersions, ApiVersionsRequest, ApiVersionsResponse, 0..=4, 0..=4;
            CreateTopics, CreateTopicsRequest, CreateTopicsResponse, 2..=7, 2..=7;
            DeleteTopics, DeleteTopicsRequest, DeleteTopicsResponse, 1..=6, 1..=6;
            InitProducerId, InitProducerIdRequest, InitProducerIdResponse, 0..=5, 0..=5;
            DeleteRecords, DeleteRecordsRequest, DeleteRecordsResponse, 0..=2, 0..=2;
            OffsetForLeaderEpoch, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, 2..=4, 2..=4;
            AddPartitionsToTxn, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, 0..=3, 0..=3;
            AddOffsetsToTxn, AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, 0..=4, 0..=4;
            EndTxn, EndTxnRequest, EndTxnResponse, 0..=4, 0..=4;
            TxnOffsetCommit, TxnOffsetCommitRequest, TxnOffsetCommitResponse, 0..=4, 0..=4;
            DescribeConfigs, DescribeConfigsRequest, DescribeConfigsResponse, 1..=4, 1..=4;
            AlterConfigs, AlterConfigsRequest, AlterConfigsResponse, 0..=2, 0..=2;
            DescribeLogDirs, DescribeLogDirsRequest, DescribeLogDirsResponse, 1..=4, 1..=4;
            CreatePartitions, CreatePartitionsRequest, CreatePartitionsResponse, 0..=3, 0..=3;
            DeleteGroups, DeleteGroupsRequest, DeleteGroupsResponse, 0..=2, 0..=2;
            ElectLeaders, ElectLeadersRequest, ElectLeadersResponse, 0..=2, 0..=2;
            IncrementalAlterConfigs, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, 0..=1, 0..=1;
            AlterPartitionReassignments, AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, 0..=1, 0..=1;
            ListPartitionReassignments, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, 0..=0, 0..=0;
            OffsetDelete, OffsetDeleteRequest, OffsetDeleteResponse, 0..=0, 0..=0;
            DescribeQuorum, DescribeQuorumRequest, DescribeQuorumResponse, 0..=2, 0..=2;
            UpdateFeatures, UpdateFeaturesRequest, UpdateFeaturesResponse, 0..=2, 0..=2;
            DescribeCluster, DescribeClusterRequest, DescribeClusterResponse, 0..=1, 0..=1;
            UnregisterBroker, UnregisterBrokerRequest, UnregisterBrokerResponse, 0..=0, 0..=0;
            DescribeProducers, DescribeProducersRequest, DescribeProducersResponse, 0..=0, 0..=0;
            DescribeTransactions, DescribeTransactionsRequest, DescribeTransactionsResponse, 0..=0, 0..=0;
            ListTransactions, ListTransactionsRequest, ListTransactionsResponse, 0..=1, 0..=1;
            ListConfigResources, ListConfigResourcesRequest, ListConfigResourcesResponse, 0..=1, 0..=1;
            DescribeTopicPartitions, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, 0..=0, 0..=0;
            AddRaftVoter, AddRaftVoterRequest, AddRaftVoterResponse, 0..=0, 0..=0;
            RemoveRaftVoter, RemoveRaftVoterRequest, RemoveRaftVoterResponse, 0..=0, 0..=0;
        }
    };
}
pub(super) use for_each_served_api;

/// A range of versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The lowest.
    pub first: i16,
    /// The highest.
    pub last: i16,
}

impl Versions {
    const fn of(range: std::ops::RangeInclusive<i16>) -> Self {
        Self {
            first: *range.start(),
            last: *range.end(),
        }
    }

    /// Whether the version is in the range.
    pub fn contains(self, version: i16) -> bool {
        (self.first..=self.last).contains(&version)
    }
}

/// One API that we serve.
#[derive(Clone, Copy, Debug)]
pub struct ServedApi {
    /// Its number on the wire.
    pub key: ApiKey,
    /// Its name in Kafka's protocol guide.
    pub name: &'static str,
    /// What ApiVersions says.
    pub advertised: Versions,
    /// What is decoded; a version that is advertised but not accepted costs its sender the connection.
    pub accepted: Versions,
}

macro_rules! served_table {
    ($($api:ident, $request:ident, $response:ident, $advertised:expr, $accepted:expr;)+) => {
        /// Every API that we serve.
        pub const SERVED: &[ServedApi] = &[$(ServedApi {
            key: ApiKey::$api,
            name: stringify!($api),
            advertised: Versions::of($advertised),
            accepted: Versions::of($accepted),
        }),+];
    };
}
for_each_served_api!(served_table);

/// The version under which the codec has the same bytes: it does not know ListOffsets 11 yet, which is 10 with one more
/// time that means an offset (KIP-1023).
pub fn codec_version(key: ApiKey, version: i16) -> i16 {
    match (key, version) {
        (ApiKey::ListOffsets, 11) => 10,
        _ => version,
    }
}

/// The API of that number, if we serve it.
pub fn served(key: i16) -> Option<&'static ServedApi> {
    SERVED.iter().find(|api| api.key as i16 == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advertised(key: ApiKey) -> Versions {
        served(key as i16).expect("served").advertised
    }

    #[test]
    fn the_single_versions_that_older_librdkafka_looks_for_are_in_our_ranges() {
        for (key, version) in [
            (ApiKey::ApiVersions, 0),
            (ApiKey::Produce, 0),
            (ApiKey::Produce, 3),
            (ApiKey::Produce, 7),
            (ApiKey::Fetch, 4),
            (ApiKey::Fetch, 10),
            (ApiKey::ListOffsets, 1),
            // Without it librdkafka sends lz4 uncompressed.
            (ApiKey::FindCoordinator, 0),
            (ApiKey::InitProducerId, 0),
        ] {
            assert!(advertised(key).contains(version), "{key:?} {version}");
        }
    }

    #[test]
    fn whatever_is_accepted_is_advertised() {
        for api in SERVED {
            assert!(api.advertised.first <= api.accepted.first, "{}", api.name);
            assert!(api.accepted.last <= api.advertised.last, "{}", api.name);
        }
    }
}
