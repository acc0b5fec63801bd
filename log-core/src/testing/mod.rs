//! The simulated world: whole clusters on simulated disks, and a clock that moves when told. All chance comes from a
//! seed, so that a run replays.

pub mod cluster;
mod sim_clock;

pub use sim_clock::SimClock;
