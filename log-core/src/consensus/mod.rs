//! The Raft driver: what to persist, send and apply, and in which order. Decides; no I/O, no clock, no dice.
//!
//! The algorithm is the `raft` crate's `RawNode`; this room keeps its order of work (Raft thesis, chapters 3, 6.4, 9.6
//! and 10.2.1) and speaks the log's own words. A cluster of one runs the same driver with one voter.
//!
//! ```text
//!  propose, step, tick, persisted ──> Driver ──> Ready { send, persist { then_send }, apply, readable }
//! ```

mod driver;
pub(crate) mod followers;
pub(crate) mod leader_disk;
mod membership;
mod message;
mod patience;
mod quorum;
mod tail;
pub(crate) mod voter_plan;

pub use driver::{
    Driver, FollowerProgress, HeldSnapshot, LogId, Persist, ProposalDropped, ReadRequestId,
    Restored, Role, SnapshotOutcome, Timing,
};
pub use membership::{InvalidMembership, Membership, MembershipChange};
pub use message::{decode_message, encode_message, told_snapshot};
pub use quorum::{Quorum, QuorumMember};
pub use raft::eraftpb::Message;
pub use tail::Keep;
