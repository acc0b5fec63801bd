//! Whole requests against a node whose part in the cluster the test decides.

mod acknowledging;
mod coordinating;
mod leading;
mod metadata;
mod puppet;
mod requests;
