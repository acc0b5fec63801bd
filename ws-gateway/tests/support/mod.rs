//! The small language of the gateway's tests: a log, gateways that read it, and neighbours on real sockets.

#![allow(dead_code, reason = "each test file uses its part of the language")]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

pub(crate) mod checker;
pub(crate) mod neighbour;
pub(crate) mod test_gateway;
#[path = "../../src/websocket/testing.rs"]
pub(crate) mod websocket;

use std::time::Duration;

/// Long enough for a busy machine, short enough to notice a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
