//! What each API family asks of the replica and answers. They translate and wait; they do not decide.

pub(super) mod alter_configs;
pub(super) mod api_versions;
pub(super) mod cluster;
pub(super) mod committed_offsets;
pub(super) mod config_resources;
pub(super) mod describe_configs;
pub(super) mod elect_leaders;
pub(super) mod features;
pub(super) mod fetch;
pub(super) mod find_coordinator;
pub(super) mod group_admin;
pub(super) mod init_producer_id;
pub(super) mod leader_epochs;
pub(super) mod list_offsets;
pub(super) mod membership;
pub(super) mod metadata;
pub(super) mod partitions_admin;
pub(super) mod produce;
pub(super) mod quorum;
pub(super) mod reassignments;
pub(super) mod topic_partitions;
pub(super) mod topics;
pub(super) mod transaction_admin;
pub(super) mod transactions;
pub(super) mod voters;

mod barrier;
mod described_config;
mod leader_hint;
mod named_partition;
mod proposal;

#[cfg(test)]
mod tests;
