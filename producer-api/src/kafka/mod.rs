//! The way into the log, through the Kafka protocol alone.
//!
//! Each topic has a producer with its own connections and its own bound, so that a flood of accepts cannot hold
//! an alert up. A record is stored when its delivery report says so (`acks=all`, idempotent), and not before.

mod append_error;
mod error_class;
mod health;
mod health_check;
mod log_producer;
mod logging_context;
mod pending_delivery;
mod settings;
mod tail;
#[cfg(test)]
mod tests;
mod topic_producer;
mod topics;

pub(crate) use append_error::AppendError;
pub(crate) use health_check::run_health_checks;
pub(crate) use log_producer::{AppendOutcome, LogProducer};
pub(crate) use pending_delivery::PendingDelivery;
pub(crate) use settings::LogSettings;
pub(crate) use tail::{follow_tail, tag};
pub(crate) use topics::TopicSettings;
