//! The Raft driver: what to persist, send and apply, and in which order. Decides; no I/O, no clock, no dice.
