//! STOMP over WebSocket: sessions, subscriptions, and every alert to every neighbour at once.
//!
//! ```text
//!  log ──▶ feed: decode once, fold, encode once ──▶ shard 0: hub, sessions, sockets ──▶ residents
//!                                               └─▶ shard 1: ...                        ▲
//!  residents ── HTTP upgrade ──▶ http ── the socket itself ─────────────────────────────┘
//! ```
//!
//! - [`stomp`] and [`websocket`]: bytes to values and back, and the session that decides. No I/O.
//! - `hub`: who subscribes to what. `replay_buffer`: what was said, for those who were away.
//! - `shard`, `connection`, `write_queue`: the sockets of one core, owned by one thread.
//! - `feed`: the reader of the log. `http`, `page`: HTTP. `readiness`: what operators are told.
//!
//! Nothing is kept on disk, and any gateway serves any client.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use resident_token::{KeySource, Policy, Secret, Verifier};
//! use tokio_util::sync::CancellationToken;
//! use ws_gateway::{Config, Gateway};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = Secret::new("a secret of at least thirty-two bytes!")?;
//! let verifier = Arc::new(Verifier::open(vec![KeySource::Secret(secret)], Policy::default())?);
//! let config = Config::new("127.0.0.1:0".parse()?, "127.0.0.1:9092", verifier);
//!
//! let gateway = Gateway::bind(config).await?;
//! println!("ws://{}/an-ws", gateway.address());
//! let ready = gateway.ready();
//! tokio::spawn(async move {
//!     ready.await;
//!     println!("sockets are taken");
//! });
//! gateway.run(CancellationToken::new()).await?;
//! # Ok(())
//! # }
//! ```

mod backlog;
mod config;
mod connection;
mod destination;
mod disconnect_reason;
mod event_clock;
mod feed;
mod frame_buffer;
mod gateway;
mod http;
mod hub;
mod metrics;
mod outbound_event;
mod page;
mod position;
mod readiness;
mod replay_buffer;
mod shard;
mod socket_counts;
pub mod stomp;
mod token_bucket;
pub mod websocket;
mod wheel;
mod write_queue;

pub use config::{Config, SocketLimits};
pub use feed::FeedError;
pub use gateway::{Error, Gateway, run};
