//! The state machine under test, and the small language the tests speak.

mod any_command;
mod clock;
mod config;
mod group;
mod log_start;
mod node;
mod produce;
mod topic;
mod transaction;
mod transaction_model;
mod world;
