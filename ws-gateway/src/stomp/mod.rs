//! STOMP 1.0, 1.1 and 1.2: bytes to frames and back, and the session that decides what a frame means.
//!
//! Bytes in, bytes out: no sockets, no runtime, no clock, no Kafka, and nothing about who may hear what.
//! The source is the three specifications at <https://stomp.github.io>.
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

mod encoder;
mod escape;
mod frame;
mod parser;
mod pending_acks;
mod session;
mod subscription;
#[cfg(test)]
mod tests;
mod version;

pub use encoder::{ErrorText, MessageHead, encode, shared_rest};
pub use frame::{Command, Frame, Headers};
pub use parser::{Limits, ParseError, Parser};
pub use session::{Effect, ProtocolError, Session, Subscribe, TOKEN_DESTINATION};
pub use subscription::{AckMode, SubscriptionKey};
pub use version::Version;
