//! The replicated log: one journal, one state machine, Kafka's contract at the door.

pub mod broker;
pub mod clock;
pub mod consensus;
pub mod entry;
pub mod group;
pub mod ids;
mod node;
pub mod record;
pub mod state;
pub mod storage;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tools;
pub mod wire;

pub use broker::{Broker, Config};
