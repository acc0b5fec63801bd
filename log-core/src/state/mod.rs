//! The state machine: what is true after each command. Decides; no I/O, no clock, no dice.
