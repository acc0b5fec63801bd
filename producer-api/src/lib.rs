//! The HTTP service for residents' calls: takes a call, appends it to the log, answers where it is.
//!
//! `POST /alert` and `POST /accept` turn a body and a token into a record and answer `201` once the log has committed
//! it: on the disks of a majority. What the log does not take in time waits in the outbox on this machine's disk and is
//! answered `202`; without an outbox it is refused with `503`, and the answer says whether it may be in the log after
//! all. Calls are attributed by their token alone.
//!
//! Not here: reading the log, and any other way into it than the Kafka protocol.
//!
//! The way of a call: `routes` > `authentication` (the token names the `caller`; failures are limited by address) >
//! `request_body` > `call_body` (an event) > `submission` (its id, from the Idempotency-Key if there is one) > `intake`
//! (once per key, limited by house) > `kafka`, or `outbox` if the log does not have it in time > `call_response`.
//!
//! | Room | Holds |
//! | --- | --- |
//! | `routes` | the addresses, one noun per file; `/readyz`; the description in `docs` |
//! | `state` | what every request shares |
//! | `intake` | storing a call once, and knowing where it is |
//! | `idempotency`, `recent_calls` | the Idempotency-Key, the calls in flight, those of the last 25 hours as the log has them |
//! | `limiter` | the rate limits: calls by house, failed authentications by address |
//! | `kafka` | the producers, whether the log is there, its topics, its tail |
//! | `outbox` | calls that wait on this machine's disk |
//! | `api_error`, `call_response` | every answer in HTTP, status codes among them |
//! | `service`, `config`, `allowed_origins` | how it starts, runs and stops; what can be set |
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use producer_api::{Config, Service};
//! use resident_token::{KeySource, Policy, Secret, Verifier};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = Secret::new("a secret of at least thirty-two bytes!")?;
//! let verifier = Arc::new(Verifier::open(vec![KeySource::Secret(secret)], Policy::default())?);
//! let config = Config::new("127.0.0.1:0".parse()?, "127.0.0.1:9092", verifier);
//!
//! let service = Service::bind(config).await?;
//! println!("http://{}", service.address());
//! service.run(CancellationToken::new()).await?;
//! # Ok(())
//! # }
//! ```

mod allowed_origins;
mod api_error;
mod authentication;
mod call_body;
mod call_response;
mod call_status;
mod caller;
mod clock;
mod config;
mod earlier_try;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod idempotency;
mod intake;
mod kafka;
mod limiter;
mod outbox;
mod owner;
mod receipt;
mod recent_calls;
mod request_body;
mod response_warning;
mod routes;
mod service;
mod state;
mod submission;

pub use config::{Config, Delivery, HouseLimit, UnknownDelivery};
pub use outbox::{OutboxError, StoreError};
pub use service::{Error, Service, run};
