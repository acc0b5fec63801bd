//! The state machine under test, and the small language the tests speak.

mod any_command;
mod node;
mod produce;
mod topic;
mod world;
