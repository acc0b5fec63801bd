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
//! ```
//! use ws_gateway::stomp::{Command, Limits, Parser};
//!
//! let mut parser = Parser::new(Limits::AFTER_CONNECT);
//! let mut bytes: &[u8] = b"SUBSCRIBE\nid:0\ndestination:/sub/line/101\n\n\0\n";
//! let frame = parser.next(&mut bytes)?.unwrap();
//! assert_eq!(frame.command, Command::Subscribe);
//! assert_eq!(frame.headers.get("destination"), Some("/sub/line/101"));
//! # Ok::<(), ws_gateway::stomp::ParseError>(())
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
