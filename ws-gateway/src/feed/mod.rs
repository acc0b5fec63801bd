//! From the log to the shards: read both topics, decode each event once, say what it adds up to, pass it on.
//!
//! `reader` talks to the log, `event_projector` knows what the records mean; a thread of their own carries both, since a
//! Kafka client's reads block and an alert must not wait for a task's turn on a runtime.

mod client_log;
mod dead_letters;
mod event_projector;
mod group_member;
mod reader;
mod watch;

pub(crate) use event_projector::{EventProjector, Moment};
pub(crate) use reader::Feed;
pub use reader::FeedError;

/// The log's client, as reader and watch share it.
type Consumer = rdkafka::consumer::BaseConsumer<client_log::ClientLog>;
