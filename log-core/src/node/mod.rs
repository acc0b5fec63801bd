//! One node of the log without threads or sockets: consensus, state machine and partitions put together, and what goes
//! with them. An input goes in with the time; effects come out in the order in which they must be performed. `broker`
//! drives it with threads, a simulation from one seed.
//!
//! The only I/O: applying an entry writes partition files, under the state's lock, so that a reader who sees an offset
//! finds its bytes.

pub(crate) mod assemble;
pub(crate) mod clocks;
mod command_clock;
pub(crate) mod disk_room;
pub(crate) mod due;
mod effect;
pub(crate) mod group_commit;
mod input;
mod node_error;
mod now;
pub(crate) mod partition_bound;
mod propose_error;
mod published;
pub(crate) mod recorded_group;
mod replica;
mod retention;
mod view;

pub(crate) use self::assemble::{Limits, assemble, assemble_again};
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::command_clock::CommandClock;
pub(crate) use self::effect::Effect;
pub(crate) use self::input::{Input, SnapshotLost, Ticket};
pub use self::node_error::NodeError;
pub(crate) use self::now::Now;
pub use self::partition_bound::TooManyPartitions;
pub use self::propose_error::{AppliedOutcome, Outcome, ProposeError};
pub(crate) use self::published::Published;
pub(crate) use self::replica::ReplicaError;
pub(crate) use self::replica::{Replica, perform};
pub(crate) use self::view::Shared;
pub use self::view::{Cluster, Leadership};
