//! Whole requests against a node whose part in the cluster the test decides.

mod acknowledging;
mod bounds;
mod coordinating;
mod leading;
mod metadata;
mod protected;
mod puppet;
mod requests;
mod topic_ids;
mod topic_settings;
mod transactions;
