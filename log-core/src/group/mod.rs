//! Consumer groups: members, generations, assignments. Decides; no I/O, no clock, no dice.
