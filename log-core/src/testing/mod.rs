//! The simulated world: a disk that loses and tears what was not synced, and a clock that moves when told. All chance
//! comes from a seed, so that a run replays.

pub mod cluster;
mod sim_clock;
mod sim_disk;

pub use sim_clock::SimClock;
pub use sim_disk::{Call, Fault, Operation, SimDisk};
