//! How a service talks to the log, through the Kafka protocol alone: what its client is set to, records on their way in
//! and out, reading to an end, and a producer that costs next to nothing while it has nothing to do.
//!
//! Everything here blocks or returns at once; nothing waits on a runtime. What a record says is event-model's.
//!
//! Every alert that the log holds now, by a client of its own:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use event_model::{Decoded, Topic, decode};
//! use log_client::{headers, read_until, reader_settings, record_view, spans};
//! use rdkafka::consumer::BaseConsumer;
//!
//! let consumer: BaseConsumer = reader_settings("127.0.0.1:9092", "example").create()?;
//! let all = spans(&consumer, Topic::Alert.name(), Duration::from_secs(5))?;
//! read_until(&consumer, &all, Duration::from_secs(5), || true, |message| {
//!     let headers = headers(message);
//!     let record = record_view(message, &headers).expect("it is of the topic of alerts");
//!     if let Ok(Decoded::Event(recorded)) = decode(&record) {
//!         println!("{}", recorded.event.id());
//!     }
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod polled_producer;
mod read_until;
mod record;
mod settings;
mod span;

pub use polled_producer::PolledProducer;
pub use read_until::{ReadUntilError, read_on, read_until};
pub use record::{RecordToSend, headers, owned_headers, record_view};
pub use settings::{LogNodes, reader_settings, settings};
pub use span::{Position, Span, assign, ends, offset_since, positions, spans, unread};
